//! Which fields there are, for who has written one that there is not.
//!
//! Owns the walk through the definition's schema. Must not judge what a field holds.

use kube::CustomResourceExt;
use serde_json::Value;

use crate::HandlerModule;

/// The fields of a HandlerModule below `path`, such as `spec.source` or `spec.routes.0`, sorted; none where the path leads to nothing that has named fields.
pub fn fields_below<'p>(path: impl IntoIterator<Item = &'p str>) -> Vec<String> {
    let Ok(definition) = serde_json::to_value(HandlerModule::crd()) else { return Vec::new() };
    let root = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let schema = path.into_iter().fold(root, |schema, field| match field.parse::<usize>() {
        Ok(_) => &schema["items"],
        Err(_) => &schema["properties"][field],
    });
    let named = schema["properties"].as_object().into_iter().flatten();
    let mut names: Vec<String> = named.map(|(name, _): (&String, &Value)| name.clone()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_objects_and_lists_and_nowhere_else() {
        let below = |path: &str| fields_below(path.split('.').filter(|field| !field.is_empty()));
        assert_eq!(below("spec.source"), ["oci"]);
        assert_eq!(below("spec.source.oci"), ["reference"]);
        assert_eq!(below(""), ["spec", "status"]);
        assert!(below("spec.routes.0").contains(&"path".to_owned()), "{:?}", below("spec.routes.0"));
        for none in ["spec.routes", "spec.config", "spec.nothing", "spec.nothing.0.at.all"] {
            assert_eq!(below(none), [""; 0], "{none}");
        }
    }
}
