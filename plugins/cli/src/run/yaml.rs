//! HandlerModules in YAML files.
//!
//! Owns the only reading of YAML: several documents a file; fields that do not exist are refused, as kubectl's validation does, and so are modules without
//! a name that can be theirs; other kinds are passed over with a word.

use std::path::Path;

use hotbay_api::{HandlerModule, fields_below};
use hotbay_pipeline::key_of;
use serde::Deserialize as _;
use serde_json::Value;

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Documents {
    pub modules: Vec<HandlerModule>,
    /// Kinds that mean nothing here, such as RuntimePool.
    pub ignored: Vec<String>,
}

/// Why a file cannot be taken. What it held before stays in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum YamlError {
    #[error("{file} is not valid YAML: {why}")]
    Syntax { file: String, why: String },
    #[error("{file}, document {number}: {why}")]
    Document { file: String, number: usize, why: String },
}

pub(crate) fn parse(path: &Path, text: &str) -> Result<Documents, YamlError> {
    let file = path.display().to_string();
    let mut documents = Documents::default();
    for (index, document) in serde_yaml::Deserializer::from_str(text).enumerate() {
        let value = Value::deserialize(document)
            .map_err(|error| YamlError::Syntax { file: file.clone(), why: error.to_string() })?;
        if value.is_null() {
            continue;
        }
        let refuse = |why| YamlError::Document { file: file.clone(), number: index + 1, why };
        let kind = value.get("kind").and_then(Value::as_str).unwrap_or("document without a kind").to_owned();
        let version = value.get("apiVersion").and_then(Value::as_str).unwrap_or_default().to_owned();
        match (kind.as_str(), version.as_str()) {
            ("HandlerModule", "hotbay.dev/v1alpha1") => {
                documents.modules.push(module(value).map_err(refuse)?)
            }
            ("HandlerModule", other) => {
                return Err(refuse(format!("apiVersion is {other:?}; write hotbay.dev/v1alpha1")));
            }
            _ => documents.ignored.push(kind),
        }
    }
    Ok(documents)
}

fn module(mut value: Value) -> Result<HandlerModule, String> {
    if let Some(fields) = value.as_object_mut() {
        // Known, and read already; kube's types do not have them as fields.
        fields.retain(|name, _| name != "apiVersion" && name != "kind");
    }
    let mut unknown = Vec::new();
    let module: HandlerModule =
        serde_ignored::deserialize(value, |path| unknown.push(not_there(&path.to_string())))
            .map_err(|error| error.to_string())?;
    if !unknown.is_empty() {
        return Err(format!("unknown field {}; correct or remove it", unknown.join(", ")));
    }
    // The control plane would have no place for it, and nobody to tell.
    key_of(&module).map_err(|refusal| refusal.message)?;
    Ok(module)
}

/// An unknown field, and what stands beside it where that is known. A path has `?` where a value may be absent.
fn not_there(path: &str) -> String {
    let fields: Vec<&str> = path.split('.').filter(|field| *field != "?").collect();
    let known = fields_below(fields.iter().take(fields.len().saturating_sub(1)).copied());
    let path = fields.join(".");
    match path.rsplit_once('.') {
        Some((parent, _)) if !known.is_empty() => format!("{path} ({parent} has {})", known.join(", ")),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "apiVersion: hotbay.dev/v1alpha1\nkind: HandlerModule\nmetadata: {name: hello}\n\
                         spec: {source: {oci: {reference: r.example.com/hello:1.0}}}\n";

    fn parsed(text: &str) -> Result<Documents, String> {
        parse(Path::new("m.yaml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn documents_are_read_and_other_kinds_named() {
        let documents = parsed(&format!("{HELLO}---\nkind: RuntimePool\n---\n")).unwrap();
        assert_eq!(documents.modules.len(), 1);
        assert_eq!(documents.modules[0].metadata.name.as_deref(), Some("hello"));
        assert_eq!(documents.ignored, ["RuntimePool"]);
        assert_eq!(parsed("").unwrap(), Documents::default());
    }

    #[test]
    fn a_module_has_a_name_that_can_be_an_objects() {
        let error = parsed(&HELLO.replace("name: hello", "name: my_module")).unwrap_err();
        assert!(
            error.starts_with("m.yaml, document 1: metadata: \"my_module\" is not a name; use "),
            "{error}"
        );
        let error = parsed(&HELLO.replace("name: hello", "labels: {}")).unwrap_err();
        assert!(error.starts_with("m.yaml, document 1: metadata: \"\" is not a name; use "), "{error}");
        assert!(parsed(&HELLO.replace("name: hello", "name: hello, namespace: A")).is_err());
    }

    #[test]
    fn a_typo_is_named_with_its_path() {
        let error = parsed(&HELLO.replace("spec: {", "spec: {rutes: [], ")).unwrap_err();
        assert_eq!(
            error,
            "m.yaml, document 1: unknown field spec.rutes (spec has config, interval, limits, routes, runtimeRef, source, suspend, timeouts); \
             correct or remove it"
        );
        for (written, instead, words) in [
            ("oci: {", "file: ./m.so, oci: {", "field spec.source.file (spec.source has oci); correct"),
            (
                "reference: ",
                "tag: '1', reference: ",
                "field spec.source.oci.tag (spec.source.oci has reference);",
            ),
            (
                "spec: {",
                "spec: {routes: [{pth: /, path: /}], ",
                "field spec.routes.0.pth (spec.routes.0 has ",
            ),
            ("metadata: {", "spek: {}\nmetadata: {", "field spek; correct"),
        ] {
            let error = parsed(&HELLO.replace(written, instead)).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        assert!(parsed(&HELLO.replace("v1alpha1", "v9")).unwrap_err().contains("write hotbay.dev/v1alpha1"));
        assert!(parsed("a: [").unwrap_err().starts_with("m.yaml is not valid YAML: "));
    }
}
