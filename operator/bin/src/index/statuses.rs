//! The statuses of a pool and its modules, written when they differ from what is there.
//!
//! Owns the gathering of what a status follows from; the pipeline decides what it says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use hotbay_api::{
    EntryKey, HandlerModule, HandlerModuleStatus, PoolRef, Revision, RuntimePool, RuntimePoolStatus,
    RuntimeReport,
};
use hotbay_pipeline::status::{
    EntryInForce, ModuleCase, Pod, PoolCase, is_ready_for, is_served, module_status, pool_status,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Index;
use super::actions::{Action, Target, Write};
use super::decide::View;
use super::figures::PoolFigures;
use super::look_ups::LookUp;
use super::notices::{About, News, Notice, of_module, of_pool};

impl Index {
    pub(super) fn write_statuses(
        &mut self,
        view: &View,
        now: Instant,
        time: &Time,
        actions: &mut Vec<Action>,
    ) {
        let ready = self.ready_pods(view);
        let pods: Vec<Pod> = ready
            .iter()
            .map(|(name, report)| Pod { name, report: report.as_deref().map(|report| &report.spec) })
            .collect();
        let mut figures = PoolFigures { held_removals: view.held_removals, ..PoolFigures::default() };
        for (key, module) in &view.members {
            let status = self.module_status(view, key, module, &pods, time);
            figures.count(Some(&status));
            if module.status.as_ref() != Some(&status) && !self.is_being_handed_over(view, key) {
                self.put_module_status(key, module, status, now, actions);
            }
        }
        if let Some(rules) = &view.rules {
            let status = pool_status_of(view, rules, &pods, time);
            figures.pods = Some(status.pods.clone());
            self.put_pool_status(&view.pool, rules, status, now, actions);
        }
        let is_there = view.rules.is_some() || !view.members.is_empty();
        self.figures.pools.insert(view.pool.clone(), is_there.then_some(figures));
    }

    /// Whether the module's entry or blobs are being written: what comes of it is told a moment later, in one status with what came before. A
    /// write that failed keeps nothing back.
    fn is_being_handed_over(&self, view: &View, key: &EntryKey) -> bool {
        let candidate = self.look_ups.get(key).and_then(LookUp::candidate);
        let blobs = candidate.into_iter().flat_map(|candidate| &candidate.sizes);
        let blobs = blobs.map(|(digest, _)| Target::Blob(view.pool.namespace.clone(), *digest));
        let entry = Target::Entry(view.pool.clone(), key.clone());
        blobs.chain([entry]).any(|target| self.schedule.is_first_try(&target))
    }

    /// The ready pods of the pool, each with its own report.
    fn ready_pods(&self, view: &View) -> BTreeMap<String, Option<Arc<RuntimeReport>>> {
        let Some(rules) = &view.rules else { return BTreeMap::new() };
        let namespace = &view.pool.namespace;
        let slices = self.places.get(namespace).into_iter().flat_map(|place| place.slices.iter());
        let of_pool = slices.filter(|slice| slice.service == rules.spec.service_ref.name);
        let with_report = |(name, uid): &(String, String)| {
            let report = self.reports.get(namespace, name);
            let own =
                report.filter(|report| report.spec.pod_uid == *uid && report.spec.pool == view.pool.name);
            (name.clone(), own.cloned())
        };
        of_pool.flat_map(|slice| slice.pods.iter().map(with_report)).collect()
    }

    fn module_status(
        &mut self,
        view: &View,
        key: &EntryKey,
        module: &HandlerModule,
        pods: &[Pod],
        time: &Time,
    ) -> HandlerModuleStatus {
        let look_up = self.look_ups.get(key);
        let candidate =
            look_up.and_then(LookUp::candidate).map(|candidate| (&candidate.artifact, &candidate.revision));
        let stored = view.entry_of(key);
        let in_force = stored.and_then(|stored| {
            stored.entry.as_ref().map(|entry| EntryInForce {
                entry,
                sequence: stored.version,
                generation: stored.generation,
            })
        });
        let left_behind = self.left_behind(key, module).and_then(|left| {
            let revision = left.entry.as_ref()?.wanted()?.revision.as_str();
            Some((&left.pool, revision))
        });
        let status = module_status(&ModuleCase {
            generation: module.metadata.generation.unwrap_or_default(),
            runtime: &view.pool,
            refusal: view.refused.get(key).or_else(|| look_up.and_then(LookUp::refusal)),
            wanted: candidate.filter(|_| is_judged(view, key)),
            entry: in_force.as_ref(),
            left_behind,
            pods,
            handled_request: look_up.and_then(LookUp::handled_request),
            previous: module.status.as_ref(),
            now: time,
        });
        let is_ready = |wanted: &Revision| {
            Some(wanted) == candidate.map(|(_, revision)| revision)
                && in_force
                    .as_ref()
                    .is_some_and(|entry| is_ready_for(&status, &wanted.revision, entry.generation))
        };
        // What the pods serve is good whatever became of the spec meanwhile, and also if this operator saw none of it.
        if let (Some(stored), Some(entry)) = (stored, &in_force)
            && (is_served(pods, entry) || entry.entry.wanted().is_some_and(is_ready))
        {
            self.known_good.insert(key.clone(), stored.version);
        }
        status
    }

    /// Writes the status, if it is another, and tells what is new in it once it is written.
    pub(super) fn put_module_status(
        &mut self,
        key: &EntryKey,
        module: &HandlerModule,
        status: HandlerModuleStatus,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let target = Target::ModuleStatus(key.clone());
        if module.status.as_ref() != Some(&status) && self.schedule.begin(&target, now) {
            let uid = module.metadata.uid.clone().unwrap_or_default();
            let about = About::Module(key.clone(), uid.clone());
            self.tell_once_written(&target, &about, of_module(module.status.as_ref(), &status));
            let write = Write::ModuleStatus(key.clone(), uid, Box::new(status));
            actions.push(Action::Write(target, Box::new(write)));
        }
    }

    /// Writes the status, if it is another, and tells what is new in it once it is written.
    pub(super) fn put_pool_status(
        &mut self,
        pool: &PoolRef,
        rules: &RuntimePool,
        status: RuntimePoolStatus,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let target = Target::PoolStatus(pool.clone());
        if rules.status.as_ref() != Some(&status) && self.schedule.begin(&target, now) {
            let uid = rules.metadata.uid.clone().unwrap_or_default();
            let about = About::Pool(pool.clone(), uid.clone());
            self.tell_once_written(&target, &about, of_pool(rules.status.as_ref(), &status));
            let write = Write::PoolStatus(pool.clone(), uid, status);
            actions.push(Action::Write(target, Box::new(write)));
        }
    }

    pub(super) fn tell_once_written(&mut self, target: &Target, about: &About, news: Vec<News>) {
        let notices: Vec<Notice> =
            news.into_iter().map(|news| Notice { about: about.clone(), news }).collect();
        if !notices.is_empty() {
            self.unwritten.insert(target.clone(), notices);
        }
    }
}

fn pool_status_of(view: &View, rules: &RuntimePool, pods: &[Pod], time: &Time) -> RuntimePoolStatus {
    let entries = view.entries.values().filter_map(|stored| {
        let (sequence, generation) = (stored.version, stored.generation);
        Some(EntryInForce { entry: stored.entry.as_ref()?, sequence, generation })
    });
    let entries: Vec<EntryInForce> = entries.collect();
    pool_status(&PoolCase {
        pool: &view.pool,
        generation: rules.metadata.generation.unwrap_or_default(),
        pods,
        entries: &entries,
        held_removals: view.held_removals,
        unreadable: None,
        previous: rules.status.as_ref(),
        now: time,
    })
}

/// Whether what the module's artifact came to may be told: a module that is not admitted was not looked at.
fn is_judged(view: &View, key: &EntryKey) -> bool {
    use hotbay_api::Reason::{NotAllowed, PoolFull, RuntimeNotFound, Suspended};
    let refused = view.refused.get(key).map(|refusal| &refusal.reason);
    !matches!(refused, Some(RuntimeNotFound | NotAllowed | PoolFull | Suspended))
}
