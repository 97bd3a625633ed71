//! From an engine's table to its keeper's figures, also where a module has scribbled.

use hotbay_sys::memory::create;

use std::collections::BTreeSet;

use super::*;
use crate::{ENGINE_MEMORY_WORDS, MAX_MODULES};

fn engine() -> (EngineMemory, SeriesTable) {
    let fd = create("test", ENGINE_MEMORY_WORDS).unwrap();
    let memory = EngineMemory::new(SharedWords::map(&fd).unwrap()).unwrap();
    for (row, name) in [(1, "a"), (2, "b")] {
        memory.name_module(row, &EntryKey::new("shop", name).unwrap());
    }
    (memory.clone(), SeriesTable::new(memory))
}

fn spec(kind: Kind, family: &str, help: &str, bounds: &[f64]) -> SeriesSpec {
    SeriesSpec::new(kind, family, help, vec![("kind".into(), "book".into())], bounds).unwrap()
}

/// As text: family, kind, help, and each series with its value.
fn told(figures: &Figures) -> Vec<String> {
    let value = |value: &SeriesValue| match value {
        SeriesValue::Number(number) => number.to_string(),
        SeriesValue::Histogram { counts, sum } => format!("{counts:?} {sum}"),
    };
    let family = |family: Family| {
        let series = family.series.iter().map(|(module, _, figure)| format!("{module}={}", value(figure)));
        let series: Vec<_> = series.collect();
        format!("{} {} {}: {}", family.name, family.kind.word(), family.help, series.join(", "))
    };
    figures.families().into_iter().map(family).collect()
}

#[test]
fn counters_add_up_over_engines_and_gauges_are_the_livings() {
    let (mut figures, none) = (Figures::default(), BTreeSet::new);
    for round in 1..=2 {
        let (memory, mut table) = engine();
        let counter = table.add(1, &spec(Kind::Counter, "orders_total", "Orders.", &[])).unwrap();
        let gauge = table.add(1, &spec(Kind::Gauge, "depth", "Depth.", &[])).unwrap();
        let histogram = table.add(2, &spec(Kind::Histogram, "took", "Took.", &[1.0, 2.0])).unwrap();
        counter.add(1.5);
        for ignored in [-1.0, f64::NAN, f64::INFINITY] {
            counter.add(ignored);
        }
        counter.set(100.0);
        counter.observe(100.0);
        gauge.set(5.0);
        gauge.add(-7.0);
        for value in [0.5, 1.0, 1.5, 99.0, f64::NAN] {
            histogram.observe(value);
        }
        if round == 1 {
            figures.bury(&memory, none);
            assert_eq!(
                told(&figures),
                ["orders_total counter Orders.: shop/a=1.5", "took histogram Took.: shop/b=[2, 1, 1] 102"]
            );
        } else {
            figures.add_living(&memory);
        }
    }
    assert_eq!(
        told(&figures),
        [
            "depth gauge Depth.: shop/a=-2",
            "orders_total counter Orders.: shop/a=3",
            "took histogram Took.: shop/b=[4, 2, 2] 204"
        ]
    );
}

#[test]
fn of_builds_that_differ_the_living_is_told_and_no_sample_stands_there_twice() {
    let mut figures = Figures::default();
    let (dead, mut table) = engine();
    table.add(1, &spec(Kind::Counter, "orders", "Old words.", &[])).unwrap().add(1.0);
    table.add(1, &spec(Kind::Counter, "depth", "Once a counter.", &[])).unwrap().add(1.0);
    table.add(1, &spec(Kind::Histogram, "took", "Took.", &[1.0])).unwrap().observe(0.0);
    figures.bury(&dead, BTreeSet::new);
    let (alive, mut table) = engine();
    table.add(1, &spec(Kind::Counter, "orders", "New words.", &[])).unwrap().add(1.0);
    table.add(1, &spec(Kind::Gauge, "depth", "A gauge now.", &[])).unwrap().set(7.0);
    table.add(1, &spec(Kind::Histogram, "took", "Took.", &[1.0, 2.0])).unwrap();
    table.add(2, &spec(Kind::Counter, "took_count", "Would be told twice.", &[])).unwrap();
    figures.add_living(&alive);
    assert_eq!(
        told(&figures),
        [
            "depth gauge A gauge now.: shop/a=7",
            "orders counter New words.: shop/a=2",
            "took histogram Took.: shop/a=[0, 0, 0] 0"
        ]
    );
}

