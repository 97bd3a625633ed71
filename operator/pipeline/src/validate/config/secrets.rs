//! Which fields hold secrets: those that the schema says are `writeOnly`, and all that is in them.

use serde_json::Value;

/// How deep references and combinations are followed; a schema that goes deeper keeps its values to itself.
const MAX_DEPTH: usize = 32;
/// The keywords that say more of the same value.
const COMBINED: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const NESTED: [&str; 5] = ["if", "then", "else", "not", "dependentSchemas"];

/// Whether anything that the schema says of the value at `steps`, or of what it is in, makes it a secret.
pub(super) fn is_secret(schema: &Value, steps: &[String]) -> bool {
    let mut here = Vec::new();
    if !gather(schema, schema, 0, &mut here) {
        return true;
    }
    for step in steps {
        let mut next = Vec::new();
        for part in below(&here, step) {
            if !gather(schema, part, 0, &mut next) {
                return true;
            }
        }
        here = next;
    }
    false
}

/// Collects every schema that says something of the same value; false if one makes it a secret, or that cannot be known.
fn gather<'s>(root: &'s Value, schema: &'s Value, depth: usize, all: &mut Vec<&'s Value>) -> bool {
    if depth > MAX_DEPTH || schema.get("writeOnly") == Some(&Value::Bool(true)) {
        return false;
    }
    all.push(schema);
    let mut more: Vec<&Value> = Vec::new();
    for reference in ["$ref", "$dynamicRef"] {
        if let Some(reference) = schema.get(reference) {
            let target = reference.as_str().and_then(|target| root.pointer(target.strip_prefix('#')?));
            let Some(target) = target else { return false };
            more.push(target);
        }
    }
    more.extend(COMBINED.iter().filter_map(|key| schema.get(key)?.as_array()).flatten());
    more.extend(NESTED.iter().filter_map(|key| schema.get(key)));
    more.into_iter().all(|schema| gather(root, schema, depth + 1, all))
}

/// What these schemas say of one field or item of their value.
fn below<'s>(schemas: &[&'s Value], step: &str) -> Vec<&'s Value> {
    let mut found = Vec::new();
    for schema in schemas {
        let of = |key: &str| schema.get(key);
        found.extend(of("properties").and_then(|fields| fields.get(step)));
        found.extend(
            of("patternProperties").and_then(Value::as_object).into_iter().flat_map(|all| all.values()),
        );
        for key in ["additionalProperties", "unevaluatedProperties", "items", "unevaluatedItems", "contains"]
        {
            found.extend(of(key));
        }
        let place = step.parse::<usize>().ok();
        found.extend(of("prefixItems").and_then(|items| items.get(place?)));
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::path::steps;
    use super::*;

    #[test]
    fn secrets_are_found_however_they_are_said() {
        let secret = json!({"writeOnly": true});
        let schemas = [
            json!({"properties": {"a": secret}}),
            json!({"properties": {"a": {"anyOf": [{}, secret]}}}),
            json!({"properties": {"a": {"$ref": "#/$defs/s"}}, "$defs": {"s": secret}}),
            json!({"allOf": [{"properties": {"a": {}}}, {"properties": {"a": secret}}]}),
            json!({"additionalProperties": secret}),
            json!({"patternProperties": {"a": secret}}),
            json!({"properties": {"a": {"$ref": "https://elsewhere"}}}),
            json!({"properties": {"a": {"$ref": "#/properties/a"}}}),
        ];
        for schema in &schemas {
            assert!(is_secret(schema, &steps("/a")), "{schema}");
            assert!(is_secret(schema, &steps("/a/0/b")), "{schema}");
            assert!(!is_secret(schema, &steps("")), "{schema}");
        }
        assert!(!is_secret(&json!({"properties": {"a": {}, "b": secret}}), &steps("/a")));
    }
}
