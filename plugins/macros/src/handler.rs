//! `#[handler(…)]`: checks a function and puts a constant beside it, which `module!` finds by its name.

use hotbay_api::{PathTemplate, Route};
use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream};
use syn::{Error, FnArg, GenericParam, Ident, ItemFn, LitStr, Result, ReturnType, Signature, Token};

/// What the author wrote in the parentheses.
struct Arguments {
    /// Empty means every method.
    methods: Vec<Ident>,
    path: LitStr,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let usage = |error: Error| {
            Error::new(error.span(), "write a method and a path: #[handler(GET | POST, \"/hello/{name}\")]")
        };
        let mut methods = vec![input.call(Ident::parse_any).map_err(usage)?];
        while input.peek(Token![|]) {
            input.parse::<Token![|]>()?;
            methods.push(input.call(Ident::parse_any).map_err(usage)?);
        }
        input.parse::<Token![,]>().map_err(usage)?;
        let path = input.parse().map_err(usage)?;
        input.parse::<Option<Token![,]>>()?;
        if !input.is_empty() {
            return Err(usage(input.error("")));
        }
        Ok(Self { methods: methods_of(methods)?, path })
    }
}

/// The name of the constant beside a handler.
pub(crate) fn constant(function: &Ident) -> Ident {
    format_ident!("__hotbay_handler_{}", function.unraw(), span = function.span())
}

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let function: ItemFn = syn::parse2(item.clone())
        .map_err(|error| Error::new(error.span(), format!("#[handler] belongs on a function: {error}")))?;
    // The function is given out even if something is wrong, so that the compiler does not also miss it elsewhere.
    let constant = syn::parse2(arguments)
        .and_then(|arguments| check_signature(&function.sig).map(|()| arguments))
        .and_then(|arguments| constant_for(&function, &arguments))
        .unwrap_or_else(Error::into_compile_error);
    Ok(quote! { #item #constant })
}

fn constant_for(function: &ItemFn, Arguments { methods, path }: &Arguments) -> Result<TokenStream> {
    check_path(path)?;
    let (visibility, ident) = (&function.vis, &function.sig.ident);
    let (constant, name) = (constant(ident), ident.unraw().to_string());
    let methods = methods.iter().map(ToString::to_string);
    // Errors about the function's type shall point at its name, not at the attribute.
    let call = if function.sig.asyncness.is_some() {
        quote_spanned! { ident.span() => Call::Future(|__hotbay_request| ::std::boxed::Box::pin(#ident(__hotbay_request))) }
    } else {
        quote_spanned! { ident.span() => Call::Plain(#ident) }
    };
    Ok(quote! {
        #[doc(hidden)]
        #[allow(non_upper_case_globals)]
        #visibility const #constant: ::hotbay_sdk::__private::Handler = {
            use ::hotbay_sdk::__private::Call;
            ::hotbay_sdk::__private::Handler { name: #name, methods: &[#(#methods),*], path: #path, call: #call }
        };
    })
}

/// `ANY` becomes no method, which the manifest reads as every method.
fn methods_of(written: Vec<Ident>) -> Result<Vec<Ident>> {
    if let [only] = &written[..]
        && only == "ANY"
    {
        return Ok(Vec::new());
    }
    for (index, method) in written.iter().enumerate() {
        if method == "ANY" {
            return Err(Error::new(method.span(), "ANY stands for every method, so it stands alone"));
        }
        if written[..index].contains(method) {
            return Err(Error::new(method.span(), format!("{method} is named twice")));
        }
        let route = Route {
            hostnames: Vec::new(),
            path: "/".parse().map_err(|error| Error::new(method.span(), error))?,
            methods: vec![method.to_string()],
            handler: String::new(),
        };
        route.check().map_err(|error| Error::new(method.span(), format!("{error}, or ANY")))?;
    }
    Ok(written)
}

fn check_path(path: &LitStr) -> Result<()> {
    path.value().parse::<PathTemplate>().map(drop).map_err(|error| Error::new(path.span(), error))
}

/// What the compiler would say as well, but about code that the author did not write.
fn check_signature(signature: &Signature) -> Result<()> {
    let ident = &signature.ident;
    let refuse = |why: &str| {
        Err(Error::new(ident.span(), format!("a handler {why}: fn {ident}(request: Request) -> Response")))
    };
    if !ident.to_string().is_ascii() {
        return refuse("has a name in ASCII, because it stands in the manifest");
    }
    if signature.generics.params.iter().any(|param| !matches!(param, GenericParam::Lifetime(_))) {
        return refuse("has no type parameters, because nobody chooses them");
    }
    if signature.abi.is_some() {
        return refuse("is a Rust function");
    }
    let takes_one = matches!(signature.inputs.iter().collect::<Vec<_>>()[..], [FnArg::Typed(_)]);
    if !takes_one {
        return refuse("takes the request and nothing else (state comes from request.state())");
    }
    if matches!(signature.output, ReturnType::Default) {
        return refuse("returns a Response");
    }
    Ok(())
}
