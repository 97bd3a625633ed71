//! When a report may leave.
//!
//! Owns the pace: a failure at once, progress after a short pause in which more of it may come, and under churn more and more seldom, since a
//! pool may have a thousand pods. What did not change leaves again after a long while. Pure: reads no clock.

use std::time::{Duration, Instant};

use hotbay_api::{EntryState, ReportException, RuntimeReportFields};

use crate::jitter::{seed_of, shortened};

/// Progress waits this long for more of it.
const PROGRESS: Duration = Duration::from_millis(250);
/// A failure waits this long: several modules of one apply often fail together.
const FAILURE: Duration = Duration::from_millis(100);
/// So many writes may follow each other closely before it counts as churn: a person, or a test, that applies and waits, applies and waits.
const BURST: u32 = 20;
/// The first pause between writes under churn; it doubles up to what the settings say.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// What holds is written again after this long, or up to a fifth less: somebody may have deleted or changed it, and we watch no reports. A PUT
/// that changes nothing makes no new resourceVersion and wakes nobody; a thousand pods send two a second.
const AGAIN: Duration = Duration::from_secs(600);

/// See the module.
#[derive(Debug, Default)]
pub struct Pace {
    longest_pause: Duration,
    /// Since when what is written is not what holds.
    progress_since: Option<Instant>,
    failure_since: Option<Instant>,
    last_write: Option<Instant>,
    /// Writes that followed each other closely.
    streak: u32,
    /// Between the last write and the next.
    pause: Duration,
    /// After a failed write: not before.
    not_before: Option<Instant>,
    /// This pod's [`AGAIN`].
    again: Duration,
    /// When to write what did not change.
    again_at: Option<Instant>,
}

impl Pace {
    /// The pace of the pod with this UID, which under churn slows down to a write each `longest_pause`.
    pub fn new(longest_pause: Duration, pod_uid: &str) -> Self {
        Self { longest_pause, again: shortened(AGAIN, seed_of(pod_uid)), ..Self::default() }
    }

    /// What holds is not what is written; with a failure that is not written.
    pub(super) fn changed(&mut self, failure: bool, now: Instant) {
        if self.progress_since.is_none() && self.last_write.is_some_and(|at| now >= at + self.calm()) {
            self.streak = 0;
            self.pause = Duration::ZERO;
        }
        self.progress_since.get_or_insert(now);
        self.failure_since = failure.then(|| self.failure_since.unwrap_or(now));
    }

    /// What holds is what is written (again).
    pub(super) fn settled(&mut self) {
        (self.progress_since, self.failure_since) = (None, None);
    }

    /// When to write, if there is anything or was.
    pub(super) fn due(&self) -> Option<Instant> {
        let paused = self.last_write.map(|at| at + self.pause);
        let progress =
            self.progress_since.map(|since| paused.map_or(since + PROGRESS, |at| at.max(since + PROGRESS)));
        let failure = self.failure_since.map(|since| since + FAILURE);
        let changed = [progress, failure].into_iter().flatten().min();
        let due = changed.or(self.again_at)?;
        Some(self.not_before.map_or(due, |at| at.max(due)))
    }

    /// All that holds was written.
    pub(super) fn wrote(&mut self, now: Instant) {
        self.confirmed(now);
        self.last_write = Some(now);
        self.streak = self.streak.saturating_add(1);
        if self.streak >= BURST {
            self.pause = (self.pause * 2).max(FIRST_PAUSE).min(self.longest_pause);
        }
    }

    /// What was written before was written again. That is no churn.
    pub(super) fn confirmed(&mut self, now: Instant) {
        self.settled();
        self.not_before = None;
        self.again_at = Some(now + self.again);
    }

    /// A write failed; the next one not before `at`.
    pub(super) fn failed(&mut self, at: Instant) {
        self.not_before = Some(at);
    }

    /// Without a change for this long after a write, it is no churn.
    fn calm(&self) -> Duration {
        FIRST_PAUSE.max(self.pause * 2)
    }
}

