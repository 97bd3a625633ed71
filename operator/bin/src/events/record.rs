//! One event on the API server.
//!
//! Owns its form (events.k8s.io/v1), and that the same words about the same object are one event with a count, as long as that is
//! remembered. Kube's own recorder takes the reason alone for the same and would keep the words of the first.

use std::collections::HashMap;
use std::time::Duration;

use hotbay_api::{HandlerModule, RuntimePool};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::{Event, EventSeries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, Resource};

use crate::index::{About, Notice};

/// Who tells, in the form that the API wants.
const CONTROLLER: &str = "hotbay.dev/operator";
/// A write that takes longer is given up.
const LIMIT: Duration = Duration::from_secs(5);
/// How long a repetition counts as one, as Kubernetes' own recorders do.
const SAME_FOR: Duration = Duration::from_secs(360);
/// Events that are remembered.
const REMEMBERED: usize = 512;
/// The API server's limit of a note.
const MAX_NOTE_BYTES: usize = 1024;

/// Why an event was not written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Most often the permission is missing: create and patch of events.k8s.io's events.
    #[error("the API server refused: {0}")]
    Refused(String),
    /// No answer that counts.
    #[error("the API server cannot be asked: {0}")]
    Api(kube::Error),
    /// No answer at all.
    #[error("no answer within {} s", LIMIT.as_secs())]
    TimedOut,
}

impl From<kube::Error> for RecordError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(answer) => Self::Refused(answer.message),
            other => Self::Api(other),
        }
    }
}

/// Writes events.
pub struct Recorder {
    client: Client,
    instance: String,
    known: HashMap<Same, Known>,
}

/// What makes two events one.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Same {
    uid: String,
    reason: String,
    note: String,
}

struct Known {
    name: String,
    count: i32,
    last: Timestamp,
}

impl Recorder {
    /// A recorder that remembers nothing yet.
    pub fn new(client: Client) -> Self {
        // In a pod, its name.
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let instance = Some(host.trim()).filter(|host| !host.is_empty()).unwrap_or("hotbay-operator");
        Self { client, instance: instance.to_owned(), known: HashMap::new() }
    }

    /// Writes `notice`, or counts one more of it.
    ///
    /// # Errors
    /// When the API server does not take it in time.
    pub async fn record(&mut self, notice: &Notice) -> Result<(), RecordError> {
        tokio::time::timeout(LIMIT, self.attempt(notice)).await.unwrap_or(Err(RecordError::TimedOut))
    }

    async fn attempt(&mut self, notice: &Notice) -> Result<(), RecordError> {
        let (now, regarding) = (Timestamp::now(), regarding(&notice.about));
        let same = Same {
            uid: regarding.uid.clone().unwrap_or_default(),
            reason: notice.news.reason.to_string(),
            note: note(&notice.news.message),
        };
        self.forget(now);
        let namespace = regarding.namespace.clone().unwrap_or_default();
        let events = Api::<Event>::namespaced(self.client.clone(), &namespace);
        if let Some(known) = self.known.get_mut(&same)
            && count(&events, known, now).await?
        {
            return Ok(());
        }
        let event = self.event(notice, &same, regarding, now);
        let made = events.create(&PostParams::default(), &event).await?;
        let name = made.metadata.name.unwrap_or_default();
        self.known.insert(same, Known { name, count: 1, last: now });
        Ok(())
    }

    fn event(&self, notice: &Notice, same: &Same, regarding: ObjectReference, now: Timestamp) -> Event {
        let name = regarding.name.as_deref().unwrap_or_default();
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{name}.{:x}", now.as_nanosecond())),
                namespace: regarding.namespace.clone(),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(now)),
            type_: Some(if notice.news.warning { "Warning" } else { "Normal" }.to_owned()),
            reason: Some(same.reason.clone()),
            action: Some(notice.news.action.to_owned()),
            note: Some(same.note.clone()),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            regarding: Some(regarding),
            ..Event::default()
        }
    }

    fn forget(&mut self, now: Timestamp) {
        let is_recent = |known: &Known| now.duration_since(known.last).unsigned_abs() < SAME_FOR;
        self.known.retain(|_, known| is_recent(known));
        if self.known.len() >= REMEMBERED {
            // Rarer than a repetition that is told twice would matter.
            self.known.clear();
        }
    }
}

/// Counts one more; false if the event is gone.
async fn count(events: &Api<Event>, known: &mut Known, now: Timestamp) -> Result<bool, kube::Error> {
    let series = EventSeries { count: known.count + 1, last_observed_time: MicroTime(now) };
    let patch = Patch::Merge(serde_json::json!({ "series": series }));
    match events.patch(&known.name, &PatchParams::default(), &patch).await {
        Ok(_) => {
            (known.count, known.last) = (known.count + 1, now);
            Ok(true)
        }
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(false),
        Err(error) => Err(error),
    }
}

fn regarding(about: &About) -> ObjectReference {
    fn of<K: Resource<DynamicType = ()>>(namespace: &str, name: &str, uid: &str) -> ObjectReference {
        ObjectReference {
            api_version: Some(K::api_version(&()).into_owned()),
            kind: Some(K::kind(&()).into_owned()),
            namespace: Some(namespace.to_owned()),
            name: Some(name.to_owned()),
            uid: Some(uid.to_owned()),
            ..ObjectReference::default()
        }
    }
    match about {
        About::Module(key, uid) => of::<HandlerModule>(&key.namespace, &key.name, uid),
        About::Pool(pool, uid) => of::<RuntimePool>(&pool.namespace, &pool.name, uid),
    }
}

/// As much of a message as the API server takes.
fn note(message: &str) -> String {
    message[..message.floor_char_boundary(MAX_NOTE_BYTES)].to_owned()
}
