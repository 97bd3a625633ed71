//! What the author wrote about a type, a variant or a field: `#[serde(…)]`, `#[config(…)]` and doc comments.
//!
//! Owns which attributes are understood. serde itself refuses those in the wrong place; an attribute that changes what the parser takes
//! and that no schema here can say is refused with words.

use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned as _;
use syn::{Attribute, Error, Expr, LitInt, LitStr, Result, Token, Type, parenthesized, token};

use super::case::Case;
use super::json::{self, Literal};

/// Everything in one, as the same names mean the same wherever they stand.
#[derive(Default)]
pub(super) struct Attributes {
    pub doc: String,
    pub rename: Option<String>,
    pub rename_all: Option<Case>,
    pub rename_all_fields: Option<Case>,
    pub default: Option<WhatDefault>,
    pub deny_unknown_fields: bool,
    pub transparent: bool,
    pub skip: bool,
    /// Read by a function: what is missing stays missing, whatever the type.
    pub with: bool,
    pub tag: Option<String>,
    pub content: Option<String>,
    pub untagged: bool,
    /// Made from another type.
    pub from: Option<Type>,
    // The rest is `#[config(…)]`.
    pub min: Option<Literal>,
    pub max: Option<Literal>,
    pub for_texts: Vec<(&'static str, String)>,
    pub for_lists: Vec<(&'static str, String)>,
    pub examples: Vec<String>,
    pub secret: bool,
    /// As JSON, and as it stands in the source.
    pub literal: Option<(Literal, Expr)>,
    /// The type whose JSON it has.
    pub stands_for: Option<Type>,
    /// The words of `#[config(…)]` so far.
    pub words: Vec<String>,
    /// The first `#[config(…)]`, for errors.
    pub config: Option<proc_macro2::Span>,
}

/// Where a default comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WhatDefault {
    /// The `Default` of the type that the attribute stands on.
    Trait,
    /// A function.
    Function,
}

impl Attributes {
    pub fn read(attributes: &[Attribute]) -> Result<Self> {
        let mut read = Self { doc: json::doc(attributes), ..Self::default() };
        for attribute in attributes {
            if attribute.path().is_ident("serde") {
                attribute.parse_nested_meta(|meta| read.serde(&meta))?;
            } else if attribute.path().is_ident("config") {
                read.config = Some(attribute.span());
                attribute.parse_nested_meta(|meta| read.config(&meta))?;
            }
        }
        Ok(read)
    }

    /// The doc comment as JSON; empty if there is none.
    pub fn description(&self) -> String {
        if self.doc.is_empty() { String::new() } else { json::text(&self.doc) }
    }

    /// Whether serde reads what is in the type before it knows the types in it.
    pub fn is_buffered(&self) -> bool {
        self.untagged || self.tag.is_some()
    }

    /// Refuses `#[config(…)]` where it says nothing: on types, on variants and on fields without a name.
    pub fn only_of_type(&self) -> Result<()> {
        match self.config {
            Some(span) => Err(Error::new(span, "#[config(…)] belongs on a field with a name")),
            None => Ok(()),
        }
    }

    /// Whether it has anything but `#[config(as)]` that a field without a name could not have.
    pub fn only_as(&self, field: &impl quote::ToTokens) -> Result<()> {
        let said = self.min.is_some() || self.max.is_some() || self.secret || self.literal.is_some();
        let lists = [self.for_texts.len(), self.for_lists.len(), self.examples.len()];
        if said || lists.iter().any(|length| *length > 0) || self.default.is_some() || self.skip {
            return Err(Error::new_spanned(
                field,
                "give the field a name; only then can its schema say this",
            ));
        }
        Ok(())
    }

