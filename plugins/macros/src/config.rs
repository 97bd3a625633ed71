//! `#[derive(ModuleConfig)]`: a type's shape as constants, from which the SDK writes a JSON Schema into the manifest.
//!
//! Owns how serde's representations become shapes. A schema must take what the parser takes: what it could not say is refused here, where
//! the compiler can point at it. `attributes` reads what the author wrote; the SDK's `schema` is what comes out.

mod attributes;
mod case;
mod consistent;
mod defaults;
mod fields;
mod json;
#[cfg(test)]
mod tests;
mod variants;

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Data, DataEnum, DataStruct, DeriveInput, Error, Fields, Result};

use attributes::Attributes;

/// What a type expands to.
pub(super) struct Shape {
    /// An expression of type `&'static Schema`.
    pub schema: TokenStream,
    /// An expression of type `bool`: whether a field of this type may be missing.
    pub optional: TokenStream,
}

impl Shape {
    fn of(schema: TokenStream) -> Self {
        Self { schema: quote!(&#schema), optional: quote!(false) }
    }

    /// As another type's.
    fn like(ty: &impl ToTokens) -> Self {
        Self {
            schema: quote! { <#ty as ::hotbay_sdk::ModuleConfig>::SCHEMA },
            optional: quote! { <#ty as ::hotbay_sdk::ModuleConfig>::OPTIONAL },
        }
    }
}

pub(crate) fn expand(item: TokenStream) -> Result<TokenStream> {
    let input: DeriveInput = syn::parse2(item)?;
    let name = &input.ident;
    if !input.generics.params.is_empty() {
        return Err(Error::new(name.span(), "a config type has no parameters, because nobody chooses them"));
    }
    let of_type = Attributes::read(&input.attrs)?;
    of_type.only_of_type()?;
    let shape = match (&of_type.from, &input.data) {
        (Some(from), _) => Shape::like(from),
        (None, Data::Struct(data)) => of_struct(name, data, &of_type)?,
        (None, Data::Enum(data)) => of_enum(name, data, &of_type)?,
        (None, Data::Union(_)) => {
            return Err(Error::new(name.span(), "a config type is a struct or an enum"));
        }
    };
    let Shape { schema, optional } = shape;
    let buffered = of_type.is_buffered().then(|| {
        quote_spanned! { name.span() => __hotbay::buffered(<#name as ::hotbay_sdk::ModuleConfig>::SCHEMA) }
    });
    let buffered = buffered.map(|check| quote! { const _: () = #check; });
    let default = defaults::implementation(&input, &of_type)?;
    Ok(quote! {
        #default
        #[automatically_derived]
        #[doc(hidden)]
        const _: () = {
            // Not their names: a type of the author's may be called Field.
            use ::hotbay_sdk::__private as __hotbay;
            impl ::hotbay_sdk::ModuleConfig for #name {
                const SCHEMA: &'static __hotbay::Schema = #schema;
                const OPTIONAL: bool = #optional;
            }
            #buffered
        };
    })
}

fn of_struct(name: &Ident, data: &DataStruct, of_type: &Attributes) -> Result<Shape> {
    not_itself(name, &data.fields)?;
    if of_type.transparent {
        return fields::only(name, &data.fields);
    }
    match &data.fields {
        Fields::Named(named) => {
            fields::object(named, of_type, of_type.rename_all, &of_type.description()).map(Shape::of)
        }
        Fields::Unnamed(unnamed) if unnamed.unnamed.len() == 1 => {
            // serde reads a missing one as missing, even if it holds an Option.
            Ok(Shape { optional: quote!(false), ..fields::only(name, &data.fields)? })
        }
        Fields::Unnamed(unnamed) => fields::tuple(unnamed).map(Shape::of),
        Fields::Unit => Ok(Shape::of(quote!(__hotbay::Schema::Null))),
    }
}

fn of_enum(name: &Ident, data: &DataEnum, of_type: &Attributes) -> Result<Shape> {
    for variant in &data.variants {
        not_itself(name, &variant.fields)?;
    }
    variants::shape(name, data, of_type).map(Shape::of)
}

/// A shape that holds itself would never end; the compiler says so too, but about code that the author did not write.
fn not_itself(name: &Ident, fields: &Fields) -> Result<()> {
    for field in fields {
        if mentions(field.ty.to_token_stream(), name) {
            let why = format!(
                "{name} holds itself, and its schema would never end; #[config(as = serde_json::Value)] leaves that open"
            );
            let attributes = Attributes::read(&field.attrs)?;
            if attributes.stands_for.is_none() && !attributes.skip {
                return Err(Error::new_spanned(&field.ty, why));
            }
        }
    }
    Ok(())
}

fn mentions(tokens: TokenStream, name: &Ident) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == *name || ident == "Self",
        TokenTree::Group(group) => mentions(group.stream(), name),
        _ => false,
    })
}
