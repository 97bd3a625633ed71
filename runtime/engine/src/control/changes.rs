//! What the control loop hears of bay and preparations.
//!
//! Owns what each piece of news changes in the list of modules, and the log line about it. Must not act on it: the loop does, when all news is in.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use hotbay_api::{EntryKey, Reason, Trouble};
use hotbay_bay::Scan;

use super::{Control, Done, Serving};
use crate::modules::Change;
use crate::prepare::Prepared;

impl Control {
    pub(super) fn take_scan(&mut self, scan: &Scan) -> bool {
        self.trouble = scan.trouble.clone();
        self.stirred = true;
        let strays = scan.problems.iter().filter(|problem| problem.key.is_none());
        let strays: BTreeSet<String> =
            strays.map(|problem| format!("{}: {}", problem.reason, problem.message)).collect();
        strays.difference(&self.strays).for_each(|stray| tracing::warn!("{stray}"));
        self.strays = strays;
        let gone: Vec<_> = self
            .modules
            .active()
            .map(|(entry, _)| entry.key())
            .filter(|key| !scan.entries.contains_key(key))
            .collect();
        self.modules.apply(scan);
        for key in gone {
            tracing::info!(module = %key, "unloaded");
        }
        // What is starting is in the table, too.
        true
    }

    pub(super) fn take_done(&mut self, (job, result): Done) -> bool {
        self.stirred = true;
        let reason = result.as_ref().map_or_else(|failure| &failure.trouble.reason, |_| &Reason::Succeeded);
        self.memory.count_load(reason);
        self.count_images();
        match result {
            Ok(Prepared { instance, digest, handlers }) => {
                let serving = Serving { instance: Arc::new(instance), handlers, in_flight: Arc::default() };
                let change = self.modules.succeeded(&job, serving, digest);
                let word = match change {
                    Change::Unwanted => return false,
                    Change::Loaded => "loaded",
                    Change::Swapped => "swapped",
                };
                tracing::info!(module = %job.key, revision = job.revision.revision, "{word}");
                true
            }
            Err(failure) => {
                let Trouble { reason, message } = failure.trouble.clone();
                let counts = self.modules.failed(&job, failure, Instant::now());
                if counts {
                    let kept = self.kept(&job.key);
                    tracing::warn!(module = %job.key, revision = job.revision.revision, %reason, "failed: {reason}: {message}{kept}");
                }
                counts
            }
        }
    }

    /// What serves of a module in spite of a failure, in words.
    fn kept(&self, key: &EntryKey) -> String {
        let active = self.modules.active().find(|(entry, _)| entry.key() == *key);
        active.map_or_else(String::new, |(_, active)| format!("; still serving {}", active.revision.revision))
    }
}
