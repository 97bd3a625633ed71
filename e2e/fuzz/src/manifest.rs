//! A manifest, as a module carries it.

use std::collections::BTreeSet;

use hotbay_artifact::Manifest;

/// Parsing any text ends; what was taken can be routed, and says the same when it was written and read again.
pub fn manifest(bytes: &[u8]) {
    let Ok(manifest) = Manifest::parse(bytes) else { return };
    let routes = manifest.routes();
    assert_eq!(routes.len(), manifest.handlers.len());
    for route in &routes {
        route.check().expect("a manifest that was read can be routed");
        assert!(!route.claims().is_empty(), "{route:?} answers to nobody");
    }
    let names: BTreeSet<_> = routes.iter().map(|route| &route.handler).collect();
    assert_eq!(names.len(), routes.len(), "a route leads to one handler");
    let text = serde_json::to_vec(&manifest).expect("a manifest is JSON");
    let again = Manifest::parse(&text).expect("what was written is a manifest");
    assert_eq!(again, manifest);
}
