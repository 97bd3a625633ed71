//! `module!`: the notes, the table and the entry symbol, all in the author's crate, because a linker drops them from a library.

use std::collections::BTreeSet;

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
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
    let handlers = described(&handlers.unwrap_or_default())?;
    let check = check_of(config.as_ref());
    let config = config_of(config, config_schema)?;
    let stop = stop.map_or_else(|| quote! { Nothing }, |stop| stop_of(stop, made_by(create.as_ref())));
    let create = create.map_or_else(|| quote! { Nothing }, create_of);
    let abi_minor = abi_minor
        .map_or_else(|| quote! { ::hotbay_sdk::__private::abi::ABI_MINOR }, |minor| quote! { #minor });
    Ok(quote! {
        #[doc(hidden)]
        #[allow(unsafe_code)]
        const _: () = {
            struct __HotbayModule;
            impl ::hotbay_sdk::__private::Define for __HotbayModule {
                // A path is needed, although what it leads to is in scope as well where the handler's trait is looked for.
                #[allow(unused_qualifications)]
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
    let error_of = quote_spanned! { span => ::hotbay_sdk::__private::ErrorOf::of };
    // What sees into an error can only be found where its type is known, which is here. Most errors need one of these traits.
    let erased = quote! { {
        #[allow(unused_imports)]
        use ::hotbay_sdk::__private::{AsChained as _, AsError as _, AsLocal as _, AsShared as _};
        let __hotbay_cause = (&&&&#error_of(&__hotbay_made)).cause();
        #erase(__hotbay_made, __hotbay_cause)
    } };
    if is_async {
        quote! {
            Future(|__hotbay_config| ::std::boxed::Box::pin(async move {
                match #call(#function, &__hotbay_config) {
                    ::core::result::Result::Ok(making) => {
                        let __hotbay_made = making.await;
                        #erased
                    }
                    ::core::result::Result::Err(unmade) => ::core::result::Result::Err(unmade),
                }
            }))
        }
    } else {
        quote! { Plain(|__hotbay_config| #call(#function, __hotbay_config).and_then(|__hotbay_made| #erased)) }
    }
}

/// The type of the state, as an expression.
fn made_by(create: Option<&Hook>) -> TokenStream {
    match create {
        None => quote! { ::hotbay_sdk::__private::made_nothing() },
        Some(Hook { is_async: false, function }) => quote! { ::hotbay_sdk::__private::made_by(#function) },
        Some(Hook { is_async: true, function }) => {
            quote! { ::hotbay_sdk::__private::made_later_by(#function) }
        }
    }
}

fn stop_of(Hook { is_async, function }: Hook, made: TokenStream) -> TokenStream {
    let span = function.span();
    let call = quote_spanned! { span => ::hotbay_sdk::__private::stop };
    let stopped = quote_spanned! { span => ::hotbay_sdk::__private::stopped };
    if is_async {
        quote! {
            Future(|__hotbay_shared| ::std::boxed::Box::pin(async move {
                match #call(#made, #function, &__hotbay_shared) {
                    ::core::result::Result::Ok(stopping) => #stopped(stopping.await),
                    ::core::result::Result::Err(words) => ::core::result::Result::Err(words),
                }
            }))
        }
    } else {
        quote! { Plain(|__hotbay_shared| #call(#made, #function, __hotbay_shared).and_then(|end| #stopped(end))) }
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

/// What `#[handler]` has put beside each function.
fn described(handlers: &Paths) -> Result<Vec<TokenStream>> {
    if handlers.is_empty() || handlers.len() > MAX_HANDLERS {
        let why = format!("a module has 1 to {MAX_HANDLERS} handlers: module!(hello)");
        return Err(Error::new(Span::call_site(), why));
    }
    let mut names = BTreeSet::new();
    for path in handlers {
        let Some(ident) = path.segments.last().map(|last| &last.ident) else { continue };
        let name = ident.unraw().to_string();
        if !names.insert(name.clone()) {
            let why =
                format!("two handlers are called {name}, which routes could not tell apart; rename one");
            return Err(Error::new(ident.span(), why));
        }
    }
    Ok(handlers.iter().cloned().map(find).collect())
}

/// Looks for the trait beside a function. There is a second one of its name, which is found only if that is not there: what it returns is no handler, and
/// the compiler says so in words of the SDK, where it could only have missed a name that the author never wrote.
fn find(function: Path) -> TokenStream {
    let mut place = function.clone();
    // A path ends with a name, and that of a function with no arguments.
    let last = place.segments.pop().map(|last| last.ident);
    let beside = last.as_ref().map(handler::beside);
    let span = last.as_ref().map_or_else(Span::call_site, Ident::span);
    place.segments.pop_punct();
    match place.segments.last().map(|segment| segment.ident.clone()) {
        None => find_here(&function, beside.as_ref(), span),
        Some(module) => find_in(&place, &module, &function, beside.as_ref(), span),
    }
}

/// The function stands where the macro does, or was brought there: its trait is in scope. The second method needs one reference more.
fn find_here(function: &Path, beside: Option<&Ident>, span: Span) -> TokenStream {
    // The function is passed on, because one that is not there, or not visible, is an error of its own, and then the only one.
    let found = quote_spanned! { span =>
        ::hotbay_sdk::__private::handler_of(|__hotbay_handlers| __hotbay_handlers.#beside(#function))
    };
    quote! { {
        trait __HotbayNoAttribute {
            fn #beside<F>(&self, _function: F) -> ::hotbay_sdk::__private::NoAttribute<F> {
                ::hotbay_sdk::__private::NoAttribute::of()
            }
        }
        impl __HotbayNoAttribute for &::hotbay_sdk::__private::Handlers {}
        #found
    } }
}

/// The function stands in `place`, whose names shadow the second trait's, and one's where the macro stands. They must shadow nothing else: neither what
/// the function is found by nor the place itself, which may hold a module of its own name, so that has another one here.
fn find_in(place: &Path, module: &Ident, function: &Path, beside: Option<&Ident>, span: Span) -> TokenStream {
    let (renamed, inside) = if ["self", "super", "crate"].iter().any(|word| module == word) {
        // Nothing can have these names.
        (None, quote! { #place })
    } else {
        // The compiler may name it.
        let other = format_ident!("__{}", module.unraw(), span = module.span());
        (Some(quote! { #[allow(unused_imports)] use #place as #other; }), quote! { #other })
    };
    let found = quote_spanned! { span =>
        ::hotbay_sdk::__private::handler_of(|__hotbay_handlers| {
            let __hotbay_function = #function;
            {
                #[allow(unused_imports)]
                use #inside::*;
                #beside::#beside(__hotbay_handlers, __hotbay_function)
            }
        })
    };
    quote! { {
        #[allow(dead_code, non_camel_case_types)]
        trait #beside {
            fn #beside<F>(&self, _function: F) -> ::hotbay_sdk::__private::NoAttribute<F> {
                ::hotbay_sdk::__private::NoAttribute::of()
            }
        }
        impl #beside for ::hotbay_sdk::__private::Handlers {}
        #renamed
        #found
    } }
}
