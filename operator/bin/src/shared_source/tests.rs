//! The shared source over one that counts and answers when it is told to.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use hotbay_pipeline::Build;
use hotbay_registry::{RoomBytes, Waiters};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;

const DEADLINE: Duration = Duration::from_secs(60);

/// Notes what it is asked for, and answers each only when told to. What it fetches takes room.
#[derive(Clone, Default)]
struct Counted {
    asked: Arc<Mutex<Vec<String>>>,
    go: Arc<Notify>,
    fail: bool,
    room: Room,
    bytes: usize,
}

impl Counted {
    async fn answer(&self, reference: &str) -> Result<Digest, SourceError> {
        self.asked.lock().unwrap().push(reference.to_owned());
        self.go.notified().await;
        if self.fail {
            return Err(SourceError::NotFound { reference: reference.to_owned() });
        }
        Ok(Digest::of(b"build"))
    }

    fn requests(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn was_asked(&self, reference: &str) -> bool {
        self.asked.lock().unwrap().iter().any(|asked| asked == reference)
    }
}

impl Source for Counted {
    async fn resolve(&self, reference: &str) -> Result<Digest, SourceError> {
        self.answer(reference).await
    }

    async fn fetch(&self, reference: &str, digest: &Digest, _: u64) -> Result<Artifact, SourceError> {
        let mut space = self.room.arriving(&self.host_of(reference), self.bytes as u64).await;
        self.answer(reference).await?;
        let bytes = space.put(vec![7; self.bytes].into());
        let build = Build { platform: None, digest: Digest::of(&bytes), bytes };
        Ok(Artifact { reference: reference.to_owned(), digest: *digest, builds: vec![build] })
    }
}

impl HostedSource for Counted {
    /// As if `mirrored.io` had `r.io` for its mirror.
    fn host_of(&self, reference: &str) -> String {
        let host = reference.split_once('/').map_or("", |(host, _)| host);
        if host == "mirrored.io" { "r.io".to_owned() } else { host.to_owned() }
    }
}

fn mk_source(counted: Counted, cache: Arc<Cache>) -> SharedSource<Counted> {
    let room = counted.room.clone();
    SharedSource::new(counted, cache, room, Shares::new(2, 4))
}

/// Yields to other tasks until it is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let so = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, so).await.expect(what);
}

/// A fetch by a task, which lets go of what it gets.
fn fetch(source: &Arc<SharedSource<Counted>>, reference: &'static str) -> JoinHandle<bool> {
    let source = source.clone();
    tokio::spawn(async move { source.fetch(reference, &Digest::of(b"artifact"), 1 << 20).await.is_ok() })
}

/// With a cache that goes with the folder.
fn mk_shared(counted: Counted) -> (SharedSource<Counted>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path().to_owned(), 1 << 20).unwrap();
    (mk_source(counted, Arc::new(cache)), folder)
}

async fn three_at_once(source: &SharedSource<Counted>) -> Vec<Result<Digest, SourceError>> {
    let feed = async {
        for _ in 0..2 {
            source.inner.go.notify_one();
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
        }
    };
    let ask = || source.resolve("reg/a:1");
    let ((a, b, c), ()) = tokio::join!(async { tokio::join!(ask(), ask(), ask()) }, feed);
    vec![a, b, c]
}

#[tokio::test]
async fn look_ups_at_one_time_share_one_that_began_after_they_asked() {
    let (source, _folder) = mk_shared(Counted::default());
    assert!(three_at_once(&source).await.iter().all(Result::is_ok));
    assert_eq!(source.inner.requests(), 2, "the first, and one for all who came meanwhile");
    assert!(source.resolves.is_empty(), "nothing is kept");
}

#[tokio::test]
async fn a_failure_is_shared_too() {
    let (source, _folder) = mk_shared(Counted { fail: true, ..Counted::default() });
    let all = three_at_once(&source).await;
    assert!(
        all.iter().all(
            |result| matches!(result, Err(SourceError::NotFound { reference }) if reference == "reg/a:1")
        )
    );
    assert_eq!(source.inner.requests(), 2);
}

