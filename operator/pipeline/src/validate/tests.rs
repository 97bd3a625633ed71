//! A case that passes, and one test for each thing that makes it fail.

use hotbay_api::{HandlerModuleSpec, RouteSpec};
use hotbay_artifact::{Manifest, ModuleFacts};
use serde_json::json;

use super::*;
use crate::testing::{platform, spec};

struct Case {
    spec: HandlerModuleSpec,
    inspected: Inspected,
}

impl Case {
    fn valid() -> Self {
        let spec = HandlerModuleSpec { config: json!({"greeting": "hi"}), ..spec("reg/hello:1.0") };
        let builds = vec![build("amd64"), build("arm64")];
        Self {
            spec,
            inspected: Inspected {
                reference: "reg/hello:1.0".into(),
                digest: Digest::of(b"artifact"),
                builds,
            },
        }
    }

    fn first(&mut self) -> &mut InspectedBuild {
        &mut self.inspected.builds[0]
    }
}

fn build(arch: &str) -> InspectedBuild {
    let manifest = json!({
        "manifest": 1, "name": "hello", "version": "0.3.0",
        "handlers": [{"name": "greet", "methods": ["GET"], "path": "/hello/{name}"}, {"name": "any", "path": "/"}],
        "configSchema": {"type": "object", "properties": {"greeting": {"type": "string"}}},
    });
    let platform = Platform { arch: arch.into(), ..platform() };
    let facts = ModuleFacts {
        manifest: Manifest::parse(manifest.to_string().as_bytes()).unwrap(),
        abi: Abi { major: hotbay_abi_major(), minor: 0, flags: 0 },
        platform: platform.clone(),
        needed: vec![],
        min_glibc: None,
        exports: vec![],
        static_tls: false,
        imports_unwind: true,
        odd_name_size: None,
    };
    InspectedBuild { declared: Some(platform), digest: Digest::of(arch.as_bytes()), size: 5, facts }
}

/// The major version that this build of Hotbay serves, found by asking.
fn hotbay_abi_major() -> u16 {
    (0..100).find(|major| check_abi(Abi { major: *major, minor: 0, flags: 0 }).is_ok()).unwrap()
}

fn refuses(break_it: impl Fn(&mut Case), reason: Reason, words: &str) {
    let mut case = Case::valid();
    break_it(&mut case);
    let refusal = validate(&case.spec, &case.inspected).unwrap_err();
    assert_eq!(refusal.reason, reason, "{refusal}");
    assert!(refusal.message.contains(words), "{refusal} must say {words:?}");
    assert_eq!(refusal.digest, Some(case.inspected.digest));
}

fn spec_route(path: &str, handler: Option<&str>) -> RouteSpec {
    RouteSpec { path: path.into(), handler: handler.map(str::to_owned), ..RouteSpec::default() }
}

#[test]
fn a_whole_case_is_accepted() {
    let case = Case::valid();
    let validated = validate(&case.spec, &case.inspected).unwrap();
    assert_eq!(
        validated.routes.iter().map(|route| route.path.as_str()).collect::<Vec<_>>(),
        ["/hello/{name}", "/"]
    );
    assert_eq!(validated.blobs.len(), 2);
    assert_eq!(validated.config, json!({"greeting": "hi"}));
    assert_eq!((validated.version.as_str(), validated.timeouts), ("0.3.0", Timeouts::default()));
}

#[test]
fn limits_of_the_spec_are_the_revisions() {
    let mut case = Case::valid();
    case.spec.limits = serde_json::from_value(json!({"maxRequestBodySize": "2Gi"})).unwrap();
    let validated = validate(&case.spec, &case.inspected).unwrap();
    let expected = Limits { max_request_body_bytes: 2 << 30, ..Limits::default() };
    assert_eq!((&validated.limits, &crate::build::revision(&validated).limits), (&expected, &expected));
}

#[test]
fn routes_of_the_spec_replace_those_of_the_manifest() {
    let mut case = Case::valid();
    case.spec.routes = Some(vec![spec_route("/x", Some("any"))]);
    let validated = validate(&case.spec, &case.inspected).unwrap();
    assert_eq!(validated.routes.iter().map(|route| route.path.as_str()).collect::<Vec<_>>(), ["/x"]);
}

#[test]
fn the_only_handler_need_not_be_named() {
    let mut case = Case::valid();
    case.inspected.builds.iter_mut().for_each(|build| build.facts.manifest.handlers.truncate(1));
    case.spec.routes = Some(vec![spec_route("/x", None)]);
    assert_eq!(validate(&case.spec, &case.inspected).unwrap().routes[0].handler, "greet");
}

#[test]
fn an_artifact_without_a_build_is_refused() {
    refuses(|case| case.inspected.builds.clear(), Reason::InvalidElf, "no build");
}

