//! Look-ups: when a module's reference is asked for, and what came of it.
//!
//! Owns the pace: at once when the spec, the pool's limits or the annotation change; each interval; after a failure that may pass, with
//! growing pauses. A look-up that comes back after the module changed is thrown away.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hotbay_api::{ArtifactStatus, Digest, EntryKey, HandlerModule, PoolLimits, Revision, labels};
use hotbay_pipeline::{Class, InlineBlob, InlineLimits, Policy, Refusal};

use super::Index;
use super::schedule::back_off;

/// The first pause after a failed look-up, and the longest. A tag pushed a moment after its YAML is found soon; a registry that is down
/// for an hour is not asked more than needed.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// What a look-up is for; another ticket needs another look-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    uid: String,
    generation: i64,
    request: Option<String>,
    /// What the pool demands of the artifact.
    pub policy: Policy,
    /// What the pool demands of its blobs.
    pub limits: InlineLimits,
}

/// A look-up to be made.
#[derive(Clone, Debug)]
pub struct LookUpRequest {
    /// Which module.
    pub key: EntryKey,
    /// To be handed back.
    pub ticket: Ticket,
    /// The module as it is now.
    pub module: Arc<HandlerModule>,
    /// The artifact that is already prepared: if it still is the one, nothing is fetched.
    pub known: Option<Digest>,
    /// Blobs that are stored already, with their compressed sizes.
    pub stored: Arc<BTreeMap<Digest, u64>>,
}

/// What a look-up found.
#[derive(Clone, Debug)]
pub enum Found {
    /// The artifact that is already prepared.
    Same,
    /// Another.
    New(Box<Candidate>),
    /// Nothing that can be served.
    Refused(Refusal),
}

/// What a module wants to be, by its spec and artifact.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// For the status.
    pub artifact: ArtifactStatus,
    /// For the entry.
    pub revision: Revision,
    /// Digest and compressed size of each blob.
    pub sizes: Vec<(Digest, u64)>,
    /// The bytes of those that were not stored, until all are.
    pub blobs: Option<Vec<InlineBlob>>,
}

/// Where the look-ups of one module stand.
#[derive(Debug)]
pub struct LookUp {
    ticket: Ticket,
    running: bool,
    /// One is to be made now.
    again: bool,
    /// Even if the artifact is still the same.
    need_bytes: bool,
    failures: u32,
    due: Option<Instant>,
    candidate: Option<Candidate>,
    refusal: Option<Refusal>,
    handled_request: Option<String>,
}

impl LookUp {
    fn new(ticket: Ticket) -> Self {
        Self {
            ticket,
            running: false,
            again: true,
            need_bytes: false,
            failures: 0,
            due: None,
            candidate: None,
            refusal: None,
            handled_request: None,
        }
    }

    /// When the next one is due.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Turns a due date that is over into a wish, so that it wakes nobody twice.
    pub fn wake(&mut self, now: Instant) -> bool {
        let over = self.due.is_some_and(|due| due <= now);
        if over {
            (self.due, self.again) = (None, true);
        }
        over
    }

    /// What the module's current generation came to.
    pub fn candidate(&self) -> Option<&Candidate> {
        self.candidate.as_ref()
    }

    /// Why the last look-up came to nothing.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    /// The annotation whose look-up is done.
    pub fn handled_request(&self) -> Option<&str> {
        self.handled_request.as_deref()
    }

    /// The blobs are stored, or shall not be (now); their bytes can go.
    pub fn forget_bytes(&mut self) {
        if let Some(candidate) = &mut self.candidate {
            candidate.blobs = None;
        }
    }

    /// A stored blob has gone; its bytes are needed again. After a failure, the next try brings them. True if a look-up is to be made now.
    pub fn fetch_again(&mut self) -> bool {
        let now = !self.need_bytes && self.refusal.is_none();
        self.again |= now;
        self.need_bytes = true;
        now
    }
}

impl Index {
    /// The look-up of an admitted module that is to be made now, if one is.
    pub(super) fn due_look_up(
        &mut self,
        key: &EntryKey,
        module: &Arc<HandlerModule>,
        limits: &PoolLimits,
        stored: &Arc<BTreeMap<Digest, u64>>,
    ) -> Option<LookUpRequest> {
        let ticket = ticket(module, limits);
        let state = self.look_ups.entry(key.clone()).or_insert_with(|| LookUp::new(ticket.clone()));
        if state.ticket != ticket {
            let same_spec = state.ticket.uid == ticket.uid && state.ticket.generation == ticket.generation;
            if !same_spec {
                // What an earlier spec came to says nothing of this one.
                (state.candidate, state.refusal, state.failures, state.need_bytes) = (None, None, 0, false);
            }
            // Other limits judge the same bytes anew.
            if state.ticket.policy != ticket.policy || state.ticket.limits != ticket.limits {
                state.candidate = None;
            }
            (state.ticket, state.again) = (ticket, true);
        }
        if state.running || !state.again {
            return None;
        }
        let known = state.candidate.as_ref().filter(|_| !state.need_bytes);
        let request = LookUpRequest {
            key: key.clone(),
            ticket: state.ticket.clone(),
            module: module.clone(),
            known: known.map(|candidate| candidate.artifact.digest),
            stored: stored.clone(),
        };
        (state.running, state.again, state.due) = (true, false, None);
        Some(request)
    }

    pub(super) fn looked_up(&mut self, key: &EntryKey, ticket: &Ticket, found: Found, now: Instant) {
        let interval = self.modules.get(&key.namespace, &key.name).map(|module| module.spec.interval.0);
        let Some(state) = self.look_ups.get_mut(key) else { return };
        state.running = false;
        if state.ticket == *ticket {
            state.handled_request.clone_from(&ticket.request);
            let refusal = match found {
                Found::Same => None,
                Found::New(candidate) => {
                    state.candidate = Some(*candidate);
                    state.need_bytes = false;
                    None
                }
                Found::Refused(refusal) => Some(refusal),
            };
            let pause = pause(refusal.as_ref(), state.failures, interval.unwrap_or_default());
            state.failures = if refusal.is_some() { state.failures + 1 } else { 0 };
            state.due = pause.map(|pause| now + jittered(pause));
            state.refusal = refusal;
        } else {
            state.again = true;
        }
        self.touch_module(key);
    }
}

fn ticket(module: &HandlerModule, limits: &PoolLimits) -> Ticket {
    let annotations = module.metadata.annotations.as_ref();
    Ticket {
        uid: module.metadata.uid.clone().unwrap_or_default(),
        generation: module.metadata.generation.unwrap_or_default(),
        request: annotations.and_then(|all| all.get(labels::RECONCILE_REQUESTED_AT)).cloned(),
        policy: Policy { max_build_bytes: limits.max_artifact_size.0 },
        limits: InlineLimits { max_blob_bytes: limits.inline_blob_max.0 },
    }
}

/// How long until the next look-up; `None`: only when something changes.
fn pause(refusal: Option<&Refusal>, failures: u32, interval: Duration) -> Option<Duration> {
    match refusal {
        Some(refusal) if refusal.class == Class::Waiting => {
            Some(back_off(FIRST_PAUSE, LONGEST_PAUSE, failures))
        }
        // A tag may move from a bad artifact to a good one.
        _ => (!interval.is_zero()).then_some(interval),
    }
}

/// Up to a tenth more, so that a thousand modules applied at once are not looked up at once for ever.
fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(0_u8) % 1000;
    pause + pause.mul_f64(random as f64 / 10_000.0)
}
