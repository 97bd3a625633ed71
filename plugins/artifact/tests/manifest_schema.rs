//! The published schema of the manifest and the parser take and refuse the same.

#![allow(clippy::unwrap_used, clippy::panic, reason = "all of it is tests")]

use hotbay_artifact::Manifest;
use hotbay_artifact::manifest::SCHEMA;
use jsonschema::{PatternOptions, Validator};
use serde_json::{Value, json};

fn schema() -> Validator {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    // As hosts read patterns: without backtracking.
    jsonschema::options().with_pattern_options(PatternOptions::regex()).build(&schema).unwrap()
}

fn whole() -> Value {
    json!({
        "manifest": 1, "name": "shop", "version": "1.0+a", "sdk": "hotbay-sdk/0.1.0",
        "handlers": [
            {"name": "list", "methods": ["GET", "POST"], "path": "/carts/{cart_id}/items", "blocking": true},
            {"name": "any", "path": "/"},
        ],
        "configSchema": {"type": "object"}, "fromTheFuture": [1],
    })
}

/// Fields by their JSON pointers, and values that were never meant for them beside some that were.
fn values() -> Vec<(&'static str, Vec<Value>)> {
    let texts = ["", "a", "a b", "é", "a\n", "-._~", "get", "GET"].map(Value::from);
    let others = [
        json!(null),
        json!(true),
        json!(-1),
        json!(2),
        json!(0.5),
        json!([]),
        json!({}),
        json!([1]),
        json!(["GET"]),
    ];
    let any = || [&texts[..], &others[..]].concat();
    let long = |length: usize| json!("x".repeat(length));
    let many = |count: usize| {
        (0..count).map(|index| json!({"name": format!("h{index}"), "path": "/"})).collect::<Value>()
    };
    let paths = [
        "/",
        "//",
        "/a",
        "/a/",
        "/a//b",
        "a",
        "/a b",
        "/%20",
        "/a?b",
        "/a#b",
        "/é",
        "/.",
        "/..",
        "/a/./b",
        "/a/../b",
        "/.a",
        "/..a",
        "/...",
        "/.a/b",
        "/.../b",
        "/{a}",
        "/{a}/b",
        "/{a}b",
        "/b{a}",
        "/{}",
        "/{1}",
        "/{_1}",
        "/{*a}",
        "/{*a}/b",
        "/a/{*rest}",
        "/{*}",
        "/{a",
        "/a}",
        "/a\\b",
        "/a^b",
        "/a|b",
        "/a`b",
        "/a\"b",
        "/<a>",
        "/[a]",
        "/!$&'()*+,;=:@-._~",
        "/{a}/{*b}",
        "/{a}/",
    ];
    let paths = paths
        .map(Value::from)
        .into_iter()
        .chain([json!(format!("/{}", "a".repeat(1023))), json!(format!("/{}", "a".repeat(1024)))]);
    vec![
        ("/manifest", [any(), vec![json!(0), json!("1")]].concat()),
        ("/name", [any(), vec![long(64), long(65)]].concat()),
        ("/version", [any(), vec![long(64), long(65)]].concat()),
        ("/sdk", [any(), vec![long(1000)]].concat()),
        ("/handlers", [any(), vec![many(1), many(64), many(65)]].concat()),
        ("/handlers/0", any()),
        ("/handlers/1/name", [any(), vec![long(64), long(65)]].concat()),
        (
            "/handlers/0/methods",
            [any(), vec![json!(["GET", "GET"]), json!(["HEAD", "PATCH"]), json!(["CONNECT"]), json!([null])]]
                .concat(),
        ),
        ("/handlers/0/path", any().into_iter().chain(paths).collect()),
        ("/handlers/0/blocking", any()),
        ("/configSchema", any()),
    ]
}

fn agree(schema: &Validator, manifest: &Value) -> bool {
    let parsed = Manifest::parse(manifest.to_string().as_bytes());
    let fits = schema.is_valid(manifest);
    assert_eq!(fits, parsed.is_ok(), "{manifest}: {parsed:?}");
    fits
}

#[test]
fn a_value_that_one_takes_the_other_takes_too() {
    let (schema, mut fitting, mut refused) = (schema(), 0, 0);
    assert!(agree(&schema, &whole()));
    for (pointer, values) in values() {
        for value in values {
            let mut manifest = whole();
            // What `whole` leaves out is put in.
            match manifest.pointer_mut(pointer) {
                Some(place) => *place = value,
                None => panic!("{pointer} leads nowhere"),
            }
            *if agree(&schema, &manifest) { &mut fitting } else { &mut refused } += 1;
        }
    }
    assert!(fitting > 50 && refused > 100, "{fitting} and {refused}");
}

#[test]
fn a_field_that_one_needs_the_other_needs_too() {
    let schema = schema();
    let lacks = |break_it: fn(&mut Value)| {
        let mut manifest = whole();
        break_it(&mut manifest);
        !agree(&schema, &manifest)
    };
    let remove = [
        lacks(|manifest| drop(manifest.as_object_mut().unwrap().remove("manifest"))),
        lacks(|manifest| drop(manifest.as_object_mut().unwrap().remove("name"))),
        lacks(|manifest| drop(manifest.as_object_mut().unwrap().remove("version"))),
        lacks(|manifest| drop(manifest.as_object_mut().unwrap().remove("handlers"))),
        lacks(|manifest| drop(manifest["handlers"][0].as_object_mut().unwrap().remove("name"))),
        lacks(|manifest| drop(manifest["handlers"][0].as_object_mut().unwrap().remove("path"))),
    ];
    assert_eq!(remove, [true; 6]);
    let optional = [
        lacks(|manifest| drop(manifest.as_object_mut().unwrap().remove("sdk"))),
        lacks(|manifest| drop(manifest.as_object_mut().unwrap().remove("configSchema"))),
        lacks(|manifest| drop(manifest["handlers"][0].as_object_mut().unwrap().remove("methods"))),
        lacks(|manifest| drop(manifest["handlers"][0].as_object_mut().unwrap().remove("blocking"))),
    ];
    assert_eq!(optional, [false; 4]);
}

/// The two rules that the schema's description names.
#[test]
fn what_the_schema_cannot_say_the_parser_refuses() {
    let schema = schema();
    let refuses = |break_it: fn(&mut Value), words: &str| {
        let mut manifest = whole();
        break_it(&mut manifest);
        let error = Manifest::parse(manifest.to_string().as_bytes()).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(
            schema.is_valid(&manifest) && format!("{error} {source}").contains(words),
            "{error} {source}"
        );
    };
    refuses(|manifest| manifest["handlers"][1]["name"] = "list".into(), "two handlers");
    refuses(|manifest| manifest["handlers"][0]["path"] = "/{a}/{a}".into(), "two parameters");
}

#[test]
fn every_field_of_the_parser_stands_in_the_schema() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let written = serde_json::to_value(Manifest::parse(whole().to_string().as_bytes()).unwrap()).unwrap();
    let known = |schema: &Value, written: &Value| {
        for field in written.as_object().unwrap().keys() {
            assert!(schema["properties"].get(field).is_some(), "{field} is missing in manifest.schema.json");
        }
        schema["properties"].as_object().unwrap().len() == written.as_object().unwrap().len()
    };
    assert!(known(&schema, &written) && known(&schema["$defs"]["handler"], &written["handlers"][0]));
}
