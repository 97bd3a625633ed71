//! Look-ups: when a module's reference is asked for, and what came of it.
//!
//! Owns the pace: at once when the spec, the pool's limits or the annotation change; each interval; after a failure that may pass, with
//! growing pauses. A look-up that comes back after the module changed is thrown away. What a reference names is asked once for all modules
//! that have it (`references`), and an operator that starts takes up what its predecessor prepared (`remembered`).

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hotbay_api::{Digest, EntryKey, HandlerModule, PoolLimits};
use hotbay_pipeline::{Class, Refusal};

use super::Index;
use super::references::{Known, Named};
use super::remembered::remembered;
use super::requests::{Candidate, Found, LookUpRequest, LookedUp, Ticket};
use super::schedule::back_off;
use crate::objects::StoredEntry;

/// The first pause after a failed look-up, and the longest. A tag pushed a moment after its YAML is found soon; a registry that is down
/// for an hour is not asked more than needed.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// Where the look-ups of one module stand.
#[derive(Debug)]
pub struct LookUp {
    ticket: Ticket,
    /// The one that the module has joined.
    reference: Option<String>,
    running: bool,
    /// One is wanted, since then.
    wish: Option<Instant>,
    /// Even if the artifact is still the same.
    need_bytes: bool,
    failures: u32,
    due: Option<Instant>,
    candidate: Option<Candidate>,
    refusal: Option<Refusal>,
    handled_request: Option<String>,
}

