//! What people are told about their configs.

use serde_json::json;

use super::*;

/// As the derive of the SDK writes it.
fn schema() -> Value {
    json!({
        "type": "object", "additionalProperties": false, "required": ["limits"],
        "properties": {
            "limits": {"$ref": "#/$defs/limits"},
            "token": {"type": ["string", "null"], "minLength": 16, "writeOnly": true},
            "pin": {"type": "integer", "minimum": 1000, "writeOnly": true},
            "mode": {"enum": ["fast", "careful"]},
            "hosts": {"type": "array", "items": {"type": "string", "format": "ipv4"}, "maxItems": 2},
            "store": {"anyOf": [
                {"type": "object", "required": ["kind", "url"], "additionalProperties": false,
                 "properties": {"kind": {"const": "redis"}, "url": {"type": "string"}}},
                {"type": "object", "required": ["kind"], "additionalProperties": false,
                 "properties": {"kind": {"const": "memory"}, "size": {"type": "integer", "maximum": 10}}},
                {"type": "null"},
            ]},
            "pause": {"type": "string", "pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$"},
            "retry": {"anyOf": [
                {"enum": ["never", "always"]},
                {"type": "object", "required": ["times"], "additionalProperties": false,
                 "properties": {"times": {"type": "integer", "minimum": 1}}},
            ]},
        },
        "$defs": {"limits": {
            "type": "object", "additionalProperties": false,
            "properties": {"rate": {"type": "integer", "minimum": 1}, "burst": {"type": "integer", "minimum": 1}},
        }},
    })
}

fn told(config: Value) -> String {
    match check(&config, Some(&schema())) {
        Ok(()) => "fits".to_owned(),
        Err(refusal) => {
            assert_eq!(refusal.reason, Reason::ConfigRejected);
            refusal.message
        }
    }
}

fn refuses(config: Value, expected: &str) {
    let told = told(config);
    assert_eq!(told, format!("{expected}; correct it to fit the module's schema"));
}

/// A config that is wrong in this field alone.
fn refuses_field(field: &str, value: Value, expected: &str) {
    let mut config = json!({"limits": {}});
    config[field] = value;
    refuses(config, &format!("spec.config.{field}{expected}"));
}

#[test]
fn a_whole_config_fits() {
    let store = json!({"kind": "memory", "size": 5});
    let whole = json!({"limits": {"rate": 1.0}, "token": null, "mode": "fast", "hosts": ["10.0.0.1"], "store": store, "retry": "never"});
    assert_eq!(told(whole), "fits");
}

#[test]
fn a_field_is_named_with_its_path_and_what_it_must_be() {
    refuses(json!({"limits": {"burst": 0}}), "spec.config.limits.burst: 0 is less than the minimum of 1");
    refuses(json!({}), "spec.config.limits: is missing");
    refuses_field("limits", json!(5), ": is a number and must be an object");
    refuses_field("hosts", json!(["10.0.0.1", "x"]), "[1]: is not of the format ipv4");
    refuses_field("hosts", json!(["10.0.0.1", "10.0.0.2", "10.0.0.3"]), ": has more than 2 items");
    refuses_field("token", json!(5), ": is a number and must be null or a text");
    refuses_field("pause", json!("10"), ": is no duration; write for example 250ms, 10s, 1m30s or 2h");
}

#[test]
fn an_unknown_field_is_named_with_the_nearest_known_one() {
    refuses(
        json!({"limits": {"brust": 1}}),
        "spec.config.limits.brust: is no field of the module's config; did you mean burst?",
    );
    refuses(
        json!({"limits": {"x": 1}}),
        "spec.config.limits.x: is no field of the module's config; there are burst, rate",
    );
    refuses_field("mode", json!("Fsat"), r#": is none of "fast", "careful"; did you mean "fast"?"#);
}

#[test]
fn only_what_is_wrong_with_the_form_that_was_meant_is_told() {
    refuses_field(
        "store",
        json!({"kind": "memory", "size": 11}),
        ".size: 11 is greater than the maximum of 10",
    );
    refuses_field("store", json!({"kind": "redis"}), ".url: is missing");
    refuses_field("store", json!({"kind": "disk"}), r#".kind: is none of "redis", "memory""#);
    refuses_field("store", json!({"size": 5}), ".kind: is missing");
    refuses_field("store", json!(true), ": fits none of the 3 forms that it may have");
    refuses_field("retry", json!("nevr"), r#": is none of "never", "always"; did you mean "never"?"#);
    refuses_field("retry", json!({"times": 0}), ".times: 0 is less than the minimum of 1");
}

#[test]
fn several_are_told_up_to_five_and_the_others_counted() {
    let many = json!({
        "limits": {"rate": 0, "burst": 0}, "mode": "", "hosts": 1, "token": "short", "pin": 1, "retry": {"times": 0}, "store": {}
    });
    let told = told(many);
    assert_eq!(told.matches("spec.config.").count(), 5, "{told}");
    assert!(told.ends_with("; and 3 more; correct them to fit the module's schema"), "{told}");
}

#[test]
fn long_names_leave_room_for_what_to_do() {
    let unknown: serde_json::Map<String, Value> =
        (0..1000).map(|n| (format!("{n}{}", "x".repeat(40)), Value::Null)).collect();
    let told = told(unknown.into());
    assert!(told.ends_with("more; correct them to fit the module's schema"), "{told}");
}

#[test]
fn neither_secrets_nor_texts_are_shown() {
    refuses_field("pin", json!(42), ": is less than the minimum of 1000");
    for (field, value) in
        [("token", json!("hunter2")), ("mode", json!("hunter2")), ("limits", json!("hunter2"))]
    {
        let mut config = json!({"limits": {}});
        config[field] = value;
        let told = told(config);
        assert!(told.starts_with(&format!("spec.config.{field}: ")) && !told.contains("hunter2"), "{told}");
    }
}

#[test]
fn a_schema_is_checked_without_a_config() {
    assert!(check_schema(&schema()).is_ok() && check_schema(&json!(true)).is_ok());
    for wrong in [
        json!({"type": "nonsense"}),
        json!({"properties": {"a": {"pattern": "(?=x)"}}}),
        json!({"properties": {"a": {"pattern": "("}}}),
        json!({"$ref": "http://127.0.0.1:1/schema"}),
        // Deep enough to overflow the validator's stack.
        json!({"$ref": "#/$defs/0", "$defs": (0..10_000).map(|n| (n.to_string(), json!({"$ref": format!("#/$defs/{}", (n + 1).min(9_999))}))).collect::<serde_json::Map<_, _>>()}),
    ] {
        let refusal = check_schema(&wrong).unwrap_err();
        assert_eq!(refusal.reason, Reason::ManifestInvalid, "{wrong}");
    }
}
