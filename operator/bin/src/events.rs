//! News as Kubernetes events.
//!
//! Owns the queue between who decides and the API server. Events are a courtesy: nothing waits for one, a full queue drops, and a failure is
//! counted and not tried again. `limits` keeps a module that flaps from flooding etcd, `record` turns a repetition into a count.

mod limits;
mod record;

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use kube::Client;
use tokio::sync::mpsc;

use crate::index::Notice;
use crate::metrics::{Metrics, Told};
use limits::Limits;
use record::Recorder;

/// More than every module of a large pool at once would need is more than anybody reads.
const QUEUE: usize = 256;

/// Where news goes.
#[derive(Clone)]
pub struct Teller {
    queue: mpsc::Sender<Notice>,
    metrics: Arc<Metrics>,
}

/// A teller, and the work that it hands its news to, which ends when there is no teller any more.
pub fn teller(client: Client, metrics: Arc<Metrics>) -> (Teller, impl Future<Output = ()> + Send) {
    let (queue, notices) = mpsc::channel(QUEUE);
    let work = tell_all(Recorder::new(client), notices, metrics.clone());
    (Teller { queue, metrics }, work)
}

impl Teller {
    /// Tells it, if there is room.
    pub fn tell(&self, notice: Notice) {
        if self.queue.try_send(notice).is_err() {
            self.metrics.told(Told::Dropped);
        }
    }
}

async fn tell_all(mut recorder: Recorder, mut notices: mpsc::Receiver<Notice>, metrics: Arc<Metrics>) {
    let mut limits = Limits::new(Instant::now());
    let mut failing = false;
    while let Some(notice) = notices.recv().await {
        if !limits.allow(&notice.about, Instant::now()) {
            metrics.told(Told::Limited);
            continue;
        }
        let result = recorder.record(&notice).await;
        metrics.told(if result.is_ok() { Told::Published } else { Told::Failed });
        // Once: a permission that is missing is missing for all.
        if let Err(error) = &result
            && !failing
        {
            tracing::warn!(%error, "an event could not be written; more that fail are only counted");
        }
        failing = result.is_err();
    }
}
