//! The status of a module.
//!
//! Owns the latch: Ready stays True for a generation and digest that every ready pod served once, while pods come and go, while the
//! registry cannot be reached, and while the module is suspended; and so does Programmed, until a pod says that it fails. So neither a
//! scale-up nor a lost registry writes every object. After a restart without a registry the entry in force says what was wanted.

mod wanted;

use hotbay_api::condition::{self, find};
use hotbay_api::{
    ArtifactStatus, Condition, ConditionStatus, EntryState, HandlerModuleStatus, MAX_FAILURES, PodFailure,
    PoolRef, Reason, Revision,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::conditions::Conditions;
use super::pods::{notices, serving, serving_instead};
use super::{EntryInForce, Pod, Standing, standing};
use crate::refusal::{MAX_MESSAGE_BYTES, shortened};
use crate::{Aspect, Class, Refusal};
use wanted::is_suspension;

/// All that a module's status follows from.
#[derive(Debug)]
pub struct ModuleCase<'a> {
    /// Of its spec.
    pub generation: i64,
    /// The pool that it names.
    pub runtime: &'a PoolRef,
    /// Why it cannot be as this generation asks, or why the last look-up failed.
    pub refusal: Option<&'a Refusal>,
    /// What this generation came to; `None` while it is looked up, or if it is refused.
    pub wanted: Option<(&'a ArtifactStatus, &'a Revision)>,
    /// Its entry in the cluster.
    pub entry: Option<&'a EntryInForce<'a>>,
    /// What another pool, which the module leaves, still serves.
    pub left_behind: Option<(&'a PoolRef, &'a str)>,
    /// The ready pods of the pool.
    pub pods: &'a [Pod<'a>],
    /// The annotation whose look-up is done.
    pub handled_request: Option<&'a str>,
    /// What was written last.
    pub previous: Option<&'a HandlerModuleStatus>,
    /// The time of day.
    pub now: &'a Time,
}

/// The status that the module has now.
pub fn module_status(case: &ModuleCase) -> HandlerModuleStatus {
    // After a restart of the operator: what was said of this generation stands until its look-up is done.
    if let (None, None, Some(previous)) = (case.refusal, case.wanted, case.previous)
        && previous.observed_generation == case.generation
    {
        return previous.clone();
    }
    let verdict = Verdict::of(case);
    let mut conditions = Conditions::new(case.generation, case.previous_conditions(), case.now);
    case.accepted(&mut conditions);
    case.artifact_ready(&mut conditions);
    case.programmed(&verdict, &mut conditions);
    case.ready(&verdict, &mut conditions);
    case.demoted(&mut conditions);
    case.suspended(&mut conditions);
    case.status(&verdict, conditions.list)
}

/// Whether `status` says that a revision of this name was Ready in `generation` or a later one.
pub fn is_ready_for(status: &HandlerModuleStatus, revision: &str, generation: i64) -> bool {
    find(&status.conditions, condition::READY).is_some_and(|ready| {
        ready.status == ConditionStatus::True
            && ready.observed_generation >= generation
            && status.revision.as_deref() == Some(revision)
    })
}

/// Where the wanted revision stands.
#[derive(Debug, PartialEq)]
enum Verdict<'a> {
    /// It will not be handed to the pods.
    Refused(&'a Refusal),
    /// It is looked up, or its entry is about to be written.
    Underway,
    /// It is with the pods, and this one fails.
    Failing(&'a str, &'a hotbay_api::ReportException),
    /// It is with the pods, and no pod is ready.
    NoPods,
    /// It is with the pods, and some have not said that they serve it.
    Spreading,
    /// Every ready pod serves it.
    Served,
}

impl<'a> Verdict<'a> {
    fn of(case: &ModuleCase<'a>) -> Self {
        match (case.refusal, case.delivered()) {
            // It changes nothing about what the pods do.
            (Some(refusal), Some(entry)) if case.leaves_wanted(refusal) => Self::with_pods(case.pods, entry),
            (Some(refusal), _) if !(case.is_latched() && refusal.class == Class::Waiting) => {
                Self::Refused(refusal)
            }
            (_, Some(entry)) => Self::with_pods(case.pods, entry),
            _ => Self::Underway,
        }
    }

    fn with_pods(pods: &[Pod<'a>], entry: &EntryInForce) -> Self {
        let mut all_serve = true;
        for pod in pods {
            match standing(pod, entry) {
                Standing::Failed(exception) => return Self::Failing(pod.name, exception),
                Standing::Unknown { .. } => all_serve = false,
                Standing::Serving => {}
            }
        }
        match (pods, all_serve) {
            ([], _) => Self::NoPods,
            (_, true) => Self::Served,
            (_, false) => Self::Spreading,
        }
    }
}

impl<'a> ModuleCase<'a> {
    fn previous_conditions(&self) -> &'a [Condition] {
        self.previous.map_or(&[], |previous| &previous.conditions)
    }

