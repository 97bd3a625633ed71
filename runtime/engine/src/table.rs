//! Which module answers which request.
//!
//! Owns the published routes: built aside from everything that is active, then swapped in whole, so that a request sees the old table or the
//! new one, never a mix. Must not load or retire: a target holds its instance for as long as a request does.
//!
//! Our own matcher, because `matchit` refuses `/files/{id}` beside `/files/{*rest}`, and modules of two teams may well have both.

mod paths;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hotbay_api::{EntryKey, Limits, Precedence, Route};
use hotbay_loader::{Captures, Instance};
use http::{HeaderValue, Method};

use self::paths::Paths;

/// What a route leads to.
#[derive(Debug)]
pub struct Target {
    /// Which module.
    pub key: EntryKey,
    /// What runs it; `None` while it starts and nothing of it serves.
    pub instance: Option<Arc<Instance>>,
    /// Index into the manifest's handlers.
    pub handler: u32,
    /// Its calls may hold their thread, so they run on the pool.
    pub pooled: bool,
    /// Names of the path's parameters, in order.
    pub names: Arc<[Box<str>]>,
    /// From the request's head to the answer's end, or to its head where it is a stream.
    pub timeout: Duration,
    /// What the module may use.
    pub limits: Limits,
    /// Requests in flight, counted for all routes of the instance together.
    pub in_flight: Arc<AtomicU32>,
}

/// Which handler a route leads to, and where that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lead {
    /// Index into the manifest's handlers.
    pub handler: u32,
    /// Its calls may hold their thread.
    pub pooled: bool,
}

/// A module's part in the table.
pub struct Claim<'a> {
    /// Its place where two modules want one route.
    pub precedence: Precedence,
    /// Its routes, each with its handler.
    pub routes: Vec<(&'a Route, Lead)>,
    /// What runs it; `None` while it starts. Such a claim gives way to whatever serves.
    pub instance: Option<Arc<Instance>>,
    /// From the request's head to the answer's end, or to its head where it is a stream.
    pub timeout: Duration,
    /// What the module may use.
    pub limits: Limits,
    /// Requests in flight.
    pub in_flight: Arc<AtomicU32>,
}

/// A route that an older module has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Who wanted it.
    pub key: EntryKey,
    /// Who has it.
    pub owner: EntryKey,
    /// `GET *.example.com/path`.
    pub claim: String,
}

/// What a look-up finds.
#[derive(Debug)]
pub enum Found {
    /// A module answers; what the path's parameters are.
    Target(Arc<Target>, Captures),
    /// The path is known, and not with this method: the value of `Allow`.
    MethodNotAllowed(HeaderValue),
    /// Nothing is at this path.
    Nothing,
}

/// The table. Immutable once built.
#[derive(Debug, Default)]
pub struct Routes {
    exact: HashMap<String, Paths>,
    /// By what follows the star, e.g. `.example.com`; the longest first.
    wildcard: Vec<(String, Paths)>,
    any: Paths,
}

impl Routes {
    /// Builds the table. Where two modules want one route the lesser precedence has it.
    pub fn build(mut claims: Vec<Claim<'_>>) -> (Self, Vec<Lost>) {
        claims.sort_by(|left, right| {
            let starts = |claim: &Claim<'_>| claim.instance.is_none();
            starts(left).cmp(&starts(right)).then_with(|| left.precedence.cmp(&right.precedence))
        });
        let mut routes = Self::default();
        let mut owners: HashMap<String, EntryKey> = HashMap::new();
        let mut lost = Vec::new();
        for claim in &claims {
            for (route, lead) in &claim.routes {
                let key = &claim.precedence.key;
                let taken =
                    route.claims().into_iter().find_map(|text| Some((owners.get(&text)?.clone(), text)));
                match taken {
                    Some((owner, _)) if owner != *key && claim.instance.is_none() => {}
                    Some((owner, text)) if owner != *key => {
                        lost.push(Lost { key: key.clone(), owner, claim: text });
                    }
                    _ => {
                        owners.extend(route.claims().into_iter().map(|text| (text, key.clone())));
                        routes.insert(route, &Arc::new(claim.target(route, *lead)));
                    }
                }
            }
        }
        routes.wildcard.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        (routes, lost)
    }

