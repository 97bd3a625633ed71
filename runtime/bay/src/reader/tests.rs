//! The reader against real folders, swapped and damaged in every way that was met.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::fixtures::{Volume, eventually, json, mk_entry, mk_key, write_anew};

struct Case {
    folder: tempfile::TempDir,
    reader: Reader,
    now: Instant,
}

impl Case {
    fn new() -> Self {
        Self::with(Options::default())
    }

    fn with(options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bay")).unwrap();
        let reader = Reader::new(folder.path().join("bay"), options);
        Self { folder, reader, now: Instant::now() }
    }

    fn bay(&self) -> PathBuf {
        self.folder.path().join("bay")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.bay().join(mk_key(name).file_name())
    }

    fn put(&self, name: &str, revision: &str) {
        write_anew(&self.file(name), &json(&mk_entry(name, revision)));
    }

    /// Scans `later` after the scan before.
    fn scan(&mut self, later: Duration) -> Scan {
        self.now += later;
        self.reader.scan(self.now)
    }

    /// What the bay serves: names and revisions.
    fn serves(&mut self) -> Vec<(String, String)> {
        served(&self.scan(Duration::from_millis(1)))
    }
}

fn served(scan: &Scan) -> Vec<(String, String)> {
    let of = |entry: &Arc<Entry>| (entry.id.name.clone(), entry.wanted().unwrap().revision.clone());
    scan.entries.values().map(of).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, revision)| ((*name).to_owned(), (*revision).to_owned())).collect()
}

#[test]
fn entries_come_change_and_go() {
    let mut case = Case::new();
    assert_eq!(case.serves(), []);
    case.put("hello", "1");
    case.put("other", "1");
    assert_eq!(case.serves(), pairs(&[("hello", "1"), ("other", "1")]));
    case.put("hello", "22");
    assert_eq!(case.serves(), pairs(&[("hello", "22"), ("other", "1")]));
    std::fs::remove_file(case.file("hello")).unwrap();
    assert_eq!(case.serves(), pairs(&[("other", "1")]));
}

#[test]
fn an_unchanged_bay_is_told_by_version_and_identity() {
    let mut case = Case::new();
    case.put("hello", "1");
    let first = case.scan(Duration::ZERO);
    let second = case.scan(Duration::from_secs(1));
    assert_eq!(first.version, second.version);
    assert!(Arc::ptr_eq(&first.entries[&mk_key("hello")], &second.entries[&mk_key("hello")]));
    case.put("hello", "1");
    let same_text = case.scan(Duration::from_secs(1));
    assert_eq!(first.version, same_text.version, "the same text written again is no change");
    case.put("hello", "2");
    assert!(case.scan(Duration::ZERO).version > first.version);
}

#[test]
fn half_written_and_foreign_content_keeps_the_last_good() {
    let whole = json(&mk_entry("hello", "2"));
    let mut newer: serde_json::Value = serde_json::from_slice(&whole).unwrap();
    newer["version"] = 2.into();
    let cases: [(Vec<u8>, Reason); 5] = [
        (Vec::new(), Reason::Incomplete),
        (whole[..whole.len() / 2].to_vec(), Reason::Incomplete),
        (newer.to_string().into_bytes(), Reason::EntryVersion),
        (json(&mk_entry("another", "1")), Reason::ManifestInvalid),
        (vec![b' '; 300 * 1024], Reason::TooLarge),
    ];
    for (content, reason) in cases {
        let mut case = Case::new();
        case.put("hello", "1");
        case.scan(Duration::ZERO);
        write_anew(&case.file("hello"), &content);
        let scan = case.scan(Duration::ZERO);
        assert_eq!(served(&scan), pairs(&[("hello", "1")]), "{reason}");
        assert_eq!(scan.problems.len(), 1);
        assert_eq!((&scan.problems[0].reason, &scan.problems[0].key), (&reason, &Some(mk_key("hello"))));
        write_anew(&case.file("hello"), &whole);
        let scan = case.scan(Duration::ZERO);
        assert_eq!((served(&scan), scan.problems), (pairs(&[("hello", "2")]), vec![]), "{reason}");
    }
}

