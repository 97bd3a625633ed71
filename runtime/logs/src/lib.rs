//! What a process's log lines look like, and how much a running one logs: SIGUSR1 makes it more, SIGUSR2 less.
//!
//! Owns the one form of JSON lines, that of text for people, and the steps. A restart is back at the filter that was set. Must not read the
//! environment: form and filter are its caller's setting. With the feature `signals` a process that has tokio follows the signals; the keeper,
//! which has not, takes them with its others and tells its engines.
//!
//! | step | filter |
//! | --- | --- |
//! | +3 | `trace`, of everything |
//! | +2 | `debug`, of everything |
//! | +1 | what was set, and Hotbay's own `debug` |
//! | 0 | what was set |
//! | −1 | `warn` |
//! | −2 | `error` |

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

#[cfg(feature = "signals")]
mod follow;
mod lines;

pub use lines::steady;

const LEAST: i8 = -2;
const MOST: i8 = 3;

/// The level of a process; clones change the same one.
#[derive(Clone)]
pub struct Level {
    filter: reload::Handle<EnvFilter, Registry>,
    set: String,
    step: Arc<Mutex<i8>>,
}

/// The subscriber without its lines.
type Filtered = tracing_subscriber::layer::Layered<reload::Layer<EnvFilter, Registry>, Registry>;

/// Logs JSON to `writer` from now on: an object a line, with `timestamp`, `level`, `message` and `target` beside the event's own fields. Those
/// of a module are in one object, `fields`. A filter that is
/// not valid falls back to `info`, and the log says so: it must not silence it.
pub fn json<W>(filter: &str, writer: W) -> Level
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    install(filter, json_layer(writer))
}

fn json_layer<S, W>(writer: W) -> impl Layer<S> + Send + Sync
where
    S: tracing::Subscriber + for<'l> LookupSpan<'l>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().json().flatten_event(true);
    // Who read the log may be gone: to say so on standard error would be a panic.
    layer.map_event_format(lines::Lines).with_writer(writer).log_internal_errors(false)
}

/// A subscriber that logs everything as [`json`] does, for tests: nothing is installed.
pub fn json_lines<W>(writer: W) -> impl tracing::Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    Registry::default().with(json_layer(writer))
}

/// As [`json`], in text for people, with colours if `ansi`.
pub fn text<W>(filter: &str, writer: W, ansi: bool) -> Level
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    install(
        filter,
        tracing_subscriber::fmt::layer()
            .compact()
            .with_target(false)
            .with_ansi(ansi)
            .with_writer(writer)
            .log_internal_errors(false),
    )
}

fn install(filter: &str, lines: impl Layer<Filtered> + Send + Sync) -> Level {
    let (set, complaint) = match EnvFilter::try_new(filter) {
        Ok(_) => (filter.to_owned(), None),
        Err(error) => ("info".to_owned(), Some(error)),
    };
    let (layer, handle) = reload::Layer::new(at(&set, 0));
    // An error says that a subscriber is there already, which is what is wanted.
    let _already = tracing_subscriber::registry().with(layer).with(lines).try_init();
    if let Some(error) = complaint {
        tracing::warn!(%error, setting = "HOTBAY_LOG", "the log filter is not valid; info is used");
    }
    Level { filter: handle, set, step: Arc::default() }
}

impl Level {
    /// One step more.
    pub fn more(&self) {
        self.change(|step| step.saturating_add(1));
    }

    /// One step less.
    pub fn less(&self) {
        self.change(|step| step.saturating_sub(1));
    }

    /// The step that another process is at.
    pub fn set(&self, step: i8) {
        self.change(|_| step);
    }

    /// How far it is from what was set, as the table above counts.
    pub fn step(&self) -> i8 {
        *self.step.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, next: impl FnOnce(i8) -> i8) {
        let mut step = self.step.lock().unwrap_or_else(PoisonError::into_inner);
        let next = next(*step).clamp(LEAST, MOST);
        let filter = at(&self.set, next);
        // Seen with the wider one of the two filters.
        let tell = || tracing::warn!(%filter, "what is logged changes");
        if next < *step {
            tell();
        }
        let widens = next > *step;
        if self.filter.reload(at(&self.set, next)).is_ok() {
            *step = next;
        }
        if widens {
            tell();
        }
    }
}

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Level({}, step {})", self.set, self.step())
    }
}

fn at(set: &str, step: i8) -> EnvFilter {
    match step {
        ..=-2 => EnvFilter::new("error"),
        -1 => EnvFilter::new("warn"),
        0 => EnvFilter::new(set),
        1 => EnvFilter::new(format!("{set},hotbay=debug")),
        2 => EnvFilter::new("debug"),
        _ => EnvFilter::new("trace"),
    }
}

#[cfg(test)]
mod tests;
