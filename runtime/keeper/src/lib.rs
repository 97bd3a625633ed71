//! Owns the sockets and the engines behind them; never runs module code.
//!
//! ```text
//! run      the poll loop: signals, children, channels, ports, files       → events
//! machine  what to do next; pure, time is passed in                       → actions, which run executes
//! ```
//! The keeper binds the listening socket once and starts an *engine* to serve from it. When an engine dies, or is to be replaced, the next one
//! serves from the same socket; clients meanwhile wait in its queue. Single-threaded, without tokio and without anything that could load code:
//! what cannot crash cannot take the socket along.

mod admin;
mod blame;
mod board;
mod child;
mod error;
mod health;
mod history;
mod journal;
mod machine;
mod port;
mod probe_once;
mod probe_queue;
mod probe_run;
mod procfs;
mod run;
mod settings;
mod sockets;
mod store;
mod survey;

pub use error::KeeperError;
pub use hotbay_protocol::ProbeOutcome;
pub use probe_once::probe;
pub use run::run;
pub use settings::Settings;
