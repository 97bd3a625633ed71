//! Pools whose namespace cannot be read.
//!
//! Owns what is told of them. Nothing can be decided for such a pool, but silence would leave its owner and the modules' owners without
//! a clue: most often the Role is missing that the chart hotbay-runtime installs beside a pool.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hotbay_api::condition::{READY, find};
use hotbay_api::{ConditionStatus, HandlerModule, PoolRef, Reason};
use hotbay_pipeline::status::{ModuleCase, PoolCase, module_status, pool_status};
use hotbay_pipeline::{Class, Refusal};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Index;
use super::actions::Action;
use super::figures::PoolFigures;

/// How long watches may fail before it is told: an API server that restarts, or a Role that is applied a moment after its pool, is none's
/// trouble.
const PATIENCE: Duration = Duration::from_secs(10);

/// What keeps a namespace from being seen.
#[derive(Debug)]
pub struct Trouble {
    /// For people.
    words: String,
    /// When it is to be told; `None` once it is.
    due: Option<Instant>,
}

impl Trouble {
    /// When it is to be told.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }
}

impl Index {
    /// Notes that a watch failed, if nothing of its namespace is known without it.
    pub(super) fn cannot_read(&mut self, namespace: &str, what: &str, why: &str, now: Instant) {
        let Some(place) = self.places.get_mut(namespace).filter(|place| !place.is_complete()) else { return };
        let words = format!(
            "the operator cannot read {what} in the pool's namespace {namespace}: {why}; it needs the Role <release>-operator and its \
             RoleBinding, which the chart hotbay-runtime installs there"
        );
        match &mut place.trouble {
            Some(trouble) => trouble.words = words,
            None => place.trouble = Some(Trouble { words, due: Some(now + PATIENCE) }),
        }
        self.touch_namespace(namespace);
    }

    /// Namespaces whose trouble is to be told now; each is given once.
    pub(super) fn unreadable_for_long(&mut self, now: Instant) -> Vec<String> {
        let mut told = Vec::new();
        for (namespace, place) in &mut self.places {
            if let Some(trouble) = &mut place.trouble
                && trouble.due.is_some_and(|due| due <= now)
            {
                trouble.due = None;
                told.push(namespace.clone());
            }
        }
        told
    }

    /// Tells the trouble of a pool that cannot be decided for.
    pub(super) fn tell_unreadable(
        &mut self,
        pool: PoolRef,
        now: Instant,
        time: &Time,
        actions: &mut Vec<Action>,
    ) {
        let trouble = self.places.get(&pool.namespace).and_then(|place| place.trouble.as_ref());
        let Some(trouble) = trouble.filter(|trouble| trouble.due.is_none()) else { return };
        let refusal = Refusal::of_pool(Reason::PoolUnreadable, Class::Waiting, &trouble.words);
        let view = self.view(pool);
        let refused = self.admit(&view);
        let mut figures = PoolFigures::default();
        view.members
            .values()
            .filter(|module| is_ready(module))
            .for_each(|module| figures.count(module.status.as_ref()));
        for (key, module) in view.members.iter().filter(|(_, module)| !is_ready(module)) {
            let status = module_status(&ModuleCase {
                generation: module.metadata.generation.unwrap_or_default(),
                runtime: &view.pool,
                refusal: Some(refused.get(key).unwrap_or(&refusal)),
                wanted: None,
                entry: None,
                left_behind: None,
                pods: &[],
                handled_request: None,
                previous: module.status.as_ref(),
                now: time,
            });
            figures.count(Some(&status));
            self.put_module_status(key, module, status, now, actions);
        }
        self.figures.pools.insert(view.pool.clone(), Some(figures));
        let Some(rules) = &view.rules else { return };
        let status = pool_status(&PoolCase {
            pool: &view.pool,
            generation: rules.metadata.generation.unwrap_or_default(),
            pods: &[],
            entries: &[],
            held_removals: 0,
            unreadable: Some(&refusal.message),
            previous: rules.status.as_ref(),
            now: time,
        });
        self.put_pool_status(&view.pool, rules, status, now, actions);
    }
}

/// Ready is latched: what every pod served is not unsaid because the operator cannot look.
fn is_ready(module: &Arc<HandlerModule>) -> bool {
    let conditions = module.status.as_ref().map_or(&[][..], |status| &status.conditions);
    find(conditions, READY).is_some_and(|ready| {
        ready.status == ConditionStatus::True && Some(ready.observed_generation) == module.metadata.generation
    })
}
