//! What the keeper was told, and what is new to it.
//!
//! Owns how a report is cut into messages: only what has changed, in pieces that fit a packet. Pure; `control` sends them.

use std::collections::BTreeMap;

use hotbay_api::{EntryKey, EntryReport, EntryState, Revision, Route, Trouble};
use hotbay_protocol::{EntryRoutes, ReportPiece, pieces};

/// Bytes of JSON in one piece of a report, well below a packet.
const PIECE: usize = 48 * 1024;
/// Of one module, for people: the keeper holds them for every module, in memory that is to stay small.
const MAX_ROUTES: usize = 64;
const MAX_ROUTES_BYTES: usize = 4 * 1024;

/// The last that was said of each entry.
#[derive(Debug, Default)]
pub(crate) struct Told {
    entries: BTreeMap<EntryKey, EntryReport>,
    routes: BTreeMap<EntryKey, (Vec<String>, u32)>,
    trouble: Option<Trouble>,
}

impl Told {
    /// How many entries serve what they should, and how many do not.
    pub fn count(&self) -> (u32, u32) {
        let ok = self.entries.values().filter(|report| report.state == EntryState::Active).count();
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        (count(ok), count(self.entries.len() - ok))
    }

    /// What has to be said so that the keeper knows `reports`, `routes` (`None`: as before) and `trouble`. The first word restarts the report.
    pub fn pieces(
        &mut self,
        reports: BTreeMap<EntryKey, EntryReport>,
        routes: Option<BTreeMap<EntryKey, (Vec<String>, u32)>>,
        trouble: Option<Trouble>,
    ) -> Vec<ReportPiece> {
        let restart = self.entries.is_empty();
        let changed = reports.iter().filter(|(key, report)| self.entries.get(*key) != Some(report));
        let changed: Vec<EntryReport> = changed.map(|(_, report)| report.clone()).collect();
        let removed: Vec<EntryKey> =
            self.entries.keys().filter(|key| !reports.contains_key(*key)).cloned().collect();
        let routes = routes.unwrap_or_else(|| self.routes.clone());
        let moved = self.moved(&routes);
        if changed.is_empty() && removed.is_empty() && moved.is_empty() && trouble == self.trouble {
            return Vec::new();
        }
        let piece = ReportPiece { trouble: trouble.clone(), ..ReportPiece::default() };
        let entries = pieces(changed, PIECE).into_iter();
        let removed = pieces(removed, PIECE).into_iter();
        let moved = pieces(moved, PIECE).into_iter();
        let mut all: Vec<ReportPiece> = entries
            .map(|entries| ReportPiece { entries, ..piece.clone() })
            .chain(removed.map(|removed| ReportPiece { removed, ..piece.clone() }))
            .chain(moved.map(|routes| ReportPiece { routes, ..piece.clone() }))
            .collect();
        if all.is_empty() {
            all.push(piece);
        }
        all[0].restart = restart;
        (self.entries, self.routes, self.trouble) = (reports, routes, trouble);
        all
    }

    /// Entries whose routes are others now.
    fn moved(&self, routes: &BTreeMap<EntryKey, (Vec<String>, u32)>) -> Vec<EntryRoutes> {
        let new = routes.iter().filter(|(key, now)| self.routes.get(*key) != Some(now));
        let new = new.map(|(key, (routes, more))| EntryRoutes {
            key: key.clone(),
            routes: routes.clone(),
            more: *more,
        });
        let gone = self.routes.keys().filter(|key| !routes.contains_key(*key));
        new.chain(gone.map(|key| EntryRoutes { key: key.clone(), routes: Vec::new(), more: 0 })).collect()
    }
}

/// Where a revision answers, for people, and how many more routes it has than are named.
pub(crate) fn routes_of(revision: &Revision) -> (Vec<String>, u32) {
    let all: Vec<String> = revision.routes.iter().flat_map(words).collect();
    let mut room = MAX_ROUTES_BYTES;
    let fits = |claim: &&String| match room.checked_sub(claim.len()) {
        Some(rest) => {
            room = rest;
            true
        }
        None => false,
    };
    let named: Vec<String> = all.iter().take(MAX_ROUTES).take_while(fits).cloned().collect();
    let more = u32::try_from(all.len() - named.len()).unwrap_or(u32::MAX);
    (named, more)
}

/// `GET,POST example.com/path` for each hostname; without one, `GET,POST /path`.
fn words(route: &Route) -> Vec<String> {
    let methods = if route.methods.is_empty() { "*".to_owned() } else { route.methods.join(",") };
    let any = [String::new()];
    let hosts = if route.hostnames.is_empty() { &any[..] } else { &route.hostnames };
    hosts.iter().map(|host| format!("{methods} {host}{}", route.path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reports(names: &[&str]) -> BTreeMap<EntryKey, EntryReport> {
        let report = |name: &&str| {
            let key = EntryKey::new("shop", name).unwrap();
            let report = EntryReport {
                key: key.clone(),
                sequence: None,
                state: EntryState::Active,
                wanted: "1.0".into(),
                serving: None,
                failure: None,
                notice: None,
            };
            (key, report)
        };
        names.iter().map(report).collect()
    }

    #[test]
    fn only_what_changed_is_told_and_nothing_twice() {
        let mut told = Told::default();
        let first = told.pieces(reports(&["a", "b"]), None, None);
        assert_eq!((first.len(), first[0].restart, first[0].entries.len()), (1, true, 2));
        assert_eq!(told.pieces(reports(&["a", "b"]), None, None), []);
        let routes = |text: &str| {
            Some(BTreeMap::from([(EntryKey::new("shop", "a").unwrap(), (vec![text.to_owned()], 0))]))
        };
        let moved = told.pieces(reports(&["a", "b"]), routes("GET /a"), None);
        assert_eq!((moved.len(), moved[0].restart, &moved[0].routes[0].routes[0][..]), (1, false, "GET /a"));
        assert_eq!(told.pieces(reports(&["a", "b"]), None, None), [], "the routes are as they were");
        let gone = told.pieces(reports(&["b"]), Some(BTreeMap::new()), None);
        assert_eq!(gone[0].removed.len(), 1);
        assert!(gone[1].routes[0].routes.is_empty());
        assert_eq!(told.count(), (1, 0));
    }
}
