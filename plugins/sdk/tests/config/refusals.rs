//! What an instance says when its config does not fit: the field and what it must be, and never the value.

use hotbay_sdk::{Config, ConfigError};
use serde::de::DeserializeOwned;

use crate::types::{ByFunction, Enums, Forms, Limits, Nested};

fn refuses<T: DeserializeOwned + std::fmt::Debug>(json: &str, field: &str, why: &str) {
    let error = Config::new("prod/shop", json).parse::<T>().unwrap_err();
    assert_eq!((error.field(), &*error.to_string()), (field, &*format!("spec.config.{field}: {why}")));
}

#[test]
fn the_path_leads_to_the_field() {
    refuses::<Limits>(r#"{"rate": "x"}"#, "rate", "is a text and must be u32");
    refuses::<Limits>(r#"{"rate": -1}"#, "rate", "is a whole number that does not fit; it must be u32");
    refuses::<Limits>(
        r#"{"hosts": ["10.0.0.1", 5]}"#,
        "hosts[1]",
        "is a whole number and must be IP address",
    );
    refuses::<Limits>(
        r#"{"rat": 1}"#,
        "rat",
        "is no field of the module's config; there are rate, burstFactor, user, token, retries, hosts, pause, longest, shortest, color",
    );
    refuses::<Limits>(r#"{"pause": "10"}"#, "pause", "is not a duration, for example 250ms, 10s or 1m30s");
    refuses::<Limits>(
        r#"{"longest": 10}"#,
        "longest",
        "is a number and must be a duration, for example 250ms, 10s or 1m30s",
    );
    refuses::<Limits>(
        r#"{"pause": {"secs": 1, "nanos": 0}}"#,
        "pause",
        "is an object and must be a duration, for example 250ms, 10s or 1m30s",
    );
    refuses::<Nested>(r#"{}"#, "a", "is missing");
    refuses::<Nested>(r#"{"a": 1, "b": "loud"}"#, "b", "is none of off, quite-loud, max");
    refuses::<ByFunction>(r#"{"length": "x", "even": 3}"#, "even", "is odd");
    refuses::<Enums>(
        r#"{"level": "off", "external": {"Many": [1, 5]}}"#,
        "external.Many[1]",
        "is a whole number and must be a boolean",
    );
    refuses::<Forms>(r#"{"pair": [1]}"#, "pair", "has 1 items and must be a tuple of size 2");
    refuses::<Forms>(r#"{"three": [true, true, true, true]}"#, "three", "has 4 items, which are 1 too many");
}

#[test]
fn the_config_as_a_whole_has_no_path() {
    let error = |json: &str| Config::new("", json).parse::<Limits>().unwrap_err().to_string();
    assert_eq!(error("[]"), "spec.config: is a list and must be an object");
    assert!(error("{").starts_with("spec.config: is not JSON: "), "{}", error("{"));
}

#[test]
fn no_value_is_quoted() {
    let secrets = [
        r#"{"rate": "hunter2"}"#,
        r#"{"rate": 4242424242424}"#,
        r#"{"token": 4242424242424}"#,
        r#"{"retries": "hunter2"}"#,
        r#"{"hosts": ["hunter2"]}"#,
        r#"{"color": 4242424242424}"#,
    ];
    for json in secrets {
        let error = Config::new("", json).parse::<Limits>().unwrap_err();
        let words = format!("{error} {error:?}");
        assert!(!words.contains("hunter2") && !words.contains("4242424242424"), "{words}");
    }
    let level = Config::new("", r#"{"a": 1, "b": "hunter2"}"#).parse::<Nested>().unwrap_err();
    assert!(!format!("{level:?}").contains("hunter2"), "{level:?}");
}

#[test]
fn an_author_can_name_a_field_too() {
    let error = ConfigError::at("limits.burst", "is less than limits.rate");
    assert_eq!(error.to_string(), "spec.config.limits.burst: is less than limits.rate");
}
