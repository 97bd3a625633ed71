//! A schema as JSON text, while the author's crate is compiled.
//!
//! Owns the keywords of JSON Schema, draft 2020-12. Must run at compile time only; what cannot hold is a compile error (`check`).

use super::check;
use super::duration::PATTERN;
use super::schema::{Bound, Field, Keywords, Schema};
use crate::manifest::Json;

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// The most digits of an `i128`, and its sign.
const DIGITS: usize = 40;

impl Json<'_> {
    /// The schema of a whole config.
    pub(crate) const fn config(&mut self, schema: &Schema) {
        check::whole(schema);
        self.texts(&["{\"$schema\":\"", DIALECT, "\""]);
        self.members(schema, &Keywords::NONE, false);
        self.texts(&["}"]);
    }

    const fn schema(&mut self, schema: &Schema, keywords: &Keywords, nullable: bool) {
        if let Schema::Nullable(inner) = schema {
            return self.schema(inner, keywords, true);
        }
        self.texts(&["{"]);
        self.first = true;
        self.members(schema, keywords, nullable);
        self.first = false;
        self.texts(&["}"]);
    }

    const fn members(&mut self, schema: &Schema, keywords: &Keywords, nullable: bool) {
        self.description(schema, keywords);
        match schema {
            Schema::Any => {}
            Schema::Null => self.kind("null", false),
            Schema::Bool => self.kind("boolean", nullable),
            Schema::Integer { min, max } => {
                self.kind("integer", nullable);
                self.bound("minimum", keywords.min, *min);
                self.bound("maximum", keywords.max, *max);
            }
            Schema::Number => {
                self.kind("number", nullable);
                self.only_if_said("minimum", keywords.min);
                self.only_if_said("maximum", keywords.max);
            }
            Schema::Text { format } => {
                self.kind("string", nullable);
                if !format.is_empty() {
                    self.member("\"format\"", &["\"", format, "\""]);
                }
            }
            Schema::Char => {
                self.kind("string", nullable);
                self.member("\"minLength\"", &["1"]);
                self.member("\"maxLength\"", &["1"]);
            }
            Schema::Duration { .. } => {
                self.kind("string", nullable);
                self.member("\"pattern\"", &[PATTERN]);
            }
            Schema::List { items, length } => {
                self.kind("array", nullable);
                self.key("\"items\"");
                self.schema(items, &Keywords::NONE, false);
                if let Some(length) = *length {
                    self.number("\"minItems\"", length as i128);
                    self.number("\"maxItems\"", length as i128);
                }
            }
            Schema::Tuple(parts) => self.tuple(parts, nullable),
            Schema::Map(values) => {
                self.kind("object", nullable);
                self.key("\"additionalProperties\"");
                self.schema(values, &Keywords::NONE, false);
            }
            Schema::Object { fields, closed, .. } => self.object(fields, *closed, None, nullable),
            Schema::Tagged { tag, name, inner } => self.tagged(inner, tag, name, nullable),
            Schema::Names { names, .. } => self.names(names, nullable),
            Schema::Forms { forms, .. } => self.forms(forms, nullable),
            // `schema` has looked through it.
            Schema::Nullable(inner) => self.members(inner, keywords, true),
        }
        self.others(keywords);
    }

    const fn description(&mut self, schema: &Schema, keywords: &Keywords) {
        let own = match schema {
            Schema::Object { description, .. }
            | Schema::Names { description, .. }
            | Schema::Forms { description, .. } => description,
            Schema::Tagged { inner: Schema::Object { description, .. }, .. } => description,
            _ => "",
        };
        let description = if keywords.description.is_empty() { own } else { keywords.description };
        if !description.is_empty() {
            self.member("\"description\"", &[description]);
        }
    }

    const fn kind(&mut self, name: &str, nullable: bool) {
        let (begin, end) = if nullable { ("[\"", "\",\"null\"]") } else { ("\"", "\"") };
        self.member("\"type\"", &[begin, name, end]);
    }

    const fn tuple(&mut self, parts: &[&Schema], nullable: bool) {
        self.kind("array", nullable);
        self.key("\"prefixItems\"");
        self.list(parts, false);
        self.member("\"items\"", &["false"]);
        self.number("\"minItems\"", parts.len() as i128);
    }

    const fn object(&mut self, fields: &[Field], closed: bool, tag: Option<(&str, &str)>, nullable: bool) {
        self.kind("object", nullable);
        self.key("\"properties\"");
        self.texts(&["{"]);
        if let Some((tag, name)) = tag {
            self.texts(&[tag, ":{\"const\":", name, "}"]);
        }
        let mut index = 0;
        while index < fields.len() {
            let field = &fields[index];
            self.texts(&[if index > 0 || tag.is_some() { "," } else { "" }, field.name, ":"]);
            self.schema(field.schema, &field.keywords, false);
            index += 1;
        }
        self.texts(&["}"]);
        self.required(fields, tag);
        if closed {
            self.member("\"additionalProperties\"", &["false"]);
        }
    }

    const fn required(&mut self, fields: &[Field], tag: Option<(&str, &str)>) {
        let mut count = 0;
        if let Some((tag, _)) = tag {
            self.member("\"required\"", &["[", tag]);
            count = 1;
        }
        let mut index = 0;
        while index < fields.len() {
            if fields[index].required {
                if count == 0 {
                    self.member("\"required\"", &["[", fields[index].name]);
                } else {
                    self.texts(&[",", fields[index].name]);
                }
                count += 1;
            }
            index += 1;
        }
        if count > 0 {
            self.texts(&["]"]);
        }
    }

    const fn tagged(&mut self, inner: &Schema, tag: &str, name: &str, nullable: bool) {
        match inner {
            Schema::Object { fields, closed, .. } => {
                self.object(fields, *closed, Some((tag, name)), nullable)
            }
            _ => check::not_tagged(),
        }
    }

    const fn names(&mut self, names: &[&str], nullable: bool) {
        self.key("\"enum\"");
        let mut index = 0;
        while index < names.len() {
            self.texts(&[if index > 0 { "," } else { "[" }, names[index]]);
            index += 1;
        }
        self.texts(&[if nullable { ",null]" } else { "]" }]);
    }

    const fn forms(&mut self, forms: &[&Schema], nullable: bool) {
        self.key("\"anyOf\"");
        self.list(forms, nullable);
    }

    const fn list(&mut self, schemas: &[&Schema], nullable: bool) {
        self.texts(&["["]);
        let mut index = 0;
        while index < schemas.len() {
            self.texts(&[if index > 0 { "," } else { "" }]);
            self.schema(schemas[index], &Keywords::NONE, false);
            index += 1;
        }
        self.texts(&[if nullable { ",{\"type\":\"null\"}]" } else { "]" }]);
    }

    const fn others(&mut self, keywords: &Keywords) {
        let mut index = 0;
        while index < keywords.others.len() {
            let (key, value) = keywords.others[index];
            self.member(key, &[value]);
            index += 1;
        }
        if !keywords.default.is_empty() {
            self.member("\"default\"", &[keywords.default]);
        }
    }

    const fn bound(&mut self, keyword: &str, said: Option<Bound>, of_type: i128) {
        match said {
            Some(_) => self.only_if_said(keyword, said),
            None => {
                self.key_of(keyword);
                self.whole(of_type);
            }
        }
    }

    const fn only_if_said(&mut self, keyword: &str, said: Option<Bound>) {
        if let Some(bound) = said {
            self.key_of(keyword);
            self.texts(&[bound.text]);
        }
    }

    const fn number(&mut self, key: &str, number: i128) {
        self.key(key);
        self.whole(number);
    }

    const fn member(&mut self, key: &str, value: &[&str]) {
        self.key(key);
        self.texts(value);
    }

    const fn key_of(&mut self, keyword: &str) {
        self.comma();
        self.texts(&["\"", keyword, "\":"]);
    }

    const fn key(&mut self, key: &str) {
        self.comma();
        self.texts(&[key, ":"]);
    }

    const fn comma(&mut self) {
        if !self.first {
            self.texts(&[","]);
        }
        self.first = false;
    }

    const fn whole(&mut self, number: i128) {
        let mut digits = [0; DIGITS];
        let (mut left, mut begin) = (number.unsigned_abs(), DIGITS);
        loop {
            begin -= 1;
            digits[begin] = b'0' + (left % 10) as u8;
            left /= 10;
            if left == 0 {
                break;
            }
        }
        if number < 0 {
            begin -= 1;
            digits[begin] = b'-';
        }
        let (_, digits) = digits.split_at(begin);
        if let Ok(text) = std::str::from_utf8(digits) {
            self.texts(&[text]);
        }
    }
}
