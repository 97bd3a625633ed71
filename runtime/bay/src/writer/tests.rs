//! What a writer leaves in the folder, also when it fails half way.

use hotbay_api::Reason;

use super::*;
use crate::fixtures::{mk_entry, mk_key, on_a_tiny_disk};

fn names_in(folder: &Path) -> BTreeSet<String> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn what_is_put_is_listed_and_nothing_else_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let writer = Writer::new(folder.path().join("bay")).unwrap();
    let (plain, packed) = (Digest::of(b"plain"), Digest::of(b"packed"));
    writer.put_blob(&plain, b"plain").unwrap();
    writer.put_blob_compressed(&packed, &zstd::encode_all(&b"packed"[..], 3).unwrap()).unwrap();
    assert!(writer.put_entry(&mk_entry("hello", "1.0")).unwrap(), "a new entry is a change");
    assert!(!writer.put_entry(&mk_entry("hello", "1.0")).unwrap(), "the same entry is none");
    let contents = writer.list().unwrap();
    assert_eq!(contents.entries, BTreeSet::from([mk_key("hello")]));
    assert_eq!(contents.blobs, BTreeSet::from([plain, packed]));
    assert_eq!(names_in(writer.path()).len(), 3, "no temporary may stay");
    assert!(writer.holds_blob(&packed, 6) && writer.holds_blob(&plain, 5));
    assert!(!writer.holds_blob(&packed, 7) && !writer.holds_blob(&Digest::of(b"other"), 5));
    std::fs::write(writer.path().join(names::blob_file(&plain)), "plai?").unwrap();
    assert!(!writer.holds_blob(&plain, 5), "a damaged blob is not held");
}

#[test]
fn a_sweep_removes_what_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let writer = Writer::new(folder.path()).unwrap();
    for name in ["one", "two"] {
        writer.put_blob(&Digest::of(name.as_bytes()), name.as_bytes()).unwrap();
        writer.put_entry(&mk_entry(name, name)).unwrap();
    }
    std::fs::write(folder.path().join("notes.txt"), "not ours").unwrap();
    let keep = (BTreeSet::from([mk_key("two")]), BTreeSet::from([Digest::of(b"two")]));
    assert_eq!(writer.sweep(&keep.0, &keep.1).unwrap(), Swept { entries: 1, blobs: 1 });
    assert_eq!(writer.sweep(&keep.0, &keep.1).unwrap(), Swept::default());
    assert_eq!(writer.list().unwrap(), Contents { entries: keep.0, blobs: keep.1 });
    assert!(folder.path().join("notes.txt").exists(), "what is not Hotbay's must stay");
}

#[test]
fn bytes_that_are_not_the_digests_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = Writer::new(folder.path()).unwrap().put_blob(&Digest::of(b"a"), b"b").unwrap_err();
    assert_eq!(error.reason(), Reason::DigestMismatch);
    assert_eq!(names_in(folder.path()), BTreeSet::new());
}

#[test]
fn entries_whose_names_could_leave_the_folder_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut entry = mk_entry("hello", "1.0");
    entry.id.name = "../../etc/hello".into();
    assert!(matches!(Writer::new(folder.path()).unwrap().put_entry(&entry), Err(WriteError::Name(_))));
}

#[test]
fn an_entry_that_no_reader_takes_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut entry = mk_entry("hello", "1.0");
    entry.revisions[0].config = serde_json::json!({"text": "x".repeat(300 * 1024)});
    let error = Writer::new(folder.path()).unwrap().put_entry(&entry).unwrap_err();
    assert_eq!(error.reason(), Reason::TooLarge);
}

#[test]
fn a_full_disk_is_named_and_the_old_file_stays() {
    on_a_tiny_disk("writer::tests::a_full_disk_is_named_and_the_old_file_stays", |disk| {
        let writer = Writer::new(disk).unwrap();
        writer.put_entry(&mk_entry("hello", "1.0")).unwrap();
        std::fs::write(disk.join("ballast"), vec![0; 200 * 1024]).unwrap();
        let mut large = mk_entry("hello", "2.0");
        large.revisions[0].config = serde_json::json!({"text": "x".repeat(100 * 1024)});
        let error = writer.put_entry(&large).unwrap_err();
        assert_eq!(error.reason(), Reason::NoSpace, "{error}");
        let there = std::fs::read(disk.join("shop.hello.module.json")).unwrap();
        assert_eq!(Entry::parse(&there).unwrap(), mk_entry("hello", "1.0"), "the old entry must be whole");
        assert_eq!(names_in(disk).len(), 2, "no temporary may stay");
        let blob = vec![7; 100 * 1024];
        assert_eq!(writer.put_blob(&Digest::of(&blob), &blob).unwrap_err().reason(), Reason::NoSpace);
    });
}

#[test]
fn a_bay_that_would_be_nearly_full_takes_no_blob_until_there_is_room_and_still_takes_entries() {
    let folder = tempfile::tempdir().unwrap();
    let writer = Writer::new(folder.path()).unwrap().with_size(Some(1_000_000));
    let [old, new] = [3, 4].map(|byte| vec![byte; 500_000]);
    let (first, second) = (Digest::of(&old), Digest::of(&new));
    writer.check_room(&first, 500_000).unwrap();
    writer.put_blob(&first, &old).unwrap();
    let errors = [
        writer.check_room(&second, 500_000).unwrap_err(),
        writer.begin_blob(&second, 500_000).unwrap_err(),
        writer.clone().put_blob(&second, &new).unwrap_err(),
        writer.put_blob_compressed(&second, &new).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.reason(), Reason::NoSpace);
        let words = error.to_string();
        assert!(
            words.starts_with(&format!(
                "sha256:{} does not fit into the bay: it has 488.3 KiB, ",
                second.short()
            )),
            "{words}"
        );
        assert!(words.ends_with("raise volumes.bay, or remove modules"), "{words}");
        assert!(words.len() <= 256, "a report has no more of it: {words}");
    }
    assert_eq!(names_in(folder.path()).len(), 1, "no temporary may stay");
    writer.put_blob(&Digest::of(b"fill"), b"fill").unwrap();
    let mut entry = mk_entry("hello", "1.0");
    entry.revisions[0].config = serde_json::json!({"text": "x".repeat(100 * 1024)});
    writer.put_entry(&entry).unwrap();
    writer.remove_blob(&first).unwrap();
    let mut blob = writer.begin_blob(&second, 500_000).unwrap();
    assert!(writer.begin_blob(&first, 500_000).is_err(), "what is on its way counts");
    blob.write(&new).unwrap();
    blob.finish().unwrap();
    assert!(writer.begin_blob(&first, 500_000).is_err(), "and what has come");
}

#[test]
fn a_new_writer_removes_what_a_killed_one_left_and_spares_a_living_one() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(".hotbay-1-0.tmp"), "half").unwrap();
    let living = Temporary::create(folder.path()).unwrap();
    Writer::new(folder.path()).unwrap();
    assert!(!folder.path().join(".hotbay-1-0.tmp").exists(), "the dead writer's must go");
    living.rename_to("done").unwrap();
    assert_eq!(names_in(folder.path()), BTreeSet::from(["done".to_owned()]));
}
