//! The three servers that are compared: Hotbay, the same handler compiled in, nginx.
//!
//! Owns how each is started, with the settings that its users get. All of them answer `GET /hello` with the same bytes.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use hotbay_api::{Digest, Entry, EntryKey};
use hotbay_bay::Writer;
use serde_json::json;
use tempfile::TempDir;

use crate::child::{Running, children};
use crate::wire::{body, free_address, until};

/// How long a server may take to begin.
const BEGIN: Duration = Duration::from_secs(60);

/// The files that are measured.
#[derive(Clone, Debug)]
pub struct Shipped {
    /// The runtime of a pod.
    pub runtime: PathBuf,
    /// The command line.
    pub hotbay: PathBuf,
    /// The same handler without Hotbay.
    pub compiled_in: PathBuf,
    /// The folder of the modules.
    pub modules: PathBuf,
}

/// A way to write hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A plain function, in Rust: plugins/examples/hello.
    Plain,
    /// An async function.
    Async,
    /// An axum Router.
    Router,
    /// In C.
    C,
    /// No hello: a Router whose handler uses threads and tokio.
    Threads,
    /// No hello: a Router with large bodies.
    Streams,
    /// No hello: what host functions cost, in C.
    Calls,
}

impl Way {
    /// All that answer as hello does.
    pub const ALL: [Self; 4] = [Self::Plain, Self::Async, Self::Router, Self::C];

    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Plain => "plain function",
            Self::Async => "async function",
            Self::Router => "axum Router",
            Self::C => "C",
            Self::Threads => "threads and tokio",
            Self::Streams => "streams",
            Self::Calls => "host calls",
        }
    }

    fn methods(self) -> &'static [&'static str] {
        if self == Self::Streams { &[] } else { &["GET"] }
    }

    /// What a request may bring: the default of a HandlerModule, or enough.
    fn body_bytes(self) -> u64 {
        if self == Self::Streams { 2 << 30 } else { 1 << 20 }
    }

    /// The package that it is built from; of what is C, what it would be.
    pub fn package(self) -> &'static str {
        match self {
            Self::Plain => "hello",
            Self::Async => "hotbay-bench-async",
            Self::Router => "hotbay-bench-router",
            Self::C => "hotbay-bench-c-hello",
            Self::Threads => "hotbay-bench-threads",
            Self::Streams => "hotbay-bench-streams",
            Self::Calls => "hotbay-bench-c-calls",
        }
    }

    /// As cargo names it.
    fn file(self) -> String {
        format!("lib{}.so", self.package().replace('-', "_"))
    }

    /// Where its manifest sends `/hello`.
    fn handler(self) -> &'static str {
        match self {
            Self::Router | Self::Threads | Self::Streams => "rest",
            Self::Calls => "calls",
            Self::Plain | Self::Async | Self::C => "hello",
        }
    }
}

impl Shipped {
    /// What `cargo build --release` has left in `folder`.
    pub fn find(folder: &Path) -> anyhow::Result<Self> {
        let file = |name: &str| {
            let path = folder.join(name);
            ensure!(path.is_file(), "{} is not there; run scripts/bench, which builds it", path.display());
            Ok(path)
        };
        Ok(Self {
            runtime: file("hotbay-runtime")?,
            hotbay: file("hotbay")?,
            compiled_in: file("hotbay-bench-compiled-in")?,
            modules: folder.to_owned(),
        })
    }

    /// The module's bytes with `number` behind them: it does the same, and has another digest, so that nothing of it is known yet.
    pub fn build(&self, number: u32) -> anyhow::Result<Vec<u8>> {
        self.build_of(Way::Plain, number)
    }

    /// The same of another module.
    pub fn build_of(&self, way: Way, number: u32) -> anyhow::Result<Vec<u8>> {
        let file = self.modules.join(way.file());
        let mut bytes = fs::read(&file).with_context(|| {
            format!("{} is not there; run scripts/bench, which builds it", file.display())
        })?;
        bytes.extend(number.to_le_bytes());
        Ok(bytes)
    }
}

/// A server at an address.
pub struct Server {
    /// The process that was started.
    pub running: Running,
    /// Where it serves.
    pub address: SocketAddr,
    _folder: Option<TempDir>,
}

