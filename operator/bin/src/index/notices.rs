//! What is told of a change, as a Kubernetes event.
//!
//! Owns which differences between two statuses are news. The status on the API server is the memory: a new operator repeats nothing, and
//! what stays as it is is told once. Must not write: a notice goes out after the status that it is about.

use std::collections::BTreeMap;

use hotbay_api::condition::{DEMOTED, READY, RECONCILING, STALLED, SUSPENDED, SWEEP_HELD, find};
use hotbay_api::{
    Condition, ConditionStatus, EntryKey, HandlerModuleStatus, PodFailure, PoolRef, Reason, RuntimePoolStatus,
};

/// News of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Which object.
    pub about: About,
    /// What is told.
    pub news: News,
}

/// The object of a notice, with its UID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// A HandlerModule.
    Module(EntryKey, String),
    /// A RuntimePool.
    Pool(PoolRef, String),
}

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// Whether somebody should look.
    pub warning: bool,
    /// In one word, of the list that the docs explain.
    pub reason: Reason,
    /// What the operator was doing: `Prepare`, `Serve`, `Sweep`.
    pub action: &'static str,
    /// For people.
    pub message: String,
}

impl News {
    fn normal(action: &'static str, reason: Reason, message: impl Into<String>) -> Self {
        Self { warning: false, reason, action, message: message.into() }
    }

    fn warning(action: &'static str, reason: Reason, message: impl Into<String>) -> Self {
        Self { warning: true, reason, action, message: message.into() }
    }
}

/// What is new of a module.
pub fn of_module(previous: Option<&HandlerModuleStatus>, next: &HandlerModuleStatus) -> Vec<News> {
    let before = previous.cloned().unwrap_or_default();
    let (trouble_before, trouble) = (trouble(&before.conditions), trouble(&next.conditions));
    let mut news = Vec::new();
    if let (Some(revision), Some(artifact)) = (&next.revision, &next.artifact)
        && before.revision != next.revision
    {
        let pool = next.runtime.as_deref().unwrap_or_default();
        let message = format!("prepared {revision} from {}, for the pods of {pool}", artifact.digest);
        news.push(News::normal("Prepare", Reason::Progressing, message));
    }
    if appears(&before.conditions, &next.conditions, SUSPENDED)
        && let Some(suspended) = find(&next.conditions, SUSPENDED)
    {
        news.push(News::normal("Suspend", Reason::Suspended, &suspended.message));
    }
    if appears(&before.conditions, &next.conditions, DEMOTED)
        && let Some(demoted) = find(&next.conditions, DEMOTED)
    {
        news.push(News::warning("Observe", demoted.reason.clone(), &demoted.message));
    }
    if let Some(trouble) = trouble {
        // Of another generation or artifact it is another trouble, though it may have the same name.
        let same = before.observed_generation == next.observed_generation && before.revision == next.revision;
        if !same || trouble_before.map(|before| &before.reason) != Some(&trouble.reason) {
            news.push(News::warning("Refuse", trouble.reason.clone(), &trouble.message));
        }
    }
    news.extend(new_failures(&before.failures, &next.failures, trouble.map(|trouble| &trouble.reason)));
    if let Some(ready) = holds(&next.conditions, READY)
        && trouble.is_none()
        && next.failures.is_empty()
    {
        let had_trouble = trouble_before.is_some() || !before.failures.is_empty();
        let is_new = holds(&before.conditions, READY).is_none()
            || (&before.serving_generation, &before.revision) != (&next.serving_generation, &next.revision);
        if had_trouble {
            news.push(News::normal("Recover", Reason::Succeeded, format!("all is well: {}", ready.message)));
        } else if is_new {
            news.push(News::normal("Serve", Reason::Succeeded, &ready.message));
        }
    }
    news
}

/// One piece of news for each reason that pods fail for since, but for the one that the conditions tell.
fn new_failures<'s>(
    before: &[PodFailure],
    next: &'s [PodFailure],
    told: Option<&'s Reason>,
) -> impl Iterator<Item = News> + use<'s> {
    let mut by_reason = BTreeMap::<&Reason, Vec<&PodFailure>>::new();
    let is_new = |failure: &&PodFailure| !before.contains(failure) && Some(&failure.reason) != told;
    for failure in next.iter().filter(is_new) {
        by_reason.entry(&failure.reason).or_default().push(failure);
    }
    by_reason.into_iter().filter_map(|(reason, failures)| {
        let (first, others) = failures.split_first()?;
        let more =
            if others.is_empty() { String::new() } else { format!(" (and {} more pods)", others.len()) };
        let message = format!("pod {}{more}: {}", first.pod, first.message);
        Some(News::warning("Serve", reason.clone(), message))
    })
}

/// What is new of a pool.
pub fn of_pool(previous: Option<&RuntimePoolStatus>, next: &RuntimePoolStatus) -> Vec<News> {
    let before = previous.map_or(&[][..], |previous| &previous.conditions);
    let (trouble_before, trouble) = (trouble(before), trouble(&next.conditions));
    let mut news = Vec::new();
    if let Some(held) = find(&next.conditions, SWEEP_HELD)
        && appears(before, &next.conditions, SWEEP_HELD)
    {
        news.push(News::warning("Sweep", held.reason.clone(), &held.message));
    }
    match (trouble_before, trouble) {
        // A pool that was just made has no pods yet; that is no news.
        (None, Some(trouble)) if before.is_empty() && trouble.reason == Reason::NoRuntimePods => {}
        (before, Some(trouble)) if before.map(|before| &before.reason) != Some(&trouble.reason) => {
            news.push(News::warning("Observe", trouble.reason.clone(), &trouble.message));
        }
        (Some(_), None) if holds(&next.conditions, READY).is_some() => {
            news.push(News::normal("Recover", Reason::Succeeded, "every ready pod reports"));
        }
        _ => {}
    }
    news
}

/// What is wrong, by the conditions: Ready is False, or the last try to follow the spec failed. Work under way is nothing wrong.
fn trouble(conditions: &[Condition]) -> Option<&Condition> {
    let ready = find(conditions, READY).filter(|ready| ready.status == ConditionStatus::False);
    let unfinished = || holds(conditions, STALLED).or_else(|| holds(conditions, RECONCILING));
    let found = ready.or_else(unfinished)?;
    let harmless = matches!(found.reason, Reason::Progressing | Reason::Suspended | Reason::Succeeded);
    (!harmless).then_some(found)
}

fn holds<'c>(conditions: &'c [Condition], kind: &str) -> Option<&'c Condition> {
    find(conditions, kind).filter(|condition| condition.status == ConditionStatus::True)
}

fn appears(before: &[Condition], next: &[Condition], kind: &str) -> bool {
    holds(before, kind).is_none() && holds(next, kind).is_some()
}
