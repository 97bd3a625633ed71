//! A keeper and its engine as in a pod, whose state folder is a volume with a size.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::net::SocketAddr;
use std::path::Path;

use hotbay_api::{Digest, Entry, EntryKey, EntryReport, LocalReport, Platform, Reason};
use hotbay_bay::Writer;
use hotbay_e2e::http::get;
use hotbay_e2e::laptop::free_address;
use hotbay_e2e::modules;
use hotbay_e2e::wait::wait_for;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// What a disk gives a file of these bytes.
fn blocks(bytes: &[u8]) -> u64 {
    (bytes.len() as u64).next_multiple_of(4096)
}

struct Pod {
    folder: TempDir,
    writer: Writer,
    address: SocketAddr,
    _keeper: Child,
}

impl Pod {
    /// With a state volume of which `room` bytes may be filled, but for a small rest.
    fn start(room: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (address, writer) = (free_address(), Writer::new(path("bay")).unwrap());
        let mut keeper = Command::new(env!("CARGO_BIN_EXE_hotbay-runtime"));
        keeper.arg("keeper").arg("--bay").arg(path("bay")).arg("--state").arg(path("state"));
        keeper.arg("--report").arg(path("report.json")).args(["--listen", &address.to_string()]);
        keeper.args(["--state-size", &(room * 10 / 9 + 100_000).to_string()]).kill_on_drop(true);
        Self { writer, address, _keeper: keeper.spawn().unwrap(), folder }
    }

    /// Has the bay hold an entry of these builds, the wanted one first.
    fn put(&self, name: &str, builds: &[&[u8]]) {
        let revisions = builds.iter().map(|build| {
            self.writer.put_blob(&Digest::of(build), build).unwrap();
            revision(name, build)
        });
        let entry = json!({
            "version": 1, "id": {"namespace": "shop", "name": name}, "created": "2026-01-01T00:00:00Z",
            "revisions": revisions.collect::<Vec<_>>(),
        });
        self.writer.put_entry(&Entry::parse(entry.to_string().as_bytes()).unwrap()).unwrap();
    }

    fn remove(&self, name: &str) {
        self.writer.remove_entry(&EntryKey::new("shop", name).unwrap()).unwrap();
    }

    async fn serves(&self, path: &str, text: &str) {
        wait_for(&format!("GET {path} is answered with {text:?}"), async || {
            match get(self.address, path).await {
                Ok(answer) if answer.status == 200 && answer.text() == text => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    /// Waits until the wanted revision of a module has failed.
    async fn failed(&self, name: &str) -> EntryReport {
        wait_for(&format!("{name} has failed"), async || {
            let report = std::fs::read(self.folder.path().join("report.json")).unwrap_or_default();
            let report: LocalReport = serde_json::from_slice(&report).unwrap_or_default();
            let entry = report.entries.into_iter().find(|entry| entry.key.name == name);
            entry.filter(|entry| entry.failure.is_some()).ok_or_else(|| "it has not".to_owned())
        })
        .await
    }

    fn stage(&self) -> Vec<u64> {
        let files = std::fs::read_dir(self.folder.path().join("state/stage")).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).collect()
    }
}

fn revision(name: &str, build: &[u8]) -> Value {
    let Platform { os, arch, libc } = Platform::current();
    let digest = Digest::of(build);
    json!({
        "revision": digest.short(),
        "blobs": [{"os": os, "arch": arch, "libc": libc, "digest": digest, "size": build.len()}],
        "routes": [{"path": format!("/{name}"), "methods": ["GET"], "handler": "hello"}],
    })
}

fn read(module: &Path) -> Vec<u8> {
    std::fs::read(module).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_that_would_be_nearly_full_keeps_what_serves_and_takes_the_new_build_when_there_is_room() {
    let [v1, v2, v3] = ["1.0", "2.0", "3.0"].map(|version| read(&modules::hello(version)));
    let beside = [&v1[..], b"another digest"].concat();
    let pod = Pod::start(blocks(&v1) + blocks(&v2));
    pod.put("hello", &[&v1]);
    pod.put("beside", &[&beside]);
    pod.serves("/hello", "Hello from Hotbay 1.0\n").await;
    pod.serves("/beside", "Hello from Hotbay 1.0\n").await;

    pod.put("hello", &[&v2, &v1]);
    let report = pod.failed("hello").await;
    let failure = report.failure.unwrap();
    assert_eq!(failure.reason, Reason::NoSpace);
    let start = format!("sha256:{} does not fit into the stage: it has ", Digest::of(&v2).short());
    assert!(failure.message.starts_with(&start), "{}", failure.message);
    assert!(failure.message.ends_with("raise volumes.state, or remove modules"), "{}", failure.message);
    assert_eq!(report.serving.unwrap().digest, Digest::of(&v1));
    pod.serves("/hello", "Hello from Hotbay 1.0\n").await;
    assert_eq!(pod.stage().len(), 2, "nothing is left of what did not fit");

    pod.remove("beside");
    pod.serves("/hello", "Hello from Hotbay 2.0\n").await;
    pod.put("hello", &[&v3, &v2]);
    pod.serves("/hello", "Hello from Hotbay 3.0\n").await;
    assert_eq!(pod.stage().len(), 2, "the first build made room for the third");
}
