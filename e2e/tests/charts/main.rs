//! The charts as helm renders them, without a cluster: which values they take, and what their NetworkPolicies let through. `make charts` runs
//! these, with helm on the PATH.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "these are tests")]

mod network;
mod sizes;
mod values;

use std::process::Command;

use hotbay_e2e::cargo::workspace;
use serde::de::DeserializeOwned;

/// What `helm template` makes of a chart's template, in the namespace `hotbay-test`; or its complaint.
fn render<T: DeserializeOwned>(chart: &str, template: &str, values: &[&str]) -> Result<Vec<T>, String> {
    let mut helm = Command::new("helm");
    helm.args(["template", "release", "--namespace", "hotbay-test"])
        .arg(workspace().join("charts").join(chart));
    if !template.is_empty() {
        helm.args(["--show-only", &format!("templates/{template}.yaml")]);
    }
    for value in values {
        helm.args(["--set-json", value]);
    }
    let output = helm.output().expect("helm is on the PATH: `scripts/tools helm` prints where it is");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8(output.stdout).expect("YAML is UTF-8");
    let documents = serde_yaml::Deserializer::from_str(&text);
    Ok(documents.map(|document| T::deserialize(document).expect("helm renders what it should")).collect())
}
