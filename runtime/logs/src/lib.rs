//! How much a running process logs: SIGUSR1 makes it more, SIGUSR2 less.
//!
//! Owns the steps and the subscriber of processes that always log JSON. A restart is back at the filter that was set. Must not read the
//! environment: the filter is its caller's setting.
//!
//! | step | filter |
//! | --- | --- |
//! | +3 | `trace`, of everything |
//! | +2 | `debug`, of everything |
//! | +1 | what was set, and Hotbay's own `debug` |
//! | 0 | what was set |
//! | −1 | `warn` |
//! | −2 | `error` |

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, reload};

const LEAST: i8 = -2;
const MOST: i8 = 3;

/// The level of a process; clones change the same one.
#[derive(Clone)]
pub struct Level {
    filter: reload::Handle<EnvFilter, Registry>,
    set: String,
    step: Arc<Mutex<i8>>,
}

/// Logs JSON to `writer` from now on. A filter that is not valid falls back to `info`, and the log says so: it must not silence it.
pub fn json<W>(filter: &str, writer: W) -> Level
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (set, complaint) = match EnvFilter::try_new(filter) {
        Ok(_) => (filter.to_owned(), None),
        Err(error) => ("info".to_owned(), Some(error)),
    };
    let (layer, handle) = reload::Layer::new(at(&set, 0));
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(writer);
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
        self.change(1);
    }

    /// One step less.
    pub fn less(&self) {
        self.change(-1);
    }

    /// Does what signals say, for ever.
    ///
    /// # Errors
    /// When the signals cannot be listened to.
    pub async fn follow_signals(self) -> io::Result<()> {
        let (mut more, mut less): (Signal, Signal) =
            (signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?);
        loop {
            tokio::select! {
                _ = more.recv() => self.more(),
                _ = less.recv() => self.less(),
            }
        }
    }

    fn change(&self, by: i8) {
        let mut step = self.step.lock().unwrap_or_else(PoisonError::into_inner);
        let next = (*step + by).clamp(LEAST, MOST);
        let filter = at(&self.set, next);
        // Seen with the wider one of the two filters.
        let tell = || tracing::warn!(%filter, "what is logged changes");
        if by < 0 {
            tell();
        }
        if self.filter.reload(at(&self.set, next)).is_ok() {
            *step = next;
        }
        if by > 0 {
            tell();
        }
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
mod tests {
    use std::io::Write;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        /// Which of three lines are logged now: ours at debug, another's at debug, ours at info.
        fn logged(&self) -> [bool; 3] {
            self.0.lock().unwrap().clear();
            tracing::debug!(target: "hotbay_logs", "ours");
            tracing::debug!(target: "hyper", "others");
            tracing::info!(target: "hotbay_logs", "info");
            let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            ["ours", "others", "info"].map(|line| text.contains(&format!("\"message\":\"{line}\"")))
        }
    }

    // One test: the subscriber is the process's.
    #[tokio::test]
    async fn steps_go_up_and_down_within_their_bounds_and_by_signal() {
        let lines = Lines::default();
        let writer = lines.clone();
        let level = json("info", move || writer.clone());
        assert_eq!(lines.logged(), [false, false, true]);
        level.more();
        assert_eq!(lines.logged(), [true, false, true]);
        level.more();
        assert_eq!(lines.logged(), [true, true, true]);
        (0..9).for_each(|_| level.more());
        (0..3).for_each(|_| level.less());
        assert_eq!(lines.logged(), [false, false, true], "back at what was set");
        level.less();
        assert_eq!(lines.logged(), [false, false, false]);
        (0..9).for_each(|_| level.less());
        (0..2).for_each(|_| level.more());
        assert_eq!(lines.logged(), [false, false, true]);

        let following = tokio::spawn(level.clone().follow_signals());
        // Before its handlers are there, a signal would end this process.
        while !is_caught() {
            tokio::task::yield_now().await;
        }
        signal_self("USR1");
        while lines.logged() != [true, false, true] {
            tokio::task::yield_now().await;
        }
        signal_self("USR2");
        while lines.logged() != [false, false, true] {
            tokio::task::yield_now().await;
        }
        following.abort();
    }

    /// Whether both signals have handlers, by the kernel's word.
    fn is_caught() -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim();
        let mask = u64::from_str_radix(mask, 16).unwrap();
        // SIGUSR1 is 10 and SIGUSR2 12.
        mask & (1 << 9) != 0 && mask & (1 << 11) != 0
    }

    fn signal_self(name: &str) {
        let own = std::process::id().to_string();
        assert!(std::process::Command::new("kill").args(["-s", name, &own]).status().unwrap().success());
    }
}
