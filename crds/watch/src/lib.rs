//! How a failed watch is begun again.
//!
//! Owns the pauses, which are the same for operator and agent. kube's own grow to a minute, and a version that became too old while the API server was away costs one more of them: an
//! edit made after an outage would wait for two minutes. An API server that answers is no reason to pause.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{Error, Event};

/// The first pause and the longest, each with up to half of it more. The operator has some ten watches; a thousand pods' agents are some hundred
/// requests a second while the API server is away, which cost nobody anything, and as many lists a second when it is back.
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(8);
/// At most so long before a list that replaces a version too old.
const SPREAD: Duration = Duration::from_secs(1);

/// The watch, begun again after pauses of a bearable length.
pub fn patient<T>(
    watch: impl Stream<Item = Result<Event<T>, Error>>,
) -> impl Stream<Item = Result<Event<T>, Error>> {
    let relisting = watch.filter_map(|event| async {
        match event {
            Err(Error::WatchError(status)) if status.code == 410 => {
                tokio::time::sleep(SPREAD.mul_f64(random())).await;
                None
            }
            other => Some(other),
        }
    });
    relisting.backoff(Pauses(FIRST))
}

/// Each twice as long as the one before.
struct Pauses(Duration);

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST);
        Some(pause + pause.mul_f64(random() / 2.0))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.0 = FIRST;
    }
}

/// From 0 to 1.
fn random() -> f64 {
    (RandomState::new().hash_one(0_u8) % 1000) as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::core::Status;
    use tokio::time::Instant;

    use super::*;

    fn refused(code: u16) -> Result<Event<ConfigMap>, Error> {
        Err(Error::WatchError(Box::new(Status::failure("no", "no").with_code(code))))
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_seconds_and_a_version_too_old_costs_none() {
        let failures = (0..20).map(|_| refused(500));
        let old_version = [refused(410), Ok(Event::Init)];
        let again = [refused(500), Ok(Event::Init)];
        let watch = stream::iter(failures.chain(old_version).chain(again));
        let (mut watch, mut last) = (Box::pin(patient(watch)), Instant::now());
        let mut waits = Vec::new();
        while let Some(event) = watch.next().await {
            waits.push((event.is_ok(), last.elapsed().as_millis()));
            last = Instant::now();
        }
        let bounds = [0, 500, 1000, 2000, 4000].into_iter().chain([8000; 15]);
        for ((ok, wait), bound) in waits[..20].iter().zip(bounds) {
            assert!(!ok && (bound..=bound * 3 / 2).contains(wait), "{waits:?}");
        }
        assert!(
            waits[20].0 && waits[20].1 <= 13_000,
            "one pause after the last failure, none for the version: {waits:?}"
        );
        assert!(!waits[21].0 && waits[22].1 <= 750, "what works starts the pauses anew: {waits:?}");
        assert_eq!(waits.len(), 23);
    }
}
