//! Requests that several share.
//!
//! Owns who makes one and who gets its answer as well. Must not keep an answer for longer than somebody waits who may want it: a fetched
//! artifact holds room in memory, and whoever makes the next request may need that very room.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hotbay_api::chain;
use hotbay_pipeline::SourceError;
use tokio::time::Instant;

/// Requests under way, by key.
pub struct Flights<V> {
    slots: Mutex<HashMap<String, Slot<V>>>,
    /// Whether a good answer is one for ever.
    lasting: bool,
}

/// A key that somebody asks for.
struct Slot<V> {
    users: usize,
    landed: LastLanded<V>,
}

type LastLanded<V> = Arc<tokio::sync::Mutex<Option<Landed<V>>>>;

/// What the last request for a key came to.
struct Landed<V> {
    started: Instant,
    result: Result<V, SourceError>,
}

/// One who asks for a key, until it goes, with an answer or without: the last one takes the slot along.
struct User<'flights, V> {
    flights: &'flights Flights<V>,
    key: &'flights str,
    landed: LastLanded<V>,
}

impl<V> Flights<V> {
    /// An answer is only shared with who came before its request began: whoever asks after a push must not get an answer from before it.
    pub fn going_stale() -> Self {
        Self { slots: Mutex::default(), lasting: false }
    }

    /// A good answer is shared with all who wait for one.
    pub fn lasting() -> Self {
        Self { slots: Mutex::default(), lasting: true }
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        lock(&self.slots).is_empty()
    }

    /// How many ask.
    #[cfg(test)]
    pub fn users(&self) -> usize {
        lock(&self.slots).values().map(|slot| slot.users).sum()
    }

    fn enter<'flights>(&'flights self, key: &'flights str) -> User<'flights, V> {
        let mut slots = lock(&self.slots);
        let slot = slots.entry(key.to_owned()).or_insert_with(|| Slot { users: 0, landed: Arc::default() });
        slot.users += 1;
        User { flights: self, key, landed: slot.landed.clone() }
    }
}

impl<V> Drop for User<'_, V> {
    fn drop(&mut self) {
        let mut slots = lock(&self.flights.slots);
        let Some(slot) = slots.get_mut(self.key) else { return };
        slot.users -= 1;
        if slot.users == 0 {
            slots.remove(self.key);
        }
    }
}

impl<V: Clone> Flights<V> {
    /// The answer of `request`, or of the same one of another.
    pub async fn share<F>(&self, key: &str, request: impl FnOnce() -> F) -> Result<V, SourceError>
    where
        F: Future<Output = Result<V, SourceError>>,
    {
        let arrived = Instant::now();
        let user = self.enter(key);
        let mut landed = user.landed.lock().await;
        if let Some(landed) = &*landed
            // It began while we waited for our turn, so it saw whatever happened before we asked.
            && (landed.started > arrived || self.lasting && landed.result.is_ok())
        {
            return repeat(&landed.result);
        }
        // Our request may need the room that this holds.
        *landed = None;
        let started = Instant::now();
        let result = request().await;
        let answer = repeat(&result);
        *landed = Some(Landed { started, result });
        answer
    }
}

fn repeat<V: Clone>(result: &Result<V, SourceError>) -> Result<V, SourceError> {
    match result {
        Ok(value) => Ok(value.clone()),
        Err(error) => Err(repeat_error(error)),
    }
}

/// The same error for another who asked; of its causes, the words.
fn repeat_error(error: &SourceError) -> SourceError {
    match error {
        SourceError::Invalid { reference, why } => {
            SourceError::Invalid { reference: reference.clone(), why: why.clone() }
        }
        SourceError::Unreachable { registry, reference, source } => SourceError::Unreachable {
            registry: registry.clone(),
            reference: reference.clone(),
            source: chain(&**source).into(),
        },
        SourceError::Unauthorized { registry, reference } => {
            SourceError::Unauthorized { registry: registry.clone(), reference: reference.clone() }
        }
        SourceError::NotFound { reference } => SourceError::NotFound { reference: reference.clone() },
        SourceError::TooLarge { reference, what, limit } => {
            SourceError::TooLarge { reference: reference.clone(), what: what.clone(), limit: *limit }
        }
        SourceError::DigestMismatch { reference, what, expected } => SourceError::DigestMismatch {
            reference: reference.clone(),
            what: what.clone(),
            expected: *expected,
        },
        SourceError::NotAModule { reference, why } => {
            SourceError::NotAModule { reference: reference.clone(), why: why.clone() }
        }
    }
}

/// A poisoned lock is a panic elsewhere, which ends the process anyway; the data are whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
