//! How the ready pods of a pool stand with one entry.
//!
//! Owns what a report says about an entry: it is served if the pod's watermark reached it and no exception names it.

use hotbay_api::{Entry, EntryId, EntryState, ReportException, ReportNotice, Revision, RuntimeReportFields};

/// A ready pod of the pool.
#[derive(Clone, Debug)]
pub struct Pod<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its own report; `None` if there is none, or one that another pod of this name left.
    pub report: Option<&'a RuntimeReportFields>,
}

/// An entry as it is in the cluster.
#[derive(Clone, Debug)]
pub struct EntryInForce<'a> {
    /// What it says.
    pub entry: &'a Entry,
    /// The resourceVersion of its ConfigMap.
    pub sequence: u64,
    /// The generation of the HandlerModule that it was written for.
    pub generation: i64,
}

/// How one pod stands with one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing<'a> {
    /// It serves the wanted revision.
    Serving,
    /// It tried and failed.
    Failed(&'a ReportException),
    /// It is under way, or says nothing about it.
    Unknown {
        /// What answers meanwhile, if the pod says so.
        instead: Option<&'a str>,
    },
}

/// How `pod` stands with `entry`.
pub fn standing<'a>(pod: &Pod<'a>, entry: &EntryInForce) -> Standing<'a> {
    let Some(report) = pod.report else { return Standing::Unknown { instead: None } };
    let id = &entry.entry.id;
    let about =
        |exception: &&ReportException| exception.namespace == id.namespace && exception.name == id.name;
    let sequence = i64::try_from(entry.sequence).unwrap_or(i64::MAX);
    match report.exceptions.iter().find(about) {
        // An exception about an older sequence tells nothing of this one.
        Some(exception) if exception.sequence >= sequence && exception.state == EntryState::Failed => {
            Standing::Failed(exception)
        }
        Some(exception) => Standing::Unknown { instead: exception.serving_revision.as_deref() },
        // The watermark ends before the first exception that is not listed, so it holds for a truncated report too.
        None if report.applied_through < sequence => Standing::Unknown { instead: None },
        None => Standing::Serving,
    }
}

/// What pods say of an entry that they serve.
pub(super) fn notices<'a>(pods: &[Pod<'a>], id: &EntryId) -> impl Iterator<Item = &'a ReportNotice> {
    let about = |notice: &&ReportNotice| notice.namespace == id.namespace && notice.name == id.name;
    pods.iter().filter_map(|pod| pod.report).flat_map(|report| &report.notices).filter(about)
}

/// Whether there are pods, and all of them serve the wanted revision of `entry` now.
pub fn is_served(pods: &[Pod], entry: &EntryInForce) -> bool {
    !pods.is_empty() && pods.iter().all(|pod| standing(pod, entry) == Standing::Serving)
}

/// What answers where the wanted revision does not yet, as far as the pods say.
pub(super) fn serving_instead<'a>(pods: &[Pod<'a>], entry: &EntryInForce) -> Option<&'a str> {
    pods.iter().find_map(|pod| match standing(pod, entry) {
        Standing::Serving => None,
        Standing::Failed(exception) => exception.serving_revision.as_deref(),
        Standing::Unknown { instead } => instead,
    })
}

/// What answers requests for the module now, as far as the pods say.
pub(super) fn serving<'a>(pods: &[Pod<'a>], entry: &EntryInForce<'a>) -> Option<&'a str> {
    pods.iter().find_map(|pod| match standing(pod, entry) {
        Standing::Serving => entry.entry.wanted().map(|revision: &Revision| revision.revision.as_str()),
        Standing::Failed(exception) => exception.serving_revision.as_deref(),
        Standing::Unknown { instead } => instead,
    })
}