    fn accepted(&self, conditions: &mut Conditions) {
        let before = find(self.previous_conditions(), condition::ACCEPTED).filter(|_| self.is_suspended());
        if let Some(Condition { status, reason, message, .. }) = before {
            conditions.set(condition::ACCEPTED, *status, reason.clone(), message);
            return;
        }
        let refusal = self.refusal.filter(|refusal| !is_suspension(refusal));
        match refusal.filter(|refusal| refusal.aspect == Aspect::Accepted) {
            Some(refusal) => {
                conditions.set_false(
                    condition::ACCEPTED,
                    refusal.reason.clone(),
                    self.and_what_serves(&refusal.message),
                );
            }
            None => {
                let message = format!("pool {} takes the module", self.runtime);
                conditions.set_true(condition::ACCEPTED, Reason::Succeeded, message);
            }
        }
    }

    fn artifact_ready(&self, conditions: &mut Conditions) {
        match (self.refusal, self.wanted()) {
            (Some(refusal), _) if refusal.aspect == Aspect::ArtifactReady => {
                conditions.set_false(condition::ARTIFACT_READY, refusal.reason.clone(), &refusal.message);
            }
            (_, Some((artifact, _))) => {
                let message = format!("{} is {}", artifact.reference, artifact.digest);
                conditions.set_true(condition::ARTIFACT_READY, Reason::Succeeded, message);
            }
            // It was fetched and looked into, or nobody could have refused it.
            (Some(Refusal { digest: Some(digest), .. }), None) => {
                let message = format!("the artifact is {digest}");
                conditions.set_true(condition::ARTIFACT_READY, Reason::Succeeded, message);
            }
            _ => {}
        }
    }

    fn programmed(&self, verdict: &Verdict, conditions: &mut Conditions) {
        if self.entry.is_none() {
            return;
        }
        let latched = self.latched(condition::PROGRAMMED);
        let (status, reason, message) = match verdict {
            Verdict::NoPods | Verdict::Spreading if latched => {
                (ConditionStatus::True, Reason::Succeeded, self.served_words())
            }
            Verdict::Served => (ConditionStatus::True, Reason::Succeeded, self.served_words()),
            other => (ConditionStatus::False, other.reason(), self.words(other)),
        };
        conditions.set(condition::PROGRAMMED, status, reason, message);
    }

    fn ready(&self, verdict: &Verdict, conditions: &mut Conditions) {
        if *verdict == Verdict::Served || (self.is_latched() && !matches!(verdict, Verdict::Refused(_))) {
            conditions.set_true(condition::READY, Reason::Succeeded, self.served_words());
            if let Some(refusal) = self.refusal.filter(|refusal| !is_suspension(refusal)) {
                conditions.unfinished(refusal.class, refusal.reason.clone(), &refusal.message);
            }
            return;
        }
        let words = self.words(verdict);
        conditions.set_false(condition::READY, verdict.reason(), words.clone());
        conditions.unfinished(verdict.class(), verdict.reason(), words);
    }

    /// The words of one pod stand for all; those that stand already are kept as long as a pod says them, so that a scale-up writes nothing.
    fn demoted(&self, conditions: &mut Conditions) {
        let Some(entry) = self.entry else { return };
        let said = || {
            let notices = notices(self.pods, &entry.entry.id);
            notices.filter(|notice| notice.reason == Reason::Stalled).map(|notice| notice.message.as_str())
        };
        let stands =
            find(self.previous_conditions(), condition::DEMOTED).map(|before| before.message.as_str());
        if let Some(message) = said().find(|message| Some(*message) == stands).or_else(|| said().next()) {
            conditions.set_true(condition::DEMOTED, Reason::Stalled, message);
        }
    }

    fn suspended(&self, conditions: &mut Conditions) {
        if let Some(refusal) = self.refusal.filter(|refusal| is_suspension(refusal)) {
            conditions.set_true(condition::SUSPENDED, Reason::Suspended, &refusal.message);
        }
    }

    /// A verdict for people: what is the matter, and what serves meanwhile.
    fn words(&self, verdict: &Verdict) -> String {
        match verdict {
            Verdict::Refused(refusal) => self.and_what_serves(&refusal.message),
            Verdict::Failing(pod, exception) => {
                self.and_what_serves_instead(&format!("pod {pod}: {}", exception.message))
            }
            Verdict::NoPods => format!(
                "no pod of {} is ready; look at its Deployment (kubectl get runtimepools -A)",
                self.runtime
            ),
            Verdict::Underway => self.and_what_serves("the artifact is looked up and handed to the pods"),
            Verdict::Spreading => {
                self.and_what_serves_instead(&format!("the pods of {} are loading it", self.runtime))
            }
            Verdict::Served => self.served_words(),
        }
    }

