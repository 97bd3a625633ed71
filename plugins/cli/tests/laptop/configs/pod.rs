//! A keeper on a bay that the test fills, as an agent does: a change takes effect without the looks of `hotbay run` at its files.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use hotbay_api::{Digest, Entry, EntryKey, LocalReport, Platform};
use hotbay_bay::Writer;
use hotbay_e2e::http::get;
use hotbay_e2e::laptop::free_address;
use hotbay_e2e::wait::wait_for;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::workshop::HOTBAY;

/// Where the module answers.
pub const PATH: &str = "/limits";

pub struct Pod {
    keeper: Child,
    folder: TempDir,
    writer: Writer,
    module: Vec<u8>,
    pub address: SocketAddr,
}

/// What a process holds.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    pub resident_kib: u64,
    pub threads: usize,
    pub descriptors: usize,
}

impl Pod {
    /// Starts it with one module.
    pub fn start(module: &Path, config: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (bay, state, report) =
            (folder.path().join("bay"), folder.path().join("state"), folder.path().join("report.json"));
        fs::create_dir(&state).unwrap();
        let (writer, module, address) =
            (Writer::new(&bay).unwrap(), fs::read(module).unwrap(), free_address());
        writer.put_blob(&Digest::of(&module), &module).unwrap();
        let mut command = Command::new(HOTBAY);
        command.args(["runtime", "keeper", "--workers", "2", "--listen", &address.to_string()]);
        command.arg("--bay").arg(&bay).arg("--state").arg(&state).arg("--report").arg(&report);
        command.env("HOTBAY_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let keeper = command.spawn().unwrap();
        let pod = Self { keeper, folder, writer, module, address };
        pod.set(config);
        pod
    }

    /// Changes the module's config.
    pub fn set(&self, config: Value) {
        self.writer.put_entry(&self.entry(config)).unwrap();
    }

    fn entry(&self, config: Value) -> Entry {
        let (key, digest) = (EntryKey::new("default", "shop").unwrap(), Digest::of(&self.module));
        let json = json!({
            "version": 1,
            "id": {"namespace": key.namespace, "name": key.name},
            "created": "2026-01-01T00:00:00Z",
            "revisions": [{
                "revision": format!("1.0@{}", digest.short()),
                "blobs": [{"os": "linux", "arch": Platform::current().arch, "digest": digest, "size": self.module.len()}],
                "routes": [{"path": PATH, "methods": ["GET"], "handler": "limits"}],
                "config": config,
            }],
        });
        Entry::parse(json.to_string().as_bytes()).unwrap()
    }

    /// Waits until the answer begins with `text`.
    pub async fn serves(&self, text: &str) {
        wait_for(&format!("the answer begins with {text:?}"), async || match get(self.address, PATH).await {
            Ok(answer) if answer.status == 200 && answer.text().starts_with(text) => Ok(()),
            other => Err(format!("{other:?}").chars().take(200).collect::<String>()),
        })
        .await;
    }

    pub fn report(&self) -> LocalReport {
        let json = fs::read(self.folder.path().join("report.json")).unwrap_or_default();
        serde_json::from_slice(&json).unwrap_or_default()
    }

    pub fn keeper(&self) -> Held {
        Held::of(self.pid())
    }

    /// The one engine.
    pub fn engine(&self) -> Held {
        let pid = self.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let children: Vec<u32> = children.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
        let [engine] = children[..] else { panic!("one engine should run, and there are {children:?}") };
        Held::of(engine)
    }

    fn pid(&self) -> u32 {
        self.keeper.id().unwrap()
    }
}

impl Held {
    fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let count = |what: &str| fs::read_dir(format!("/proc/{pid}/{what}")).unwrap().count();
        Self {
            resident_kib: resident.trim().trim_end_matches(" kB").parse().unwrap(),
            threads: count("task"),
            descriptors: count("fd"),
        }
    }
}
