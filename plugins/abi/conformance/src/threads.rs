//! Which threads this process has.
//!
//! Owns the look into /proc. A thread that ends tells nobody, so its end can only be looked for again and again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A thread that was told to end needs a moment for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// The threads of a moment.
pub(crate) struct Threads(BTreeSet<String>);

impl Threads {
    /// Those that there are.
    pub fn now() -> Self {
        let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        Self(tasks.map(|task| task.file_name().to_string_lossy().into_owned()).collect())
    }

    /// Those that are there now and were not then, after a while to end in; their names.
    pub fn left(&self) -> Vec<String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let new: Vec<String> = Self::now().0.difference(&self.0).cloned().collect();
            if new.is_empty() || Instant::now() > until {
                return new.iter().map(|id| name(id)).collect();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn name(id: &str) -> String {
    let name = std::fs::read_to_string(format!("/proc/self/task/{id}/comm")).unwrap_or_default();
    name.trim_end().to_owned()
}
