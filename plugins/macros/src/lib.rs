//! The attribute that makes a function a Hotbay handler, and the macro that makes a crate a module.
//!
//! Owns the syntax that authors write and what it expands to; every path and method is checked here, where the compiler can point at it.
//! Must hold no behaviour: what the expansion calls lives in `hotbay_sdk::__private`. Use both through `hotbay_sdk`.

use proc_macro::TokenStream;

mod config;
mod handler;
mod module;
#[cfg(test)]
mod tests;

/// Makes a function a handler: `#[handler(GET, "/hello/{name}")]`.
///
/// Methods are separated by `|`; `ANY` stands for every method. The path is a template in axum's syntax. The function takes up to twelve
/// arguments that implement `FromRequest`, returns what implements `IntoResponse`, may be `async`, and stays as it was written, so that a test
/// can call it. `#[handler(GET, "/report", blocking)]`: it may hold its thread, so it is called on a pool.
///
/// A plain function that takes the `Request` and returns a `Response` is called as directly as if it were written by hand.
#[proc_macro_attribute]
pub fn handler(arguments: TokenStream, item: TokenStream) -> TokenStream {
    handler::expand(arguments.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes the crate a module with the handlers named: `module!(list, users::get)`, once in a crate.
///
/// The long form has more: `module! { handlers: [list], config_schema: include_str!("config.schema.json"), create: make }`.
/// - `config`: the type of the module's config, which derives [`ModuleConfig`]; its JSON Schema goes into the manifest.
/// - `config_schema`: instead of that, the JSON Schema of the module's config, as a constant text.
/// - `create`: makes the module's state, `fn(…) -> Result<T, impl Display>`, of nothing, `&Config`, `Config` or the config's type;
///   `create: async make` takes an `async fn`. A handler gets the state as `&T`, `State<T>` or by `request.state::<T>()`.
/// - `stop`: runs when an instance has no call left, `fn(…)` or `fn(…) -> Result<(), impl Display>`, of nothing, `&T` or, where the state is
///   one, `Arc<T>`; `stop: async end` takes an `async fn`.
/// - `abi_minor`: which minor version of the ABI the module asks for, where that is not the SDK's own; only tests of hosts need it.
#[proc_macro]
pub fn module(input: TokenStream) -> TokenStream {
    module::expand(input.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a type's JSON Schema, for `module! { config: Limits, … }`. The trait's page says what `#[config(…)]` knows.
///
/// It goes beside `serde::Deserialize` and reads serde's attributes, so that schema and parser agree: `rename`, `rename_all`,
/// `default`, `skip`, `deny_unknown_fields`, `transparent`, `tag`, `content`, `untagged`, `from`, `try_from`, and `with` where
/// `#[config(as = …)]` says what the JSON looks like. What a schema could not say (`flatten`, `alias`, `other`) is a compile error.
#[proc_macro_derive(ModuleConfig, attributes(config, serde))]
pub fn module_config(item: TokenStream) -> TokenStream {
    config::expand(item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
