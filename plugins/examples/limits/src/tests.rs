//! What the config does, and what it must be.

use hotbay_sdk::{Config, config_schema, test};
use serde_json::{Value, json};

use super::limits as limits_handler;
use super::*;

fn gate(config: &str) -> Gate {
    create(Config::new("prod/shop", config).parse().unwrap()).unwrap()
}

#[test]
fn the_default_lets_through_what_its_schema_says() {
    let schema: Value = serde_json::from_str(&config_schema::<Settings>()).unwrap();
    let limits = &schema["properties"]["limits"]["properties"];
    assert_eq!((&limits["rate"]["default"], &limits["burst"]["default"]), (&json!(10), &json!(20)));
    let request = test::get("/limits").state(gate("{}"));
    let answers = |count: usize| {
        (0..count).map(|_| test::call(limits_handler, &request).status_code()).collect::<Vec<_>>()
    };
    assert_eq!(answers(20), [200; 20]);
    assert_eq!(answers(1), [429]);
}

#[test]
fn who_has_the_token_is_always_answered() {
    let config = r#"{"limits": {"rate": 1, "burst": 1}, "token": "0123456789abcdef", "over": {"retryAfter": {"seconds": 5}}}"#;
    let request = |token| test::get("/limits").header("authorization", token).state(gate(config));
    let (known, other) = (request("Bearer 0123456789abcdef"), request("Bearer fedcba9876543210"));
    let ask = |request| test::call(limits_handler, request);
    assert_eq!([ask(&known).status_code(), ask(&known).status_code()], [200, 200]);
    assert_eq!([ask(&other).status_code(), ask(&other).status_code()], [200, 429]);
    assert_eq!(ask(&other).header("retry-after"), Some("5"));
}

#[test]
fn a_pause_fills_the_bucket_up_to_the_burst() {
    let gate = gate(r#"{"limits": {"rate": 10, "burst": 2}}"#);
    let begin = Instant::now();
    let at = |millis| gate.admits(begin + std::time::Duration::from_millis(millis));
    assert_eq!([at(0), at(0), at(0)], [true, true, false]);
    assert_eq!([at(150), at(150)], [true, false]);
    assert_eq!([at(9_000), at(9_000), at(9_000)], [true, true, false]);
}

#[test]
fn a_config_that_does_not_fit_is_refused_with_its_path() {
    let refused = |config: &str| {
        Config::new("prod/shop", config).parse::<Settings>().map(drop).unwrap_err().to_string()
    };
    assert_eq!(refused(r#"{"limits": {"rate": "x"}}"#), "spec.config.limits.rate: is a text and must be u32");
    let far = Config::new("prod/shop", r#"{"limits": {"rate": 1000, "burst": 5}}"#).parse().unwrap();
    let error = create(far).err().unwrap().to_string();
    assert!(error.starts_with("spec.config.limits.burst: is less than a tenth"), "{error}");
}
