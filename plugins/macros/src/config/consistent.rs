//! What `#[config(…)]` says of one field, held against itself: bounds that leave nothing, a default that they forbid.
//!
//! Owns what can be told from the attribute alone. Whether the field's type can have it, the SDK's `check` says.

use syn::{Error, Expr, ExprLit, Lit, Result};

use super::attributes::Attributes;
use super::json::Literal;

/// The keywords for how many letters or items there may be.
const SIZES: [(&str, &str); 2] = [("minLength", "maxLength"), ("minItems", "maxItems")];

/// Refuses what nobody can mean.
pub(super) fn check(said: &Attributes, field: &syn::Field) -> Result<()> {
    if is_less(said.max.as_ref(), said.min.as_ref()) {
        return Err(Error::new_spanned(field, "#[config(min)] is greater than max"));
    }
    for (least, greatest) in SIZES {
        if size(said, greatest) < size(said, least) && size(said, greatest).is_some() {
            return Err(Error::new_spanned(
                field,
                format!("{least} of this field is greater than its {greatest}"),
            ));
        }
    }
    match &said.literal {
        Some((literal, expr)) if !allows(said, literal, expr) => Err(Error::new_spanned(
            expr,
            "the field's own bounds forbid this default, so nobody could write what is meant when it is missing",
        )),
        _ => Ok(()),
    }
}

/// Whether the bounds let a default through.
fn allows(said: &Attributes, literal: &Literal, expr: &Expr) -> bool {
    if literal.is_number {
        return !is_less(Some(literal), said.min.as_ref()) && !is_less(said.max.as_ref(), Some(literal));
    }
    let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = expr else { return true };
    let letters = text.value().chars().count() as u64;
    size(said, "minLength").is_none_or(|least| least <= letters)
        && size(said, "maxLength").is_none_or(|greatest| letters <= greatest)
}

fn size(said: &Attributes, keyword: &str) -> Option<u64> {
    let mut all = said.for_texts.iter().chain(&said.for_lists);
    all.find(|(key, _)| *key == keyword).and_then(|(_, json)| json.parse().ok())
}

/// False if one of them is not said.
fn is_less(one: Option<&Literal>, other: Option<&Literal>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return false };
    match (one.whole, other.whole) {
        (Some(one), Some(other)) => one < other,
        _ => {
            let float = |literal: &Literal| literal.json.parse::<f64>().unwrap_or(f64::NAN);
            float(one) < float(other)
        }
    }
}