#[test]
fn a_full_table_takes_no_more_and_a_full_grave_keeps_the_living() {
    let (memory, mut table) = engine();
    let labels =
        || vec![("kind".to_owned(), "a book".to_owned()), ("shop".to_owned(), "in the town".to_owned())];
    let help = "Orders that were placed, by kind and shop.";
    let name = |n: usize| {
        SeriesSpec::new(Kind::Counter, &format!("orders_placed_total_{n}"), help, labels(), &[]).unwrap()
    };
    let added = (0..MAX_SERIES + 1).filter(|&n| table.add(1 + n % 2, &name(n)).is_some()).count();
    assert_eq!(added, MAX_SERIES);
    let mut figures = Figures::default();
    figures.bury(&memory, BTreeSet::new);
    assert_eq!(figures.families().len(), MAX_SERIES, "an honest engine's are never too much");
    let (memory, mut table) = engine();
    table.add(1, &name(MAX_SERIES)).unwrap();
    figures.bury(&memory, || BTreeSet::from([EntryKey::new("shop", "a").unwrap()]));
    assert_eq!(figures.families().len(), MAX_SERIES / 2 + 1, "those of b are gone");
    let (_memory, mut table) = engine();
    let large = spec(Kind::Histogram, "h", &"x".repeat(256), &[0.0; 0]);
    assert!(
        (0..MAX_SERIES).all(|_| table.add(1, &large).is_some()),
        "the heap has room for all that are usual"
    );
}

#[test]
fn a_scribbled_table_is_at_worst_wrong() {
    let (memory, mut table) = engine();
    table.add(1, &spec(Kind::Counter, "orders", "", &[])).unwrap().add(1.0);
    table.add(1, &spec(Kind::Histogram, "took", "", &[1.0, 2.0])).unwrap().observe(1.0);
    let words = memory.words();
    let told_of = |memory| {
        let mut figures = Figures::default();
        figures.bury(memory, BTreeSet::new);
        figures.add_living(memory);
        told(&figures).len()
    };
    assert_eq!(told_of(&memory), 2);
    words[COUNT].store(u64::MAX, Ordering::Relaxed);
    assert_eq!(told_of(&memory), 2, "what was never written is no series");
    let wild =
        [0, 1, 2, 3, 255, 1 << 8, 1 << 32, 0xff << 8 | 3, 1 << 20, 1 << 63, HEAP_WORDS as u64, u64::MAX];
    for at in (ENTRIES..ENTRIES + 2 * ENTRY).chain(HEAP..HEAP + 32) {
        let before = words[at].load(Ordering::Relaxed);
        for word in wild {
            words[at].store(word, Ordering::Relaxed);
            assert!(told_of(&memory) <= 2);
        }
        words[at].store(before, Ordering::Relaxed);
    }
    assert_eq!(told_of(&memory), 2);
}

/// What the texts and lists of all series take, each counted once.
fn bytes(figures: &Figures) -> usize {
    let families = figures.families();
    let series = families.iter().flat_map(|family| &family.series);
    series
        .map(|(module, spec, value)| {
            let labels = spec.labels.iter().map(|(name, value)| name.capacity() + value.capacity() + 48);
            let counts = match value {
                SeriesValue::Number(_) => 0,
                SeriesValue::Histogram { counts, .. } => counts.capacity() * 8,
            };
            let words = spec.family.capacity() + module.namespace.capacity() + module.name.capacity();
            labels.sum::<usize>() + counts + spec.bounds().len() * 8 + words
        })
        .sum()
}

#[test]
fn a_table_that_names_one_large_text_again_and_again_fills_no_memory() {
    let (memory, mut table) = engine();
    let modules: Vec<EntryKey> =
        (1..MAX_MODULES).map(|row| EntryKey::new("shop", &format!("m{row}")).unwrap()).collect();
    modules.iter().enumerate().for_each(|(index, module)| memory.name_module(index + 1, module));
    let labels: Vec<_> = (0..16).map(|n| (format!("l{n}"), "x".repeat(50))).collect();
    let bounds: Vec<f64> = (0..64).map(f64::from).collect();
    for family in ["a", "b"] {
        let large = SeriesSpec::new(Kind::Histogram, family, "", labels.clone(), &bounds).unwrap();
        table.add(1, &large).unwrap();
    }
    // Each module has them now, at the price of a row of the table.
    let words = memory.words();
    for index in 2..MAX_SERIES {
        for offset in 1..ENTRY {
            let word = words[ENTRIES + index % 2 * ENTRY + offset].load(Ordering::Relaxed);
            words[ENTRIES + index * ENTRY + offset].store(word, Ordering::Relaxed);
        }
        words[ENTRIES + index * ENTRY].store(1 + index as u64 / 2, Ordering::Relaxed);
    }
    words[COUNT].store(MAX_SERIES as u64, Ordering::Relaxed);
    let mut figures = Figures::default();
    for _ in 0..3 {
        figures.bury(&memory, || modules.iter().cloned().collect());
        assert!((1 << 20..3 << 20).contains(&bytes(&figures)), "{} bytes", bytes(&figures));
    }
    figures.add_living(&memory);
    assert!(bytes(&figures) < 6 << 20, "{} bytes", bytes(&figures));
}

#[test]
fn threads_count_together_without_losing_any() {
    let (memory, mut table) = engine();
    let counter = table.add(1, &spec(Kind::Counter, "orders", "", &[])).unwrap();
    let histogram = table.add(1, &spec(Kind::Histogram, "took", "", &[1.0])).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10_000 {
                    counter.add(1.0);
                    histogram.observe(1.0);
                }
            });
        }
    });
    let mut figures = Figures::default();
    figures.add_living(&memory);
    assert_eq!(told(&figures), ["orders counter : shop/a=40000", "took histogram : shop/a=[40000, 0] 40000"]);
}
