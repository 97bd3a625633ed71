//! `module!`: the notes, the table and the entry symbol, all in the author's crate, because a linker drops them from a library.

use std::collections::BTreeSet;

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{Error, Expr, Ident, Path, Result, Token, Type, bracketed};

use crate::handler;

/// The most handlers of one module; the manifest's own limit.
const MAX_HANDLERS: usize = hotbay_api::MAX_ROUTES;

type Paths = Punctuated<Path, Token![,]>;

/// What the author wrote.
#[derive(Default)]
struct Module {
    handlers: Option<Paths>,
    config: Option<Type>,
    config_schema: Option<Expr>,
    create: Option<Hook>,
    stop: Option<Hook>,
    abi_minor: Option<Expr>,
}

/// A function that is called once in an instance's life.
struct Hook {
    is_async: bool,
    function: Path,
}

impl Parse for Hook {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let is_async = input.parse::<Option<Token![async]>>()?.is_some();
        Ok(Self { is_async, function: input.parse()? })
    }
}

impl Parse for Module {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let long = input.peek(Ident) && input.peek2(Token![:]) && !input.peek2(Token![::]);
        if !long {
            return Ok(Self { handlers: Some(Paths::parse_terminated(input)?), ..Self::default() });
        }
        let mut module = Self::default();
        while !input.is_empty() {
            module.field(input)?;
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(module)
    }
}

impl Module {
    fn field(&mut self, input: ParseStream<'_>) -> Result<()> {
        let key: Ident = input.parse()?;
        input.parse::<Token![:]>()?;
        match key.to_string().as_str() {
            "handlers" => {
                let list;
                bracketed!(list in input);
                once(&mut self.handlers, &key, Paths::parse_terminated(&list)?)
            }
            "config" => once(&mut self.config, &key, input.parse()?),
            "config_schema" => once(&mut self.config_schema, &key, input.parse()?),
            "create" => once(&mut self.create, &key, input.parse()?),
            "stop" => once(&mut self.stop, &key, input.parse()?),
            "abi_minor" => once(&mut self.abi_minor, &key, input.parse()?),
            _ => Err(Error::new(
                key.span(),
                format!(
                    "module! knows handlers, config, config_schema, create, stop and abi_minor, not {key}"
                ),
            )),
        }
    }
}

fn once<T>(slot: &mut Option<T>, key: &Ident, value: T) -> Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::new(key.span(), format!("{key} is given twice"))),
    }
}

