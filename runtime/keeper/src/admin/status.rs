//! /status.json.
//!
//! Owns its form, version 1, which docs/admin.md describes: fields are added, never changed or taken away without another version. Pure.

use std::collections::BTreeMap;

use hotbay_api::{EntryKey, EntryReport, EntryState, Serving, Trouble};
use hotbay_protocol::{CODES, Tally};
use serde::Serialize;

use super::Facts;

/// Where every reason is explained at length.
const REASONS: &str = "https://github.com/hotbay/hotbay/blob/main/docs/reasons.md";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'f> {
    version: u32,
    time: u64,
    runtime: Runtime<'f>,
    totals: Totals,
    engines: Vec<Engine>,
    modules: Vec<Module<'f>>,
    crashes: Vec<Crash<'f>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Runtime<'f> {
    version: &'static str,
    abi: &'f str,
    platform: &'f str,
    ready: bool,
    uptime_seconds: u64,
    keeper_memory_bytes: u64,
    /// What is wrong with the runtime as a whole.
    trouble: Option<Failure<'f>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Totals {
    requests: u64,
    errors: u64,
    in_flight: u64,
    handovers: u64,
    handover_failures: u64,
    engine_starts: u64,
    engine_crashes: u64,
    quarantined_revisions: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Engine {
    generation: u64,
    stage: &'static str,
    pid: i32,
    uptime_seconds: u64,
    memory_bytes: u64,
    requests_in_flight: u64,
    images: u64,
    retired_images: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Module<'f> {
    namespace: &'f str,
    name: &'f str,
    state: EntryState,
    wanted: &'f str,
    serving: Option<&'f Serving>,
    failure: Option<Failure<'f>>,
    routes: &'f [String],
    more_routes: u32,
    requests: u64,
    errors: u64,
    crashes: u64,
    /// What is to be known of what serves.
    notice: Option<Failure<'f>>,
    stalls: u64,
}

#[derive(Serialize)]
struct Failure<'f> {
    reason: &'f str,
    message: &'f str,
    /// What to do about the reason, and whether waiting helps; empty for a word of a newer version.
    remedy: &'static str,
    waiting: &'static str,
    link: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Crash<'f> {
    engine: u64,
    seconds_ago: u64,
    module: Option<String>,
    story: &'f str,
}

/// Everything, as JSON.
pub(super) fn render(facts: &Facts) -> Vec<u8> {
    let report = &facts.report;
    let status = Status {
        version: 1,
        time: facts.now,
        runtime: Runtime {
            version: env!("CARGO_PKG_VERSION"),
            abi: &report.abi,
            platform: &report.platform,
            ready: facts.ready,
            uptime_seconds: facts.uptime.as_secs(),
            keeper_memory_bytes: facts.keeper.resident_bytes.unwrap_or_default(),
            trouble: report.trouble.as_ref().map(failure),
        },
        totals: totals(facts),
        engines: facts.engines.iter().map(engine).collect(),
        modules: modules(facts),
        crashes: facts.deaths.iter().map(crash).collect(),
    };
    // Plain data of our own: it always has a JSON form.
    serde_json::to_vec(&status).unwrap_or_default()
}

fn totals(facts: &Facts) -> Totals {
    let (requests, errors) =
        facts.tally.answers.values().fold((0_u64, 0_u64), |(requests, errors), counts| {
            let (more, worse) = sums(counts);
            // A module can write any number there.
            (more.wrapping_add(requests), worse.wrapping_add(errors))
        });
    Totals {
        requests,
        errors,
        in_flight: facts.in_flight(),
        handovers: facts.handovers.iter().map(|(_, count)| count).sum(),
        handover_failures: facts.handover_failures,
        engine_starts: facts.starts.iter().map(|(_, count)| count).sum(),
        engine_crashes: facts.crashes.iter().map(|(_, count)| count).sum(),
        quarantined_revisions: facts.quarantined,
    }
}

fn engine(engine: &super::EngineFacts) -> Engine {
    Engine {
        generation: engine.generation,
        stage: engine.stage,
        pid: engine.pid,
        uptime_seconds: engine.uptime.as_secs(),
        memory_bytes: engine.process.resident_bytes.unwrap_or_default(),
        requests_in_flight: engine.in_flight,
        images: engine.images.mapped,
        retired_images: engine.images.retired,
    }
}