#[test]
fn a_newer_abi_is_refused() {
    refuses(|case| case.first().facts.abi.major += 1, Reason::AbiMismatch, "upgrade");
    refuses(|case| case.inspected.builds[1].facts.abi.minor = u16::MAX, Reason::AbiMismatch, "upgrade");
}

#[test]
fn builds_that_differ_are_refused() {
    refuses(|case| case.first().facts.manifest.version = "2".into(), Reason::ManifestInvalid, "arm64");
    refuses(|case| case.first().facts.manifest.handlers.truncate(1), Reason::ManifestInvalid, "handlers");
    refuses(|case| case.first().facts.manifest.config_schema = None, Reason::ManifestInvalid, "schema");
}

#[test]
fn an_index_that_lies_about_a_platform_is_refused() {
    refuses(
        |case| case.first().declared = Some(Platform { arch: "riscv64".into(), ..platform() }),
        Reason::WrongArchitecture,
        "riscv64",
    );
    refuses(
        |case| case.first().declared = Some(Platform { libc: Some("musl".into()), ..platform() }),
        Reason::WrongArchitecture,
        "musl",
    );
}

#[test]
fn two_builds_for_one_platform_are_refused() {
    refuses(
        |case| case.inspected.builds[1] = build("amd64"),
        Reason::ManifestInvalid,
        "two builds for linux/amd64",
    );
}

#[test]
fn a_route_that_is_none_is_refused() {
    let with = |routes: Vec<RouteSpec>| move |case: &mut Case| case.spec.routes = Some(routes.clone());
    refuses(with(vec![]), Reason::RouteInvalid, "0 routes");
    refuses(with(vec![spec_route("/a//b", Some("any"))]), Reason::RouteInvalid, "/a//b");
    refuses(with(vec![spec_route("/a", Some("none"))]), Reason::RouteInvalid, "it has greet, any");
    refuses(with(vec![spec_route("/a", None)]), Reason::RouteInvalid, "name one of greet, any");
    refuses(
        with(vec![spec_route("/{a}", Some("any")), spec_route("/{b}", Some("greet"))]),
        Reason::RouteInvalid,
        "any and to greet",
    );
    let host = RouteSpec { hostnames: vec!["A.b".into()], ..spec_route("/a", Some("any")) };
    refuses(with(vec![host]), Reason::RouteInvalid, "A.b");
    let twice = RouteSpec { methods: vec!["GET".into(); 2], ..spec_route("/a", Some("any")) };
    refuses(with(vec![twice]), Reason::RouteInvalid, "\"GET\" stands there twice");
}

#[test]
fn a_config_against_the_schema_is_refused_by_field_and_not_by_value() {
    refuses(
        |case| case.spec.config = json!({"greeting": 424_242}),
        Reason::ConfigRejected,
        "spec.config.greeting: ",
    );
    let mut case = Case::valid();
    case.spec.config = json!({"greeting": 424_242});
    let refusal = validate(&case.spec, &case.inspected).unwrap_err();
    assert!(!refusal.message.contains("424242"), "{refusal} must not tell the value");
    refuses(|case| case.spec.config = json!([1]), Reason::ConfigRejected, "object");
    refuses(
        |case| case.spec.config = json!({"a": "x".repeat(MAX_CONFIG_BYTES)}),
        Reason::ConfigRejected,
        "65536",
    );
}

#[test]
fn a_config_with_a_thousand_unknown_keys_has_a_short_refusal() {
    let mut case = Case::valid();
    for build in &mut case.inspected.builds {
        build.facts.manifest.config_schema =
            Some(json!({"properties": {"a": {}}, "additionalProperties": false}));
    }
    case.spec.config = (0..1000).map(|number| (format!("key{number}"), Value::Null)).collect();
    let refusal = validate(&case.spec, &case.inspected).unwrap_err();
    assert_eq!(refusal.reason, Reason::ConfigRejected);
    assert!(refusal.message.len() < 1024, "{} bytes", refusal.message.len());
    assert!(refusal.message.contains("key0"), "{refusal}");
    assert!(refusal.message.ends_with("995 more; correct them to fit the module's schema"), "{refusal}");
}

#[test]
fn a_schema_that_is_none_or_reaches_out_is_refused() {
    let schema = |schema: Value| {
        move |case: &mut Case| {
            for build in &mut case.inspected.builds {
                build.facts.manifest.config_schema = Some(schema.clone());
            }
        }
    };
    refuses(schema(json!({"type": "nonsense"})), Reason::ManifestInvalid, "schema");
    refuses(schema(json!({"$ref": "http://127.0.0.1:1/schema"})), Reason::ManifestInvalid, "schema");
    refuses(schema(json!({"properties": {"a": {"pattern": "(?=x)"}}})), Reason::ManifestInvalid, "schema");
}