/// Whether `next` tells of a failure that `written` does not.
pub(super) fn has_new_failure(
    written: Option<&RuntimeReportFields>,
    next: Option<&RuntimeReportFields>,
) -> bool {
    let failed = |report: Option<&RuntimeReportFields>| -> Vec<ReportException> {
        let exceptions = report.map(|report| report.exceptions.clone()).unwrap_or_default();
        exceptions.into_iter().filter(|exception| exception.state == EntryState::Failed).collect()
    };
    let told = failed(written);
    let is_told = |new: &ReportException| {
        told.iter().any(|old| {
            (&old.namespace, &old.name, old.sequence, &old.reason)
                == (&new.namespace, &new.name, new.sequence, &new.reason)
        })
    };
    let trouble = |report: Option<&RuntimeReportFields>| report.and_then(|report| report.trouble.clone());
    failed(next).iter().any(|new| !is_told(new))
        || (trouble(next).is_some() && trouble(next) != trouble(written))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use hotbay_api::Reason;

    const LONGEST: Duration = Duration::from_secs(60);

    fn pace() -> Pace {
        Pace::new(LONGEST, "uid")
    }

    fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    #[test]
    fn a_single_change_leaves_within_300_ms_and_a_failure_within_250() {
        let (mut pace, now) = (pace(), Instant::now());
        assert_eq!(pace.due(), None);
        pace.changed(false, now);
        assert!(pace.due().unwrap() <= now + ms(300));
        pace.changed(true, now + ms(10));
        assert!(pace.due().unwrap() <= now + ms(250));
    }

    #[test]
    fn changes_that_come_together_leave_together() {
        let (mut pace, now) = (pace(), Instant::now());
        pace.changed(false, now);
        pace.changed(false, now + ms(200));
        assert_eq!(pace.due(), Some(now + PROGRESS), "a steady stream must not put it off");
        pace.wrote(now + PROGRESS);
        assert!(pace.due().unwrap() > now + AGAIN / 2, "all is written");
    }

    /// Changes a second after each write; the pauses between writes.
    fn churn(pace: &mut Pace, mut now: Instant, rounds: u32) -> (Vec<Duration>, Instant) {
        let mut pauses = Vec::new();
        for _ in 0..rounds {
            let before = now;
            pace.changed(false, now + ms(1000));
            now = pace.due().unwrap();
            pace.wrote(now);
            pauses.push(now - before);
        }
        (pauses, now)
    }

    #[test]
    fn churn_is_slowed_down_and_failures_are_not() {
        let mut pace = pace();
        let (pauses, now) = churn(&mut pace, Instant::now(), 30);
        assert!(
            pauses[..BURST as usize].iter().all(|pause| *pause == ms(1250)),
            "a burst is prompt: {pauses:?}"
        );
        let seconds: Vec<u64> = pauses[BURST as usize..].iter().map(Duration::as_secs).collect();
        assert_eq!(seconds[..6], [5, 10, 20, 40, 60, 60]);
        pace.changed(true, now + ms(1));
        assert_eq!(pace.due(), Some(now + ms(1) + FAILURE));
    }

    #[test]
    fn a_small_pool_is_slowed_down_less() {
        let mut pace = Pace::new(ms(2000), "uid");
        let (pauses, _) = churn(&mut pace, Instant::now(), 30);
        assert_eq!(pauses[29], ms(2000));
    }

    #[test]
    fn calm_ends_the_slowness() {
        let mut pace = pace();
        let (_, now) = churn(&mut pace, Instant::now(), 30);
        let later = now + LONGEST * 2;
        pace.changed(false, later);
        assert_eq!(pace.due(), Some(later + PROGRESS));
    }

    #[test]
    fn what_does_not_change_is_written_again_every_10_minutes_and_each_pod_has_its_time() {
        let now = Instant::now();
        let dues = (0..100).map(|pod| {
            let mut pace = Pace::new(LONGEST, &format!("3f0e2f0a-6f0e-4c58-9d0b-0a6f4d1f9a{pod:02}"));
            pace.wrote(now);
            pace.due().unwrap() - now
        });
        let dues: BTreeSet<Duration> = dues.collect();
        assert!(dues.len() > 90, "{} times", dues.len());
        assert!(dues.iter().all(|due| (480..=600).contains(&due.as_secs())), "{dues:?}");
    }

    #[test]
    fn writing_what_did_not_change_is_no_churn() {
        let mut pace = pace();
        let (_, now) = churn(&mut pace, Instant::now(), 30);
        let again = pace.due().unwrap();
        assert!(again > now + AGAIN / 2);
        pace.confirmed(again);
        pace.changed(false, again + ms(1000));
        assert_eq!(pace.due(), Some(again + ms(1000) + PROGRESS), "the churn is long over");
        pace.settled();
        assert!(pace.due().unwrap() > again + AGAIN / 2, "the next time is counted from this one");
    }

    #[test]
    fn a_failed_write_is_tried_again_and_not_at_once() {
        let (mut pace, now) = (pace(), Instant::now());
        pace.changed(true, now);
        pace.failed(now + ms(1000));
        pace.changed(true, now + ms(1));
        assert_eq!(pace.due(), Some(now + ms(1000)));
    }

    #[test]
    fn only_failures_that_are_not_told_hurry() {
        let exception = |sequence, state| ReportException {
            namespace: "shop".into(),
            name: "hello".into(),
            sequence,
            state,
            reason: Reason::InvalidElf,
            message: String::new(),
            serving_revision: None,
        };
        let report = |exceptions| Some(RuntimeReportFields { exceptions, ..RuntimeReportFields::default() });
        let failed = report(vec![exception(5, EntryState::Failed)]);
        assert!(has_new_failure(None, failed.as_ref()));
        assert!(!has_new_failure(failed.as_ref(), failed.as_ref()));
        assert!(has_new_failure(failed.as_ref(), report(vec![exception(6, EntryState::Failed)]).as_ref()));
        assert!(!has_new_failure(None, report(vec![exception(5, EntryState::Pending)]).as_ref()));
        assert!(!has_new_failure(failed.as_ref(), report(vec![]).as_ref()), "a recovery is progress");
    }
}
