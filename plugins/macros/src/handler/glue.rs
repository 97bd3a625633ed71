//! What stands between the SDK, which knows requests and responses alone, and a function with arguments of its own.
//!
//! Owns the spans: an argument or a result that does not fit is an error at the author's type, although it is this code that does not compile.

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens as _, format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{FnArg, ReturnType, Signature, Type};

/// The types of the arguments; `check_signature` has refused what is no argument of a function.
fn types(signature: &Signature) -> impl Iterator<Item = &Type> {
    signature.inputs.iter().filter_map(|argument| match argument {
        FnArg::Typed(typed) => Some(&*typed.ty),
        FnArg::Receiver(_) => None,
    })
}

/// Errors are shown at `place`, and names are looked up where the attribute stands.
fn at(place: Span) -> Span {
    Span::call_site().located_at(place)
}

/// What the SDK has to know of each argument before there is a request.
pub(super) fn arguments(signature: &Signature) -> Vec<TokenStream> {
    let lifetimes: Vec<String> =
        signature.generics.lifetimes().map(|param| param.lifetime.ident.to_string()).collect();
    let argument = |kind: &Type| {
        let (span, kind) = (at(kind.span()), anonymous(kind.to_token_stream(), &lifetimes));
        quote_spanned! { span => ::hotbay_sdk::__private::Argument::of::<#kind>() }
    };
    types(signature).map(argument).collect()
}

/// A constant cannot name the function's lifetimes.
fn anonymous(kind: TokenStream, lifetimes: &[String]) -> TokenStream {
    let mut behind_tick = false;
    let tree = |tree| match tree {
        TokenTree::Group(group) => {
            let mut inner = Group::new(group.delimiter(), anonymous(group.stream(), lifetimes));
            inner.set_span(group.span());
            behind_tick = false;
            TokenTree::Group(inner)
        }
        TokenTree::Ident(ident) if behind_tick && lifetimes.contains(&ident.to_string()) => {
            behind_tick = false;
            TokenTree::Ident(Ident::new("_", ident.span()))
        }
        other => {
            behind_tick = matches!(&other, TokenTree::Punct(punct) if punct.as_char() == '\'');
            other
        }
    };
    kind.into_iter().map(tree).collect()
}

/// The variant of `Call` that makes the arguments, calls the function and makes the answer.
pub(super) fn call(signature: &Signature) -> TokenStream {
    let request = format_ident!("__hotbay_request");
    let (mut lets, mut names) = (Vec::new(), Vec::new());
    for (index, kind) in types(signature).enumerate() {
        let name = format_ident!("__hotbay_{index}");
        let span = at(kind.span());
        let make = quote_spanned! { span => ::hotbay_sdk::FromRequest::from_request(&#request) };
        lets.push(quote! {
            let #name = match #make {
                ::core::result::Result::Ok(argument) => argument,
                ::core::result::Result::Err(rejection) => return ::hotbay_sdk::__private::refuse(rejection),
            };
        });
        names.push(name);
    }
    let ident = &signature.ident;
    let (function, result) = (at(ident.span()), at(output(&signature.output, ident)));
    // The compiler points at what is passed on, so that has a name, with the place of the author's type.
    let returned = format_ident!("__hotbay_returned", span = result);
    let answer = quote_spanned! { result => ::hotbay_sdk::IntoResponse::into_response(#returned) };
    if signature.asyncness.is_some() {
        quote_spanned! { function =>
            Future(|#request| ::std::boxed::Box::pin(async move {
                #(#lets)*
                let #returned = #ident(#(#names),*).await;
                #answer
            }))
        }
    } else {
        quote_spanned! { function =>
            Plain(|#request| {
                #(#lets)*
                let #returned = #ident(#(#names),*);
                #answer
            })
        }
    }
}

fn output(output: &ReturnType, ident: &Ident) -> Span {
    match output {
        ReturnType::Default => ident.span(),
        ReturnType::Type(_, kind) => kind.span(),
    }
}
