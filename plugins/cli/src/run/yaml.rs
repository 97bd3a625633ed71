//! HandlerModules in YAML files.
//!
//! Owns the only reading of YAML: several documents a file; fields that do not exist are refused, as kubectl's validation does; other kinds are passed
//! over with a word.

use std::path::Path;

use hotbay_api::HandlerModule;
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
    let module: HandlerModule = serde_ignored::deserialize(value, |path| unknown.push(path.to_string()))
        .map_err(|error| error.to_string())?;
    if unknown.is_empty() {
        Ok(module)
    } else {
        Err(format!("unknown field {}; correct or remove it", unknown.join(", ")))
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
    fn a_typo_is_named_with_its_path() {
        let error = parsed(&HELLO.replace("spec: {", "spec: {rutes: [], ")).unwrap_err();
        assert_eq!(error, "m.yaml, document 1: unknown field spec.rutes; correct or remove it");
        assert!(parsed(&HELLO.replace("v1alpha1", "v9")).unwrap_err().contains("write hotbay.dev/v1alpha1"));
        assert!(parsed("a: [").unwrap_err().starts_with("m.yaml is not valid YAML: "));
    }
}