    fn insert(&mut self, route: &Route, target: &Arc<Target>) {
        if route.hostnames.is_empty() {
            return self.any.insert(&route.path, &route.methods, target);
        }
        for hostname in &route.hostnames {
            let paths = match hostname.strip_prefix('*') {
                None => self.exact.entry(hostname.clone()).or_default(),
                Some(suffix) => self.wildcard(suffix),
            };
            paths.insert(&route.path, &route.methods, target);
        }
    }

    fn wildcard(&mut self, suffix: &str) -> &mut Paths {
        let index = self.wildcard.iter().position(|(known, _)| known == suffix).unwrap_or_else(|| {
            self.wildcard.push((suffix.to_owned(), Paths::default()));
            self.wildcard.len() - 1
        });
        &mut self.wildcard[index].1
    }

    /// Who answers `method` on `path` of `host` (as in the Host header, perhaps with a port). Paths are raw. A route with other methods does not match,
    /// so that a lesser one may, of this host or of a lesser.
    /// `host` is asked for only where some route names one.
    pub fn find<'h>(&self, host: impl FnOnce() -> Option<&'h str>, method: &Method, path: &str) -> Found {
        let any_host = self.exact.is_empty() && self.wildcard.is_empty();
        if any_host && let Some(target) = self.any.find_fixed(path, method) {
            return Found::Target(
                Arc::clone(target),
                Captures { names: Arc::clone(&target.names), ranges: Vec::new() },
            );
        }
        let mut allow = BTreeSet::new();
        let host = if any_host { None } else { host().map(normal_host) };
        let exact = host.as_ref().and_then(|host| self.exact.get(host));
        let wild = self.wildcard.iter().filter(|(suffix, _)| {
            host.as_ref().is_some_and(|host| host.len() > suffix.len() && host.ends_with(suffix.as_str()))
        });
        for paths in exact.into_iter().chain(wild.map(|(_, paths)| paths)).chain([&self.any]) {
            let mut found = None;
            paths.find(path, &mut |methods, ranges| {
                match methods.get(method) {
                    Some(target) => found = Some((Arc::clone(target), std::mem::take(ranges))),
                    None => allow.extend(methods.allowed()),
                }
                found.is_some()
            });
            if let Some((target, ranges)) = found {
                let names = Arc::clone(&target.names);
                return Found::Target(target, Captures { names, ranges });
            }
        }
        if allow.is_empty() {
            return Found::Nothing;
        }
        let allow = allow.into_iter().collect::<Vec<_>>().join(", ");
        // Methods are checked when a route is accepted, so this is always a valid value.
        HeaderValue::from_str(&allow).map_or(Found::Nothing, Found::MethodNotAllowed)
    }
}

impl Claim<'_> {
    fn target(&self, route: &Route, Lead { handler, pooled }: Lead) -> Target {
        Target {
            key: self.precedence.key.clone(),
            instance: self.instance.clone(),
            handler,
            pooled,
            names: route.path.parameters().map(Box::from).collect(),
            timeout: self.timeout,
            limits: self.limits.clone(),
            in_flight: Arc::clone(&self.in_flight),
        }
    }
}

impl Target {
    /// Counts one more request; `None` when as many as allowed are in flight.
    pub fn enter(self: &Arc<Self>) -> Option<InFlight> {
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let guard = InFlight(Arc::clone(self));
        (before < self.limits.max_concurrent_requests).then_some(guard)
    }
}

/// A request that is in flight.
#[derive(Debug)]
pub struct InFlight(pub Arc<Target>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A host in lower case, without its port and the dot that may end it.
fn normal_host(host: &str) -> String {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
