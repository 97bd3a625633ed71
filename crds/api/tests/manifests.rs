//! The chart's custom resources are those of this crate, and the chart can carry them.

use std::fs;
use std::path::Path;

#[test]
fn the_charts_definitions_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/hotbay-crds/templates");
    for (name, expected) in hotbay_api::manifests().unwrap() {
        let committed = fs::read_to_string(folder.join(&name)).unwrap_or_default();
        assert!(committed == expected, "{name} is not current; run crdgen (its first line says how)");
    }
}

#[test]
fn helm_finds_no_template_in_a_definition_and_keeps_it_on_uninstall() {
    for (name, text) in hotbay_api::manifests().unwrap() {
        assert!(!text.contains("{{"), "{name} holds what helm would expand");
        assert!(text.contains("helm.sh/resource-policy: keep"), "{name} would be deleted by helm uninstall");
    }
}

#[test]
fn an_object_that_the_operator_never_saw_is_not_taken_for_done() {
    for (name, text) in hotbay_api::manifests().unwrap().iter().take(2) {
        let definition: serde_yaml::Value = serde_yaml::from_str(text).unwrap();
        let default = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
            ["default"];
        assert_eq!(default["observedGeneration"], serde_yaml::Value::from(-1), "{name}");
    }
}
