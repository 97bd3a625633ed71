//! The status of a pool.
//!
//! Owns the counts of pods and modules, which live here and not on modules, so that a pod more changes one object and not all.

use std::collections::BTreeSet;

use hotbay_api::{ModuleCounts, PodCounts, PoolRef, Reason, RuntimePoolStatus, condition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::conditions::Conditions;
use super::{EntryInForce, Pod, Standing, standing};
use crate::Class;

/// All that a pool's status follows from.
#[derive(Debug)]
pub struct PoolCase<'a> {
    /// The pool.
    pub pool: &'a PoolRef,
    /// Of its spec.
    pub generation: i64,
    /// Its ready pods.
    pub pods: &'a [Pod<'a>],
    /// Its entries.
    pub entries: &'a [EntryInForce<'a>],
    /// How many orphaned entries wait for consent; 0: none.
    pub held_removals: usize,
    /// Why its namespace cannot be read, if so: then nothing is known of pods and entries.
    pub unreadable: Option<&'a str>,
    /// What was written last.
    pub previous: Option<&'a RuntimePoolStatus>,
    /// The time of day.
    pub now: &'a Time,
}

/// The status that the pool has now.
pub fn pool_status(case: &PoolCase) -> RuntimePoolStatus {
    let reports = || case.pods.iter().filter_map(|pod| pod.report);
    let converged = |pod: &&Pod| case.entries.iter().all(|entry| standing(pod, entry) == Standing::Serving);
    let pods = PodCounts {
        ready: count(case.pods.len()),
        reporting: count(reports().count()),
        converged: count(case.pods.iter().filter(|pod| pod.report.is_some()).filter(converged).count()),
    };
    let failed = |entry: &&EntryInForce| {
        case.pods.iter().any(|pod| matches!(standing(pod, entry), Standing::Failed(_)))
    };
    let abis: BTreeSet<&str> =
        reports().map(|report| report.abi.as_str()).filter(|abi| !abi.is_empty()).collect();
    let platforms: BTreeSet<&String> =
        reports().map(|report| &report.platform).filter(|platform| !platform.is_empty()).collect();
    RuntimePoolStatus {
        observed_generation: case.generation,
        modules: ModuleCounts {
            attached: count(case.entries.len()),
            failed: count(case.entries.iter().filter(failed).count()),
        },
        abi: Some(abis.into_iter().collect::<Vec<_>>().join(",")).filter(|abi| !abi.is_empty()),
        platforms: platforms.into_iter().cloned().collect(),
        conditions: conditions(case, &pods),
        pods,
    }
}

