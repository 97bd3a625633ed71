//! A file that a build replaces.
//!
//! Owns how that is seen without asking anybody: by the file's number and time, a look a millisecond, which costs a compiler beside it nothing that could
//! be measured. Must not read it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// Between two looks: small beside what comes after a build, which is tens of milliseconds.
const LOOK: Duration = Duration::from_millis(1);

/// A file as it was.
pub(super) struct Artifact {
    path: PathBuf,
    then: Version,
}

/// Which file lies there: of another build one of these is another.
#[derive(Debug, PartialEq, Eq)]
struct Version {
    inode: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl Artifact {
    /// As it is now.
    pub fn look(path: PathBuf) -> anyhow::Result<Self> {
        let then = Version::of(&path).with_context(|| format!("cargo has left no {}", path.display()))?;
        Ok(Self { path, then })
    }

    /// Waits until another one is there.
    pub fn is_replaced(&self, within: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + within;
        loop {
            // Between the old one and the new one there is none.
            if Version::of(&self.path).is_some_and(|now| now != self.then) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{} was not built anew in {within:?}", self.path.display());
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl Version {
    fn of(path: &PathBuf) -> Option<Self> {
        let about = fs::metadata(path).ok()?;
        Some(Self { inode: about.ino(), seconds: about.mtime(), nanoseconds: about.mtime_nsec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_file_is_another_build() {
        let folder = tempfile::tempdir().unwrap();
        let (path, beside) = (folder.path().join("m.so"), folder.path().join("new.so"));
        assert!(Artifact::look(path.clone()).is_err());
        fs::write(&path, "1").unwrap();
        let artifact = Artifact::look(path.clone()).unwrap();
        fs::write(&beside, "2").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"1");
        assert!(artifact.is_replaced(Duration::ZERO).is_err(), "it was read, and no more");
        fs::remove_file(&path).unwrap();
        assert!(artifact.is_replaced(Duration::ZERO).is_err(), "it is gone");
        // As cargo does: a second name for the file that the linker wrote.
        fs::hard_link(&beside, &path).unwrap();
        artifact.is_replaced(Duration::from_secs(60)).unwrap();
    }
}
