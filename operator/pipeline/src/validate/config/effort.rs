//! How much work a schema makes, told before anybody does it.
//!
//! Owns the bounds. References multiply: twenty definitions that each name the next one twice are a million schemas, and a long chain of them
//! overflows the validator's stack, which would end the process for everybody. Counting costs no more than there are pairs of a schema and a value.

use std::collections::HashMap;
use std::ptr;

use serde_json::Value;

/// So deep may schemas hold, or refer to, each other. A validator's stack of 2 MiB holds some thousands.
const MAX_DEPTH: usize = 512;
/// So many schemas may be held against values for one config. A config of 64 KiB has at most some 30,000 values.
const MAX_STEPS: u64 = 250_000;

/// Why a schema is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Effort {
    #[error("its schemas hold or refer to each other more than {MAX_DEPTH} deep")]
    Deep,
    #[error("it would hold more than {MAX_STEPS} schemas against the values of this config")]
    Long,
    #[error("a $ref leads nowhere in it, or a schema within it has an $id; write references as #/$defs/name")]
    Unclear,
}

/// Bounds what building a validator costs, whatever the config.
pub(super) fn of_schema(schema: &Value) -> Result<(), Effort> {
    Measure { root: schema, known: HashMap::new() }.size(schema, None, 0).map(drop)
}

/// Bounds what checking this config costs.
pub(super) fn of_config(schema: &Value, config: &Value) -> Result<(), Effort> {
    Measure { root: schema, known: HashMap::new() }.size(schema, Some(config), 0).map(drop)
}

/// A schema, and the value that it is held against, by their addresses.
type Pair = (*const Value, *const Value);

struct Measure<'v> {
    root: &'v Value,
    /// `None`: it is being measured.
    known: HashMap<Pair, Option<Size>>,
}

#[derive(Clone, Copy)]
struct Size {
    depth: usize,
    steps: u64,
}

/// Which values a part of a schema is held against.
#[derive(Clone, Copy)]
enum Place<'v> {
    Same,
    Field(&'v str),
    Fields,
    Item(usize),
    Items,
}

impl<'v> Measure<'v> {
    fn size(&mut self, schema: &'v Value, value: Option<&'v Value>, depth: usize) -> Result<Size, Effort> {
        let pair = (ptr::from_ref(schema), value.map_or(ptr::null(), ptr::from_ref));
        match self.known.get(&pair) {
            Some(Some(size)) => return Ok(*size),
            // A schema may hold itself, but not for the same value: that would never end.
            Some(None) if value.is_some() => return Err(Effort::Long),
            Some(None) => return Ok(Size { depth: 0, steps: 0 }),
            None if depth > MAX_DEPTH => return Err(Effort::Deep),
            None if self.known.len() as u64 > MAX_STEPS => return Err(Effort::Long),
            None => self.known.insert(pair, None),
        };
        let mut size = Size { depth: 1, steps: 1 };
        for (place, part) in self.parts(schema)? {
            for value in place.values(value) {
                let inner = self.size(part, value, depth + 1)?;
                size.depth = size.depth.max(inner.depth + 1);
                size.steps = size.steps.saturating_add(inner.steps);
            }
        }
        if size.depth > MAX_DEPTH {
            return Err(Effort::Deep);
        }
        if value.is_some() && size.steps > MAX_STEPS {
            return Err(Effort::Long);
        }
        self.known.insert(pair, Some(size));
        Ok(size)
    }

    /// The schemas that a schema is made of.
    fn parts(&self, schema: &'v Value) -> Result<Vec<(Place<'v>, &'v Value)>, Effort> {
        let mut parts = Vec::new();
        for (keyword, value) in schema.as_object().into_iter().flatten() {
            let list = || value.as_array().into_iter().flatten();
            let named = || value.as_object().into_iter().flatten();
            match keyword.as_str() {
                "$ref" | "$dynamicRef" | "$recursiveRef" => parts.push((Place::Same, self.target(value)?)),
                // It would be what the references below begin at.
                "$id" | "id" if value.is_string() && !ptr::eq(schema, self.root) => {
                    return Err(Effort::Unclear);
                }
                "allOf" | "anyOf" | "oneOf" => parts.extend(list().map(|part| (Place::Same, part))),
                "if" | "then" | "else" | "not" => parts.push((Place::Same, value)),
                "dependentSchemas" | "dependencies" => {
                    parts.extend(named().map(|(_, part)| (Place::Same, part)))
                }
                "properties" => parts.extend(named().map(|(name, part)| (Place::Field(name), part))),
                "patternProperties" => parts.extend(named().map(|(_, part)| (Place::Fields, part))),
                "additionalProperties" | "unevaluatedProperties" | "propertyNames" => {
                    parts.push((Place::Fields, value))
                }
                "prefixItems" => {
                    parts.extend(list().enumerate().map(|(index, part)| (Place::Item(index), part)))
                }
                "items" if value.is_array() => {
                    parts.extend(list().enumerate().map(|(index, part)| (Place::Item(index), part)))
                }
                "items" | "additionalItems" | "unevaluatedItems" | "contains" => {
                    parts.push((Place::Items, value))
                }
                _ => {}
            }
        }
        Ok(parts)
    }

