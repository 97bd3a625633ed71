//! One pod's stand with its pool, in a few lines: "everything up to R is served, except these".
//!
//! Owns the watermark, the choice and the words of the exceptions, and the report's size. Strings of the local report may be a module's, so
//! they are cut and cleaned here. Pure.

use std::collections::BTreeMap;

use hotbay_api::{
    EntryKey, EntryReport, EntryState, LocalReport, MAX_EXCEPTIONS, MAX_NOTICES, Reason, ReportException,
    ReportNotice, ReportTrouble, RuntimeReportFields, Trouble,
};

use super::local::Local;
use crate::fill::KnownEntry;

/// The longest string that is taken over, in characters; the CRD's limit too.
const MAX_CHARS: usize = 256;
/// The largest report: a thousand of them are 16 MiB in etcd.
const MAX_BYTES: usize = 16 * 1024;

/// Whose report it is.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub pool: String,
    pub pod_uid: String,
}

/// Puts the report together. `known` are all entries of the pool.
pub(super) fn condense(identity: &Identity, known: &[KnownEntry], local: &Local) -> RuntimeReportFields {
    let nothing = LocalReport::default();
    let report = local.report.as_ref().unwrap_or(&nothing);
    let said: BTreeMap<&EntryKey, &EntryReport> =
        report.entries.iter().map(|entry| (&entry.key, entry)).collect();
    let mut exceptions: Vec<ReportException> =
        known.iter().filter_map(|entry| exception(entry, said.get(&entry.key).copied())).collect();
    // The oldest are listed: the watermark ends before the first that is not.
    exceptions.sort_by_key(|exception| exception.sequence);
    let newest = known.iter().map(|entry| number(entry.sequence)).max().unwrap_or(0);
    let notices = known.iter().filter_map(|entry| notice(&entry.key, said.get(&entry.key)?));
    let base = RuntimeReportFields {
        pool: identity.pool.clone(),
        pod_uid: identity.pod_uid.clone(),
        abi: clean(&report.abi, 32),
        platform: clean(&report.platform, 64),
        engine: report.engine,
        trouble: local.trouble.as_ref().or(report.trouble.as_ref()).map(trouble),
        notices: sorted(notices.collect()),
        ..RuntimeReportFields::default()
    };
    // As much as fits, first with whole messages; what fails comes before what is to be known.
    let bare = RuntimeReportFields { notices: Vec::new(), ..base.clone() };
    let sizes =
        [(MAX_EXCEPTIONS, MAX_CHARS), (MAX_EXCEPTIONS, 100), (MAX_EXCEPTIONS, 0), (32, 100), (16, 100)];
    let candidates = sizes.map(|(listed, chars)| {
        let base = if chars == MAX_CHARS { &base } else { &bare };
        list(base, &exceptions, newest, listed, chars)
    });
    let [.., last] = &candidates;
    candidates.iter().find(|report| fits(report)).unwrap_or(last).clone()
}

/// `base` with at most `listed` exceptions, whose messages have at most `chars` characters.
fn list(
    base: &RuntimeReportFields,
    exceptions: &[ReportException],
    newest: i64,
    listed: usize,
    chars: usize,
) -> RuntimeReportFields {
    let left_out = exceptions.get(listed);
    let mut told: Vec<ReportException> = exceptions.iter().take(listed).cloned().collect();
    for exception in &mut told {
        exception.message = clean(&exception.message, chars);
    }
    told.sort_by(|one, other| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
    RuntimeReportFields {
        applied_through: left_out.map_or(newest, |exception| exception.sequence - 1),
        exceptions: told,
        truncated: left_out.is_some(),
        ..base.clone()
    }
}

fn fits(report: &RuntimeReportFields) -> bool {
    serde_json::to_vec(report).is_ok_and(|json| json.len() <= MAX_BYTES)
}

/// Why `entry` is not served as the cluster has it; `None` if it is.
fn exception(entry: &KnownEntry, said: Option<&EntryReport>) -> Option<ReportException> {
    let current = said.filter(|said| said.sequence == Some(entry.sequence));
    let (state, why) = match (&entry.trouble, current.map(|said| (said.state, &said.failure))) {
        (_, Some((EntryState::Active, _))) => return None,
        // It has not reached the runtime. A blob that is not there (yet) may come; nothing else ends by itself.
        (Some(trouble), _) if trouble.reason == Reason::Incomplete => (EntryState::Pending, Some(trouble)),
        (Some(trouble), _) => (EntryState::Failed, Some(trouble)),
        (None, Some((state, failure))) => (state, failure.as_ref()),
        (None, None) => (EntryState::Pending, None),
    };
    let progressing = Trouble { reason: Reason::Progressing, message: String::new() };
    let why = why.unwrap_or(&progressing);
    Some(ReportException {
        namespace: entry.key.namespace.clone(),
        name: entry.key.name.clone(),
        sequence: number(entry.sequence),
        state,
        reason: word(&why.reason),
        message: clean(&why.message, MAX_CHARS),
        serving_revision: said
            .and_then(|said| said.serving.as_ref())
            .map(|serving| clean(&serving.revision, MAX_CHARS)),
    })
}

/// What is to be known of an entry, whichever of its sequences it serves.
fn notice(key: &EntryKey, said: &EntryReport) -> Option<ReportNotice> {
    let Trouble { reason, message } = said.notice.as_ref()?;
    Some(ReportNotice {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        reason: word(reason),
        message: clean(message, MAX_CHARS),
    })
}

/// In the order of their names, as many as a report lists.
fn sorted(mut notices: Vec<ReportNotice>) -> Vec<ReportNotice> {
    notices.sort_by(|one, other| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
    notices.truncate(MAX_NOTICES);
    notices
}

fn trouble(trouble: &Trouble) -> ReportTrouble {
    ReportTrouble { reason: word(&trouble.reason), message: clean(&trouble.message, MAX_CHARS) }
}

/// A reason is a word of ours or of a newer version of ours, never a text.
fn word(reason: &Reason) -> Reason {
    match reason {
        Reason::Unknown(word) => {
            Reason::from(word.chars().filter(char::is_ascii_alphanumeric).take(64).collect::<String>())
        }
        known => known.clone(),
    }
}

/// The first `max` characters that are no control characters.
fn clean(text: &str, max: usize) -> String {
    text.chars().filter(|character| !character.is_control()).take(max).collect()
}

/// Kubernetes' own numbers fit; another's that does not is at the end.
fn number(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