pub(crate) fn expand(input: TokenStream) -> Result<TokenStream> {
    let Module { handlers, config, config_schema, create, stop, abi_minor } = syn::parse2(input)?;
    let handlers = constants(&handlers.unwrap_or_default())?;
    let check = check_of(config.as_ref());
    let config = config_of(config, config_schema)?;
    let create = create.map_or_else(|| quote! { Nothing }, create_of);
    let stop = stop.map_or_else(|| quote! { Nothing }, stop_of);
    let abi_minor = abi_minor
        .map_or_else(|| quote! { ::hotbay_sdk::__private::abi::ABI_MINOR }, |minor| quote! { #minor });
    Ok(quote! {
        #[doc(hidden)]
        #[allow(unsafe_code)]
        const _: () = {
            struct __HotbayModule;
            impl ::hotbay_sdk::__private::Define for __HotbayModule {
                const HANDLERS: &'static [::hotbay_sdk::__private::Handler] = &[#(#handlers),*];
                const CREATE: ::hotbay_sdk::__private::Create = ::hotbay_sdk::__private::Create::#create;
                #check
                const STOP: ::hotbay_sdk::__private::Stop = ::hotbay_sdk::__private::Stop::#stop;
                const UNWINDS: bool = ::core::cfg!(panic = "unwind");
            }
            const __HOTBAY_MANIFEST: ::hotbay_sdk::__private::Manifest<'static> = ::hotbay_sdk::__private::Manifest {
                name: ::core::env!("CARGO_PKG_NAME"),
                version: ::core::env!("CARGO_PKG_VERSION"),
                handlers: <__HotbayModule as ::hotbay_sdk::__private::Define>::HANDLERS,
                config: #config,
            };
            #[used]
            #[cfg_attr(target_os = "linux", unsafe(link_section = ".note.hotbay"))]
            static __HOTBAY_NOTES: ::hotbay_sdk::__private::Notes<{ __HOTBAY_MANIFEST.padded_len() }> =
                ::hotbay_sdk::__private::Notes::new::<__HotbayModule>(&__HOTBAY_MANIFEST, #abi_minor);
            static __HOTBAY_TABLE: ::hotbay_sdk::__private::abi::Module = ::hotbay_sdk::__private::table::<__HotbayModule>();
            /// The one symbol that a module exports.
            ///
            /// # Safety
            /// `host` must be a table of functions that is valid for ever, as the ABI asks.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn hotbay_module_v1(
                host: *const ::hotbay_sdk::__private::abi::Host,
            ) -> *const ::hotbay_sdk::__private::abi::Module {
                // SAFETY: the caller's promise is the same.
                unsafe { ::hotbay_sdk::__private::enter(host, &__HOTBAY_TABLE) }
            }
        };
    })
}

fn create_of(Hook { is_async, function }: Hook) -> TokenStream {
    // Errors about the function shall point at its name.
    let span = function.span();
    let call = quote_spanned! { span => ::hotbay_sdk::__private::create };
    let erase = quote_spanned! { span => ::hotbay_sdk::__private::erase };
    if is_async {
        quote! {
            Future(|__hotbay_config| ::std::boxed::Box::pin(async move {
                match #call(#function, &__hotbay_config) {
                    ::core::result::Result::Ok(making) => #erase(making.await),
                    ::core::result::Result::Err(unmade) => ::core::result::Result::Err(unmade),
                }
            }))
        }
    } else {
        quote! { Plain(|__hotbay_config| #call(#function, __hotbay_config).and_then(|made| #erase(made))) }
    }
}

fn stop_of(Hook { is_async, function }: Hook) -> TokenStream {
    let span = function.span();
    let call = quote_spanned! { span => ::hotbay_sdk::__private::stop };
    let stopped = quote_spanned! { span => ::hotbay_sdk::__private::stopped };
    if is_async {
        quote! {
            Future(|__hotbay_shared| ::std::boxed::Box::pin(async move {
                match #call(#function, &__hotbay_shared) {
                    ::core::result::Result::Ok(stopping) => #stopped(stopping.await),
                    ::core::result::Result::Err(words) => ::core::result::Result::Err(words),
                }
            }))
        }
    } else {
        quote! { Plain(|__hotbay_shared| #call(#function, __hotbay_shared).and_then(|end| #stopped(end))) }
    }
}

/// A config that does not fit its type is refused, whether or not `create` reads it.
fn check_of(config: Option<&Type>) -> Option<TokenStream> {
    config.map(|config| {
        let check = quote_spanned! { config.span() => ::hotbay_sdk::__private::check::<#config> };
        quote! {
            const CHECK: ::core::option::Option<::hotbay_sdk::__private::Check> = ::core::option::Option::Some(#check);
        }
    })
}

/// Where the schema comes from: a type, or a text.
fn config_of(config: Option<Type>, schema: Option<Expr>) -> Result<TokenStream> {
    let variant = match (config, schema) {
        (None, None) => quote! { Absent },
        (None, Some(schema)) => quote! { Text(#schema) },
        (Some(config), None) => {
            // Errors about the type shall point at it.
            let span = config.span();
            quote_spanned! { span => Type(<#config as ::hotbay_sdk::ModuleConfig>::SCHEMA) }
        }
        (Some(_), Some(schema)) => {
            return Err(Error::new(schema.span(), "config has a schema of its own; leave out config_schema"));
        }
    };
    Ok(quote! { ::hotbay_sdk::__private::ConfigSchema::#variant })
}

/// `users::get` becomes `users::__hotbay_handler_get`.
fn constants(handlers: &Paths) -> Result<Vec<Path>> {
    if handlers.is_empty() || handlers.len() > MAX_HANDLERS {
        let why = format!("a module has 1 to {MAX_HANDLERS} handlers: module!(hello)");
        return Err(Error::new(Span::call_site(), why));
    }
    let mut names = BTreeSet::new();
    handlers.iter().cloned().map(|path| constant(path, &mut names)).collect()
}

fn constant(mut path: Path, names: &mut BTreeSet<String>) -> Result<Path> {
    if let Some(last) = path.segments.last_mut() {
        let name = last.ident.unraw().to_string();
        if !names.insert(name.clone()) {
            return Err(Error::new(
                last.ident.span(),
                format!("two handlers are called {name}, which routes could not tell apart; rename one"),
            ));
        }
        last.ident = handler::constant(&last.ident);
    }
    Ok(path)
}