    fn target(&self, reference: &Value) -> Result<&'v Value, Effort> {
        let pointer = reference.as_str().and_then(|reference| reference.strip_prefix('#'));
        pointer.and_then(|pointer| self.root.pointer(pointer)).ok_or(Effort::Unclear)
    }
}

impl Place<'_> {
    /// The values there; without a value, one stands for all.
    fn values(self, value: Option<&Value>) -> Vec<Option<&Value>> {
        let Some(value) = value else { return vec![None] };
        match (self, value) {
            (Self::Same, value) => vec![Some(value)],
            (Self::Field(name), Value::Object(fields)) => fields.get(name).map(Some).into_iter().collect(),
            (Self::Fields, Value::Object(fields)) => fields.values().map(Some).collect(),
            (Self::Item(index), Value::Array(items)) => items.get(index).map(Some).into_iter().collect(),
            (Self::Items, Value::Array(items)) => items.iter().map(Some).collect(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// `count` definitions, each made of the next.
    fn chain(count: usize, part: fn(Value) -> Value) -> Value {
        let next = |index: usize| json!({"$ref": format!("#/$defs/d{}", index + 1)});
        let mut defs: serde_json::Map<_, _> =
            (0..count).map(|index| (format!("d{index}"), part(next(index)))).collect();
        defs.insert(format!("d{count}"), json!({"minProperties": 1}));
        json!({"$ref": "#/$defs/d0", "$defs": defs})
    }

    #[test]
    fn schemas_that_multiply_are_refused_before_they_do() {
        let twice = |next: Value| json!({"allOf": [next, next]});
        assert_eq!(of_config(&chain(10, twice), &json!({})), Ok(()));
        assert_eq!(of_config(&chain(100, twice), &json!({})), Err(Effort::Long));
        let tree = json!({"properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}});
        let deep = (0..60).fold(json!({}), |inner, _| json!({"a": inner}));
        assert_eq!((of_schema(&tree), of_config(&tree, &json!({"a": {}}))), (Ok(()), Ok(())));
        assert_eq!(of_config(&tree, &deep), Err(Effort::Long));
        assert_eq!(of_config(&json!({"allOf": [{"$ref": "#"}]}), &json!({})), Err(Effort::Long));
    }

    #[test]
    fn chains_that_would_overflow_a_stack_are_refused_from_whichever_end_they_are_seen_first() {
        assert_eq!(of_schema(&chain(200, |next| next)), Ok(()));
        assert_eq!(of_schema(&chain(10_000, |next| next)), Err(Effort::Deep));
        let mut backwards = chain(1000, |next| next);
        let ends: Value =
            (0..=10).map(|index| json!({"$ref": format!("#/$defs/d{}", 1000 - index * 100)})).collect();
        backwards["allOf"] = ends;
        backwards.as_object_mut().unwrap().remove("$ref");
        assert_eq!(of_schema(&backwards), Err(Effort::Deep));
    }

    #[test]
    fn what_a_schema_may_usually_be_is_allowed() {
        let list =
            json!({"properties": {"a": {"items": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}}});
        let full = json!({"a": vec![1; 30_000]});
        assert_eq!(of_config(&list, &full), Ok(()));
        let tree = json!({"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}});
        let deep = (0..100).fold(json!({}), |inner, _| json!({"left": inner, "right": {}}));
        assert_eq!(of_config(&tree, &deep), Ok(()));
        // Names of fields and texts of defaults are no keywords.
        let odd = json!({"properties": {"$ref": {"default": {"$ref": "nowhere"}}, "$id": {}}, "$id": "https://a/b"});
        assert_eq!((of_schema(&odd), of_config(&odd, &json!({"$ref": 1}))), (Ok(()), Ok(())));
        for unclear in [json!({"$ref": "https://a/b"}), json!({"not": {"$id": "https://a/b"}})] {
            assert_eq!(of_schema(&unclear), Err(Effort::Unclear));
        }
    }
}
