//! The metrics against their page of the docs.

use std::collections::{BTreeMap, BTreeSet};

use hotbay_api::PodCounts;

use super::*;

/// Every metric with at least one value, by doing once whatever is counted.
fn used() -> Metrics {
    let metrics = Metrics::new();
    metrics.decided(Duration::from_millis(1));
    metrics.looked_up(Ok("same"), Duration::from_millis(1));
    metrics.looked_up(Err(&Reason::SourceNotFound), Duration::from_millis(1));
    metrics.shared_look_ups(1);
    metrics.asked_registry("HEAD", Some(200));
    metrics.wrote("entry", "create", "written", Duration::from_millis(1));
    metrics.pool_is(&pool(), Some(&figures(&Reason::Succeeded)));
    metrics.blobs_in("hotbay", Some((2, 1000)));
    metrics.blob_service.answered(200);
    metrics.blob_service.sent(1);
    metrics.blob_service.looked(true);
    metrics.blob_service.refilled(true, Duration::from_millis(1));
    metrics.blob_service.closed(Closed::Slow);
    metrics.listed("HandlerModules");
    metrics.watch_failed("HandlerModules");
    metrics.queue_moves(Queue::LookUps, 1);
    metrics.told(Told::Published);
    metrics
}

fn pool() -> PoolRef {
    "hotbay/default".parse().unwrap()
}

fn figures(reason: &Reason) -> PoolFigures {
    PoolFigures {
        modules: [(("True", reason.clone()), 3)].into(),
        pods: Some(PodCounts { ready: 2, reporting: 2, converged: 1 }),
        held_removals: 0,
    }
}

/// Name, type and labels of each metric, as a scrape shows them.
fn scraped(text: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut found = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (family, kind) = line.split_once(' ').unwrap();
        let name = match kind {
            "counter" => format!("{family}_total"),
            "info" => format!("{family}_info"),
            _ => family.to_owned(),
        };
        let samples = text.lines().filter(|sample| {
            let rest = sample.strip_prefix(family).unwrap_or_default();
            ["{", " ", "_total", "_info", "_bucket"].iter().any(|next| rest.starts_with(next))
        });
        let labels = samples.flat_map(labels_of).filter(|label| label != "le").collect();
        found.insert(name, (kind.to_owned(), labels));
    }
    found
}

fn labels_of(sample: &str) -> Vec<String> {
    let inside =
        sample.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(inside, _)| inside);
    let names = inside.split(',').filter_map(|pair| pair.split_once('='));
    names.map(|(name, _)| name.to_owned()).collect()
}

/// The same, as the operator's section of the page has them.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let page = include_str!("../../../../docs/metrics.md");
    let section =
        page.split("\n## ").find(|section| section.starts_with("Operator")).expect("there is a section");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let labels = cells[2].split(", ").map(|label| label.trim_matches('`').to_owned());
        let labels = labels.filter(|label| !label.is_empty()).collect();
        (cells[0].trim_end_matches('`').to_owned(), (cells[1].to_owned(), labels))
    })
    .collect()
}

#[test]
fn the_docs_list_every_metric_with_its_type_and_labels() {
    assert_eq!(documented(), scraped(&used().text()));
}

#[test]
fn names_follow_prometheus_conventions() {
    for (name, (kind, _)) in scraped(&used().text()) {
        assert!(name.starts_with("hotbay_operator_") || name.starts_with("process_"), "{name}");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        assert_eq!(kind == "histogram", name.ends_with("_duration_seconds"), "{name} is a {kind}");
    }
}

#[test]
fn a_reason_that_nobody_has_any_more_is_gone() {
    let metrics = used();
    metrics.pool_is(&pool(), Some(&figures(&Reason::Unknown("FromAReport".into()))));
    let text = metrics.text();
    assert!(text.contains(r#"modules{pool="hotbay/default",ready="True",reason="Other"} 3"#), "{text}");
    assert!(!text.contains(r#"reason="Succeeded""#), "{text}");
    metrics.pool_is(&pool(), None);
    metrics.blobs_in("hotbay", None);
    assert!(!metrics.text().contains("hotbay/default"), "a pool that is gone leaves nothing");
    assert!(!metrics.text().contains(r#"namespace="hotbay""#));
}
