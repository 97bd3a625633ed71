//! What the tests share: entries, the kubelet's way of swapping a mounted ConfigMap, and a disk that is soon full.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use hotbay_api::{
    Blob, Digest, ENTRY_VERSION, Entry, EntryId, EntryKey, Limits, Platform, Revision, Timeouts,
};

pub(crate) fn mk_key(name: &str) -> EntryKey {
    EntryKey::new("shop", name).unwrap()
}

/// An entry of one revision, called `revision`, whose blob is the bytes of that name.
pub(crate) fn mk_entry(name: &str, revision: &str) -> Entry {
    let blob = Blob {
        platform: Platform::current(),
        digest: Digest::of(revision.as_bytes()),
        size: revision.len() as u64,
    };
    let revision = Revision {
        revision: revision.to_owned(),
        blobs: vec![blob],
        routes: Vec::new(),
        config: serde_json::json!({}),
        timeouts: Timeouts::default(),
        limits: Limits::default(),
    };
    Entry {
        version: ENTRY_VERSION,
        id: EntryId { namespace: "shop".into(), name: name.into(), uid: String::new() },
        created: "2026-01-01T00:00:00Z".into(),
        sequence: None,
        revisions: vec![revision],
    }
}

pub(crate) fn json(entry: &Entry) -> Vec<u8> {
    serde_json::to_vec(entry).unwrap()
}

/// Writes a file, and over one that is there so that its stamp is another: most file systems' clocks move in steps of up to 10 ms.
pub(crate) fn write_anew(path: &Path, content: &[u8]) {
    let changed = || std::fs::metadata(path).ok().map(|file| (file.ctime(), file.ctime_nsec()));
    let before = changed();
    eventually("the file's time moves", || {
        std::fs::write(path, content).unwrap();
        changed() != before
    });
}

/// Runs `condition` until it holds. It must do its own waiting for events.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} must happen within 60 s");
    }
}

/// A volume that is written as the kubelet's AtomicWriter does: a new folder of the content, `..data` renamed over to it, links for the
/// names, then the old folder removed.
pub(crate) struct Volume {
    pub(crate) path: PathBuf,
    generation: u32,
}

impl Volume {
    pub(crate) fn new(path: PathBuf) -> Self {
        std::fs::create_dir_all(&path).unwrap();
        Self { path, generation: 0 }
    }

    pub(crate) fn publish(&mut self, files: &[(String, Vec<u8>)]) {
        let old = self.folder();
        self.generation += 1;
        let new = self.folder();
        std::fs::create_dir(&new).unwrap();
        for (name, content) in files {
            std::fs::write(new.join(name), content).unwrap();
        }
        let link = self.path.join("..data_tmp");
        std::os::unix::fs::symlink(new.file_name().unwrap(), &link).unwrap();
        std::fs::rename(&link, self.path.join("..data")).unwrap();
        for (name, _) in files {
            let link = self.path.join(name);
            if !link.is_symlink() {
                std::os::unix::fs::symlink(Path::new("..data").join(name), link).unwrap();
            }
        }
        self.remove_stale_links(files);
        let _ = std::fs::remove_dir_all(old);
    }

    fn remove_stale_links(&self, files: &[(String, Vec<u8>)]) {
        for entry in std::fs::read_dir(&self.path).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if !name.starts_with("..") && !files.iter().any(|(file, _)| *file == name) {
                std::fs::remove_file(self.path.join(name)).unwrap();
            }
        }
    }

    fn folder(&self) -> PathBuf {
        self.path.join(format!("..2026_01_01_{}", self.generation))
    }
}

const TINY_DISK: &str = "HOTBAY_TEST_TINY_DISK";

/// Runs `body` on a file system of 256 KiB. The test runs itself once more in a mount namespace of its own, which needs no root; a machine that
/// cannot do this fails the test.
pub(crate) fn on_a_tiny_disk(test: &str, body: impl FnOnce(&Path)) {
    if let Some(disk) = std::env::var_os(TINY_DISK) {
        return body(Path::new(&disk));
    }
    let disk = tempfile::tempdir().unwrap();
    let script = format!("mount -t tmpfs -o size=256k none \"${TINY_DISK}\" && exec \"$@\"");
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-ec", &script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env(TINY_DISK, disk.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{test} must pass on the tiny disk: {said} {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
