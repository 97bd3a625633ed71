//! The docs do what they say: what a new user types on a laptop, the YAML in them, and where their links lead.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use hotbay_api::{HandlerModule, RuntimePool, RuntimeReport};
use hotbay_e2e::cargo::workspace;
use hotbay_e2e::docs::{Block, Reader, page, pages};
use serde::Deserialize;
use serde_json::Value;

use crate::workshop::HOTBAY;

#[tokio::test]
async fn the_quick_start_leads_to_an_own_module() {
    let mut reader = Reader::new(HOTBAY.as_ref(), false);
    let done = reader.follow("docs/quick-start.md").await;
    assert!(done > 10, "only {done} blocks did something");
}

#[tokio::test]
async fn the_page_on_the_abi_leads_to_a_module_in_c() {
    let mut reader = Reader::new(HOTBAY.as_ref(), false);
    let done = reader.follow("docs/module-abi.md").await;
    assert_eq!(done, 4, "blocks did something");
}

#[test]
fn every_example_has_only_fields_that_exist() {
    let blocks = pages().into_iter().flat_map(|name| page(&name));
    let is_example = |block: &Block| block.is("yaml") && (block.is("tested") || block.info.len() > 1);
    let examples: Vec<Block> = blocks.filter(is_example).collect();
    assert!(examples.len() >= 5, "{} examples", examples.len());
    for example in examples {
        let value: Value = serde_yaml::from_str(&example.text).unwrap();
        match value["kind"].as_str() {
            Some("HandlerModule") => fits::<HandlerModule>(&example, value),
            Some("RuntimePool") => fits::<RuntimePool>(&example, value),
            Some("RuntimeReport") => fits::<RuntimeReport>(&example, value),
            // Of Kubernetes' own kinds the API server judges, in e2e/tests/cluster/docs.rs.
            _ if !value["apiVersion"].as_str().unwrap_or_default().starts_with("hotbay.dev/") => {}
            other => panic!("{}: kind {other:?}", example.place),
        }
    }
}

fn fits<T: for<'de> Deserialize<'de>>(example: &Block, mut value: Value) {
    // Known; kube's types do not have them as fields.
    value.as_object_mut().unwrap().retain(|name, _| name != "apiVersion" && name != "kind");
    let mut unknown = Vec::new();
    let read: Result<T, _> = serde_ignored::deserialize(value, |path| unknown.push(path.to_string()));
    assert!(read.is_ok() && unknown.is_empty(), "{}: {:?} {unknown:?}", example.place, read.err());
}

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    for name in pages() {
        let text = fs::read_to_string(workspace().join(&name)).unwrap();
        let folder = Path::new(&name).parent().unwrap();
        for target in
            text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
        {
            if target.contains("://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path =
                if file.is_empty() { workspace().join(&name) } else { workspace().join(folder).join(file) };
            let leads = path.exists() && (anchor.is_empty() || anchors(&path).contains(anchor));
            if !leads {
                broken.push(format!("{name}: {target}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(page: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(page).unwrap();
    let headings =
        text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let anchor = |heading: &str| {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    headings.map(anchor).collect()
}
