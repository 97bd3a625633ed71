//! Thousands of config changes of one module, each a new instance and the end of the old one, under load: nothing may be left of them.

use std::time::Instant;

use hotbay_e2e::http::Protocol;
use hotbay_e2e::load::Load;
use hotbay_e2e::modules;
use serde_json::{Value, json};

use super::pod::{Held, PATH, Pod};

/// By default, in 20 to 80 s; `HOTBAY_TEST_CONFIG_CHANGES=10000` takes some 4 minutes in a debug build. There the engine's second half
/// added 3 bytes a change; with one text of each instance forgotten it is 16,438.
const CHANGES: usize = 2_000;
/// So many samples of what the processes hold.
const SAMPLES: usize = 40;
/// Of each config: whatever is kept of one instance for ever is at least this.
const TEXT_BYTES: usize = 16 * 1024;
/// How much one change may add in the second half of all, on average: a sixteenth of the least that a forgotten instance would.
const NOISE_BYTES: f64 = 1024.0;

fn changes() -> usize {
    std::env::var("HOTBAY_TEST_CONFIG_CHANGES").map_or(CHANGES, |changes| changes.parse().unwrap())
}

fn text(number: usize) -> String {
    format!("config {number}\n{}", "x".repeat(TEXT_BYTES))
}

fn config(number: usize) -> Value {
    json!({"text": text(number), "limits": {"rate": 1_000_000, "burst": 1_000_000}})
}

#[tokio::test]
async fn thousands_of_config_changes_leave_nothing_behind() {
    let pod = Pod::start(&modules::limits(), config(0));
    pod.serves("config 0\n").await;
    let load = Load::start(pod.address, Protocol::H1, 2, PATH);
    load.answered(20).await;
    let (changes, begin, mut samples) = (changes(), Instant::now(), Vec::new());
    for number in 1..=changes {
        pod.set(config(number));
        pod.serves(&format!("config {number}\n")).await;
        if number % (changes / SAMPLES) == 0 {
            samples.push((pod.engine(), pod.keeper()));
        }
    }
    let took = begin.elapsed();
    let tally = load.stop().await;
    assert!(tally.ok > 0 && tally.failed() == 0, "{tally:?}");
    assert_eq!(pod.report().engine, 1, "no engine was replaced");
    let (engine, keeper): (Vec<Held>, Vec<Held>) = samples.into_iter().unzip();
    let told = [assert_steady("engine", &engine, changes), assert_steady("keeper", &keeper, changes)];
    println!("{changes} changes in {took:?}, {} answers meanwhile; {}", tally.ok, told.join("; "));
}

/// The second half of all changes adds nothing; the first may, while allocators and tables find their size.
fn assert_steady(who: &str, samples: &[Held], changes: usize) -> String {
    let (first, second) = samples.split_at(samples.len() / 2);
    let per_change = |half: &[Held]| slope(half) * 1024.0 * samples.len() as f64 / changes as f64;
    let (warming, steady) = (per_change(first), per_change(second));
    let begin = samples[0];
    let end = samples[samples.len() - 1];
    let told = format!(
        "{who}: {warming:.0} and {steady:.0} bytes a change in the two halves, from {begin:?} to {end:?}"
    );
    assert!(steady < NOISE_BYTES, "{told}: {samples:?}");
    for held in second {
        // A request of the load may be under way, or its connection on its way out.
        let descriptors = held.descriptors.abs_diff(second[0].descriptors);
        assert!(held.threads == second[0].threads && descriptors <= 4, "{told}: {samples:?}");
    }
    told
}

/// KiB a sample, by least squares.
fn slope(samples: &[Held]) -> f64 {
    let count = samples.len() as f64;
    let mean_at = (count - 1.0) / 2.0;
    let mean = samples.iter().map(|held| held.resident_kib as f64).sum::<f64>() / count;
    let (mut both, mut squares) = (0.0, 0.0);
    for (at, held) in samples.iter().enumerate() {
        let from_mean = at as f64 - mean_at;
        both += from_mean * (held.resident_kib as f64 - mean);
        squares += from_mean * from_mean;
    }
    both / squares
}
