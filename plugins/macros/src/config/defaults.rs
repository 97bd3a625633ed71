//! `impl Default` for a struct whose fields say `#[config(default = …)]`.
//!
//! The derive writes it rather than only quoting it, so that what the schema shows is what the parser does.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Data, DeriveInput, Error, Expr, Fields, GenericArgument, PathArguments, Result, Type};

use super::attributes::{Attributes, WhatDefault};
use super::json::Literal;

/// Nothing, if no field says a default.
pub(super) fn implementation(input: &DeriveInput, of_type: &Attributes) -> Result<TokenStream> {
    let fields = match &input.data {
        Data::Struct(data) => &data.fields,
        Data::Enum(data) => {
            return data
                .variants
                .iter()
                .flat_map(|variant| &variant.fields)
                .try_fold(TokenStream::new(), refused);
        }
        Data::Union(_) => return Ok(TokenStream::new()),
    };
    let (mut values, mut said) = (Vec::new(), false);
    for field in fields {
        let attributes = Attributes::read(&field.attrs)?;
        let name = &field.ident;
        let value = match &attributes.literal {
            None => quote! { ::core::default::Default::default() },
            Some((literal, expr)) => {
                if of_type.default != Some(WhatDefault::Trait) || attributes.default.is_some() {
                    return Err(Error::new_spanned(expr, WANTED));
                }
                said = true;
                value(&field.ty, literal, expr)
            }
        };
        values.push(quote! { #name: #value });
    }
    if !said || !matches!(fields, Fields::Named(_)) {
        return Ok(TokenStream::new());
    }
    let name = &input.ident;
    Ok(quote! {
        #[automatically_derived]
        impl ::core::default::Default for #name {
            fn default() -> Self {
                Self { #(#values),* }
            }
        }
    })
}

const WANTED: &str = "write #[serde(default)] on the struct and not on the field: the derive then writes its Default, with this in it";

fn refused(nothing: TokenStream, field: &syn::Field) -> Result<TokenStream> {
    match Attributes::read(&field.attrs)?.literal {
        Some((_, expr)) => {
            Err(Error::new_spanned(expr, "a default belongs to a struct of its own, with #[serde(default)]"))
        }
        None => Ok(nothing),
    }
}

fn value(ty: &Type, literal: &Literal, expr: &Expr) -> TokenStream {
    let span = expr.span();
    let optional = inside_option(ty);
    let plain = match optional.unwrap_or(ty) {
        // What is no duration is an error here, and not in each instance.
        inner if literal.is_text && is_called(inner, &["Duration", "DurationText"]) => {
            quote_spanned! { span => {
                const DURATION: ::core::time::Duration = ::hotbay_sdk::__private::duration(#expr);
                ::core::convert::Into::into(DURATION)
            } }
        }
        _ if literal.is_text => quote_spanned! { span => ::core::convert::Into::into(#expr) },
        _ => quote!(#expr),
    };
    if optional.is_some() {
        quote_spanned! { span => ::core::option::Option::Some(#plain) }
    } else {
        plain
    }
}

fn is_called(ty: &Type, names: &[&str]) -> bool {
    let Type::Path(path) = ty else { return false };
    path.path.segments.last().is_some_and(|last| names.iter().any(|name| last.ident == name))
}

/// The `T` of an `Option<T>`.
fn inside_option(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == "Option")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first()? {
        GenericArgument::Type(inner) => Some(inner),
        _ => None,
    }
}