#[test]
fn a_replacement_that_keeps_the_modification_time_is_seen() {
    let mut case = Case::new();
    case.put("hello", "1");
    assert_eq!(case.serves(), pairs(&[("hello", "1")]));
    let times = std::fs::metadata(case.file("hello")).unwrap().modified().unwrap();
    // In place and of the same length, as `cp -p` of a file of the same age does.
    case.put("hello", "2");
    std::fs::File::options().write(true).open(case.file("hello")).unwrap().set_modified(times).unwrap();
    case.scan(crate::sighting::SETTLE);
    assert_eq!(case.serves(), pairs(&[("hello", "2")]));
}

#[test]
fn an_empty_bay_must_be_seen_twice_a_second_apart() {
    let mut case = Case::new();
    case.put("hello", "1");
    case.scan(Duration::ZERO);
    std::fs::remove_file(case.file("hello")).unwrap();
    assert_eq!(case.scan(Duration::ZERO).entries.len(), 1);
    assert_eq!(case.scan(Duration::from_millis(999)).entries.len(), 1);
    assert_eq!(case.scan(Duration::from_millis(1)).entries.len(), 0);
}

#[test]
fn a_bay_that_fills_again_within_the_second_loses_nothing() {
    let mut case = Case::new();
    case.put("hello", "1");
    let before = case.scan(Duration::ZERO);
    std::fs::remove_file(case.file("hello")).unwrap();
    case.scan(Duration::ZERO);
    case.put("hello", "1");
    let after = case.scan(Duration::from_millis(900));
    assert!(Arc::ptr_eq(&before.entries[&mk_key("hello")], &after.entries[&mk_key("hello")]));
    std::fs::remove_file(case.file("hello")).unwrap();
    assert_eq!(case.scan(Duration::from_millis(900)).entries.len(), 1, "the second counts anew");
}

#[test]
fn a_missing_folder_keeps_everything_and_is_told() {
    let mut case = Case::new();
    case.put("hello", "1");
    case.scan(Duration::ZERO);
    std::fs::remove_dir_all(case.bay()).unwrap();
    for _ in 0..3 {
        let scan = case.scan(Duration::from_secs(10));
        assert_eq!(scan.trouble.map(|trouble| trouble.reason), Some(Reason::BayMissing));
        assert_eq!(scan.entries.len(), 1);
    }
    std::fs::create_dir(case.bay()).unwrap();
    assert_eq!(case.scan(Duration::ZERO).entries.len(), 1, "back but empty: the second begins now");
    case.put("hello", "2");
    let scan = case.scan(Duration::ZERO);
    assert_eq!((served(&scan), scan.trouble), (pairs(&[("hello", "2")]), None));
}

#[test]
fn links_fifos_folders_and_bad_names_are_told_and_do_not_block() {
    let mut case = Case::new();
    case.put("good", "1");
    let secret = case.folder.path().join("secret");
    std::fs::write(&secret, json(&mk_entry("link", "1"))).unwrap();
    std::os::unix::fs::symlink(&secret, case.file("link")).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, case.file("fifo"), fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    std::fs::create_dir(case.file("folder")).unwrap();
    std::fs::write(case.bay().join("Bad_Name.module.json"), "{}").unwrap();
    std::fs::write(case.bay().join(".shop.hidden.module.json"), json(&mk_entry("hidden", "1"))).unwrap();
    std::fs::write(case.bay().join("README.md"), "hello").unwrap();
    let scan = case.scan(Duration::ZERO);
    assert_eq!(served(&scan), pairs(&[("good", "1")]));
    let files: Vec<&str> = scan.problems.iter().map(|problem| problem.file.as_str()).collect();
    assert_eq!(
        files,
        ["Bad_Name.module.json", "shop.fifo.module.json", "shop.folder.module.json", "shop.link.module.json"]
    );
}

#[test]
fn blobs_that_come_or_change_raise_their_version() {
    let mut case = Case::new();
    let blob = case.bay().join(names::blob_file(&hotbay_api::Digest::of(b"blob")));
    let mut seen = case.scan(Duration::ZERO).blobs_version;
    let mut rises = |case: &mut Case, later| {
        let now = case.scan(later).blobs_version;
        let rose = now > seen;
        seen = now;
        rose
    };
    std::fs::write(&blob, b"bl").unwrap();
    assert!(rises(&mut case, Duration::ZERO), "a new blob");
    std::fs::write(&blob, b"blob").unwrap();
    assert!(rises(&mut case, Duration::ZERO), "a blob that grew");
    assert!(rises(&mut case, crate::sighting::SETTLE), "a blob that settled");
    assert!(!rises(&mut case, Duration::from_secs(9)), "a blob that stays as it is");
    std::fs::remove_file(&blob).unwrap();
    assert!(!rises(&mut case, Duration::ZERO), "a blob that goes");
}

