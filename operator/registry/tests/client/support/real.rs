//! Debian's docker-registry as a child process.
//!
//! Owns its folder, port and end. A machine without the program fails the test: a registry client that was never tried on a registry proves
//! nothing.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(60);

/// The password of `HTPASSWD`, for the user `ali`.
pub const PASSWORD: &str = "open sesame";
/// bcrypt of [`PASSWORD`], at its lowest cost.
const HTPASSWD: &str = "ali:$2b$04$zkUpuhcSVyje306C/uKYjuJvmfNGRzVbS7PvZ0jBuK70bHqut12ji\n";

pub struct Registry {
    child: Child,
    address: SocketAddr,
    /// PEM of its certificate, if it speaks TLS.
    pub certificate: Option<String>,
    _folder: TempDir,
}

/// How it is set up, beside the defaults.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    Plain,
    Password,
    Tls,
}

impl Registry {
    /// A reference in it.
    pub fn reference(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn start(setup: Setup) -> Self {
        // Between finding a free port and the child's bind another process may take it: then the child ends, and the next is tried.
        for _ in 0..5 {
            let folder = tempfile::tempdir().unwrap();
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let (config, certificate) = write_config(folder.path(), address, setup);
            let child = Command::new(program())
                .arg("serve")
                .arg(config)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("the registry must start");
            let mut registry = Self { child, address, certificate, _folder: folder };
            if registry.answers() {
                return registry;
            }
        }
        panic!("the registry found no free port in five attempts");
    }

    /// Whether it listens before it ends.
    fn answers(&mut self) -> bool {
        let begun = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            if TcpStream::connect_timeout(&self.address, Duration::from_millis(100)).is_ok() {
                return true;
            }
            assert!(begun.elapsed() < DEADLINE, "the registry must listen within {DEADLINE:?}");
            std::thread::yield_now();
        }
        false
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> &'static str {
    let found = |name: &&str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
    };
    ["docker-registry", "registry"]
        .into_iter()
        .find(found)
        .expect("docker-registry is not installed; run make deps")
}

/// Writes the configuration; returns its path, and the certificate if there is one.
fn write_config(folder: &Path, address: SocketAddr, setup: Setup) -> (PathBuf, Option<String>) {
    let mut auth = String::new();
    let mut tls = String::new();
    let mut certificate = None;
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    match setup {
        Setup::Plain => {}
        Setup::Password => {
            let path = write("htpasswd", HTPASSWD);
            auth = format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", path.display());
        }
        Setup::Tls => {
            let made = rcgen::generate_simple_self_signed([address.ip().to_string()]).unwrap();
            let pem = made.cert.pem();
            let [cert, key] = [write("cert.pem", &pem), write("key.pem", &made.signing_key.serialize_pem())];
            tls = format!(", tls: {{certificate: {}, key: {}}}", cert.display(), key.display());
            certificate = Some(pem);
        }
    }
    let data = folder.join("data");
    let text = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{address}\"{tls}}}\n{auth}",
        data.display(),
    );
    (write("config.yml", &text), certificate)
}
