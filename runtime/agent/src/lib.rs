//! The agent: fills a pod's bay from the cluster and reports back. The only holder of a token in a runtime pod, so it never runs module code.
//!
//! The container's first process is `supervise`, which starts the agent as its child and starts it again when it dies.
//!
//! Owns both directions: entries and blobs, from ConfigMaps or the operator's blob service, into the bay (`fill`), and the runtime's local report, condensed, into the pod's
//! RuntimeReport (`report`). Must not decide what the pool serves, nor take anything away because the API server cannot be reached.

mod fill;
mod health;
mod jitter;
mod report;
mod run;
mod settings;
mod supervise;
mod timer;

pub use run::run;
pub use settings::Settings;
pub use supervise::supervise;
