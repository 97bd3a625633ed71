//! values.schema.json: what a chart refuses, and in which words.

use std::fs;

use hotbay_e2e::cargo::workspace;
use serde_json::Value;

use super::render;

const CHARTS: [&str; 3] = ["hotbay-crds", "hotbay", "hotbay-runtime"];

#[test]
fn a_wrong_value_is_refused_in_words() {
    let cases = [
        ("hotbay-runtime", "replica=3", "additional properties 'replica' not allowed"),
        ("hotbay-runtime", r#"replicas="three""#, "'/replicas': got string, want integer"),
        ("hotbay-runtime", r#"pool="My_Pool""#, "'/pool': 'My_Pool' does not match pattern"),
        ("hotbay-runtime", "agent.resource={}", "'/agent': additional properties 'resource' not allowed"),
        (
            "hotbay-runtime",
            r#"resources.limit={}"#,
            "'/resources': additional properties 'limit' not allowed",
        ),
        ("hotbay-runtime", r#"volumes.bay="1Gib""#, "'1Gib' does not match pattern"),
        (
            "hotbay-runtime",
            r#"allowedModules.namespaces.from="all""#,
            "value must be one of 'Same', 'All', 'Selector'",
        ),
        ("hotbay-runtime", "podDisruptionBudget.maxUnavailable=0", "minimum: got 0, want 1"),
        ("hotbay-runtime", r#"podDisruptionBudget.maxUnavailable="0%""#, "'0%' does not match pattern"),
        ("hotbay-runtime", "admissionPolicies=false", "'/admissionPolicies': got boolean, want object"),
        ("hotbay-runtime", r#"networkPolicy.egress.never=["169.254.169.254"]"#, "does not match pattern"),
        ("hotbay-runtime", r#"networkPolicy.egress.apiServer=["10.96.0.1"]"#, "does not match pattern"),
        ("hotbay", r#"networkPolicy.egress.apiServer="10.96.0.1/32""#, "got string, want array"),
        ("hotbay", r#"networkPolicy.egress.registries=["192.0.2.0/24"]"#, "got string, want object"),
        ("hotbay-runtime", "service.port=70000", "'/service/port': maximum: got 70,000, want 65,535"),
        ("hotbay-runtime", r#"extraEnv=[{"value": "x"}]"#, "missing property 'name'"),
        // null takes a default away: whoever writes it would else lose what it stands for without a word.
        ("hotbay-runtime", "networkPolicy=null", "missing property 'networkPolicy'"),
        ("hotbay-runtime", "networkPolicy.egress=null", "'/networkPolicy': missing property 'egress'"),
        ("hotbay-runtime", "podDisruptionBudget=null", "missing property 'podDisruptionBudget'"),
        ("hotbay-runtime", "volumes.bay=null", "'/volumes': missing property 'bay'"),
        ("hotbay-runtime", "replicas=null", "missing property 'replicas'"),
        ("hotbay", "networkPolicy=null", "missing property 'networkPolicy'"),
        (
            "hotbay-runtime",
            r#"allowedModules.namespaces.from="Selector""#,
            "'/allowedModules/namespaces': missing property 'selector'",
        ),
        // These become one variable, parted by commas.
        ("hotbay-runtime", r#"adminHosts=["a.example.com,b.example.com"]"#, "does not match pattern"),
        ("hotbay", r#"registryMirrors={"a.example.com": "b.example.com"}"#, "does not match pattern"),
        ("hotbay", r#"registryMirrors={"a,b": "http://c.example.com"}"#, "'a,b' does not match pattern"),
        ("hotbay", r#"insecureRegistries=["http://a.example.com"]"#, "does not match pattern"),
        ("hotbay", r#"defaultRuntime="-/default""#, "'/defaultRuntime': '-/default' does not match pattern"),
        ("hotbay", r#"defaultRuntime="default""#, "'/defaultRuntime': 'default' does not match pattern"),
        ("hotbay", "insecureRegistry=[]", "additional properties 'insecureRegistry' not allowed"),
        ("hotbay", r#"registryMirrors=["a"]"#, "'/registryMirrors': got array, want object"),
        (
            "hotbay",
            r#"image.pullPolicy="Sometimes""#,
            "value must be one of 'Always', 'IfNotPresent', 'Never'",
        ),
        ("hotbay-crds", "anything=1", "additional properties 'anything' not allowed"),
    ];
    for (chart, value, words) in cases {
        match render::<Value>(chart, "", &[value]) {
            Ok(_) => panic!("{chart} should refuse {value}"),
            Err(complaint) => assert!(complaint.contains(words), "{chart}, {value}: {complaint}"),
        }
    }
}

#[test]
fn every_chart_takes_its_own_values_and_those_of_a_parent() {
    for chart in CHARTS {
        // With additionalProperties false this holds only if the schema has each value of values.yaml.
        render::<Value>(chart, "", &[]).unwrap_or_else(|complaint| panic!("{complaint}"));
        render::<Value>(chart, "", &[r#"global={"a": 1}"#]).unwrap_or_else(|complaint| panic!("{complaint}"));
    }
}

#[test]
fn the_schema_has_no_value_that_the_chart_has_not() {
    for chart in CHARTS {
        let folder = workspace().join("charts").join(chart);
        let schema = fs::read_to_string(folder.join("values.schema.json")).expect("each chart has a schema");
        let schema: Value = serde_json::from_str(&schema).expect("it is JSON");
        let values = fs::read_to_string(folder.join("values.yaml")).unwrap_or_else(|_| "{}".to_owned());
        let values: Value = serde_yaml::from_str(&values).expect("values.yaml is YAML");
        let mut unknown = Vec::new();
        compare("", &schema, &values, &mut unknown);
        assert!(unknown.is_empty(), "{chart}: values.yaml has nothing under {unknown:?}");
    }
}

/// What a value may have that values.yaml only shows in a comment.
const SHOWN_IN_COMMENTS: [&str; 3] = ["/global", "/limits/", "/allowedModules/namespaces/selector"];

fn compare(path: &str, schema: &Value, values: &Value, unknown: &mut Vec<String>) {
    let Some(properties) = schema["properties"].as_object() else { return };
    for (name, schema) in properties {
        let path = format!("{path}/{name}");
        match values.get(name) {
            Some(value) => compare(&path, schema, value, unknown),
            None if SHOWN_IN_COMMENTS.iter().any(|shown| path.starts_with(shown)) => {}
            None => unknown.push(path),
        }
    }
}