impl Server {
    /// All its processes.
    pub fn pids(&self) -> Vec<i32> {
        let pid = self.running.pid();
        std::iter::once(pid).chain(children(pid).into_iter().map(|(pid, _)| pid)).collect()
    }
}

/// A keeper, its engine and their bay.
pub struct Hotbay {
    /// The keeper.
    pub server: Server,
    /// Fills the bay.
    pub writer: Writer,
    folder: TempDir,
}

/// How processes are started that are looked into.
#[derive(Clone, Debug, Default)]
pub struct Under {
    /// Program and options to begin the command line with.
    pub words: Vec<OsString>,
}

impl Under {
    fn start(
        &self,
        program: &Path,
        args: &[&OsStr],
        environment: &[(&str, &str)],
    ) -> anyhow::Result<Running> {
        let line: Vec<&OsStr> =
            self.words.iter().map(OsString::as_os_str).chain([program.as_os_str()]).collect();
        let args = [&line[1..], args].concat();
        Running::start(line[0], &args, environment)
    }
}

impl Hotbay {
    /// One that serves hello, written this way, at `/hello`.
    pub fn hello(shipped: &Shipped, way: Way, under: &Under, workers: Option<usize>) -> anyhow::Result<Self> {
        let bytes = shipped.build_of(way, 0)?;
        let hello = (entry_of(way, "hello", "/hello", &bytes)?, bytes);
        Self::start(shipped, under, workers, &[hello])
    }

    /// As in a pod: a keeper with its defaults and an engine with one worker for each CPU, or `workers`, and `modules` in the bay.
    pub fn start(
        shipped: &Shipped,
        under: &Under,
        workers: Option<usize>,
        modules: &[(Entry, Vec<u8>)],
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let (bay, state) = (folder.path().join("bay"), folder.path().join("state"));
        let (address, report) = (free_address(), folder.path().join("report.json"));
        fs::create_dir_all(&state)?;
        let writer = Writer::new(&bay)?;
        for (entry, bytes) in modules {
            put(&writer, entry, bytes)?;
        }
        let listen = address.to_string();
        let mut args: Vec<&OsStr> = vec!["keeper".as_ref(), "--bay".as_ref(), bay.as_ref()];
        args.extend::<[&OsStr; 2]>(["--state".as_ref(), state.as_ref()]);
        args.extend::<[&OsStr; 4]>([
            "--report".as_ref(),
            report.as_ref(),
            "--listen".as_ref(),
            listen.as_ref(),
        ]);
        // Not what is measured: how soon the next handover that nobody needs may be.
        args.extend::<[&OsStr; 2]>(["--handover-interval".as_ref(), "0s".as_ref()]);
        let workers = workers.map(|workers| workers.to_string());
        if let Some(workers) = &workers {
            args.extend::<[&OsStr; 2]>(["--workers".as_ref(), workers.as_ref()]);
        }
        let running = under.start(&shipped.runtime, &args, &[("HOTBAY_LOG_FORMAT", "json")])?;
        running.says("engine is active", BEGIN)?;
        let server = Server { running, address, _folder: None };
        Ok(Self { server, writer, folder })
    }

    /// The process of the engine that serves. While one replaces another there are two, which is an error.
    pub fn engine(&self) -> anyhow::Result<i32> {
        let engines = self.engines();
        let [pid] = engines[..] else { anyhow::bail!("one engine should run, and there are {engines:?}") };
        Ok(pid)
    }

    /// The processes of engines.
    pub fn engines(&self) -> Vec<i32> {
        let all = children(self.server.running.pid());
        all.into_iter()
            .filter(|(_, words)| words.iter().any(|word| word == "engine"))
            .map(|(pid, _)| pid)
            .collect()
    }

    /// The server alone, with its folders.
    pub fn into_server(self) -> Server {
        Server { _folder: Some(self.folder), ..self.server }
    }

    /// The staged file of a build.
    pub fn staged(&self, digest: &Digest) -> PathBuf {
        self.folder.path().join("state/stage").join(hotbay_api::names::blob_file(digest))
    }
}

/// Puts a module into a bay as the agent does: its blob, then its entry.
pub fn put(writer: &Writer, entry: &Entry, bytes: &[u8]) -> anyhow::Result<()> {
    writer.put_blob(&Digest::of(bytes), bytes)?;
    writer.put_entry(entry)?;
    Ok(())
}

