//! The text as a scraper gets it.

use std::collections::BTreeSet;

use hotbay_protocol::{Durations, Images, Tally};

use super::*;

/// The names that a text declares.
fn declared(text: &str) -> Vec<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

#[test]
fn everything_is_declared_once_and_nothing_else() {
    let text = render(&Facts::default());
    let declared = declared(&text);
    let names: BTreeSet<_> = METRICS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(declared.len(), names.len(), "{text}");
    assert_eq!(declared.into_iter().collect::<BTreeSet<_>>(), names);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        assert!(names.contains(name) || family.is_some_and(|name| names.contains(name)), "{line}");
    }
}

#[test]
fn the_docs_list_exactly_what_is_exported() {
    let docs =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md")).unwrap();
    let (_, section) = docs.split_once("\n## Runtime\n").expect("there is a section for the runtime");
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let documented: BTreeSet<_> = rows.map(|row| row.split(['`', '{']).next().unwrap()).collect();
    assert_eq!(documented, METRICS.iter().map(|(name, ..)| *name).collect());
}

#[test]
fn cpu_time_of_engines_never_falls_and_is_not_told_in_part() {
    let engine = |ticks| EngineFacts {
        process: Process { cpu_ticks: ticks, ..Process::default() },
        ..EngineFacts::default()
    };
    let cpu = |living: &[Option<u64>], reaped| {
        let engines = living.iter().copied().map(engine).collect();
        let keeper = Process { reaped_cpu_ticks: reaped, ..Process::default() };
        let text = render(&Facts { engines, keeper, ..Facts::default() });
        let line = text.lines().find_map(|line| {
            line.strip_prefix(r#"process_cpu_seconds_total{process="engine"} "#).map(str::to_owned)
        });
        line.map(|value| value.parse::<f64>().unwrap())
    };
    // Summed as seconds, 0.01 + 0.05 would be 0.060000000000000005, more than the 0.06 that is told later.
    assert_eq!([cpu(&[Some(1), Some(5)], Some(0)), cpu(&[], Some(6))], [Some(0.06); 2]);
    assert_eq!(cpu(&[Some(1)], Some(5)), Some(0.06), "also while one of two is reaped");
    assert_eq!(cpu(&[Some(1), None], Some(5)), None);
}

#[test]
fn words_that_a_module_wrote_over_are_at_worst_wrong() {
    let durations = Durations { buckets: [u64::MAX; BUCKETS_NS.len() + 1], sum_ns: u64::MAX };
    let images = Images { mapped: u64::MAX, retired: u64::MAX };
    let pool = PoolGauges { threads: u64::MAX, busy: u64::MAX, abandoned: u64::MAX, waiting: u64::MAX };
    let engine = || EngineFacts { in_flight: u64::MAX, images, pool, ..EngineFacts::default() };
    let answers = [(None, [u64::MAX; 32]), (EntryKey::new("shop", "hello").ok(), [u64::MAX; 32])];
    let tally = Tally { answers: answers.into(), durations, ..Tally::default() };
    let facts = Facts { tally, engines: vec![engine(), engine()], ..Facts::default() };
    assert!(render(&facts).contains("hotbay_images"));
    assert!(!crate::admin::status::render(&facts).is_empty());
}

#[test]
fn counts_are_told_by_module_and_code_and_buckets_add_up() {
    let mut counts = [0; 32];
    (counts[0], counts[31]) = (7, 1);
    let mut buckets = [0; BUCKETS_NS.len() + 1];
    (buckets[0], buckets[15]) = (5, 3);
    let tally = Tally {
        answers: [(EntryKey::new("shop", "hello").ok(), counts)].into(),
        durations: Durations { buckets, sum_ns: 1_500_000_000 },
        ..Tally::default()
    };
    let text = render(&Facts { tally, ..Facts::default() });
    for line in [
        r#"hotbay_requests_total{module="shop/hello",code="200"} 7"#,
        r#"hotbay_requests_total{module="shop/hello",code="5xx"} 1"#,
        r#"hotbay_request_duration_seconds_bucket{le="0.0001"} 5"#,
        r#"hotbay_request_duration_seconds_bucket{le="10"} 5"#,
        r#"hotbay_request_duration_seconds_bucket{le="+Inf"} 8"#,
        "hotbay_request_duration_seconds_sum 1.5",
        r#"hotbay_engine_starts_total{why="crash"} 0"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}
