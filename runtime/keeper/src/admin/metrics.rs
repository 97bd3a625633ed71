//! /metrics, in Prometheus' text format.
//!
//! Owns the names, their help and what labels they have; docs/metrics.md lists them, and a test compares. Counters are of all engines that this
//! keeper had, so no handover and no crash makes one fall. Pure.

mod series;

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};

use hotbay_api::{EntryKey, EntryReport, EntryState, Reason};
use hotbay_protocol::{BUCKETS_NS, PoolGauges, code_label};

use super::{EngineFacts, Facts};
use crate::procfs::{self, Process};

pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Name, type and help of everything that is exported.
const METRICS: &[(&str, &str, &str)] = &[
    ("hotbay_build_info", "gauge", "Always 1; what runs is in the labels."),
    ("hotbay_ready", "gauge", "1 if /readyz says so."),
    (
        "hotbay_requests_total",
        "counter",
        "Answers by module and status code; without a module, the engine's own.",
    ),
    ("hotbay_request_duration_seconds", "histogram", "From the request's head to the answer's."),
    ("hotbay_requests_in_flight", "gauge", "Requests that are under way."),
    ("hotbay_connections_cut_total", "counter", "Connections that did not end within an engine's drain."),
    ("hotbay_modules", "gauge", "Entries of the bay by how far their wanted revision has come."),
    ("hotbay_loads_total", "counter", "Revisions that engines prepared, by how that ended."),
    ("hotbay_engines", "gauge", "Engines that live."),
    ("hotbay_engine_starts_total", "counter", "Engines that were started, by why."),
    ("hotbay_handovers_total", "counter", "Engines that took over from one that lived, by why."),
    ("hotbay_handover_failures_total", "counter", "Handovers after which the old engine served on."),
    (
        "hotbay_engine_crashes_total",
        "counter",
        "Engines that ended unasked, by the module that is to blame, if one is.",
    ),
    (
        "hotbay_quarantined_revisions",
        "gauge",
        "Revisions that are not loaded any more because they ended engines.",
    ),
    ("hotbay_stalls_total", "counter", "Calls that held a thread that serves, by module."),
    ("hotbay_demoted", "gauge", "Modules whose calls run on the blocking threads because they held others."),
    ("hotbay_blocking_threads", "gauge", "Threads for handlers that may hold theirs."),
    ("hotbay_blocking_threads_busy", "gauge", "Those of them that are in a call."),
    (
        "hotbay_blocking_threads_abandoned",
        "gauge",
        "Those of these whose call nobody waits for any more, and which does not return.",
    ),
    ("hotbay_blocking_calls_waiting", "gauge", "Calls that wait for such a thread."),
    ("hotbay_blocking_calls_rejected_total", "counter", "Calls refused because too many waited, or in vain."),
    ("hotbay_images", "gauge", "Module images that engines have mapped; retired ones serve nobody."),
    (
        "process_cpu_seconds_total",
        "counter",
        "CPU time; the engines' is of all that there were, with their probes.",
    ),
    ("process_resident_memory_bytes", "gauge", "Resident memory."),
    ("process_open_fds", "gauge", "Open descriptors."),
    (
        "process_start_time_seconds",
        "gauge",
        "Since when the process runs, in seconds since the epoch; of engines, the newest.",
    ),
];

/// Writes the text.
struct Text(String);

type Labels<'l> = &'l [(&'l str, &'l str)];

impl Text {
    fn head(&mut self, name: &str) {
        if let Some((_, kind, help)) = METRICS.iter().find(|(known, ..)| *known == name) {
            // Writing to a String cannot fail.
            let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        }
    }

    fn sample(&mut self, name: &str, labels: Labels, value: impl Display) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let before = if index == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{before}{label}=\"{text}\"");
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }

    /// One metric without labels.
    fn single(&mut self, name: &str, value: impl Display) {
        self.head(name);
        self.sample(name, &[], value);
    }

    /// One metric with one label.
    fn family<'t, V: Display>(
        &mut self,
        name: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'t str, V)>,
    ) {
        self.head(name);
        for (text, value) in values {
            self.sample(name, &[(label, text)], value);
        }
    }
}

