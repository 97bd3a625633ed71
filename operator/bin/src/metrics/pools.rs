//! What is told of each pool.
//!
//! Owns the series of pools, and that none stays which nobody fills any more: neither a reason that the last module has left nor a pool that
//! is gone.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use hotbay_api::PoolRef;
use prometheus_client::registry::Registry;

use super::{Gauges, Word, word};
use crate::index::PoolFigures;

/// Ready's status and reason.
type Standing = (Word, Word);

/// See the module.
#[derive(Default)]
pub(super) struct Pools {
    modules: Gauges<3>,
    pods: Gauges<2>,
    sweeps_held: Gauges<1>,
    /// What was said of each pool last, so that a reason nobody has any more goes.
    told: Mutex<BTreeMap<PoolRef, BTreeSet<Standing>>>,
}

impl Pools {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("modules", "HandlerModules by pool and the Ready condition", self.modules.clone());
        registry.register(
            "pods",
            "Runtime pods by pool: ready, those of them that report, those that serve all they should",
            self.pods.clone(),
        );
        registry.register(
            "sweeps_held",
            "Entries that have lost their HandlerModule and wait for the annotation hotbay.dev/allow-sweep",
            self.sweeps_held.clone(),
        );
    }

    /// A pool is like this now; `None`: it is gone.
    pub(super) fn tell(&self, pool: &PoolRef, figures: Option<&PoolFigures>) {
        let name: Word = pool.to_string().into();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counted = BTreeMap::<_, i64>::new();
        for ((ready, reason), count) in figures.into_iter().flat_map(|figures| &figures.modules) {
            *counted.entry((Cow::Borrowed(*ready), word(reason))).or_default() +=
                i64::try_from(*count).unwrap_or(i64::MAX);
        }
        for (ready, reason) in told.remove(pool).unwrap_or_default() {
            if !counted.contains_key(&(ready.clone(), reason.clone())) {
                self.modules.remove(&[("pool", name.clone()), ("ready", ready), ("reason", reason)]);
            }
        }
        for ((ready, reason), count) in &counted {
            let labels = [("pool", name.clone()), ("ready", ready.clone()), ("reason", reason.clone())];
            self.modules.get_or_create(&labels).set(*count);
        }
        if !counted.is_empty() {
            told.insert(pool.clone(), counted.into_keys().collect());
        }
        drop(told);
        self.gauges(name, figures);
    }

    fn gauges(&self, name: Word, figures: Option<&PoolFigures>) {
        let pool = [("pool", name.clone())];
        let of = |state: &'static str| [("pool", name.clone()), ("state", state.into())];
        // A pool that is gone may leave modules that name it, but no pods and nothing to sweep.
        let Some(pods) = figures.and_then(|figures| figures.pods.as_ref()) else {
            for state in ["ready", "reporting", "converged"] {
                self.pods.remove(&of(state));
            }
            self.sweeps_held.remove(&pool);
            return;
        };
        let counts = [("ready", pods.ready), ("reporting", pods.reporting), ("converged", pods.converged)];
        for (state, count) in counts {
            self.pods.get_or_create(&of(state)).set(count.into());
        }
        let held = figures.map_or(0, |figures| figures.held_removals);
        self.sweeps_held.get_or_create(&pool).set(held.try_into().unwrap_or(i64::MAX));
    }
}