    fn served_words(&self) -> String {
        let revision = self.wanted().map_or("it", |(_, revision)| revision.revision.as_str());
        format!("every ready pod of {} served {revision}", self.runtime)
    }

    fn and_what_serves(&self, message: &str) -> String {
        self.and(message, |entry| serving(self.pods, entry))
    }

    /// The same while the wanted revision is with the pods: those that serve it already are not what is told, and no reason to write the
    /// status again.
    fn and_what_serves_instead(&self, message: &str) -> String {
        self.and(message, |entry| serving_instead(self.pods, entry))
    }

    fn and(&self, message: &str, serving: impl Fn(&'a EntryInForce<'a>) -> Option<&'a str>) -> String {
        let what = self.entry.and_then(|entry| {
            // Before any pod reports, what was Ready last is the best that is known.
            let remembered = || self.previous.and_then(|previous| is_ready_now(previous, entry));
            serving(entry).or_else(remembered)
        });
        // The ending is the good news, and it must not be what is cut off.
        let short = || shortened(message, MAX_MESSAGE_BYTES);
        match (what, self.left_behind) {
            (Some(revision), _) => format!("{}; still serving {revision}", short()),
            (None, Some((pool, revision))) => {
                format!("{}; pool {pool} is still serving {revision}", short())
            }
            (None, None) => message.to_owned(),
        }
    }

    fn failures(&self) -> Vec<PodFailure> {
        let Some(entry) = self.delivered() else { return Vec::new() };
        let failure = |pod: &Pod| match standing(pod, entry) {
            Standing::Failed(exception) if exception.state == EntryState::Failed => Some(PodFailure {
                pod: pod.name.to_owned(),
                platform: pod.report.map(|report| report.platform.clone()).unwrap_or_default(),
                reason: exception.reason.clone(),
                message: exception.message.clone(),
            }),
            _ => None,
        };
        self.pods.iter().filter_map(failure).collect()
    }

    fn status(&self, verdict: &Verdict, conditions: Vec<Condition>) -> HandlerModuleStatus {
        let mut failures = self.failures();
        let failures_total = u32::try_from(failures.len()).unwrap_or(u32::MAX);
        failures.truncate(MAX_FAILURES);
        let previous = self.previous.cloned().unwrap_or_default();
        let in_force = self.entry.and_then(|entry| entry.entry.wanted());
        // A suspended generation is not what serves: the one before it is.
        let is_ready = (*verdict == Verdict::Served || self.is_latched()) && !self.is_suspended();
        HandlerModuleStatus {
            observed_generation: self.generation,
            serving_generation: if is_ready { Some(self.generation) } else { previous.serving_generation },
            runtime: Some(self.runtime.to_string()),
            revision: self.wanted().map(|(_, revision)| revision.revision.clone()).or(previous.revision),
            last_handled_reconcile_at: self
                .handled_request
                .map(str::to_owned)
                .or(previous.last_handled_reconcile_at),
            artifact: self.wanted().map(|(artifact, _)| artifact.clone()).or(previous.artifact),
            routes: in_force.map(|revision| revision.routes.clone()).unwrap_or_default(),
            failures,
            failures_total,
            conditions,
        }
    }
}

/// The name of the entry's wanted or last good revision, whichever `previous` does not contradict.
fn is_ready_now<'e>(previous: &HandlerModuleStatus, entry: &EntryInForce<'e>) -> Option<&'e str> {
    let wanted = entry.entry.wanted()?;
    let ready = is_ready_for(previous, &wanted.revision, 0);
    let good = if ready { Some(wanted) } else { entry.entry.last_good() };
    good.map(|revision| revision.revision.as_str())
}

impl Verdict<'_> {
    fn reason(&self) -> Reason {
        match self {
            Self::Refused(refusal) => refusal.reason.clone(),
            Self::Failing(_, exception) => exception.reason.clone(),
            Self::NoPods => Reason::NoRuntimePods,
            Self::Underway | Self::Spreading => Reason::Progressing,
            Self::Served => Reason::Succeeded,
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Refused(refusal) => refusal.class,
            Self::Failing(_, exception) => class_of(&exception.reason),
            Self::NoPods | Self::Underway | Self::Spreading | Self::Served => Class::Waiting,
        }
    }
}

/// Whether a pod's failure may pass without an edit of the module: those do that lie with the pod, its disk or its version, and with what
/// `create` needs. The pods try a hanging constructor again too, but it is the module that has to change: Stalled says so.
fn class_of(reason: &Reason) -> Class {
    match reason {
        Reason::Incomplete
        | Reason::DigestMismatch
        | Reason::NoSpace
        | Reason::NoExec
        | Reason::BayMissing
        | Reason::HandoverFailed
        | Reason::EntryVersion
        | Reason::StartFailed
        | Reason::StartTimeout
        | Reason::Progressing
        | Reason::Unknown(_) => Class::Waiting,
        _ => Class::Stalled,
    }
}

#[cfg(test)]
mod tests;
