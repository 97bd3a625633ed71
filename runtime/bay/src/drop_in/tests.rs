//! Drop-ins as people and compilers write them: in place, by rename, by halves, with the old time put back.

use super::*;
use crate::fixtures::eventually;

struct Case {
    folder: tempfile::TempDir,
    drop_ins: DropIns,
    now: Instant,
}

/// A whole ELF file, this test's own program, made another one of the same length by its last byte, which no check reads.
fn mk_module(number: u8) -> Vec<u8> {
    let mut bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    // Within the comment-like padding of e_ident, which nobody checks.
    bytes[15] = number;
    bytes
}

impl Case {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("modules");
        std::fs::create_dir(&path).unwrap();
        let drop_ins = DropIns::new(&[path]);
        Self { folder, drop_ins, now: Instant::now() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("modules").join(name)
    }

    fn scan(&mut self, later: Duration) -> DropInScan {
        self.now += later;
        self.drop_ins.scan(self.now)
    }

    /// Looks twice, far enough apart for a quiet file to be read.
    fn settle(&mut self) -> DropInScan {
        self.scan(Duration::ZERO);
        self.scan(SETTLE)
    }

    fn serves(scan: &DropInScan) -> Vec<(&str, Digest)> {
        scan.modules.iter().map(|module| (module.stem.as_str(), module.digest)).collect()
    }
}

#[test]
fn names_become_labels() {
    for (file, stem) in
        [("libhello.so", "hello"), ("hello_2.so", "hello-2"), ("libMy.Mod.so", "my-mod"), ("lib.so", "lib")]
    {
        assert_eq!(drop_in_stem(file).as_deref(), Ok(stem), "{file}");
    }
    for file in ["_.so", "lib_.so", &format!("{}.so", "x".repeat(64))] {
        assert!(drop_in_stem(file).is_err(), "{file} must be refused");
    }
}

#[test]
fn a_quiet_file_is_read_after_two_equal_looks_20_ms_apart() {
    let mut case = Case::new();
    std::fs::write(case.path("libhello.so"), mk_module(1)).unwrap();
    assert_eq!(case.scan(Duration::ZERO), DropInScan::default());
    assert_eq!(case.scan(SETTLE - Duration::from_millis(1)), DropInScan::default());
    let scan = case.scan(Duration::from_millis(1));
    assert_eq!(Case::serves(&scan), [("hello", Digest::of(&mk_module(1)))]);
    assert_eq!(scan.modules[0].key, EntryKey::new("local", "hello").unwrap());
    let again = case.scan(SETTLE);
    assert!(Arc::ptr_eq(&scan.modules[0].bytes, &again.modules[0].bytes), "it is not read again for nothing");
}

#[test]
fn v1_half_of_v2_v2_v1_in_place_v2_with_the_old_time_garbage_gone_and_back_removed() {
    let mut case = Case::new();
    let (v1, v2) = (mk_module(1), mk_module(2));
    let path = case.path("hello.so");
    let serves = |case: &mut Case, bytes: &[u8]| {
        let scan = case.settle();
        assert_eq!(Case::serves(&scan), [("hello", Digest::of(bytes))]);
        scan.problems
    };
    std::fs::write(&path, &v1).unwrap();
    assert_eq!(serves(&mut case, &v1), []);
    std::fs::write(&path, &v2[..v2.len() / 2]).unwrap();
    assert_eq!(serves(&mut case, &v1)[0].reason, Reason::InvalidElf);
    std::fs::write(&path, &v2).unwrap();
    assert_eq!(serves(&mut case, &v2), []);
    std::fs::write(&path, &v1).unwrap();
    assert_eq!(serves(&mut case, &v1), []);
    let old_time = std::fs::metadata(&path).unwrap().modified().unwrap();
    std::fs::write(&path, &v2).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(old_time).unwrap();
    assert_eq!(serves(&mut case, &v2), []);
    std::fs::write(&path, "garbage").unwrap();
    assert_eq!(serves(&mut case, &v2)[0].reason, Reason::InvalidElf);
    let folder = path.parent().unwrap().to_owned();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(serves(&mut case, &v2)[0].reason, Reason::BayMissing);
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(&path, &v1).unwrap();
    assert_eq!(serves(&mut case, &v1), []);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(serves(&mut case, &v1), [], "a linker deletes before it writes: one second");
    assert_eq!(case.scan(Duration::from_secs(1)), DropInScan::default());
}

#[test]
fn the_first_file_by_path_has_the_stem() {
    let mut case = Case::new();
    std::fs::write(case.path("hello.so"), mk_module(1)).unwrap();
    std::fs::write(case.path("libhello.so"), mk_module(2)).unwrap();
    let scan = case.settle();
    assert_eq!(Case::serves(&scan), [("hello", Digest::of(&mk_module(1)))]);
    assert!(scan.problems[0].file.ends_with("libhello.so"), "{:?}", scan.problems);
}

#[test]
fn an_entry_beside_the_file_stands_for_it() {
    let mut case = Case::new();
    std::fs::write(case.path("hello.so"), mk_module(1)).unwrap();
    std::fs::write(case.path("local.hello.module.json"), "{}").unwrap();
    assert_eq!(case.settle(), DropInScan::default());
    std::fs::remove_file(case.path("local.hello.module.json")).unwrap();
    assert_eq!(case.settle().modules.len(), 1);
}

#[test]
fn a_single_file_is_watched_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("libhello.so");
    std::fs::write(folder.path().join("libother.so"), mk_module(9)).unwrap();
    let mut drop_ins = DropIns::new(std::slice::from_ref(&path));
    assert_eq!(drop_ins.scan(Instant::now()), DropInScan::default(), "it need not be there yet");
    std::fs::write(&path, mk_module(1)).unwrap();
    eventually("hello", || {
        drop_ins.wait(Duration::from_secs(60));
        Case::serves(&drop_ins.scan(Instant::now())) == [("hello", Digest::of(&mk_module(1)))]
    });
}

#[test]
fn a_file_that_its_writer_closed_is_read_at_once() {
    let mut case = Case::new();
    case.scan(Duration::ZERO);
    std::fs::write(case.path("hello.so"), mk_module(1)).unwrap();
    assert_eq!(case.drop_ins.wait(Duration::from_secs(60)), Wake::Changed);
    // No time passes by the scanner's clock, so only the event can have made it ready.
    assert_eq!(case.scan(Duration::ZERO).modules.len(), 1);
    assert_eq!(case.drop_ins.degraded(), None);
}

#[test]
fn a_link_is_told_and_not_followed() {
    let mut case = Case::new();
    std::os::unix::fs::symlink(std::env::current_exe().unwrap(), case.path("hello.so")).unwrap();
    let scan = case.settle();
    assert_eq!(scan.modules, []);
    assert!(scan.problems[0].message.contains("a symbolic link"), "{:?}", scan.problems);
}
