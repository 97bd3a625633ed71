//! Counting, adding up, and staying bounded.

use super::*;
use crate::shared::tests::memory;

#[test]
fn shards_of_two_engines_add_up() {
    let (one, other) = (memory(), memory());
    let key = EntryKey::new("shop", "hello").unwrap();
    // Rows are an engine's own affair.
    one.name_module(7, &key);
    other.name_module(2047, &key);
    for (memory, slot, row) in [
        (&one, Some(1), 7),
        (&one, Some(32), 7),
        (&one, Some(33), 7),
        (&one, None, 7),
        (&other, Some(1), 2047),
    ] {
        let shard = memory.shard(slot);
        shard.begin();
        shard.begin();
        shard.answered(row, 200);
        shard.answered(row, 418);
        shard.answered(0, 404);
        shard.end(Duration::from_millis(3));
    }
    other.count_load(&Reason::Crashed);
    let mut tally = Tally::default();
    one.add_to(&mut tally);
    other.add_to(&mut tally);
    let count = |key: Option<&EntryKey>, label: &str| {
        let index = (0..CODES.len() + CLASSES).find(|&index| code_label(index) == label).unwrap();
        tally.answers[&key.cloned()][index]
    };
    assert_eq!([count(Some(&key), "200"), count(Some(&key), "4xx"), count(None, "404")], [5, 5, 5]);
    assert_eq!((tally.begun, tally.in_flight()), (10, 5));
    assert_eq!((tally.durations.buckets[5], tally.durations.sum_ns), (5, 15_000_000));
    assert_eq!(tally.loads, BTreeMap::from([(Reason::Crashed, 1)]));
}

/// Of so many modules that are gone and so many that live; each has answered once more than the one before it.
fn known(gone: u64, living: u64) -> Tally {
    let name = |index| if index < gone { format!("z{index}") } else { format!("lives{index}") };
    let mut tally = Tally::default();
    for index in 0..gone + living {
        let counts = tally.answers.entry(EntryKey::new("shop", &name(index)).ok()).or_default();
        counts[0] = index + 1;
    }
    tally
}

/// Those of [`known`] that live, whether they have counted anything or not.
fn living(tally: &Tally) -> BTreeSet<EntryKey> {
    tally.answers.keys().flatten().filter(|key| key.name.starts_with("lives")).cloned().collect()
}

fn total(tally: &Tally) -> u64 {
    tally.answers.values().map(|counts| counts[0]).sum()
}

#[test]
fn of_too_many_modules_the_least_used_of_those_that_are_gone_are_counted_together() {
    let (max, mut tally) = (MAX_KNOWN as u64, known(MAX_KNOWN as u64, 2));
    let (all, living) = (total(&tally), living(&tally));
    tally.bound(|| living);
    assert_eq!((tally.answers.len(), total(&tally)), (MAX_KNOWN, all));
    assert_eq!(tally.answers[&None][0], 1 + 2 + 3);
    let key = |name: String| EntryKey::new("shop", &name).ok();
    assert!(tally.answers.contains_key(&key(format!("z{}", max - 1))), "the most used one stays");
    assert!(tally.answers.contains_key(&key(format!("lives{}", max + 1))), "who lives stays");
    let same = tally.clone();
    tally.bound(BTreeSet::new);
    assert_eq!(tally, same, "what fits is left alone");
}

#[test]
fn no_count_of_a_module_that_lives_falls_however_many_there_are() {
    let mut tally = known(0, MAX_KNOWN as u64 + 10);
    let (same, living) = (tally.clone(), living(&tally));
    tally.bound(|| living);
    assert_eq!(tally, same);
}

#[test]
fn words_that_a_module_wrote_over_add_up_to_something() {
    let memory = memory();
    memory.name_module(1, &EntryKey::new("shop", "hello").unwrap());
    let shards = [memory.shard(Some(1)), memory.shard(None)];
    memory.count_load(&Reason::Crashed);
    let slot = memory.slot(1).unwrap();
    memory.words().iter().skip(SHARDS).for_each(|word| word.store(u64::MAX, Ordering::Relaxed));
    (LOADS..LOADS + MAX_REASONS)
        .chain(crate::shared::SLOTS..NAMES)
        .for_each(|word| memory.words()[word].store(u64::MAX, Ordering::Relaxed));
    for shard in &shards {
        shard.begin();
        shard.answered(1, 200);
        shard.end(Duration::MAX);
    }
    memory.count_load(&Reason::Crashed);
    let before = slot.enter(1, 2, 3);
    slot.leave(before);
    let mut tally = Tally::default();
    for _ in 0..3 {
        memory.add_to(&mut tally);
    }
    let twice = tally.clone();
    tally.add(&twice);
    assert!(tally.in_flight() <= tally.begun);
}

#[test]
fn every_status_has_a_place() {
    let label = |status| code_label(code_index(status));
    assert_eq!([200, 201, 504].map(label), ["200", "201", "504"]);
    assert_eq!([100, 299, 399, 499, 599, 999].map(label), ["2xx", "2xx", "3xx", "4xx", "5xx", "5xx"]);
    let labels: BTreeSet<_> = (0..CODES.len() + CLASSES).map(code_label).collect();
    assert_eq!(labels.len(), CODES.len() + CLASSES);
}
