//! The folder: what stays, what goes, and what is never served.

use super::*;

const KIB: usize = 1 << 10;

struct Disk(tempfile::TempDir);

impl Disk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self, limit_bytes: usize) -> Cache {
        Cache::open(self.0.path().join("cache"), limit_bytes as u64).unwrap()
    }

    fn files(&self) -> usize {
        fs::read_dir(self.0.path().join("cache")).unwrap().count()
    }
}

fn content(letter: u8, bytes: usize) -> (Digest, Vec<u8>) {
    let content = vec![letter; bytes];
    (Digest::of(&content), content)
}

fn read(cache: &Cache, digest: &Digest) -> Option<Vec<u8>> {
    let (mut file, bytes) = cache.blob(digest).unwrap()?;
    let mut content = Vec::new();
    file.read_to_end(&mut content).unwrap();
    assert_eq!(content.len() as u64, bytes);
    Some(content)
}

#[test]
fn what_is_put_is_there_also_for_the_next_process() {
    let disk = Disk::new();
    let (digest, content) = content(b'a', 10 * KIB);
    let cache = disk.open(100 * KIB);
    assert_eq!(read(&cache, &digest), None);
    cache.put_blob(&digest, &content).unwrap();
    cache.put_document("artifact", b"{}").unwrap();
    fs::write(cache.folder().join(".7"), "what a killed one left").unwrap();
    let cache = disk.open(100 * KIB);
    assert_eq!(disk.files(), 2);
    assert_eq!(read(&cache, &digest), Some(content));
    assert_eq!(cache.document("artifact").unwrap(), Some(b"{}".to_vec()));
    assert_eq!(cache.lock().bytes, 10 * 1024 + LEAST_BYTES);
}

#[test]
fn bytes_that_are_not_the_digests_are_neither_kept_nor_served() {
    let disk = Disk::new();
    let (digest, content) = content(b'a', 10 * KIB);
    let cache = disk.open(100 * KIB);
    assert!(matches!(cache.put_blob(&digest, b"other"), Err(CacheError::Mismatch { .. })));
    assert_eq!(read(&cache, &digest), None);
    fs::write(cache.folder().join(names::blob_file(&digest)), "damaged").unwrap();
    let cache = disk.open(100 * KIB);
    assert_eq!(read(&cache, &digest), None);
    assert_eq!((disk.files(), cache.lock().bytes), (0, 0), "it is removed");
    cache.put_blob(&digest, &content).unwrap();
    assert_eq!(read(&cache, &digest), Some(content), "and can be put again");
}

#[test]
fn the_least_recently_used_goes_also_after_a_restart() {
    let disk = Disk::new();
    let [a, b, c, d] = [b'a', b'b', b'c', b'd'].map(|letter| content(letter, 30 * KIB));
    let cache = disk.open(100 * KIB);
    for (digest, content) in [&a, &b, &c] {
        cache.put_blob(digest, content).unwrap();
    }
    assert!(read(&cache, &a.0).is_some());
    cache.put_blob(&d.0, &d.1).unwrap();
    assert_eq!(read(&cache, &b.0), None, "b was used longest ago");
    assert!(read(&cache, &a.0).is_some());
    // Times on disk may be coarser than these uses were apart.
    for (age, (digest, _)) in [&d, &c, &a].into_iter().enumerate() {
        let file = File::options().write(true).open(cache.folder().join(names::blob_file(digest))).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(age as u64)).unwrap();
    }
    let cache = disk.open(70 * KIB);
    assert_eq!((read(&cache, &d.0), disk.files()), (None, 2));
}

#[test]
fn a_reader_keeps_what_goes_meanwhile() {
    let disk = Disk::new();
    let [a, b] = [b'a', b'b'].map(|letter| content(letter, 30 * KIB));
    let cache = disk.open(40 * KIB);
    cache.put_blob(&a.0, &a.1).unwrap();
    let (mut file, _) = cache.blob(&a.0).unwrap().unwrap();
    cache.put_blob(&b.0, &b.1).unwrap();
    assert_eq!(read(&cache, &a.0), None);
    let mut content = Vec::new();
    file.read_to_end(&mut content).unwrap();
    assert_eq!(content, a.1);
}

#[test]
fn what_is_larger_than_the_cache_is_refused_in_words_and_costs_nothing() {
    let disk = Disk::new();
    let [a, b] = [(b'a', 10), (b'b', 50)].map(|(letter, kib)| content(letter, kib * KIB));
    let cache = disk.open(40 * KIB);
    cache.put_blob(&a.0, &a.1).unwrap();
    let error = cache.put_blob(&b.0, &b.1).unwrap_err().to_string();
    assert!(
        error.contains("has 51200 bytes and the operator's cache holds 40960 (HOTBAY_CACHE_SIZE)"),
        "{error}"
    );
    assert!(read(&cache, &a.0).is_some());
}
