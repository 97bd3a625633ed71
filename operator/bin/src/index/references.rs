//! What each reference names, asked once for all modules that have it.
//!
//! Owns the sharing of look-ups: ten thousand modules of one tag are one request an interval. An answer counts for whoever wished for one
//! before it was asked for, so that a look-up which a user caused, after a push, is never answered from before that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use hotbay_api::{Digest, EntryKey};
use hotbay_pipeline::Refusal;

/// What a reference names, or why nobody knows.
pub type Named = Result<Digest, Refusal>;

/// See the module.
#[derive(Debug, Default)]
pub struct References(BTreeMap<String, Reference>);

#[derive(Debug, Default)]
struct Reference {
    modules: BTreeSet<EntryKey>,
    /// When the question that is under way was asked.
    asked: Option<Instant>,
    answer: Option<(Instant, Named)>,
}

/// What is known of a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// This, by a question that was asked late enough.
    Named(Named),
    /// A question is under way; whoever waits for it is told.
    Underway,
    /// Nothing: who asks this is to ask the registry, and this is noted.
    Ask,
}

impl References {
    /// Notes that a module has this reference.
    pub fn join(&mut self, reference: &str, key: &EntryKey) {
        self.0.entry(reference.to_owned()).or_default().modules.insert(key.clone());
    }

    /// Notes that it has not any more.
    pub fn leave(&mut self, reference: &str, key: &EntryKey) {
        let Some(known) = self.0.get_mut(reference) else { return };
        known.modules.remove(key);
        if known.modules.is_empty() && known.asked.is_none() {
            self.0.remove(reference);
        }
    }

    /// What the reference names, for who wishes to know since `wish`.
    pub fn ask(&mut self, reference: &str, wish: Instant, now: Instant) -> Known {
        let known = self.0.entry(reference.to_owned()).or_default();
        match &known.answer {
            Some((asked, named)) if *asked >= wish => Known::Named(named.clone()),
            _ if known.asked.is_some() => Known::Underway,
            _ => {
                known.asked = Some(now);
                Known::Ask
            }
        }
    }

    /// Takes an answer in. Gives the modules that it is for, and when it was asked for.
    pub fn answered(&mut self, reference: &str, named: Named) -> Option<(Instant, BTreeSet<EntryKey>)> {
        let known = self.0.get_mut(reference)?;
        let asked = known.asked.take()?;
        if known.modules.is_empty() {
            self.0.remove(reference);
            return None;
        }
        known.answer = Some((asked, named));
        Some((asked, known.modules.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_answer_counts_for_wishes_from_before_its_question() {
        let (mut references, start) = (References::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let named = Ok(Digest::of(b"a"));
        for name in ["a", "b"] {
            references.join("r:1", &EntryKey::new("shop", name).unwrap());
        }
        assert_eq!(references.ask("r:1", at(1), at(2)), Known::Ask);
        assert_eq!(references.ask("r:1", at(1), at(3)), Known::Underway);
        let (asked, modules) = references.answered("r:1", named.clone()).unwrap();
        assert_eq!((asked, modules.len()), (at(2), 2));
        assert_eq!(references.ask("r:1", at(2), at(4)), Known::Named(named));
        assert_eq!(references.ask("r:1", at(3), at(4)), Known::Ask, "the push may have been in between");
    }

    #[test]
    fn nothing_is_kept_for_nobody() {
        let (mut references, now) = (References::default(), Instant::now());
        let key = EntryKey::new("shop", "a").unwrap();
        references.join("r:1", &key);
        references.ask("r:1", now, now);
        references.leave("r:1", &key);
        assert_eq!(references.answered("r:1", Ok(Digest::of(b"a"))), None);
        assert!(references.0.is_empty());
    }
}
