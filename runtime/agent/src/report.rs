//! From the runtime back to the cluster: the pod's RuntimeReport.
//!
//! Owns when it is written. What the runtime says is read by [`local`], put together by [`condense`], paced by [`pace`] and written by
//! [`publish`]. Never says more than is known: before the first complete list of entries there is no report.

mod condense;
mod local;
mod pace;
mod publish;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use hotbay_api::RuntimeReportFields;
use tokio::sync::watch;

use crate::fill::Known;
use crate::timer::sleep_until;
use condense::{Identity, condense};
pub use local::{Local, spawn_watch};
pub use pace::Pace;
use pace::has_new_failure;
pub use publish::Publisher;

/// Writes the report for as long as the agent lives.
pub struct Reporter {
    identity: Identity,
    publisher: Publisher,
    known: watch::Receiver<Known>,
    local: watch::Receiver<Local>,
    pace: Pace,
    /// What the API server has, as far as we know.
    written: Option<RuntimeReportFields>,
    failures: u32,
}

impl Reporter {
    /// A reporter of what `known` and `local` say.
    pub fn new(
        pool: String,
        pod_uid: String,
        publisher: Publisher,
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
                self.pace.changed(failure, Instant::now());
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
                self.written = Some(fields);
                self.failures = 0;
                self.pace.wrote(Instant::now());
            }
            Err(error) => {
                let wait = Duration::from_secs(1 << self.failures.min(3));
                self.failures += 1;
                tracing::warn!(error = &error as &dyn std::error::Error, ?wait, "cannot write the report");
                self.pace.failed(Instant::now() + wait);
            }
        }
    }
}