fn conditions(case: &PoolCase, pods: &PodCounts) -> Vec<hotbay_api::Condition> {
    let previous = case.previous.map_or(&[][..], |status| &status.conditions);
    let mut conditions = Conditions::new(case.generation, previous, case.now);
    let trouble = case.pods.iter().find_map(|pod| Some((pod.name, pod.report?.trouble.as_ref()?)));
    if let Some(why) = case.unreadable {
        conditions.set_false(condition::READY, Reason::PoolUnreadable, why);
        conditions.unfinished(Class::Waiting, Reason::PoolUnreadable, why);
    } else if pods.ready == 0 {
        let message = format!("no pod of {} is ready; look at its Deployment and Service", case.pool);
        conditions.set_false(condition::READY, Reason::NoRuntimePods, message.clone());
        conditions.unfinished(Class::Waiting, Reason::NoRuntimePods, message);
    } else if pods.reporting < pods.ready {
        let message = "some ready pods have not reported; if this lasts, look at the agent container's log";
        conditions.set_false(condition::READY, Reason::Progressing, message);
        conditions.unfinished(Class::Waiting, Reason::Progressing, message);
    } else if let Some((pod, trouble)) = trouble {
        let message = format!("pod {pod}: {}", trouble.message);
        conditions.set_false(condition::READY, trouble.reason.clone(), message.clone());
        conditions.unfinished(Class::Waiting, trouble.reason.clone(), message);
    } else {
        conditions.set_true(condition::READY, Reason::Succeeded, "every ready pod reports");
    }
    if case.held_removals > 0 {
        let message = format!(
            "{} entries have lost their HandlerModule, too many to remove unasked; if that is right, annotate the pool with {}=true",
            case.held_removals,
            hotbay_api::labels::ALLOW_SWEEP
        );
        conditions.set_true(condition::SWEEP_HELD, Reason::SweepHeld, message);
    }
    conditions.list
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use hotbay_api::{Condition, EntryState, ReportException, ReportTrouble, RuntimeReportFields};

    use super::*;
    use crate::build;
    use crate::testing::{module, revision};

    fn status(reports: &[Option<RuntimeReportFields>], held_removals: usize) -> RuntimePoolStatus {
        let entry = build::entry(&module("shop", "hello"), revision("a"), None).unwrap();
        let pods: Vec<Pod> =
            reports.iter().map(|report| Pod { name: "p0", report: report.as_ref() }).collect();
        pool_status(&PoolCase {
            pool: &"hotbay/default".parse().unwrap(),
            generation: 1,
            pods: &pods,
            entries: &[EntryInForce { entry: &entry, sequence: 7, generation: 1 }],
            held_removals,
            unreadable: None,
            previous: None,
            now: &Time(k8s_openapi::jiff::Timestamp::UNIX_EPOCH),
        })
    }

    fn report(applied_through: i64) -> RuntimeReportFields {
        let (abi, platform) = ("0.1".to_owned(), "linux/amd64".to_owned());
        RuntimeReportFields { applied_through, abi, platform, ..RuntimeReportFields::default() }
    }

    fn says(status: &RuntimePoolStatus) -> Vec<String> {
        let words =
            |condition: &Condition| format!("{}={:?} {}", condition.kind, condition.status, condition.reason);
        status.conditions.iter().map(words).collect()
    }

    #[test]
    fn pods_are_counted_by_how_far_they_are() {
        let failing = ReportException {
            namespace: "shop".into(),
            name: "hello".into(),
            sequence: 7,
            state: EntryState::Failed,
            reason: Reason::StartFailed,
            message: String::new(),
            serving_revision: None,
        };
        let failed = RuntimeReportFields { exceptions: vec![failing], ..report(7) };
        let status = status(&[Some(report(7)), Some(report(6)), None, Some(failed)], 0);
        assert_eq!(status.pods, PodCounts { ready: 4, reporting: 3, converged: 1 });
        assert_eq!(status.modules, ModuleCounts { attached: 1, failed: 1 });
        assert_eq!(
            (status.abi.as_deref(), &status.platforms[..]),
            (Some("0.1"), &["linux/amd64".to_owned()][..])
        );
        assert_eq!(says(&status), ["Ready=False Progressing", "Reconciling=True Progressing"]);
    }

    #[test]
    fn a_pool_is_ready_when_every_pod_reports_without_trouble() {
        assert_eq!(says(&status(&[Some(report(0))], 0)), ["Ready=True Succeeded"]);
        assert_eq!(says(&status(&[], 0)), ["Ready=False NoRuntimePods", "Reconciling=True NoRuntimePods"]);
        let trouble = ReportTrouble { reason: Reason::BayMissing, message: "no bay".into() };
        let troubled = RuntimeReportFields { trouble: Some(trouble), ..report(7) };
        assert_eq!(
            says(&status(&[Some(troubled)], 0)),
            ["Ready=False BayMissing", "Reconciling=True BayMissing"]
        );
    }

    #[test]
    fn held_removals_are_told() {
        assert_eq!(
            says(&status(&[Some(report(0))], 21)),
            ["Ready=True Succeeded", "SweepHeld=True SweepHeld"]
        );
    }
}