fn modules(facts: &Facts) -> Vec<Module<'_>> {
    let routes: BTreeMap<&EntryKey, _> = facts.routes.iter().map(|routes| (&routes.key, routes)).collect();
    let (crashes, stalls) = (by_key(&facts.crashes), by_key(&facts.stalls));
    let module = |entry: &'_ EntryReport| -> (u64, u64) { counts(&facts.tally, &entry.key) };
    let entries = facts.report.entries.iter();
    entries
        .map(|entry| {
            let (requests, errors) = module(entry);
            let routes = routes.get(&entry.key);
            Module {
                namespace: &entry.key.namespace,
                name: &entry.key.name,
                state: entry.state,
                wanted: &entry.wanted,
                serving: entry.serving.as_ref(),
                failure: entry.failure.as_ref().map(failure),
                routes: routes.map_or(&[], |routes| &routes.routes),
                more_routes: routes.map_or(0, |routes| routes.more),
                requests,
                errors,
                crashes: crashes.get(&entry.key).copied().unwrap_or_default(),
                notice: entry.notice.as_ref().map(failure),
                stalls: stalls.get(&entry.key).copied().unwrap_or_default(),
            }
        })
        .collect()
}

fn by_key(counts: &[(Option<EntryKey>, u64)]) -> BTreeMap<&EntryKey, u64> {
    counts.iter().filter_map(|(key, count)| Some((key.as_ref()?, *count))).collect()
}

fn crash(death: &super::facts::DeathFacts) -> Crash<'_> {
    Crash {
        engine: death.engine,
        seconds_ago: death.ago.as_secs(),
        module: death.module.as_ref().map(ToString::to_string),
        story: &death.story,
    }
}

fn failure(trouble: &Trouble) -> Failure<'_> {
    let explanation = trouble.reason.explanation();
    Failure {
        reason: trouble.reason.as_str(),
        message: &trouble.message,
        remedy: explanation.map_or("", |explanation| explanation.remedy),
        waiting: explanation.map_or("", |explanation| explanation.waiting),
        link: match explanation {
            Some(_) => format!("{REASONS}#{}", trouble.reason.as_str().to_ascii_lowercase()),
            None => REASONS.to_owned(),
        },
    }
}

/// Requests and errors of one module.
fn counts(tally: &Tally, key: &EntryKey) -> (u64, u64) {
    tally.answers.get(&Some(key.clone())).map_or((0, 0), |counts| sums(counts))
}

/// All answers, and those with a status of 500 and more.
fn sums(counts: &[u64]) -> (u64, u64) {
    let is_error = |index: usize| CODES.get(index).map_or(index + 1 == counts.len(), |code| *code >= 500);
    // A module can write any number there.
    let sum = |counts: &mut dyn Iterator<Item = &u64>| counts.fold(0, |sum, count| count.wrapping_add(sum));
    let mut errors = counts.iter().enumerate().filter(|(index, _)| is_error(*index)).map(|(_, count)| count);
    (sum(&mut counts.iter()), sum(&mut errors))
}

#[cfg(test)]
mod tests {
    use hotbay_api::{LocalReport, Reason};
    use hotbay_protocol::EntryRoutes;

    use super::*;

    #[test]
    fn a_failing_module_comes_with_reason_remedy_and_counts() {
        let key = EntryKey::new("shop", "faulty").unwrap();
        let failure = Trouble { reason: Reason::Quarantined, message: "SIGSEGV at 0x8".into() };
        let entry = EntryReport {
            key: key.clone(),
            sequence: None,
            state: EntryState::Failed,
            wanted: "2.0".into(),
            serving: None,
            failure: Some(failure),
            notice: None,
        };
        let mut counted = [0; 32];
        // 200, 404, 500, and others of 4xx and 5xx.
        for (index, count) in [(0, 10), (14, 3), (24, 2), (30, 5), (31, 1)] {
            counted[index] = count;
        }
        let report = LocalReport { entries: vec![entry], ..LocalReport::default() };
        let mut facts = Facts { report, ..Facts::default() };
        facts.tally.answers.insert(Some(key.clone()), counted);
        facts.routes = vec![EntryRoutes { key: key.clone(), routes: vec!["GET /faulty".into()], more: 2 }];
        facts.crashes = vec![(None, 1), (Some(key), 2)];
        let status: serde_json::Value = serde_json::from_slice(&render(&facts)).unwrap();
        let module = &status["modules"][0];
        assert_eq!((&status["version"], &status["totals"]["engineCrashes"]), (&1.into(), &3.into()));
        assert_eq!([&module["requests"], &module["errors"], &module["crashes"]], [21, 3, 2]);
        assert_eq!((&module["routes"][0], &module["moreRoutes"]), (&"GET /faulty".into(), &2.into()));
        let failure = &module["failure"];
        assert_eq!(failure["link"], format!("{REASONS}#quarantined"));
        assert!(failure["remedy"].as_str().unwrap().len() > 10, "{failure}");
    }
}