#[test]
fn a_mounted_config_map_is_read_one_snapshot_at_a_time() {
    let mut case = Case::new();
    let mut volume = Volume::new(case.bay());
    let names = ["one", "two", "three"];
    let content = |revision: &str| -> Vec<(String, Vec<u8>)> {
        names.iter().map(|name| (mk_key(name).file_name(), json(&mk_entry(name, revision)))).collect()
    };
    volume.publish(&content("0"));
    assert_eq!(case.scan(Duration::ZERO).entries.len(), 3);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for revision in 1..=300 {
                volume.publish(&content(&revision.to_string()));
            }
            done.store(true, Ordering::Release);
        });
        eventually("the last snapshot", || {
            let last = done.load(Ordering::Acquire);
            let scan = case.scan(Duration::from_millis(10));
            assert_eq!(scan.problems, vec![], "a swap must not show");
            let revisions: Vec<String> = served(&scan).into_iter().map(|(_, revision)| revision).collect();
            assert_eq!(revisions.len(), 3, "no entry may be lost in a swap");
            assert!(revisions.iter().all(|one| *one == revisions[0]), "two snapshots mixed: {revisions:?}");
            last
        });
    });
    assert_eq!(case.serves(), pairs(&[("one", "300"), ("three", "300"), ("two", "300")]));
    volume.publish(&content("301")[..2]);
    assert_eq!(case.serves(), pairs(&[("one", "301"), ("two", "301")]));
}

#[test]
fn a_snapshot_link_that_leads_out_of_the_folder_is_not_followed() {
    let mut case = Case::new();
    let outside = case.folder.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join(mk_key("evil").file_name()), json(&mk_entry("evil", "1"))).unwrap();
    std::os::unix::fs::symlink(&outside, case.bay().join("..data")).unwrap();
    let scan = case.scan(Duration::ZERO);
    assert_eq!(
        (scan.entries.len(), scan.trouble.map(|trouble| trouble.reason)),
        (0, Some(Reason::BayMissing))
    );
}

#[test]
fn a_thousand_entries_under_constant_renames_are_never_missing() {
    let mut case = Case::new();
    for number in 0..1000 {
        case.put(&format!("m{number}"), "0");
    }
    assert_eq!(case.scan(Duration::ZERO).entries.len(), 1000);
    let writer = crate::Writer::new(case.bay()).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..1000 {
                writer.put_entry(&mk_entry(&format!("m{number}"), "1")).unwrap();
            }
            done.store(true, Ordering::Release);
        });
        eventually("the last rename", || {
            let last = done.load(Ordering::Acquire);
            let mut scan = case.scan(Duration::from_millis(10));
            // What is renamed over in the moment in which it is read is told, and read again by the next scan.
            scan.problems.retain(|problem| problem.reason != Reason::Incomplete);
            assert_eq!((scan.entries.len(), scan.problems), (1000, vec![]));
            last
        });
    });
    let old = case.serves().into_iter().filter(|(_, revision)| revision != "1").count();
    assert_eq!(old, 0, "all must be new");
}

/// Waits and scans until `name` is served in `revision`; how often it took the poll to get there.
fn wait_for(case: &mut Case, revision: &str) -> u32 {
    let mut dues = 0;
    eventually(revision, || {
        let there = served(&case.reader.scan(Instant::now())).iter().any(|(_, served)| served == revision);
        if !there {
            dues += u32::from(case.reader.wait(Duration::from_secs(60)) == Wake::Due);
        }
        there
    });
    dues
}

