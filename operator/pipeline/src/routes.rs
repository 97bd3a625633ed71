//! Which module of a pool has which route.
//!
//! Owns the rule for conflicts: the older module keeps a route, the newer is refused whole and told who holds it; what a refused module
//! served before, it goes on serving. Decided for the whole pool at once. The engine settles what two entries share by the same order, so
//! pods and status agree whatever order entries arrive in.

use std::collections::{BTreeMap, BTreeSet};

use hotbay_api::{EntryKey, Precedence, Reason, Route};

use crate::{Class, Refusal};

/// A module that wants or holds routes.
#[derive(Clone, Debug)]
pub struct Claimant<'a> {
    /// Its age and key.
    pub precedence: Precedence,
    /// What it wants now; `None` if that is not known, because it is refused or still looked up.
    pub wanted: Option<&'a [Route]>,
    /// What its entry says now; empty without an entry.
    pub held: &'a [Route],
}

/// Who is refused.
pub fn settle(claimants: &[Claimant]) -> BTreeMap<EntryKey, Refusal> {
    let mut by_age: Vec<&Claimant> = claimants.iter().collect();
    by_age.sort_by(|a, b| a.precedence.cmp(&b.precedence));
    let mut taken: BTreeMap<String, &EntryKey> = BTreeMap::new();
    let mut refused = BTreeMap::new();
    for claimant in by_age {
        let key = &claimant.precedence.key;
        let wanted = claims(claimant.wanted.unwrap_or_default());
        let conflict = wanted.iter().find_map(|claim| Some((claim, *taken.get(claim)?)));
        if let Some((claim, older)) = conflict {
            refused.insert(key.clone(), refusal(claim, older));
        }
        let kept =
            if conflict.is_none() && claimant.wanted.is_some() { wanted } else { claims(claimant.held) };
        for claim in kept {
            taken.entry(claim).or_insert(key);
        }
    }
    refused
}

/// All claims of some routes.
pub fn claims(routes: &[Route]) -> BTreeSet<String> {
    routes.iter().flat_map(Route::claims).collect()
}

fn refusal(claim: &str, older: &EntryKey) -> Refusal {
    let message =
        format!("{claim} belongs to the older module {older}; change the route, or delete that module");
    Refusal::of_pool(Reason::RouteConflict, Class::Stalled, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{precedence, route};

    /// Two modules, `a` the older; each with what it wants and what it holds.
    fn settled(a: (&[Route], &[Route]), b: (&[Route], &[Route])) -> Vec<String> {
        let claimant = |name: &str, created, wanted, held| Claimant {
            precedence: precedence("shop", name, created),
            wanted: Some(wanted),
            held,
        };
        let newer = claimant("b", "2026-01-02T00:00:00Z", b.0, b.1);
        let older = claimant("a", "2026-01-01T00:00:00Z", a.0, a.1);
        settle(&[newer, older]).into_iter().map(|(key, refusal)| format!("{} {refusal}", key.name)).collect()
    }

    #[test]
    fn routes_of_their_own_are_no_conflict() {
        assert_eq!(settled((&[route("/a")], &[]), (&[route("/b")], &[])), Vec::<String>::new());
    }

    #[test]
    fn the_older_keeps_a_route_and_the_newer_hears_its_name() {
        let refused = settled((&[route("/x")], &[]), (&[route("/y"), route("/x")], &[]));
        let words = "b RouteConflict: GET */x belongs to the older module shop/a; change the route, or delete that module";
        assert_eq!(refused, [words]);
    }

    #[test]
    fn an_update_of_the_older_takes_the_route_over() {
        let refused = settled((&[route("/x")], &[route("/a")]), (&[route("/x")], &[route("/x")]));
        assert_eq!(refused.len(), 1);
        assert!(refused[0].starts_with("b "), "{refused:?}");
    }

    #[test]
    fn a_refused_update_keeps_what_it_held_from_others() {
        let a = precedence("shop", "a", "2026-01-01T00:00:00Z");
        let b = precedence("shop", "b", "2026-01-02T00:00:00Z");
        let c = precedence("shop", "c", "2026-01-03T00:00:00Z");
        let (x, b_route) = ([route("/x")], [route("/b")]);
        let refused = settle(&[
            Claimant { precedence: a, wanted: Some(&x), held: &x },
            Claimant { precedence: b, wanted: Some(&x), held: &b_route },
            Claimant { precedence: c, wanted: Some(&b_route), held: &[] },
        ]);
        assert_eq!(refused.keys().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["b", "c"]);
    }

    #[test]
    fn a_module_that_is_still_looked_up_keeps_what_it_holds() {
        let (older, newer) = (precedence("shop", "a", "1"), precedence("shop", "b", "2"));
        let x = [route("/x")];
        let refused = settle(&[
            Claimant { precedence: older, wanted: None, held: &x },
            Claimant { precedence: newer, wanted: Some(&x), held: &[] },
        ]);
        assert_eq!(refused.len(), 1);
    }
}