impl LookUp {
    fn new(ticket: Ticket, now: Instant) -> Self {
        Self {
            ticket,
            reference: None,
            running: false,
            wish: Some(now),
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
            self.due = None;
            self.wish.get_or_insert(now);
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

    /// A blob is to be stored whose bytes are not at hand; they are needed again. True if a look-up is to be made now. What failed before was not
    /// for them: it says nothing of when they come.
    pub fn fetch_again(&mut self, now: Instant) -> bool {
        let at_once = !self.need_bytes;
        if at_once {
            (self.wish, self.failures) = (Some(now), 0);
        }
        self.need_bytes = true;
        at_once
    }

    /// Whether the bytes that are needed are not to be had, as far as can be told: not for a moment, but until something changes out there.
    pub fn is_stuck(&self) -> bool {
        let tried = self.need_bytes && !self.running && self.wish.is_none() && self.failures > 0;
        let refusal = self.refusal.as_ref().filter(|_| tried);
        refusal.is_some_and(|refusal| refusal.class != Class::Waiting || self.failures > 1)
    }

    /// Turns to what the module and its pool ask for now.
    fn turn_to(&mut self, ticket: Ticket, now: Instant) {
        if self.ticket == ticket {
            return;
        }
        let same_spec = self.ticket.uid == ticket.uid && self.ticket.generation == ticket.generation;
        if !same_spec {
            // What an earlier spec came to says nothing of this one.
            (self.candidate, self.refusal, self.failures, self.need_bytes) = (None, None, 0, false);
        }
        // Other limits judge the same bytes anew.
        if self.ticket.policy != ticket.policy || self.ticket.limits != ticket.limits {
            self.candidate = None;
        }
        (self.ticket, self.wish) = (ticket, Some(now));
    }

    /// Takes up what its ticket came to.
    fn finish(&mut self, found: Found, interval: Duration, now: Instant) {
        self.handled_request.clone_from(&self.ticket.request);
        let refusal = match found {
            Found::Same => {
                // Its bytes came to be needed while it was asked for.
                if self.need_bytes {
                    self.wish.get_or_insert(now);
                }
                None
            }
            Found::New(candidate) => {
                self.candidate = Some(*candidate);
                self.need_bytes = false;
                None
            }
            Found::Refused(refusal) => Some(refusal),
        };
        let pause = pause(refusal.as_ref(), self.failures, interval);
        self.failures = if refusal.is_some() { self.failures + 1 } else { 0 };
        self.due = pause.map(|pause| now + jittered(pause));
        self.refusal = refusal;
    }
}

impl Index {
    /// The look-up of an admitted module that is to be made now, if one is. `stored` is the module's entry, if it has one.
    pub(super) fn due_look_up(
        &mut self,
        key: &EntryKey,
        module: &Arc<HandlerModule>,
        limits: &PoolLimits,
        blobs: &Arc<BTreeMap<Digest, u64>>,
        stored: Option<&StoredEntry>,
        now: Instant,
    ) -> Option<LookUpRequest> {
        let ticket = Ticket::of(module, limits);
        let state = self.look_ups.entry(key.clone()).or_insert_with(|| {
            let candidate = stored.and_then(|stored| remembered(module, stored, &ticket));
            LookUp { candidate, ..LookUp::new(ticket.clone(), now) }
        });
        state.turn_to(ticket, now);
        let reference = module.spec.source.oci.as_ref().map(|oci| &oci.reference);
        if state.reference.as_ref() != reference {
            let left = std::mem::replace(&mut state.reference, reference.cloned());
            left.iter().for_each(|left| self.references.leave(left, key));
            reference.iter().for_each(|joined| self.references.join(joined, key));
        }
        let wish = state.wish.filter(|_| !state.running)?;
        let known = state.candidate.as_ref().filter(|_| !state.need_bytes);
        let known = known.map(|candidate| candidate.artifact.digest);
        // A spec without a reference is refused without a question.
        let named = match reference.map(|reference| self.references.ask(reference, wish, now)) {
            Some(Known::Underway) => return None,
            Some(Known::Named(named)) => Some(named),
            Some(Known::Ask) | None => None,
        };
        let settled = match &named {
            Some(Err(refusal)) => Some(Found::Refused(refusal.clone())),
            Some(Ok(digest)) if known == Some(*digest) => Some(Found::Same),
            _ => None,
        };
        (state.wish, state.due) = (None, None);
        self.figures.shared_look_ups += u64::from(named.is_some());
        if let Some(found) = settled {
            state.finish(found, module.spec.interval.0, now);
            return None;
        }
        state.running = true;
        let (ticket, module, stored) = (state.ticket.clone(), module.clone(), blobs.clone());
        Some(LookUpRequest {
            key: key.clone(),
            ticket,
            module,
            named: named.and_then(Result::ok),
            known,
            stored,
        })
    }

    pub(super) fn looked_up(&mut self, key: &EntryKey, ticket: &Ticket, looked_up: LookedUp, now: Instant) {
        let LookedUp { found, named } = looked_up;
        let interval = self.modules.get(&key.namespace, &key.name).map(|module| module.spec.interval.0);
        if let Some(state) = self.look_ups.get_mut(key) {
            state.running = false;
            // Otherwise the module has changed meanwhile, and its wish is noted already.
            if state.ticket == *ticket {
                state.finish(found, interval.unwrap_or_default(), now);
            }
            self.touch_module(key);
        }
        if let Some((reference, named)) = named {
            self.share(key, &reference, named);
        }
    }

    /// Gives an answer to the other modules that have the reference: to those that wait for it, and to those that would ask some time later.
    fn share(&mut self, asker: &EntryKey, reference: &str, named: Named) {
        let Some((asked, modules)) = self.references.answered(reference, named) else { return };
        for key in modules.iter().filter(|key| *key != asker) {
            let Some(state) = self.look_ups.get_mut(key) else { continue };
            if state.due.take().is_some() {
                state.wish.get_or_insert(asked);
            }
            if state.wish.is_some() {
                self.touch_module(key);
            }
        }
    }

    /// Forgets the look-ups of modules that are gone.
    pub(super) fn forget_look_ups(&mut self) {
        let Self { modules, look_ups, references, .. } = self;
        look_ups.retain(|key, state| {
            let is_there = modules.get(&key.namespace, &key.name).is_some();
            if !is_there {
                state.reference.iter().for_each(|reference| references.leave(reference, key));
            }
            is_there
        });
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
