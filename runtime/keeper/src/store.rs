//! The keeper's two files: the report, which others read, and the journal, which the next keeper reads.
//!
//! Owns how they are written: a dotted temporary name beside the file, then a rename, so that a reader sees the old or the new. Nothing is
//! synced: both are to survive the keeper, not the machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hotbay_api::LocalReport;

use crate::journal::Journal;

const JOURNAL: &str = "journal.json";
/// A swap of many modules comes in many pieces: so long after each writing what follows is gathered. What comes after a quiet time is written at once,
/// since somebody waits for it: `hotbay dev` tells by it how long a save took, and the agent what failed.
const GATHER: Duration = Duration::from_millis(20);

/// The report's file.
#[derive(Debug)]
pub struct ReportFile {
    path: PathBuf,
    abi: String,
    platform: String,
    due: Option<Instant>,
    /// Until then changes are gathered.
    gathers_until: Instant,
    failing: bool,
}

impl ReportFile {
    /// A file to be written at once: what an earlier keeper left is not true any more.
    pub fn new(path: PathBuf, abi: String, platform: String, now: Instant) -> Self {
        Self { path, abi, platform, due: Some(now), gathers_until: now, failing: false }
    }

    /// The report may have changed.
    pub fn touch(&mut self, now: Instant) {
        self.due.get_or_insert(now.max(self.gathers_until));
    }

    /// When to write.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Writes. A failure is logged once, and the next change is another try.
    pub fn write(&mut self, report: LocalReport, now: Instant) {
        (self.due, self.gathers_until) = (None, now + GATHER);
        let report = LocalReport { abi: self.abi.clone(), platform: self.platform.clone(), ..report };
        match write_json(&self.path, &report) {
            Ok(()) => self.failing = false,
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::error!(path = %self.path.display(), %error, "report cannot be written");
            }
            Err(_) => {}
        }
    }
}

/// The journal in `state`; an empty one if there is none. One that cannot be read is moved aside, not trusted and not lost.
///
/// # Errors
/// When the folder cannot be made or read.
pub fn load_journal(state: &Path) -> io::Result<Journal> {
    fs::create_dir_all(state)?;
    let path = state.join(JOURNAL);
    let json = match fs::read(&path) {
        Ok(json) => json,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Journal::default()),
        Err(error) => return Err(error),
    };
    match serde_json::from_slice::<Journal>(&json) {
        Ok(mut journal) => {
            journal.bound();
            Ok(journal)
        }
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "journal is not valid; it is moved aside, and nothing is quarantined");
            fs::rename(&path, path.with_extension("json.bad"))?;
            Ok(Journal::default())
        }
    }
}

/// Saves the journal; a failure is logged, and the next change is another try.
pub fn save_journal(state: &Path, journal: &Journal) {
    let path = state.join(JOURNAL);
    if let Err(error) = write_json(&path, journal) {
        tracing::error!(path = %path.display(), %error, "journal cannot be written");
    }
}

fn write_json(path: &Path, value: &impl serde::Serialize) -> io::Result<()> {
    let name =
        path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no file's name"))?;
    let mut dotted = std::ffi::OsString::from(".");
    dotted.push(name);
    dotted.push(".tmp");
    let temporary = path.with_file_name(dotted);
    fs::write(&temporary, serde_json::to_vec(value)?)?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use hotbay_api::{Digest, EntryKey};
    use hotbay_protocol::{Demoted, Suspect};

    use super::*;

    #[test]
    fn a_journal_outlives_its_keeper_and_nonsense_is_moved_aside() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let mut journal = load_journal(&state).unwrap();
        let key = EntryKey::new("shop", "hello").unwrap();
        journal.quarantine(
            &Suspect { key, fingerprint: "0f".into(), digest: String::new(), slot: Some(0) },
            "hangs",
        );
        let key = EntryKey::new("shop", "slow").unwrap();
        journal.demote(&Demoted { key, digest: Digest::of(b"slow"), message: "held a thread".into() });
        save_journal(&state, &journal);
        let policy = |journal: &Journal| journal.policy(Instant::now(), &VecDeque::new());
        assert_eq!(policy(&load_journal(&state).unwrap()), policy(&journal));
        // As an earlier version wrote it.
        fs::write(state.join(JOURNAL), r#"{"quarantined": []}"#).unwrap();
        assert_eq!(policy(&load_journal(&state).unwrap()), policy(&Journal::default()));
        fs::write(state.join(JOURNAL), "{").unwrap();
        assert_eq!(policy(&load_journal(&state).unwrap()), policy(&Journal::default()));
        assert_eq!(fs::read(state.join("journal.json.bad")).unwrap(), b"{");
    }

    #[test]
    fn a_change_after_a_quiet_time_is_written_at_once_and_a_burst_in_two_pieces() {
        let folder = tempfile::tempdir().unwrap();
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let path = folder.path().join("report.json");
        let mut file = ReportFile::new(path, "0.1".into(), "linux/amd64".into(), start);
        file.write(LocalReport::default(), start);
        assert_eq!(file.due(), None, "nothing is new");
        file.touch(at(1000));
        assert_eq!(file.due(), Some(at(1000)), "nobody waits for what may follow");
        file.write(LocalReport::default(), at(1000));
        for millis in [1001, 1010, 1019] {
            file.touch(at(millis));
            assert_eq!(file.due(), Some(at(1020)), "what follows is gathered, and no longer for its number");
        }
        file.write(LocalReport::default(), at(1020));
        file.touch(at(1040));
        assert_eq!(file.due(), Some(at(1040)));
    }

    #[test]
    fn a_report_that_could_not_be_written_is_written_with_the_next_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("later/report.json");
        let now = Instant::now();
        let mut file = ReportFile::new(path.clone(), "0.1".into(), "linux/amd64".into(), now);
        assert_eq!(file.due(), Some(now));
        file.write(LocalReport::default(), now);
        assert_eq!((file.due(), file.failing), (None, true));
        fs::create_dir(folder.path().join("later")).unwrap();
        file.touch(now);
        file.write(LocalReport { engine: 3, ..LocalReport::default() }, now);
        let report: LocalReport = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let abi = "0.1".to_owned();
        assert_eq!(
            report,
            LocalReport { engine: 3, abi, platform: "linux/amd64".into(), ..LocalReport::default() }
        );
    }
}
