//! Blobs on their way to the stage: whole, half, wrong, too large, twice at once.

use std::collections::BTreeSet;

use hotbay_api::Reason;

use super::*;
use crate::fixtures::{Volume, on_a_tiny_disk};

struct Case {
    folder: tempfile::TempDir,
    bytes: Vec<u8>,
}

impl Case {
    fn new() -> Self {
        let case = Self {
            folder: tempfile::tempdir().unwrap(),
            bytes: (0..300_000_u32).flat_map(u32::to_le_bytes).collect(),
        };
        std::fs::create_dir(case.bay()).unwrap();
        Stage::open(case.stage()).unwrap();
        case
    }

    fn bay(&self) -> PathBuf {
        self.folder.path().join("bay")
    }

    fn stage(&self) -> PathBuf {
        self.folder.path().join("state/stage")
    }

    fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    fn name(&self) -> String {
        names::blob_file(&self.digest())
    }

    fn compressed(&self) -> Vec<u8> {
        zstd::encode_all(self.bytes.as_slice(), 3).unwrap()
    }

    fn copy(&self) -> Result<PathBuf, BlobError> {
        self.copy_to(&Stage::open(self.stage()).unwrap())
    }

    fn copy_to(&self, stage: &Stage) -> Result<PathBuf, BlobError> {
        copy_blob(&self.bay(), &self.digest(), self.bytes.len() as u64, stage)
    }

    fn staged(&self) -> BTreeSet<String> {
        let names = std::fs::read_dir(self.stage()).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// The copy fails for this reason and leaves nothing behind.
    fn refuses(&self, expected: &Reason, word: &str) {
        let error = self.copy().unwrap_err();
        assert_eq!(error.reason(), *expected, "{error}");
        assert!(error.to_string().contains(word), "{error} must say {word}");
        assert_eq!(self.staged(), BTreeSet::new(), "nothing may be left in the stage");
    }
}

#[test]
fn both_forms_are_staged_read_only() {
    for compressed in [false, true] {
        let case = Case::new();
        let (name, content) = if compressed {
            (case.name() + ".zst", case.compressed())
        } else {
            (case.name(), case.bytes.clone())
        };
        std::fs::write(case.bay().join(name), content).unwrap();
        let path = case.copy().unwrap();
        assert_eq!(path, case.stage().join(case.name()));
        assert_eq!(std::fs::read(&path).unwrap(), case.bytes);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o444);
        assert_eq!(case.staged().len(), 1);
    }
}

#[test]
fn a_blob_in_a_mounted_config_map_is_found() {
    let case = Case::new();
    let mut volume = Volume::new(case.bay());
    volume.publish(&[(case.name() + ".zst", case.compressed())]);
    assert_eq!(std::fs::read(case.copy().unwrap()).unwrap(), case.bytes);
}

#[test]
fn an_absent_half_or_different_blob_is_incomplete_and_taken_once_it_is_whole() {
    let case = Case::new();
    let file = case.bay().join(case.name());
    case.refuses(&Reason::Incomplete, "is not in the bay");
    std::fs::write(&file, &case.bytes[..1000]).unwrap();
    case.refuses(&Reason::Incomplete, "1000 bytes of");
    std::fs::write(&file, vec![0; case.bytes.len()]).unwrap();
    case.refuses(&Reason::Incomplete, "not what its name says");
    std::fs::write(&file, &case.bytes).unwrap();
    case.copy().unwrap();
}

#[test]
fn half_a_compressed_blob_is_incomplete() {
    let case = Case::new();
    let whole = case.compressed();
    std::fs::write(case.bay().join(case.name() + ".zst"), &whole[..whole.len() / 2]).unwrap();
    case.refuses(&Reason::Incomplete, "zstd");
}

#[test]
fn a_whole_compressed_blob_stands_in_for_a_half_plain_one() {
    let case = Case::new();
    std::fs::write(case.bay().join(case.name()), b"half").unwrap();
    std::fs::write(case.bay().join(case.name() + ".zst"), case.compressed()).unwrap();
    case.copy().unwrap();
}

#[test]
fn inflation_ends_at_the_promised_size() {
    let case = Case::new();
    let bomb = zstd::encode_all(io::repeat(0).take(1 << 30), 1).unwrap();
    std::fs::write(case.bay().join(case.name() + ".zst"), bomb).unwrap();
    case.refuses(&Reason::TooLarge, "more than the 1200000 bytes");
}

#[test]
fn links_and_fifos_are_not_followed_nor_waited_for() {
    let case = Case::new();
    let elsewhere = case.folder.path().join("elsewhere");
    std::fs::write(&elsewhere, &case.bytes).unwrap();
    std::os::unix::fs::symlink(&elsewhere, case.bay().join(case.name())).unwrap();
    case.refuses(&Reason::Incomplete, "a symbolic link");
    std::fs::remove_file(case.bay().join(case.name())).unwrap();
    mk_fifo(&case.bay().join(case.name()));
    case.refuses(&Reason::Incomplete, "a FIFO");
}

