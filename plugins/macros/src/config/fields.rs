//! Fields: with names they make an object, without a list.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{Error, Field, Fields, FieldsNamed, FieldsUnnamed, Result, Type};

use super::Shape;
use super::attributes::{Attributes, WhatDefault};
use super::case::Case;
use super::{consistent, json};

/// An object with these fields. `of_type` says what goes for all of them.
pub(super) fn object(
    fields: &FieldsNamed,
    of_type: &Attributes,
    case: Option<Case>,
    description: &str,
) -> Result<TokenStream> {
    let fields: Vec<(&Field, Attributes)> = fields
        .named
        .iter()
        .map(|field| Ok((field, Attributes::read(&field.attrs)?)))
        .collect::<Result<_>>()?;
    // Then the derive writes `Default`, and knows what is in it.
    let default_known = fields.iter().any(|(_, attributes)| attributes.literal.is_some());
    let fields = fields
        .iter()
        .filter(|(_, attributes)| !attributes.skip)
        .map(|(field, attributes)| one(field, attributes, of_type, default_known, case))
        .collect::<Result<Vec<_>>>()?;
    let closed = of_type.deny_unknown_fields;
    Ok(
        quote! { __hotbay::Schema::Object { description: #description, fields: &[#(#fields),*], closed: #closed } },
    )
}

fn one(
    field: &Field,
    said: &Attributes,
    of_type: &Attributes,
    default_known: bool,
    case: Option<Case>,
) -> Result<TokenStream> {
    let name = field.ident.as_ref().map(|name| name.unraw().to_string()).unwrap_or_default();
    let name = said.rename.clone().unwrap_or_else(|| case.map_or(name.clone(), |case| case.of_field(&name)));
    let ty = stands_for(field, said)?;
    let default = default(said, of_type, default_known, ty);
    let required = match () {
        () if said.default.is_some() || of_type.default.is_some() => quote!(false),
        () if said.with => quote!(true),
        () => quote! { !<#ty as ::hotbay_sdk::ModuleConfig>::OPTIONAL },
    };
    consistent::check(said, field)?;
    let keywords = keywords(field, said, &default)?;
    let (name, schema) = (json::text(&name), schema_of(ty));
    // What the type cannot have is an error about it.
    Ok(quote_spanned! { field.ty.span() => __hotbay::Field::new(#name, #schema, #required, #keywords) })
}

/// What the field is when it is missing, as an expression: JSON, or empty.
fn default(said: &Attributes, of_type: &Attributes, known: bool, ty: &Type) -> TokenStream {
    if let Some((literal, _)) = &said.literal {
        let json = &literal.json;
        return quote!(#json);
    }
    let of_field = said.default == Some(WhatDefault::Trait);
    let of_written = said.default.is_none() && known && of_type.default == Some(WhatDefault::Trait);
    if (of_field || of_written) && said.stands_for.is_none() {
        return quote! { <#ty as ::hotbay_sdk::ModuleConfig>::DEFAULT };
    }
    quote!("")
}

fn keywords(field: &Field, said: &Attributes, default: &TokenStream) -> Result<TokenStream> {
    let bound = |bound: &Option<json::Literal>| match bound {
        Some(bound) => quote! { ::core::option::Option::Some(#bound) },
        None => quote! { ::core::option::Option::None },
    };
    let (min, max, description) = (bound(&said.min), bound(&said.max), said.description());
    let applies_to = match (said.for_texts.is_empty(), said.for_lists.is_empty()) {
        (true, true) => quote!(Anything),
        (false, true) => quote!(Texts),
        (true, false) => quote!(Lists),
        (false, false) => return Err(Error::new_spanned(field, "a field is a text or a list, not both")),
    };
    let mut others: Vec<(String, String)> = said
        .for_texts
        .iter()
        .chain(&said.for_lists)
        .map(|(key, json)| (json::text(key), json.clone()))
        .collect();
    if !said.examples.is_empty() {
        others.push((json::text("examples"), format!("[{}]", said.examples.join(","))));
    }
    if said.secret {
        others.push((json::text("writeOnly"), "true".to_owned()));
    }
    let (keys, values): (Vec<_>, Vec<_>) = others.into_iter().unzip();
    Ok(quote! {
        __hotbay::Keywords {
            description: #description,
            min: #min,
            max: #max,
            default: #default,
            others: &[#((#keys, #values)),*],
            applies_to: __hotbay::AppliesTo::#applies_to,
        }
    })
}

/// The list of a tuple struct or variant.
pub(super) fn tuple(fields: &FieldsUnnamed) -> Result<TokenStream> {
    let parts = fields.unnamed.iter().map(unnamed).collect::<Result<Vec<_>>>()?;
    Ok(quote! { __hotbay::Schema::Tuple(&[#(#parts),*]) })
}

/// The schema of a field that has no name.
pub(super) fn unnamed(field: &Field) -> Result<TokenStream> {
    let said = Attributes::read(&field.attrs)?;
    said.only_as(field)?;
    Ok(schema_of(stands_for(field, &said)?))
}

/// The shape of the one field of a struct that serde reads as that field.
pub(super) fn only(name: &Ident, fields: &Fields) -> Result<Shape> {
    let mut found = None;
    for field in fields {
        let said = Attributes::read(&field.attrs)?;
        if !said.skip && found.replace((field, said)).is_some() {
            return Err(Error::new(name.span(), "one field only can stand for the whole"));
        }
    }
    let Some((field, said)) = found else {
        return Err(Error::new(name.span(), "there is no field that could stand for the whole"));
    };
    said.only_as(field)?;
    Ok(Shape::like(stands_for(field, &said)?))
}

fn schema_of(ty: &Type) -> TokenStream {
    // Errors about the type shall point at it.
    quote_spanned! { ty.span() => <#ty as ::hotbay_sdk::ModuleConfig>::SCHEMA }
}

/// The type whose JSON the field has.
fn stands_for<'a>(field: &'a Field, said: &'a Attributes) -> Result<&'a Type> {
    if said.with && said.stands_for.is_none() {
        let why = "say what its JSON looks like: #[config(as = String)], because a function reads it";
        return Err(Error::new_spanned(field, why));
    }
    Ok(said.stands_for.as_ref().unwrap_or(&field.ty))
}