/// An entry that serves this build of hello at `path`, with every default.
pub fn entry(name: &str, path: &str, bytes: &[u8]) -> anyhow::Result<Entry> {
    entry_of(Way::Plain, name, path, bytes)
}

/// As [`entry`], of another module.
pub fn entry_of(way: Way, name: &str, path: &str, bytes: &[u8]) -> anyhow::Result<Entry> {
    let key = EntryKey::new("bench", name)?;
    let digest = Digest::of(bytes);
    let json = json!({
        "version": 1,
        "id": {"namespace": key.namespace, "name": key.name},
        "created": "2026-01-01T00:00:00Z",
        "revisions": [{
            "revision": format!("1.0@{}", digest.short()),
            "blobs": [{"os": "linux", "arch": hotbay_api::Platform::current().arch, "digest": digest, "size": bytes.len()}],
            "routes": [{"path": path, "methods": way.methods(), "handler": way.handler()}],
            "limits": {"maxConcurrentRequests": 256, "maxRequestBodyBytes": way.body_bytes()},
        }],
    });
    Entry::parse(json.to_string().as_bytes()).context("the entry is one")
}

/// The same handler compiled into axum; `by` is `hyper` or `axum`.
pub fn compiled_in(
    shipped: &Shipped,
    under: &Under,
    workers: usize,
    text: &str,
    by: &str,
) -> anyhow::Result<Server> {
    let server = start_compiled_in(shipped, under, workers, &["--text", text, "--by", by])?;
    until(server.address, "/hello", 200)?;
    same(server.address, text)?;
    Ok(server)
}

/// A Router with large bodies compiled in.
pub fn compiled_in_streams(shipped: &Shipped, under: &Under, workers: usize) -> anyhow::Result<Server> {
    let server = start_compiled_in(shipped, under, workers, &["--text", "", "--streams"])?;
    until(server.address, "/nothing", 404)?;
    Ok(server)
}

fn start_compiled_in(
    shipped: &Shipped,
    under: &Under,
    workers: usize,
    further: &[&str],
) -> anyhow::Result<Server> {
    let address = free_address();
    let (listen, workers) = (address.to_string(), workers.to_string());
    let words = ["--listen", &listen, "--workers", &workers];
    let args: Vec<&OsStr> = words.iter().chain(further).map(OsStr::new).collect();
    let running = under.start(&shipped.compiled_in, &args, &[])?;
    Ok(Server { running, address, _folder: None })
}

/// nginx with `return 200`, as many workers, no log, and connections that it never closes.
pub fn nginx(workers: usize, text: &str) -> anyhow::Result<Server> {
    let (address, folder) = (free_address(), tempfile::tempdir()?);
    let escaped = text.replace('\n', "\\n");
    let at = folder.path().display();
    let config = format!(
        "worker_processes {workers};\npid {at}/pid;\nerror_log stderr warn;\nevents {{ worker_connections 1024; }}\nhttp {{\n  \
         access_log off;\n  keepalive_timeout 600s;\n  keepalive_requests 1000000000;\n  client_body_temp_path {at}/body;\n  \
         proxy_temp_path {at}/proxy;\n  fastcgi_temp_path {at}/fastcgi;\n  uwsgi_temp_path {at}/uwsgi;\n  scgi_temp_path {at}/scgi;\n  \
         server {{\n    listen {address};\n    location = /hello {{\n      default_type \"text/plain; charset=utf-8\";\n      \
         return 200 \"{escaped}\";\n    }}\n  }}\n}}\n"
    );
    let file = folder.path().join("nginx.conf");
    fs::write(&file, config)?;
    let args: [&OsStr; 4] = ["-c".as_ref(), file.as_ref(), "-g".as_ref(), "daemon off;".as_ref()];
    let running = Running::start("/usr/sbin/nginx".as_ref(), &args, &[])?;
    until(address, "/hello", 200)?;
    same(address, text)?;
    Ok(Server { running, address, _folder: Some(folder) })
}

/// What is compared answers alike.
fn same(address: SocketAddr, text: &str) -> anyhow::Result<()> {
    let got = body(address, "/hello")?;
    ensure!(got == text.as_bytes(), "{address} answers {:?} and not {text:?}", String::from_utf8_lossy(&got));
    Ok(())
}
