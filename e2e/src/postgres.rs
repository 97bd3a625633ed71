//! A real PostgreSQL, as Debian has it, with a folder and a port of its own.
//!
//! Owns its processes: they end with the value. Must not be used for anything that is to last: it does not wait for disks.

use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, fs};

use rustix::process::{Pid, Signal, getuid, kill_process};
use tempfile::TempDir;

use crate::laptop::free_address;
use crate::wait::{in_time, wait_for};

const USER: &str = "hotbay";
const PASSWORD: &str = "pass-of-the-test";

/// A running server.
pub struct Postgres {
    folder: TempDir,
    address: SocketAddr,
    server: Option<Child>,
}

impl Postgres {
    /// Makes one with an empty database and waits until it answers.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not come up.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        if getuid().is_root() {
            let (user, group) = postgres_ids();
            chown(folder.path(), Some(user), Some(group)).expect("the folder can be given away");
        }
        let password = folder.path().join("password");
        fs::write(&password, PASSWORD).expect("the password can be written");
        let mut init = as_postgres("initdb");
        init.args(["--auth", "scram-sha-256", "--username", USER, "--no-sync", "--encoding", "UTF8"]);
        init.arg("--pgdata").arg(folder.path().join("data")).arg("--pwfile").arg(&password);
        let output = init.current_dir(folder.path()).output().expect("initdb can be started");
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        let mut postgres = Self { folder, address: free_address(), server: None };
        postgres.serve().await;
        postgres
    }

    /// What a client is told: user, password, host and database.
    pub fn url(&self) -> String {
        format!("postgres://{USER}:{PASSWORD}@{}/postgres", self.address)
    }

    /// Begins to serve, on the same port as before, and waits until it answers.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn serve(&mut self) {
        let mut server = as_postgres("postgres");
        server.arg("-D").arg(self.folder.path().join("data"));
        server.args(["-F", "-h", "127.0.0.1", "-p", &self.address.port().to_string(), "-k", ""]);
        server.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
        let log = fs::File::create(self.folder.path().join("log")).expect("the log can be made");
        self.server = Some(server.stderr(log).spawn().expect("postgres can be started"));
        wait_for("PostgreSQL answers", async || self.tried("SELECT 1").await.map(drop)).await;
    }

    /// Ends it at once, whoever is connected. Its data stay.
    pub fn end(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        if let Some(pid) = i32::try_from(server.id()).ok().and_then(Pid::from_raw) {
            // Immediate shutdown: it ends its own processes first.
            let _ = kill_process(pid, Signal::QUIT);
        }
        let _ = server.wait();
    }

    /// What a query gives, as `psql` shows it without any ornament.
    ///
    /// # Panics
    /// When it fails.
    pub async fn ask(&self, query: &str) -> String {
        self.tried(query).await.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    async fn tried(&self, query: &str) -> Result<String, String> {
        let psql = tokio::process::Command::new(program("psql"))
            .args(["--no-psqlrc", "--no-align", "--tuples-only", "--command", query, &self.url()])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = in_time("psql", psql).await.map_err(|error| error.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if !output.status.success() {
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            return Err(format!("{}; its log: {log}", text(&output.stderr)));
        }
        Ok(text(&output.stdout))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.end();
    }
}

/// Debian keeps each version's programs in a folder of its own, off the PATH.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin").join(name)).collect();
    let path = env::var_os("PATH").unwrap_or_default();
    found.extend(env::split_paths(&path).map(|folder| folder.join(name)));
    let found = found.into_iter().find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not installed; run scripts/deps databases"))
}

/// A program of the server, which root may not run.
fn as_postgres(name: &str) -> Command {
    let program = program(name);
    if !getuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"]).arg(program);
    command
}

/// Debian's user for it, and its group.
fn postgres_ids() -> (u32, u32) {
    let users = fs::read_to_string(Path::new("/etc/passwd")).expect("/etc/passwd can be read");
    let line =
        users.lines().find_map(|line| line.strip_prefix("postgres:")).expect("there is a user postgres");
    let mut ids = line.split(':').skip(1).map(|id| id.parse().expect("an id is a number"));
    (ids.next().expect("a user has an id"), ids.next().expect("a user has a group"))
}