    fn serde(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
        match name.as_str() {
            "rename" => self.rename = de(meta)?.map(|name| name.value()),
            "rename_all" => self.rename_all = de(meta)?.as_ref().map(Case::parse).transpose()?,
            "rename_all_fields" => {
                self.rename_all_fields = de(meta)?.as_ref().map(Case::parse).transpose()?
            }
            "deny_unknown_fields" => self.deny_unknown_fields = true,
            "transparent" => self.transparent = true,
            "skip" | "skip_deserializing" => self.skip = true,
            "tag" => self.tag = Some(text(meta)?.value()),
            "content" => self.content = Some(text(meta)?.value()),
            "untagged" => self.untagged = true,
            "from" | "try_from" => self.from = Some(text(meta)?.parse()?),
            "with" | "deserialize_with" => {
                text(meta)?;
                self.with = true;
            }
            "default" => {
                let function = meta.input.peek(Token![=]);
                self.default = Some(if function { WhatDefault::Function } else { WhatDefault::Trait });
                over(meta)?;
            }
            "flatten" | "alias" | "other" | "remote" | "field_identifier" | "variant_identifier" => {
                return Err(meta.error(format!(
                    "the schema of a config cannot say #[serde({name})]; leave it out, or write the schema by hand (config_schema)"
                )));
            }
            // These change what is written, or how it is generated, and not what is read.
            "skip_serializing"
            | "skip_serializing_if"
            | "serialize_with"
            | "into"
            | "bound"
            | "borrow"
            | "crate"
            | "expecting"
            | "getter" => over(meta)?,
            _ => return Err(meta.error(format!("ModuleConfig does not know #[serde({name})]"))),
        }
        Ok(())
    }

    fn config(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
        let number = |meta: &ParseNestedMeta<'_>| -> Result<Literal> {
            let expr: Expr = meta.value()?.parse()?;
            let literal = json::literal(&expr)?;
            if literal.is_number { Ok(literal) } else { Err(Error::new_spanned(expr, "write a number")) }
        };
        if name != "example" && self.words.contains(&name) {
            return Err(meta.error(format!("{name} is said twice")));
        }
        match name.as_str() {
            "min" => self.min = Some(number(meta)?),
            "max" => self.max = Some(number(meta)?),
            "min_length" => self.for_texts.push(("minLength", count(meta)?)),
            "max_length" => self.for_texts.push(("maxLength", count(meta)?)),
            "pattern" => self.for_texts.push(("pattern", json::text(&text(meta)?.value()))),
            "format" => self.for_texts.push(("format", json::text(&text(meta)?.value()))),
            "min_items" => self.for_lists.push(("minItems", count(meta)?)),
            "max_items" => self.for_lists.push(("maxItems", count(meta)?)),
            "example" => self.examples.push(json::literal(&meta.value()?.parse()?)?.json),
            "secret" => self.secret = true,
            "default" => {
                let expr: Expr = meta.value()?.parse()?;
                self.literal = Some((json::literal(&expr)?, expr));
            }
            "as" => self.stands_for = Some(meta.value()?.parse()?),
            _ => {
                return Err(meta.error(
                    "#[config] knows min, max, min_length, max_length, pattern, format, min_items, max_items, example, default, secret and as",
                ));
            }
        }
        self.words.push(name);
        Ok(())
    }
}

fn text(meta: &ParseNestedMeta<'_>) -> Result<LitStr> {
    meta.value()?.parse()
}

fn count(meta: &ParseNestedMeta<'_>) -> Result<String> {
    Ok(meta.value()?.parse::<LitInt>()?.base10_parse::<u64>()?.to_string())
}

/// `= "name"`, or what `(serialize = "…", deserialize = "…")` says of reading.
fn de(meta: &ParseNestedMeta<'_>) -> Result<Option<LitStr>> {
    if !meta.input.peek(token::Paren) {
        return text(meta).map(Some);
    }
    let mut found = None;
    meta.parse_nested_meta(|inner| {
        let value = text(&inner)?;
        if inner.path.is_ident("deserialize") {
            found = Some(value);
        }
        Ok(())
    })?;
    Ok(found)
}

/// Passes over an attribute's value.
fn over(meta: &ParseNestedMeta<'_>) -> Result<()> {
    if meta.input.peek(Token![=]) {
        meta.value()?.parse::<Expr>()?;
    } else if meta.input.peek(token::Paren) {
        let inside;
        parenthesized!(inside in meta.input);
        inside.parse::<proc_macro2::TokenStream>()?;
    }
    Ok(())
}

impl quote::ToTokens for Literal {
    /// As a bound.
    fn to_tokens(&self, tokens: &mut proc_macro2::TokenStream) {
        let json = &self.json;
        let whole = match self.whole {
            Some(whole) => quote! { ::core::option::Option::Some(#whole) },
            None => quote! { ::core::option::Option::None },
        };
        tokens.extend(quote! { __hotbay::Bound { text: #json, whole: #whole } });
    }
}
