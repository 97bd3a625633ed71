//! JSON texts of what stands in the source: doc comments and literals.

use syn::{Attribute, Error, Expr, ExprLit, ExprUnary, Lit, Meta, Result, UnOp};

/// A text as JSON, quotes included.
pub(super) fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A literal of the source.
pub(super) struct Literal {
    pub json: String,
    /// If it is a whole number.
    pub whole: Option<i128>,
    pub is_number: bool,
    pub is_text: bool,
}

/// Reads `5`, `-0.5`, `"text"`, `true`.
pub(super) fn literal(expr: &Expr) -> Result<Literal> {
    let (negative, inner) = match expr {
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => (true, &**expr),
        expr => (false, expr),
    };
    let refuse = || Error::new_spanned(expr, "write a literal: a number, a text, true or false");
    let Expr::Lit(ExprLit { lit, .. }) = inner else { return Err(refuse()) };
    let sign = if negative { "-" } else { "" };
    Ok(match lit {
        Lit::Int(number) => {
            let whole: i128 = number.base10_parse()?;
            let whole = if negative { -whole } else { whole };
            Literal { json: whole.to_string(), whole: Some(whole), is_number: true, is_text: false }
        }
        Lit::Float(number) => {
            let float: f64 = number.base10_parse()?;
            if !float.is_finite() {
                return Err(Error::new_spanned(expr, "the number is too large for JSON"));
            }
            Literal { json: format!("{sign}{float:?}"), whole: None, is_number: true, is_text: false }
        }
        Lit::Str(string) if !negative => {
            Literal { json: text(&string.value()), whole: None, is_number: false, is_text: true }
        }
        Lit::Char(letter) if !negative => {
            Literal { json: text(&letter.value().to_string()), whole: None, is_number: false, is_text: false }
        }
        Lit::Bool(value) if !negative => {
            Literal { json: value.value.to_string(), whole: None, is_number: false, is_text: false }
        }
        _ => return Err(refuse()),
    })
}

/// A doc comment, a line a paragraph; empty if there is none.
pub(super) fn doc(attributes: &[Attribute]) -> String {
    let mut doc = String::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("doc")) {
        let Meta::NameValue(pair) = &attribute.meta else { continue };
        let Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) = &pair.value else { continue };
        // A blank line is an empty text, of which `lines` would make nothing.
        for line in line.value().split('\n').map(str::trim) {
            match line {
                "" if doc.is_empty() || doc.ends_with('\n') => {}
                "" => doc.push('\n'),
                line => {
                    if !doc.is_empty() && !doc.ends_with('\n') {
                        doc.push(' ');
                    }
                    doc.push_str(line);
                }
            }
        }
    }
    doc.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped() {
        assert_eq!(text("a\"b\\c\nd\u{1}é"), r#""a\"b\\c\nd\u0001é""#);
    }

    #[test]
    fn literals_become_json_and_nothing_else_does() {
        let json = |source: &str| literal(&syn::parse_str(source).unwrap()).map(|literal| literal.json);
        for (source, expected) in [
            ("10_000", "10000"),
            ("-0x10", "-16"),
            ("0.50", "0.5"),
            ("-1e3", "-1000.0"),
            ("true", "true"),
            ("\"a\"", "\"a\""),
        ] {
            assert_eq!(json(source).unwrap(), expected);
        }
        for refused in ["-\"a\"", "f()", "1e999", "b\"x\""] {
            assert!(json(refused).is_err(), "{refused}");
        }
    }
}