/// Everything, as text.
pub(super) fn render(facts: &Facts) -> String {
    let mut text = Text(String::with_capacity(16 * 1024));
    text.head("hotbay_build_info");
    let version = env!("CARGO_PKG_VERSION");
    let labels = [("version", version), ("abi", &facts.report.abi), ("platform", &facts.report.platform)];
    text.sample("hotbay_build_info", &labels, 1);
    text.single("hotbay_ready", u8::from(facts.ready));
    requests(&mut text, facts);
    modules(&mut text, facts);
    engines(&mut text, facts);
    processes(&mut text, facts);
    series::modules(&mut text, &facts.figures);
    text.0
}

fn requests(text: &mut Text, facts: &Facts) {
    text.head("hotbay_requests_total");
    for (module, counts) in &facts.tally.answers {
        let module = module.as_ref().map(ToString::to_string).unwrap_or_default();
        for (index, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            text.sample("hotbay_requests_total", &[("module", &module), ("code", &code_label(index))], count);
        }
    }
    let name = "hotbay_request_duration_seconds";
    text.head(name);
    let durations = &facts.tally.durations;
    let mut sum = 0_u64;
    for (bound_ns, count) in BUCKETS_NS.iter().zip(durations.buckets) {
        // A module can write any number there.
        sum = count.wrapping_add(sum);
        let bound = seconds(*bound_ns).to_string();
        text.sample(&format!("{name}_bucket"), &[("le", &bound)], sum);
    }
    text.sample(&format!("{name}_bucket"), &[("le", "+Inf")], durations.count());
    text.sample(&format!("{name}_sum"), &[], seconds(durations.sum_ns));
    text.sample(&format!("{name}_count"), &[], durations.count());
    let in_flight = facts.in_flight();
    text.single("hotbay_requests_in_flight", in_flight);
    text.single("hotbay_connections_cut_total", facts.cut);
}

fn modules(text: &mut Text, facts: &Facts) {
    let count = |state| facts.report.entries.iter().filter(|entry| entry.state == state).count();
    let states =
        [("active", EntryState::Active), ("pending", EntryState::Pending), ("failed", EntryState::Failed)];
    text.family("hotbay_modules", "state", states.map(|(label, state)| (label, count(state))));
    let loads = facts.tally.loads.iter().map(|(reason, count)| (reason.as_str(), *count));
    text.family("hotbay_loads_total", "reason", with_zeros(&["Succeeded"], loads));
    text.single("hotbay_quarantined_revisions", facts.quarantined);
    stalls(text, facts);
    let images = facts.engines.iter().map(|engine| engine.images);
    let (mapped, retired) = images.fold((0_u64, 0_u64), |(mapped, retired), images| {
        (mapped.wrapping_add(images.mapped), retired.wrapping_add(images.retired))
    });
    let used = mapped.saturating_sub(retired);
    text.family("hotbay_images", "state", [("used", used), ("retired", retired)]);
}

fn stalls(text: &mut Text, facts: &Facts) {
    by_module(text, "hotbay_stalls_total", &facts.stalls);
    let demoted =
        |entry: &&EntryReport| entry.notice.as_ref().is_some_and(|notice| notice.reason == Reason::Stalled);
    text.single("hotbay_demoted", facts.report.entries.iter().filter(demoted).count());
    // A module can write any number there.
    let sum = |read: fn(&PoolGauges) -> u64| {
        facts.engines.iter().fold(0_u64, |sum, engine| sum.wrapping_add(read(&engine.pool)))
    };
    text.single("hotbay_blocking_threads", sum(|pool| pool.threads));
    text.single("hotbay_blocking_threads_busy", sum(|pool| pool.busy));
    text.single("hotbay_blocking_threads_abandoned", sum(|pool| pool.abandoned));
    text.single("hotbay_blocking_calls_waiting", sum(|pool| pool.waiting));
    text.single("hotbay_blocking_calls_rejected_total", facts.tally.rejected);
}

