//! Everything that can be refused on a laptop, by `run`, `inspect` and `push`: each names the reason, what is wrong with what, and what to do.
//!
//! `run` starts from a module that serves and breaks one thing; the old version goes on. Pools are a cluster's: their refusals are tested
//! there, and so are those of a registry that a real one cannot be made to show (`hotbay-registry`).

mod commands;

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use hotbay_api::{Digest, Platform, Reason};
use hotbay_artifact::oci::{Annotations, Form};
use hotbay_e2e::laptop::{Laptop, command};
use hotbay_e2e::{broken, modules};
use hotbay_registry::{Client, Options, PlatformBuild};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::workshop::{HOTBAY, V1, Workshop};

/// More than a pool takes.
const TOO_LARGE: usize = (64 << 20) + 1;

/// A bench with hello 1.0 under `hotbay run`, on which one thing after the other is broken.
struct Bench {
    shop: Workshop,
    laptop: Laptop,
}

impl Bench {
    async fn new() -> Self {
        let shop = Workshop::new();
        shop.push(&modules::hello("1.0"), "hello:1.0").await;
        shop.save("hello.yaml", &yaml("registry.example.com/hello:1.0", "{}"));
        let mirror = format!("registry.example.com=oci:{}", shop.layout().display());
        let folder = shop.modules();
        let args: [&OsStr; 5] = [
            folder.as_ref(),
            "--mirror".as_ref(),
            mirror.as_ref(),
            "--insecure-registry".as_ref(),
            "127.0.0.1".as_ref(),
        ];
        let laptop = Laptop::start(HOTBAY.as_ref(), &args).await;
        let bench = Self { shop, laptop };
        bench.serves_hello().await;
        bench
    }

    async fn serves_hello(&self) {
        self.laptop.serves("/hello", V1).await;
        self.laptop.active("default/hello").await;
    }

    /// Stores a file as registry.example.com's hello:`tag`, whatever it holds.
    async fn store(&self, file: &Path, tag: &str) {
        let to = format!("oci:{}:hello:{tag}", self.shop.layout().display());
        let build =
            PlatformBuild { platform: Platform::current(), bytes: Bytes::from(fs::read(file).unwrap()) };
        let client = Client::new(Options { layouts: true, ..Options::default() });
        client.push(&to, &[build], Form::Artifact, &Annotations::new()).await.unwrap();
    }

    /// Asks for `reference` with `config`; run must say `reason` and `words`, and go on serving hello 1.0.
    async fn refuses(&self, reference: &str, config: &str, reason: Reason, words: &[&str]) {
        self.shop.save("hello.yaml", &yaml(reference, config));
        let (why, reason) = (reason.clone(), format!("{reason}: "));
        let mut all = vec!["default/hello", "failed", &reason, "still serving 1.0@sha256:"];
        all.extend(words);
        let line = self.laptop.says(&all).await;
        if line.contains("reason=") {
            // The engine said it, and the report follows.
            self.laptop.failed("default/hello", why).await;
        }
        assert_eq!(self.laptop.get("/hello").await.text(), V1, "{reference}");
        self.shop.save("hello.yaml", &yaml("registry.example.com/hello:1.0", "{}"));
        self.serves_hello().await;
    }

    /// The same for a file of a registry.
    async fn refuses_file(&self, file: &Path, reason: Reason, words: &[&str]) {
        let tag = file.file_stem().unwrap().to_string_lossy().into_owned();
        self.store(file, &tag).await;
        self.refuses(&format!("registry.example.com/hello:{tag}"), "{}", reason, words).await;
    }
}

fn yaml(reference: &str, config: &str) -> String {
    format!(
        "apiVersion: hotbay.dev/v1alpha1\nkind: HandlerModule\nmetadata: {{name: hello, namespace: default}}\n\
         spec: {{source: {{oci: {{reference: \"{reference}\"}}}}, config: {config}}}\n"
    )
}

/// A registry that answers every request with this status.
async fn registry(status: u16) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (read, mut write) = stream.split();
                let mut lines = BufReader::new(read).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    let answer = format!("HTTP/1.1 {status} As Asked\r\ncontent-length: 0\r\n\r\n");
                    if line.is_empty() && write.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// A registry that takes connections and never says anything.
async fn silent_registry() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok(connection) = listener.accept().await {
            connections.push(connection);
        }
    });
    address
}

/// Changes a byte of a module in an image layout.
fn damage(layout: &Path, module: &Path) {
    let mut bytes = fs::read(module).unwrap();
    let blob = layout.join("blobs/sha256").join(Digest::of(&bytes).hex());
    assert!(blob.exists(), "the layout holds the module");
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&blob, bytes).unwrap();
}

