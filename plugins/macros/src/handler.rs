//! `#[handler(…)]`: checks a function and puts a trait beside it, by whose name `module!` finds what there is to know of the function.

use hotbay_api::{PathTemplate, Route};
use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream};
use syn::{Error, FnArg, GenericParam, Ident, ItemFn, LitStr, Result, Safety, Signature, Token, Type};

mod glue;

/// As many arguments as the SDK can call in a test.
const MAX_ARGUMENTS: usize = 12;

/// What the author wrote in the parentheses.
struct Arguments {
    /// Empty means every method.
    methods: Vec<Ident>,
    path: LitStr,
    blocking: bool,
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
        let blocking = Self::parse_blocking(input)?;
        Ok(Self { methods: methods_of(methods)?, path, blocking })
    }
}

impl Arguments {
    fn parse_blocking(input: ParseStream<'_>) -> Result<bool> {
        let mut blocking = false;
        while !input.is_empty() {
            input.parse::<Token![,]>().map_err(|error| after_path(&error))?;
            if input.is_empty() {
                break;
            }
            let word = input.call(Ident::parse_any).map_err(|error| after_path(&error))?;
            if word != "blocking" {
                return Err(after_path(&Error::new(word.span(), "")));
            }
            if blocking {
                return Err(Error::new(word.span(), "blocking is said twice"));
            }
            blocking = true;
        }
        Ok(blocking)
    }
}

fn after_path(error: &Error) -> Error {
    Error::new(
        error.span(),
        "only `blocking` may follow the method and the path: #[handler(GET, \"/hello\", blocking)]",
    )
}

/// The name of the trait beside a handler, and of its method.
pub(crate) fn beside(function: &Ident) -> Ident {
    format_ident!("__hotbay_handler_{}", function.unraw(), span = function.span())
}

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let function: ItemFn = syn::parse2(item.clone())
        .map_err(|error| Error::new(error.span(), format!("#[handler] belongs on a function: {error}")))?;
    // The function is given out even if something is wrong, so that the compiler does not also miss it elsewhere.
    let beside = syn::parse2(arguments)
        .and_then(|arguments| check_signature(&function.sig).map(|()| arguments))
        .and_then(|arguments| described(&function, &arguments))
        .unwrap_or_else(Error::into_compile_error);
    Ok(quote! { #item #beside })
}

fn described(function: &ItemFn, arguments: &Arguments) -> Result<TokenStream> {
    let Arguments { methods, path, blocking } = arguments;
    check_path(path)?;
    let (visibility, ident) = (&function.vis, &function.sig.ident);
    let (beside, name) = (beside(ident), ident.unraw().to_string());
    let methods = methods.iter().map(ToString::to_string);
    let arguments = glue::arguments(&function.sig);
    let call = glue::call(&function.sig);
    Ok(quote! {
        ::hotbay_sdk::__handler! { #visibility #beside = {
            const __HOTBAY_ARGUMENTS: &[::hotbay_sdk::__private::Argument] = &[#(#arguments),*];
            ::hotbay_sdk::__private::Handler {
                name: #name,
                methods: &[#(#methods),*],
                path: #path,
                call: ::hotbay_sdk::__private::Call::#call,
                body: ::hotbay_sdk::__private::Argument::body(__HOTBAY_ARGUMENTS),
                blocking: #blocking,
                arguments: __HOTBAY_ARGUMENTS,
            }
        } }
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
    let refuse = |span, why: &str| {
        Err(Error::new(span, format!("a handler {why}: fn {ident}(request: Request) -> Response")))
    };
    if !ident.to_string().is_ascii() {
        return refuse(ident.span(), "has a name in ASCII, because it stands in the manifest");
    }
    if signature.generics.params.iter().any(|param| !matches!(param, GenericParam::Lifetime(_))) {
        return refuse(ident.span(), "has no type parameters, because nobody chooses them");
    }
    if signature.abi.is_some()
        || matches!(signature.safety, Safety::Unsafe(_))
        || signature.variadic.is_some()
    {
        return refuse(ident.span(), "is a safe Rust function");
    }
    for argument in &signature.inputs {
        match argument {
            FnArg::Receiver(me) => {
                return refuse(
                    me.self_token.span,
                    "is a function and no method; take the module's state as &T instead of self",
                );
            }
            FnArg::Typed(typed) if matches!(*typed.ty, Type::ImplTrait(_)) => {
                return refuse(
                    ident.span(),
                    "says of which type its arguments are, because nobody else does",
                );
            }
            FnArg::Typed(_) => {}
        }
    }
    if signature.inputs.len() > MAX_ARGUMENTS {
        let why = format!(
            "takes at most {MAX_ARGUMENTS} arguments; put some into a type of your own that implements FromRequest"
        );
        return refuse(ident.span(), &why);
    }
    Ok(())
}
