//! What engines say about the entries of the bay.
//!
//! Owns whose word counts: that of the engine that serves, and before there ever was one, of the newest. A starting engine's word is kept
//! aside until it serves, so that a reader of the report sees a handover as one step. Pure; `store` writes the file.

use std::collections::BTreeMap;

use hotbay_api::{EntryKey, EntryReport, LocalReport, Reason, Trouble};
use hotbay_protocol::{EntryRoutes, ReportPiece};

/// The words of each engine.
#[derive(Debug, Default)]
pub struct Board {
    views: BTreeMap<u64, View>,
    /// The engine whose view is shown.
    shown: u64,
    /// The engine that serves or served last; 0 before the first.
    serving: u64,
}

#[derive(Debug, Default)]
struct View {
    entries: BTreeMap<EntryKey, EntryReport>,
    routes: BTreeMap<EntryKey, EntryRoutes>,
    trouble: Option<Trouble>,
}

impl Board {
    /// Takes a piece of an engine's report. Whether what is shown may have changed.
    pub fn take(&mut self, engine: u64, piece: ReportPiece) -> bool {
        if self.serving == 0 && engine > self.shown {
            self.show(engine);
        }
        if engine < self.shown {
            // A draining engine's word about a bay that it no longer serves.
            return false;
        }
        let view = self.views.entry(engine).or_default();
        let ReportPiece { restart, entries, removed, routes, trouble } = piece;
        if restart {
            view.entries.clear();
            view.routes.clear();
        }
        view.entries.extend(entries.into_iter().map(|entry| (entry.key.clone(), entry)));
        for key in &removed {
            view.entries.remove(key);
        }
        for routes in routes {
            match routes.routes.is_empty() {
                true => drop(view.routes.remove(&routes.key)),
                false => drop(view.routes.insert(routes.key.clone(), routes)),
            }
        }
        view.trouble = trouble;
        engine == self.shown
    }

    /// The engine serves from now on.
    pub fn serve(&mut self, engine: u64) {
        self.serving = engine;
        self.show(engine);
    }

    /// What `old` serves and `new` does not, though it is still in the bay. What is in quarantine is not missed.
    pub fn served_less(&self, old: u64, new: u64) -> Vec<EntryKey> {
        let empty = View::default();
        let view = |engine| self.views.get(&engine).unwrap_or(&empty);
        let missing = |entry: &&EntryReport| {
            let held = |now: &EntryReport| {
                now.failure.as_ref().is_some_and(|failure| failure.reason == Reason::Quarantined)
            };
            view(new).entries.get(&entry.key).is_some_and(|now| now.serving.is_none() && !held(now))
        };
        let served = view(old).entries.values().filter(|entry| entry.serving.is_some());
        served.filter(missing).map(|entry| entry.key.clone()).collect()
    }

    /// The engine is gone. The word of the one that is shown stays until the next one serves.
    pub fn forget(&mut self, engine: u64) {
        if engine != self.shown {
            self.views.remove(&engine);
        }
    }

    /// The report, without what the keeper knows itself.
    pub fn report(&self) -> LocalReport {
        let view = self.views.get(&self.shown);
        LocalReport {
            engine: self.serving,
            trouble: view.and_then(|view| view.trouble.clone()),
            entries: view.map(|view| view.entries.values().cloned().collect()).unwrap_or_default(),
            ..LocalReport::default()
        }
    }

    /// Where an entry answers, as the engine says whose view is shown.
    pub fn routes(&self, key: &EntryKey) -> Option<&EntryRoutes> {
        self.views.get(&self.shown)?.routes.get(key)
    }

    fn show(&mut self, engine: u64) {
        self.shown = engine;
        self.views.retain(|&other, _| other >= engine);
    }
}

#[cfg(test)]
mod tests {
    use hotbay_api::EntryState;

    use super::*;

    fn entry(name: &str, state: EntryState) -> EntryReport {
        let key = EntryKey::new("shop", name).unwrap();
        EntryReport {
            key,
            sequence: None,
            state,
            wanted: "1.0".into(),
            serving: None,
            failure: None,
            notice: None,
        }
    }

    fn piece(restart: bool, entry: &EntryReport) -> ReportPiece {
        ReportPiece { restart, entries: vec![entry.clone()], ..ReportPiece::default() }
    }

    #[test]
    fn changes_add_up_and_a_restart_forgets() {
        let mut board = Board::default();
        let [a, b] = ["a", "b"].map(|name| entry(name, EntryState::Pending));
        assert!(board.take(1, piece(true, &b)));
        board.take(1, piece(false, &a));
        assert_eq!(board.report().entries, [a.clone(), b.clone()]);
        let active = entry("a", EntryState::Active);
        board.take(1, ReportPiece { removed: vec![b.key], ..piece(false, &active) });
        assert_eq!(board.report(), LocalReport { entries: vec![active], ..LocalReport::default() });
        board.take(1, piece(true, &entry("c", EntryState::Active)));
        assert_eq!(board.report().entries, [entry("c", EntryState::Active)]);
    }

    #[test]
    fn a_starting_engine_is_heard_only_before_the_first_one_serves() {
        let mut board = Board::default();
        let [old, new] = [EntryState::Active, EntryState::Failed].map(|state| entry("a", state));
        board.take(1, piece(true, &old));
        board.serve(1);
        assert!(!board.take(2, piece(true, &new)), "a starting engine changes nothing");
        assert_eq!((board.report().engine, &board.report().entries[0]), (1, &old));
        board.forget(1);
        assert_eq!(&board.report().entries[0], &old, "the last word stays until the next engine serves");
        board.serve(2);
        assert!(!board.take(1, piece(true, &old)), "a draining engine is not heard");
        assert_eq!((board.report().engine, &board.report().entries[0]), (2, &new));
    }
}