fn by_module(text: &mut Text, name: &str, counts: &[(Option<EntryKey>, u64)]) {
    text.head(name);
    for (module, count) in counts {
        let module = module.as_ref().map(ToString::to_string).unwrap_or_default();
        text.sample(name, &[("module", &module)], count);
    }
}

fn engines(text: &mut Text, facts: &Facts) {
    let count = |stage| facts.engines.iter().filter(|engine| engine.stage == stage).count();
    let stages = ["starting", "active", "draining"];
    text.family("hotbay_engines", "stage", stages.map(|stage| (stage, count(stage))));
    let starts = with_zeros(&["first", "crash", "reload", "wanted"], facts.starts.iter().copied());
    text.family("hotbay_engine_starts_total", "why", starts);
    let handovers = with_zeros(&["reload", "wanted"], facts.handovers.iter().copied());
    text.family("hotbay_handovers_total", "why", handovers);
    text.single("hotbay_handover_failures_total", facts.handover_failures);
    by_module(text, "hotbay_engine_crashes_total", &facts.crashes);
}

fn processes(text: &mut Text, facts: &Facts) {
    let engines = || facts.engines.iter().map(|engine: &EngineFacts| &engine.process);
    let sum = |read: fn(&Process) -> Option<u64>| engines().filter_map(read).sum::<u64>();
    let keeper = &facts.keeper;
    let cpu = [("keeper", keeper.cpu_ticks), ("engine", engines_cpu_ticks(facts))];
    let cpu = cpu.into_iter().filter_map(|(process, ticks)| Some((process, procfs::seconds(ticks?))));
    text.family("process_cpu_seconds_total", "process", cpu);
    let memory = |process: &Process| process.resident_bytes;
    let memory = [("keeper", keeper.resident_bytes.unwrap_or_default()), ("engine", sum(memory))];
    text.family("process_resident_memory_bytes", "process", memory);
    let fds = |process: &Process| process.open_fds;
    text.family(
        "process_open_fds",
        "process",
        [("keeper", keeper.open_fds.unwrap_or_default()), ("engine", sum(fds))],
    );
    let newest = engines()
        .filter_map(|process| process.start_time)
        .fold(None, |newest: Option<f64>, start| Some(newest.map_or(start, |newest| newest.max(start))));
    let started = [("keeper", keeper.start_time), ("engine", newest)];
    let started = started.into_iter().filter_map(|(process, start)| Some((process, start?)));
    text.family("process_start_time_seconds", "process", started);
}

/// CPU time of all engines that there were; nothing if a part of it cannot be read, since a sum without that would be a counter that falls.
/// Summed in ticks: what moves from the living to the reaped must not change the sum, as the rounding of seconds would.
fn engines_cpu_ticks(facts: &Facts) -> Option<u64> {
    let living = facts.engines.iter().map(|engine| engine.process.cpu_ticks);
    living.chain([facts.keeper.reaped_cpu_ticks]).try_fold(0_u64, |sum, ticks| Some(sum.wrapping_add(ticks?)))
}

/// `values`, and 0 for those of `labels` that have none: a series that is not there yet cannot be seen to rise.
fn with_zeros<'l>(
    labels: &[&'l str],
    values: impl Iterator<Item = (&'l str, u64)>,
) -> impl Iterator<Item = (&'l str, u64)> {
    let mut all: BTreeMap<&str, u64> = labels.iter().map(|label| (*label, 0)).collect();
    all.extend(values);
    all.into_iter()
}

#[expect(clippy::cast_precision_loss, reason = "a sum of 104 days is still exact to the nanosecond")]
fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests;