#[test]
fn events_wake_the_reader_wherever_the_change_is() {
    let mut case = Case::new();
    case.put("hello", "1");
    assert_eq!(wait_for(&mut case, "1"), 0);
    assert_eq!(case.reader.degraded(), None);
    case.put("hello", "2");
    assert_eq!(case.reader.wait(Duration::from_secs(60)), Wake::Changed, "a file written in place");
    case.reader.scan(Instant::now());
    let writer = crate::Writer::new(case.bay()).unwrap();
    writer.put_entry(&mk_entry("hello", "3")).unwrap();
    assert_eq!(case.reader.wait(Duration::from_secs(60)), Wake::Changed, "a file renamed into place");
    case.reader.scan(Instant::now());
    std::fs::rename(case.bay(), case.folder.path().join("away")).unwrap();
    assert_eq!(case.reader.wait(Duration::from_secs(60)), Wake::Changed, "a folder that goes");
    case.reader.scan(Instant::now());
    std::fs::rename(case.folder.path().join("away"), case.bay()).unwrap();
    assert_eq!(case.reader.wait(Duration::from_secs(60)), Wake::Changed, "a folder that comes back");
    case.reader.scan(Instant::now());
    std::fs::remove_file(case.file("hello")).unwrap();
    assert_eq!(case.reader.wait(Duration::from_secs(60)), Wake::Changed, "a file that goes");
    case.reader.scan(Instant::now());
    Volume::new(case.bay()).publish(&[(mk_key("hello").file_name(), json(&mk_entry("hello", "4")))]);
    assert_eq!(case.reader.wait(Duration::from_secs(60)), Wake::Changed, "a snapshot that is swapped in");
    assert_eq!(served(&case.reader.scan(Instant::now())), pairs(&[("hello", "4")]));
}

#[test]
fn temporaries_and_files_just_created_wake_nobody() {
    let mut case = Case::new();
    case.put("hello", "1");
    wait_for(&mut case, "1");
    std::fs::write(case.bay().join(".hotbay-1-1.tmp"), "half").unwrap();
    std::fs::write(case.folder.path().join("neighbour"), "not in the bay").unwrap();
    let open = std::fs::File::create(case.file("unfinished")).unwrap();
    assert_eq!(case.reader.wait(Duration::from_millis(50)), Wake::Due);
    drop(open);
    assert_eq!(case.reader.wait(Duration::from_secs(60)), Wake::Changed, "closed is done");
}

#[test]
fn without_events_polling_finds_the_change() {
    let mut case = Case::with(Options { poll_only: true, ..Options::default() });
    assert!(case.reader.degraded().is_some(), "polling only must be told");
    case.reader.scan(Instant::now());
    case.put("hello", "1");
    let before = Instant::now();
    assert_eq!(case.reader.wait(Duration::from_secs(600)), Wake::Due);
    assert!(
        before.elapsed() < Duration::from_secs(60),
        "a scan is due after 250 ms whatever the caller says"
    );
    assert_eq!(served(&case.reader.scan(Instant::now())), pairs(&[("hello", "1")]));
}

#[test]
fn an_overflown_queue_is_a_change() {
    let mut case = Case::new();
    case.put("hello", "1");
    wait_for(&mut case, "1");
    let limit: usize =
        std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    // Two names in turn: events that equal the one before are merged. They begin with dots, so none of them would wake by itself.
    let (one, two) = (case.bay().join(".one"), case.bay().join(".two"));
    std::fs::write(&one, "").unwrap();
    for _ in 0..=limit / 4 {
        std::fs::rename(&one, &two).unwrap();
        std::fs::rename(&two, &one).unwrap();
    }
    case.put("hello", "2");
    assert_eq!(case.reader.wait(Duration::from_secs(60)), Wake::Changed);
    assert_eq!(served(&case.reader.scan(Instant::now())), pairs(&[("hello", "2")]));
}

#[test]
fn another_thread_can_end_the_wait() {
    let mut case = Case::new();
    case.reader.scan(Instant::now());
    let waker = case.reader.waker();
    waker.wake();
    assert_eq!(case.reader.wait(Duration::from_secs(60)), Wake::Woken, "a wake before the wait counts");
    std::thread::scope(|scope| {
        scope.spawn(|| waker.wake());
        eventually("the wake", || case.reader.wait(Duration::from_secs(60)) == Wake::Woken);
    });
    assert_eq!(case.reader.wait(Duration::from_millis(1)), Wake::Due, "a wake ends one wait");
}
