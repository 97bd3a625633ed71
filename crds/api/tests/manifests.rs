//! The chart's custom resources and the generated parts of the docs are those of this crate, and the chart can carry them.

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
fn the_pages_of_the_docs_are_current() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let read = |page: &str| fs::read_to_string(docs.join(page)).unwrap_or_default();
    assert!(
        read("reasons.md") == hotbay_api::reasons_page(),
        "docs/reasons.md is not current: make generate"
    );
    for section in hotbay_api::sections().unwrap() {
        let page = read(section.page);
        let current = section.put_into(&page);
        assert!(
            current.as_ref() == Some(&page),
            "docs/{}: its part {:?} is not current: make generate",
            section.page,
            section.name
        );
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
