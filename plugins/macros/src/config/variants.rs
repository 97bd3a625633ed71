//! Enums, in each of serde's four representations.

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::ext::IdentExt as _;
use syn::{DataEnum, Error, Fields, Result, Variant};

use super::attributes::Attributes;
use super::{fields, json};

/// A variant that can be read.
struct Form<'a> {
    /// As JSON.
    name: String,
    doc: String,
    /// As JSON.
    description: String,
    content: Content<'a>,
}

enum Content<'a> {
    Unit,
    /// An expression of type `&'static Schema`, and the type it comes from.
    One(TokenStream, &'a syn::Field),
    /// An expression of type `Schema`.
    Many(TokenStream),
}

impl Content<'_> {
    fn schema(&self) -> TokenStream {
        match self {
            Self::Unit => quote! { &__hotbay::Schema::Null },
            Self::One(schema, _) => schema.clone(),
            Self::Many(schema) => quote! { &#schema },
        }
    }
}

pub(super) fn shape(name: &Ident, data: &DataEnum, of_type: &Attributes) -> Result<TokenStream> {
    let mut forms = Vec::new();
    for variant in &data.variants {
        let said = Attributes::read(&variant.attrs)?;
        said.only_of_type()?;
        if said.untagged || said.with {
            return Err(Error::new_spanned(variant, "the schema of a config cannot say this of one variant"));
        }
        if !said.skip {
            forms.push(form(variant, &said, of_type)?);
        }
    }
    if forms.is_empty() {
        return Err(Error::new(name.span(), "a config type has a variant that can be read"));
    }
    let description = of_type.description();
    let schemas: Vec<TokenStream> = match (&of_type.tag, &of_type.content) {
        _ if of_type.untagged => forms.iter().map(|form| form.content.schema()).collect(),
        (None, _) => return Ok(external(&forms, of_type)),
        (Some(tag), None) => forms.iter().map(|form| internal(form, &json::text(tag))).collect(),
        (Some(tag), Some(content)) => {
            let names = (json::text(tag), json::text(content));
            forms.iter().map(|form| adjacent(form, &names, of_type.deny_unknown_fields)).collect()
        }
    };
    Ok(quote! { __hotbay::Schema::Forms { description: #description, forms: &[#(#schemas),*] } })
}

fn form<'a>(variant: &'a Variant, said: &Attributes, of_type: &Attributes) -> Result<Form<'a>> {
    let name = variant.ident.unraw().to_string();
    let name = said
        .rename
        .clone()
        .unwrap_or_else(|| of_type.rename_all.map_or(name.clone(), |case| case.of_variant(&name)));
    let (doc, description) = (said.doc.clone(), said.description());
    let content = match &variant.fields {
        Fields::Unit => Content::Unit,
        Fields::Unnamed(unnamed) => match unnamed.unnamed.iter().collect::<Vec<_>>()[..] {
            [] => return Err(Error::new_spanned(variant, "leave out the parentheses, or put something in")),
            [field] => Content::One(fields::unnamed(field)?, field),
            _ => Content::Many(fields::tuple(unnamed)?),
        },
        Fields::Named(named) => {
            let case = said.rename_all.or(of_type.rename_all_fields);
            let rules =
                Attributes { deny_unknown_fields: of_type.deny_unknown_fields, ..Attributes::default() };
            Content::Many(fields::object(named, &rules, case, &description)?)
        }
    };
    Ok(Form { name: json::text(&name), doc, description, content })
}

/// `"Name"`, or `{"Name": …}`.
fn external(forms: &[Form<'_>], of_type: &Attributes) -> TokenStream {
    let (units, others): (Vec<&Form<'_>>, Vec<_>) =
        forms.iter().partition(|form| matches!(form.content, Content::Unit));
    let names = units.iter().map(|form| &form.name);
    let told = told(of_type, &units);
    if others.is_empty() {
        return quote! { __hotbay::Schema::Names { description: #told, names: &[#(#names),*] } };
    }
    let description = of_type.description();
    let mut schemas: Vec<TokenStream> = others.iter().map(|form| single(form)).collect();
    if !units.is_empty() {
        schemas.insert(0, quote! { &__hotbay::Schema::Names { description: "", names: &[#(#names),*] } });
    }
    quote! { __hotbay::Schema::Forms { description: #description, forms: &[#(#schemas),*] } }
}

/// The type's documentation, and that of its variants as a list: `enum` has no place of its own for it.
fn told(of_type: &Attributes, units: &[&Form<'_>]) -> String {
    let mut told = of_type.doc.clone();
    for unit in units.iter().filter(|unit| !unit.doc.is_empty()) {
        if !told.is_empty() {
            told.push('\n');
        }
        told.push_str(&format!("- {}: {}", unit.name, unit.doc));
    }
    if told.is_empty() { told } else { json::text(&told) }
}

fn single(form: &Form<'_>) -> TokenStream {
    let Form { name, description, content, .. } = form;
    let schema = content.schema();
    quote! {
        &__hotbay::Schema::Object {
            description: #description,
            fields: &[__hotbay::Field { name: #name, schema: #schema, required: true, keywords: __hotbay::Keywords::NONE }],
            closed: true,
        }
    }
}

/// `{"tag": "Name", …}`. serde passes over all other fields of a unit variant, even where it denies unknown ones.
fn internal(form: &Form<'_>, tag: &str) -> TokenStream {
    let Form { name, description, content, .. } = form;
    let inner = match content {
        Content::Unit => {
            quote! { &__hotbay::Schema::Object { description: #description, fields: &[], closed: false } }
        }
        other => other.schema(),
    };
    quote! { &__hotbay::Schema::Tagged { tag: #tag, name: #name, inner: #inner } }
}

/// `{"tag": "Name", "content": …}`.
fn adjacent(form: &Form<'_>, (tag, key): &(String, String), closed: bool) -> TokenStream {
    let Form { name, description, content, .. } = form;
    let required = match content {
        Content::Unit => quote!(false),
        Content::One(_, field) => {
            let ty = &field.ty;
            quote! { !<#ty as ::hotbay_sdk::ModuleConfig>::OPTIONAL }
        }
        Content::Many(_) => quote!(true),
    };
    let schema = content.schema();
    quote! {
        &__hotbay::Schema::Object {
            description: #description,
            fields: &[
                __hotbay::Field {
                    name: #tag,
                    schema: &__hotbay::Schema::Names { description: "", names: &[#name] },
                    required: true,
                    keywords: __hotbay::Keywords::NONE,
                },
                __hotbay::Field { name: #key, schema: #schema, required: #required, keywords: __hotbay::Keywords::NONE },
            ],
            closed: #closed,
        }
    }
}
