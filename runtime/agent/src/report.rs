//! From the runtime back to the cluster: the pod's RuntimeReport.
//!
//! Owns when it is written. What the runtime says is read by [`local`], put together by [`condense`], paced by [`pace`] and written by
//! [`publish`]. Never says more than is known: before the first complete list of entries there is no report. Nor believes more: what was
//! written counts only if the API server said so, and not for ever.

mod condense;
mod local;
mod pace;
mod publish;

use std::time::Duration;

use anyhow::Context as _;
use hotbay_api::{RuntimeReport, RuntimeReportFields};
use kube::Api;
use tokio::sync::watch;

use crate::fill::Known;
use crate::timer::{now, sleep_until};
use condense::{Identity, condense};
pub use local::{Local, spawn_watch};
pub use pace::Pace;
use pace::has_new_failure;
pub use publish::Publisher;
use publish::Reports;

/// Writes the report for as long as the agent lives.
pub struct Reporter<R = Api<RuntimeReport>> {
    identity: Identity,
    publisher: Publisher<R>,
    known: watch::Receiver<Known>,
    local: watch::Receiver<Local>,
    pace: Pace,
    /// What the API server has; `None` if that is not known.
    written: Option<RuntimeReportFields>,
    failures: u32,
}

impl<R: Reports> Reporter<R> {
    /// A reporter of what `known` and `local` say.
    pub fn new(
        pool: String,
        pod_uid: String,
        publisher: Publisher<R>,
        known: watch::Receiver<Known>,
        local: watch::Receiver<Local>,
        pace: Pace,
    ) -> Self {
        let identity = Identity { pool, pod_uid };
        Self { identity, publisher, known, local, pace, written: None, failures: 0 }
    }

    /// Reports for ever.
    ///
    /// # Errors
    /// When one of its sources ends.
    pub async fn run(mut self) -> anyhow::Result<()> {
        loop {
            let next = self.condense();
            if next.is_some() && next != self.written {
                let failure = has_new_failure(self.written.as_ref(), next.as_ref());
                self.pace.changed(failure, now());
            } else {
                self.pace.settled();
            }
            let due = self.pace.due();
            tokio::select! {
                changed = self.known.changed() => changed.context("the bay is no longer filled")?,
                changed = self.local.changed() => changed.context("the local report is no longer watched")?,
                () = sleep_until(due) => self.write().await,
            }
        }
    }

    fn condense(&mut self) -> Option<RuntimeReportFields> {
        let known = self.known.borrow_and_update().entries.clone()?;
        Some(condense(&self.identity, &known, &self.local.borrow_and_update()))
    }

    /// Writes what holds now, which may be newer than what made it due.
    async fn write(&mut self) {
        let Some(fields) = self.condense() else { return };
        match self.publisher.publish(&fields).await {
            Ok(()) => {
                tracing::debug!(applied_through = fields.applied_through, "report written");
                if self.written.as_ref() == Some(&fields) {
                    self.pace.confirmed(now());
                } else {
                    self.pace.wrote(now());
                }
                self.written = Some(fields);
                self.failures = 0;
            }
            Err(error) => {
                // It may be written all the same, so that it is wrong to write nothing even if what was written before holds again.
                self.written = None;
                let wait = Duration::from_secs(1 << self.failures.min(3));
                self.failures += 1;
                tracing::warn!(error = &error as &dyn std::error::Error, ?wait, "cannot write the report");
                self.pace.failed(now() + wait);
            }
        }
    }
}

#[cfg(test)]
mod tests;