fn mk_fifo(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
}

#[test]
fn a_damaged_staged_file_is_replaced_and_a_whole_one_is_not_touched() {
    let case = Case::new();
    std::fs::write(case.bay().join(case.name()), &case.bytes).unwrap();
    let path = case.copy().unwrap();
    let first = stamp_of(&path);
    assert_eq!(stamp_of(&case.copy().unwrap()), first, "a whole file must be kept as it is");
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, vec![1; case.bytes.len()]).unwrap();
    assert_eq!(std::fs::read(case.copy().unwrap()).unwrap(), case.bytes);
    std::fs::remove_dir_all(case.bay()).unwrap();
    case.copy().expect("a staged blob needs no bay");
}

#[test]
fn a_verified_file_is_trusted_until_its_stamp_changes() {
    let case = Case::new();
    let size = case.bytes.len() as u64;
    std::fs::write(case.bay().join(case.name()), &case.bytes).unwrap();
    let (verified, stage) = (VerifiedBlobs::default(), Stage::open(case.stage()).unwrap());
    let path = verified.copy_blob(&case.bay(), &case.digest(), size, &stage).unwrap();
    let handed_on = VerifiedBlobs::new(verified.all());
    std::fs::remove_dir_all(case.bay()).unwrap();
    handed_on.copy_blob(&case.bay(), &case.digest(), size, &stage).unwrap();
    // Made while the other is there, so that it is another inode also where times are coarse.
    let other = case.folder.path().join("other");
    std::fs::write(&other, vec![1; case.bytes.len()]).unwrap();
    std::fs::rename(other, &path).unwrap();
    let error = handed_on.copy_blob(&case.bay(), &case.digest(), size, &stage).unwrap_err();
    assert_eq!(error.reason(), Reason::BayMissing, "a file that was replaced must not be trusted");
}

#[test]
fn copiers_at_once_all_succeed() {
    let case = Case::new();
    std::fs::write(case.bay().join(case.name() + ".zst"), case.compressed()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                assert_eq!(std::fs::read(case.copy().unwrap()).unwrap(), case.bytes);
            });
        }
    });
    assert_eq!(case.staged(), BTreeSet::from([case.name()]));
}

#[test]
fn a_full_stage_is_named() {
    on_a_tiny_disk("blob::tests::a_full_stage_is_named", |disk| {
        let case = Case::new();
        std::fs::write(case.bay().join(case.name()), &case.bytes).unwrap();
        let error = case.copy_to(&Stage::open(disk).unwrap()).unwrap_err();
        assert_eq!(error.reason(), Reason::NoSpace, "{error}");
        assert_eq!(std::fs::read_dir(disk).unwrap().count(), 0, "nothing may be left in the stage");
    });
}

#[test]
fn a_volume_that_would_be_nearly_full_is_named_before_a_byte_is_written_and_takes_the_blob_when_it_has_room()
{
    let case = Case::new();
    std::fs::write(case.bay().join(case.name() + ".zst"), case.compressed()).unwrap();
    let volume = case.folder.path().join("state");
    let ballast = volume.join("journal.json");
    std::fs::write(&ballast, vec![1; 1_500_000]).unwrap();
    let stage = Stage::open(case.stage()).unwrap().in_volume(&volume, Some(2_900_000));
    let error = case.copy_to(&stage).unwrap_err();
    assert_eq!(error.reason(), Reason::NoSpace);
    let start = format!("sha256:{} does not fit into the stage: it has 1.1 MiB, ", case.digest().short());
    assert!(error.to_string().starts_with(&start), "{error}");
    assert!(error.to_string().ends_with("raise volumes.state, or remove modules"), "{error}");
    assert_eq!(case.staged(), BTreeSet::new(), "nothing may be left in the stage");
    std::fs::remove_file(ballast).unwrap();
    case.copy_to(&stage).unwrap();
    case.copy_to(&stage).expect("what is staged needs no more room");
}

#[test]
fn compressed_bytes_are_checked_in_memory_too() {
    let case = Case::new();
    let size = case.bytes.len() as u64;
    check_compressed(&case.digest(), size, &case.compressed()).unwrap();
    for wrong in [
        check_compressed(&Digest::of(b"x"), size, &case.compressed()),
        check_compressed(&case.digest(), size + 1, &case.compressed()),
    ] {
        assert_eq!(wrong.unwrap_err().reason(), Reason::Incomplete);
    }
    assert_eq!(
        check_compressed(&case.digest(), size - 1, &case.compressed()).unwrap_err().reason(),
        Reason::TooLarge
    );
}