#[tokio::test]
async fn an_artifact_is_fetched_once() {
    let (source, _folder) = mk_shared(Counted::default());
    let digest = Digest::of(b"artifact");
    for _ in 0..3 {
        source.inner.go.notify_one();
        source.fetch("reg/a:1", &digest, 100).await.unwrap();
    }
    assert_eq!(source.inner.requests(), 1);
    let another = mk_source(Counted::default(), source.cache.clone());
    another.fetch("reg/a:1", &digest, 100).await.unwrap();
    assert_eq!(another.inner.requests(), 0, "nor by an operator that starts again");
}

#[tokio::test]
async fn a_host_has_so_many_fetches_and_other_users_have_their_own() {
    let (counted, folder) = (Counted::default(), tempfile::tempdir().unwrap());
    let cache = Arc::new(Cache::open(folder.path().to_owned(), 1 << 20).unwrap());
    let waiting = Arc::new(AtomicI64::new(0));
    let told = waiting.clone();
    let waiters = Waiters::new(move |by| {
        told.fetch_add(by, Ordering::SeqCst);
    });
    let shares = Shares::new(2, 4).told_to(waiters);
    let source = Arc::new(SharedSource::new(counted.clone(), cache.clone(), Room::default(), shares));
    let refills = Arc::new(mk_source(counted.clone(), cache));
    let asked = async |reference| until(reference, || counted.was_asked(reference)).await;
    let mut all = vec![fetch(&source, "r.io/a:1")];
    asked("r.io/a:1").await;
    all.push(fetch(&source, "r.io/b:1"));
    asked("r.io/b:1").await;
    all.push(fetch(&source, "mirrored.io/c:1"));
    let (c_waits, c_asked) =
        (|| waiting.load(Ordering::SeqCst) == 1, || counted.was_asked("mirrored.io/c:1"));
    until("the third waits, or does not", || c_waits() || c_asked()).await;
    all.push(fetch(&source, "good.io/a:1"));
    asked("good.io/a:1").await;
    all.push(fetch(&refills, "r.io/d:1"));
    asked("r.io/d:1").await;
    assert!(!c_asked(), "the third of a host waits, by whatever name");
    // One answer lets it go on.
    counted.go.notify_one();
    asked("mirrored.io/c:1").await;
    assert_eq!(waiting.load(Ordering::SeqCst), 0);
    all.iter().for_each(JoinHandle::abort);
}

#[tokio::test]
async fn an_artifact_that_takes_most_of_the_room_is_fetched_once_for_all_who_ask() {
    let room = Room::new(RoomBytes { arriving: 8 << 10, of_host: 8 << 10, unpacked: 1 << 10 });
    let (source, _folder) = mk_shared(Counted { room, bytes: 5 << 10, ..Counted::default() });
    let source = Arc::new(source);
    let both = [fetch(&source, "r.io/a:1"), fetch(&source, "r.io/a:1")];
    until("both ask", || source.fetches.users() == 2).await;
    source.inner.go.notify_one();
    for task in both {
        let fetched = tokio::time::timeout(DEADLINE, task).await;
        assert!(fetched.expect("nobody waits for room that the last answer holds").unwrap());
    }
    assert_eq!(source.inner.requests(), 1);
    assert!(source.fetches.is_empty(), "the answer is not kept");
}

#[tokio::test]
async fn whoever_gives_up_leaves_nothing_behind() {
    let (source, _folder) = mk_shared(Counted::default());
    let source = Arc::new(source);
    let both = [fetch(&source, "r.io/a:1"), fetch(&source, "r.io/a:1")];
    until("both ask", || source.fetches.users() == 2).await;
    both.iter().for_each(JoinHandle::abort);
    until("nobody is left", || source.fetches.is_empty()).await;
}
