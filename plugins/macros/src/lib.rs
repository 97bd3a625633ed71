//! The attribute that makes a function a Hotbay handler, and the macro that makes a crate a module.
//!
//! Owns the syntax that authors write and what it expands to; every path and method is checked here, where the compiler can point at it.
//! Must hold no behaviour: what the expansion calls lives in `hotbay_sdk::__private`. Use both through `hotbay_sdk`.

use proc_macro::TokenStream;

mod handler;
mod module;
#[cfg(test)]
mod tests;

/// Makes a function a handler: `#[handler(GET, "/hello/{name}")]`.
///
/// Methods are separated by `|`; `ANY` stands for every method. The path is a template in axum's syntax. The function takes a
/// `Request` and returns a `Response`, may be `async`, and stays as it was written, so that a test can call it.
#[proc_macro_attribute]
pub fn handler(arguments: TokenStream, item: TokenStream) -> TokenStream {
    handler::expand(arguments.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes the crate a module with the handlers named: `module!(list, users::get)`, once in a crate.
///
/// The long form has more: `module! { handlers: [list], config_schema: include_str!("config.schema.json"), create: make }`.
/// - `config_schema`: the JSON Schema of the module's config, as a constant text.
/// - `create`: makes the module's state from its config, `fn(&Config) -> Result<T, impl Display>`; `create: async make` takes an
///   `async fn(Config) -> Result<T, impl Display>`. A handler gets the state by `request.state::<T>()`.
/// - `abi_minor`: which minor version of the ABI the module asks for, where that is not the SDK's own; only tests of hosts need it.
#[proc_macro]
pub fn module(input: TokenStream) -> TokenStream {
    module::expand(input.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
