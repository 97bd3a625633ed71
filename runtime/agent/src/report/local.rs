//! The local report: read as what it is, a file that a module may have written.
//!
//! Owns the defences: no link is followed, a FIFO cannot block, only a regular file of bounded size is read. Whoever reads it must not
//! trust its words either; `condense` cleans them.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use hotbay_api::{LocalReport, Reason, Trouble, chain};
use hotbay_bay::{FileWatch, Stamp};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use tokio::sync::watch;

/// The largest local report: a thousand entries of 4 KiB.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// What the runtime says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Local {
    /// The last report that could be read; `None` before the first.
    pub report: Option<LocalReport>,
    /// Why there is no newer one.
    pub trouble: Option<Trouble>,
}

#[derive(Debug, thiserror::Error)]
enum LocalError {
    #[error("cannot open the local report {}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("the local report {} is not a regular file", path.display())]
    NotAFile { path: PathBuf },
    #[error("the local report {} has more than {MAX_BYTES} bytes", path.display())]
    TooLarge { path: PathBuf },
    #[error("cannot read the local report {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the local report {} is not valid", path.display())]
    Parse { path: PathBuf, source: serde_json::Error },
}

/// What a look at the file found.
enum Found {
    Nothing,
    /// The same file as the last time: it is replaced by rename, never written in place.
    Same,
    New(LocalReport),
}

/// Watches the file at `path` on a thread of its own, which ends when nobody listens any more.
///
/// # Errors
/// When no thread can be started.
pub fn spawn_watch(path: PathBuf) -> anyhow::Result<watch::Receiver<Local>> {
    let mut file = FileWatch::new(&path);
    let (local_tx, local_rx) = watch::channel(Local::default());
    let follow = move || {
        if let Some(why) = file.degraded() {
            tracing::warn!("the local report is polled: {why}");
        }
        let mut seen = None;
        while !local_tx.is_closed() {
            let found = read(&path, &mut seen);
            local_tx.send_if_modified(|local| local.update(found));
            file.wait(Duration::MAX);
        }
    };
    std::thread::Builder::new()
        .name("local-report".to_owned())
        .spawn(follow)
        .context("failed to start the thread that watches the local report")?;
    Ok(local_rx)
}

impl Local {
    /// Takes what was found; whether that changed anything. What cannot be read, or is gone, leaves the report before.
    fn update(&mut self, found: Result<Found, LocalError>) -> bool {
        let trouble = match found {
            Ok(Found::New(report)) => {
                let changed = self.report.as_ref() != Some(&report) || self.trouble.is_some();
                *self = Self { report: Some(report), trouble: None };
                return changed;
            }
            Ok(Found::Same) => return false,
            Ok(Found::Nothing) => None,
            Err(error) => Some(Trouble { reason: Reason::Incomplete, message: chain(&error) }),
        };
        let changed = self.trouble != trouble;
        if changed && let Some(trouble) = &trouble {
            tracing::warn!(reason = %trouble.reason, "{}", trouble.message);
        }
        self.trouble = trouble;
        changed
    }
}

/// Reads the report if it is not the file that was `seen`.
fn read(path: &Path, seen: &mut Option<Stamp>) -> Result<Found, LocalError> {
    let last = seen.take();
    let failed = |source| LocalError::Read { path: path.to_owned(), source };
    let Some(file) = open(path)? else { return Ok(Found::Nothing) };
    let stamp = Stamp::of(&file).map_err(failed)?;
    if last == Some(stamp) {
        *seen = last;
        return Ok(Found::Same);
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(LocalError::TooLarge { path: path.to_owned() });
    }
    let report = serde_json::from_slice(&bytes)
        .map_err(|source| LocalError::Parse { path: path.to_owned(), source })?;
    *seen = Some(stamp);
    Ok(Found::New(report))
}

/// Opens the file without leaving its folder. The path to the folder is ours and trusted.
fn open(path: &Path) -> Result<Option<File>, LocalError> {
    let failed = |error: Errno| LocalError::Open { path: path.to_owned(), source: error.into() };
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(failed(Errno::INVAL));
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = match rustix::fs::openat(CWD, parent, flags, Mode::empty()) {
        Ok(folder) => folder,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    let fd = match rustix::fs::openat2(&folder, name, flags, Mode::empty(), resolve) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let stat = rustix::fs::fstat(&fd).map_err(failed)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(LocalError::NotAFile { path: path.to_owned() });
    }
    Ok(Some(fd.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_report(engine: u64) -> LocalReport {
        LocalReport { engine, ..LocalReport::default() }
    }

    fn write(path: &Path, engine: u64) {
        let aside = path.with_extension("tmp");
        std::fs::write(&aside, serde_json::to_vec(&mk_report(engine)).unwrap()).unwrap();
        std::fs::rename(aside, path).unwrap();
    }

    fn look(path: &Path) -> Result<Found, LocalError> {
        read(path, &mut None)
    }

    #[test]
    fn a_report_is_read_and_an_absent_one_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        assert!(matches!(look(&path), Ok(Found::Nothing)));
        assert!(matches!(look(&folder.path().join("missing/report.json")), Ok(Found::Nothing)));
        write(&path, 3);
        assert!(matches!(look(&path), Ok(Found::New(report)) if report == mk_report(3)));
    }

    #[test]
    fn links_fifos_folders_and_giants_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        let token = folder.path().join("token");
        write(&token, 1);
        std::os::unix::fs::symlink(&token, &path).unwrap();
        assert!(matches!(look(&path), Err(LocalError::Open { .. })), "a link must not be followed");
        std::fs::remove_file(&path).unwrap();
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert!(matches!(look(&path), Err(LocalError::NotAFile { .. })), "a FIFO must not block");
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(matches!(look(&path), Err(LocalError::NotAFile { .. })));
        std::fs::remove_dir(&path).unwrap();
        File::create(&path).unwrap().set_len(MAX_BYTES + 1).unwrap();
        assert!(matches!(look(&path), Err(LocalError::TooLarge { .. })));
        std::fs::write(&path, "{").unwrap();
        assert!(matches!(look(&path), Err(LocalError::Parse { .. })));
    }

    #[test]
    fn a_bad_report_keeps_the_one_before_and_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        let (mut local, mut seen) = (Local::default(), None);
        let mut update = |local: &mut Local| local.update(read(&path, &mut seen));
        assert!(!update(&mut local), "nothing there is nothing new");
        write(&path, 1);
        assert!(update(&mut local));
        assert!(!update(&mut local), "the same again is nothing new");
        std::fs::write(&path, "{").unwrap();
        assert!(update(&mut local));
        assert_eq!(local.report, Some(mk_report(1)));
        assert!(local.trouble.as_ref().unwrap().message.contains("is not valid"), "{local:?}");
        assert!(!update(&mut local), "the same trouble is nothing new");
        write(&path, 1);
        assert!(update(&mut local), "the trouble is over");
        std::fs::remove_file(&path).unwrap();
        assert!(!update(&mut local), "a report that is gone leaves what it said");
        assert_eq!(local, Local { report: Some(mk_report(1)), trouble: None });
    }

    #[tokio::test]
    async fn a_replaced_report_is_heard_of() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        let mut local = spawn_watch(path.clone()).unwrap();
        for engine in 1..=3 {
            write(&path, engine);
            let heard = local.wait_for(|local| local.report == Some(mk_report(engine)));
            let deadline = Duration::from_secs(60);
            tokio::time::timeout(deadline, heard).await.expect("it must be heard").unwrap();
        }
    }
}
