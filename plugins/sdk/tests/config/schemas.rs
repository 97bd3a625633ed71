//! The schemas themselves.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::time::Duration;

use hotbay_sdk::{Config, ModuleConfig, config_schema};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::types::{Enums, Field, Limits};

fn schema<T: ModuleConfig>() -> Value {
    serde_json::from_str(&config_schema::<T>()).unwrap()
}

/// That of Gateway API (GEP-2257).
const DURATION: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";

#[test]
fn fields_have_the_words_bounds_and_defaults_of_their_source() {
    let address = |version| json!({"type": "string", "format": version});
    let expected = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "description": "How much one client may do.\nPer address.",
        "additionalProperties": false,
        "properties": {
            "rate": {
                "type": "integer", "description": "Requests in a second.", "minimum": 1, "maximum": 10_000, "default": 10,
                "examples": [100],
            },
            "burstFactor": {"type": "number", "minimum": 0.5, "default": 1.5},
            "user": {"type": "string", "minLength": 1, "pattern": "^[a-z]+$", "default": "anonymous"},
            "token": {
                "type": ["string", "null"], "description": "Who may \"ask\".", "minLength": 8, "writeOnly": true,
                "default": null,
            },
            "retries": {"type": ["integer", "null"], "minimum": 0, "maximum": 255, "default": 5},
            "hosts": {
                "type": "array", "items": {"anyOf": [address("ipv4"), address("ipv6")]}, "maxItems": 2, "default": [],
            },
            "pause": {
                "type": "string", "pattern": DURATION, "description": "Between two tries.", "default": "1m30s", "examples": ["250ms"],
            },
            "longest": {"type": ["string", "null"], "pattern": DURATION, "default": "10s"},
            "shortest": {"type": "string", "pattern": DURATION, "default": "0s"},
            "color": {"type": "string", "description": "The type's own words give way to these."},
        },
    });
    assert_eq!(schema::<Limits>(), expected);
}

#[test]
fn defaults_that_are_shown_are_those_of_the_parser() {
    let limits: Limits = Config::new("", "{}").parse().unwrap();
    let shown = (limits.rate, limits.burst_factor, &*limits.user, limits.token, limits.retries, limits.hosts);
    assert_eq!(shown, (10, 1.5, "anonymous", None, Some(5), vec![]));
    let durations = (limits.pause, limits.longest, limits.shortest);
    assert_eq!(durations, (Duration::from_secs(90), Some(Duration::from_secs(10)), Duration::ZERO));
}

#[test]
fn enums_have_the_form_that_serde_reads() {
    let schema = schema::<Enums>();
    let fields = &schema["properties"];
    let byte = json!({"type": "integer", "minimum": 0, "maximum": 255});
    assert_eq!(
        fields["level"],
        json!({"enum": ["off", "quite-loud", "max"], "description": "How loud.\n- \"off\": Nothing at all."})
    );
    assert_eq!(fields["external"]["anyOf"][0], json!({"enum": ["Unit"]}));
    assert_eq!(
        fields["external"]["anyOf"][1],
        json!({"type": "object", "properties": {"One": byte}, "required": ["One"], "additionalProperties": false})
    );
    assert_eq!(
        fields["internal"]["anyOf"][0],
        json!({"type": "object", "description": "In this process.", "properties": {"kind": {"const": "memory"}}, "required": ["kind"]})
    );
    assert_eq!(fields["internal"]["anyOf"][1]["required"], json!(["kind", "url"]));
    assert_eq!(fields["adjacent"]["anyOf"][3]["properties"]["c"]["required"], json!(["maxSize"]));
    assert_eq!(fields["untagged"]["anyOf"][1], json!({"type": "string"}));
    assert_eq!(fields["maybe"]["anyOf"][4], json!({"type": "null"}));
    assert_eq!(
        schema["required"],
        json!(["level", "external", "internal", "adjacent", "strict", "untagged"]),
        "transparent over an Option may be missing"
    );
}

#[test]
fn addresses_with_a_port_are_texts() {
    #[derive(Debug, Deserialize, ModuleConfig)]
    struct Upstreams {
        all: Vec<SocketAddr>,
        old: SocketAddrV4,
        new: SocketAddrV6,
    }
    let schema = schema::<Upstreams>();
    assert_eq!(schema["properties"]["all"], json!({"type": "array", "items": {"type": "string"}}));
    let json = r#"{"all": ["10.0.0.1:80", "[::1]:80"], "old": "10.0.0.1:80", "new": "[::1]:80"}"#;
    let Upstreams { all, old, new } = Config::new("", json).parse().unwrap();
    assert_eq!(all, [SocketAddr::V4(old), SocketAddr::V6(new)]);
}

#[test]
fn names_of_the_author_are_the_authors() {
    let field = &schema::<Field>()["properties"]["schema"];
    assert_eq!((&field["type"], &field["required"]), (&json!(["object", "null"]), &json!(["bound"])));
}
