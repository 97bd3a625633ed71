//! The agent: fills a pod's bay from the cluster and reports back. The only holder of a token in a runtime pod, so it never runs module code.
//!
//! Owns both directions: entries and blobs from ConfigMaps into the bay (`fill`), and the runtime's local report, condensed, into the pod's
//! RuntimeReport (`report`). Must not decide what the pool serves, nor take anything away because the API server cannot be reached.

mod fill;
mod health;
mod report;
mod run;
mod settings;
mod timer;

pub use run::run;
pub use settings::Settings;