#[tokio::test]
async fn run_names_what_is_wrong_with_a_source() {
    let bench = Bench::new().await;
    let at = async |status| format!("{}/hello:1.0", registry(status).await);
    let cases = [
        ("registry.invalid/hello:1.0".to_owned(), Reason::SourceUnreachable, "registry.invalid"),
        ("127.0.0.1:1/hello:1.0".to_owned(), Reason::SourceUnreachable, "refused"),
        (at(500).await, Reason::SourceUnreachable, "500"),
        (at(401).await, Reason::SourceUnauthorized, "check the credentials"),
        (at(403).await, Reason::SourceUnauthorized, "check the credentials"),
        (at(404).await, Reason::SourceNotFound, "push it, or correct the reference"),
        ("registry.example.com/hello:none".to_owned(), Reason::SourceNotFound, "push it, or correct"),
    ];
    for (reference, reason, words) in cases {
        bench.refuses(&reference, "{}", reason, &[&reference, words]).await;
    }
}

#[tokio::test]
async fn a_registry_that_never_answers_is_given_up() {
    let reference = format!("{}/hello:1.0", silent_registry().await);
    let bench = Bench::new().await;
    bench.refuses(&reference, "{}", Reason::SourceUnreachable, &[&reference]).await;
    let (success, text) = said(&["inspect".as_ref(), reference.as_ref(), "--plain-http".as_ref()]).await;
    assert!(!success && text.starts_with("hotbay: SourceUnreachable: "), "{text}");
}

#[tokio::test]
async fn run_names_what_is_wrong_with_the_bytes() {
    let bench = Bench::new().await;
    let large = broken::padded(&modules::hello("1.0"), TOO_LARGE);
    bench.refuses_file(&large, Reason::TooLarge, &["67108864 bytes", "maxArtifactSize"]).await;
    bench.store(&modules::hello("3.0"), "damaged").await;
    damage(&bench.shop.layout(), &modules::hello("3.0"));
    let reference = "registry.example.com/hello:damaged";
    bench.refuses(reference, "{}", Reason::DigestMismatch, &[reference, "does not have the digest"]).await;
}

#[tokio::test]
async fn run_names_what_is_wrong_with_a_file() {
    let (bench, whole) = (Bench::new().await, modules::hello("1.0"));
    let cases: [(PathBuf, Reason, &[&str]); 10] = [
        (broken::not_elf(), Reason::InvalidElf, &["neither an ELF file", "in Rust a cdylib"]),
        (broken::truncated(&whole), Reason::InvalidElf, &["copy it whole"]),
        (broken::other_machine(&whole), Reason::WrongArchitecture, &["linux/", "push one"]),
        (broken::unknown_machine(&whole), Reason::WrongArchitecture, &["machine number 243", "build it for"]),
        (broken::newer_libc(&whole), Reason::LibcTooOld, &["needs glibc 2.99", "build it on"]),
        (broken::missing_library(&whole), Reason::DependencyMissing, &["libnone_.so.1", "link statically"]),
        (broken::without_note(&whole), Reason::ManifestInvalid, &["no Hotbay manifest", "module!"]),
        (broken::bad_manifest(&whole), Reason::ManifestInvalid, &["not valid JSON", "build it with"]),
        (broken::without_entry(&whole), Reason::MissingSymbol, &["hotbay_module_v1", "do not strip"]),
        (modules::newer_abi(), Reason::AbiMismatch, &["upgrade Hotbay"]),
    ];
    for (file, reason, words) in cases {
        bench.refuses_file(&file, reason, words).await;
    }
}

#[tokio::test]
async fn run_names_what_fails_while_it_loads() {
    let bench = Bench::new().await;
    bench.refuses_file(&modules::constructor_abort(), Reason::ProbeCrashed, &["SIGABRT"]).await;
    bench.refuses_file(&modules::constructor_exit(), Reason::ProbeCrashed, &["exit code 0"]).await;
    bench.refuses_file(&modules::constructor_hang(), Reason::ProbeTimeout, &["2s", "constructors"]).await;
    let hello = "registry.example.com/hello:1.0";
    bench.refuses(hello, "{greeting: 5}", Reason::ConfigRejected, &["greeting"]).await;
}

#[tokio::test]
async fn run_names_what_fails_in_create() {
    let bench = Bench::new().await;
    bench.store(&modules::faulty(), "faulty").await;
    let cases = [
        ("create-error", Reason::StartFailed, "the config asked create to fail"),
        ("create-panic", Reason::StartFailed, "the config asked create to panic"),
        (
            "create-hang",
            Reason::StartTimeout,
            "create did not return within 3s; make it async (HB_PENDING), then it has 30s",
        ),
        ("create-pending", Reason::StartTimeout, "did not start within 30s"),
    ];
    for (mode, reason, words) in cases {
        let config = format!("{{mode: {mode}}}");
        bench.refuses("registry.example.com/hello:faulty", &config, reason, &[words]).await;
    }
}

/// What the command prints on both streams, and whether it succeeds.
async fn said(args: &[&OsStr]) -> (bool, String) {
    let output = command(HOTBAY, args).await;
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    (output.status.success(), out + &err)
}
