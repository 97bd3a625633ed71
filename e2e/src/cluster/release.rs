//! Releases of Hotbay's charts, as helm keeps them.
//!
//! Owns how a test installs, upgrades and uninstalls one, and where charts come from: the workspace, or the commit before.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};
use tokio::process::Command;

use super::{run, say};
use crate::cargo::workspace;

/// A release.
#[derive(Clone, Debug)]
pub struct Release {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its chart.
    pub chart: &'static str,
}

impl Release {
    /// A release, there or not.
    pub fn new(name: &str, namespace: &str, chart: &'static str) -> Self {
        Self { name: name.to_owned(), namespace: namespace.to_owned(), chart }
    }

    /// What its user has set.
    pub async fn values(&self) -> Value {
        let namespace = ["--namespace", &self.namespace];
        let json =
            run("helm", &[&["get", "values", &self.name, "--output=json"], &namespace[..]].concat()).await;
        serde_json::from_str(&json).expect("helm prints JSON")
    }

    /// Installs it, or upgrades it, and waits until it is ready.
    pub async fn install(&self, charts: &Charts, values: &Value) {
        self.upgrade(charts, values, &["--wait"]).await;
    }

    /// Installs it, or upgrades it, whether or not its pods ever become ready.
    pub async fn put(&self, charts: &Charts, values: &Value) {
        self.upgrade(charts, values, &[]).await;
    }

    async fn upgrade(&self, charts: &Charts, values: &Value, more: &[&str]) {
        let mut file = NamedTempFile::new().expect("a temporary file can be made");
        file.write_all(values.to_string().as_bytes()).expect("the file can be written");
        let chart = charts.folder.join(self.chart);
        let (chart, file) = (text(&chart), text(file.path()));
        let mut args = vec!["upgrade", "--install", &self.name, chart, "--namespace", &self.namespace];
        args.extend(["--values", file, "--timeout=60s"]);
        args.extend(more);
        if charts.previous.is_some() {
            // They may not know a value that the cluster was installed with today.
            args.push("--skip-schema-validation");
        }
        run("helm", &args).await;
    }

    /// Uninstalls it, and waits until its objects are gone.
    pub async fn uninstall(&self) {
        let namespace = ["--namespace", &self.namespace];
        let args = ["uninstall", &self.name, "--ignore-not-found", "--wait", "--timeout=60s"];
        run("helm", &[&args[..], &namespace].concat()).await;
    }
}

/// A folder of charts.
pub struct Charts {
    folder: PathBuf,
    previous: Option<TempDir>,
}

impl Charts {
    /// Those of the workspace.
    pub fn present() -> Self {
        Self { folder: workspace().join("charts"), previous: None }
    }

    /// Those of the commit before; while the workspace's own are changed and not committed, of the last commit. A shallow clone is
    /// deepened by that one commit; where even that cannot be had (sources without history), those of the workspace stand for them, and a line says
    /// so: then it is an upgrade to the same.
    ///
    /// # Panics
    /// When git or tar cannot be started.
    pub async fn previous() -> Self {
        let committed = git(&["diff", "--quiet", "HEAD", "--", "charts"]).await;
        let commit = if committed { "HEAD~1^{commit}" } else { "HEAD^{commit}" };
        let is_there = async || git(&["rev-parse", "--verify", "--quiet", commit]).await;
        if !is_there().await {
            git(&["fetch", "--quiet", "--deepen=1"]).await;
        }
        if !is_there().await {
            say(&format!(
                "e2e: {commit} is not in this clone: the present charts stand for those of the commit before"
            ));
            return Self::present();
        }
        let folder = TempDir::new().expect("a temporary folder can be made");
        let archive = folder.path().join("charts.tar");
        let workspace = workspace();
        run("git", &["-C", text(&workspace), "archive", "--output", text(&archive), commit, "charts"]).await;
        run("tar", &["-x", "-f", text(&archive), "-C", text(folder.path())]).await;
        Self { folder: folder.path().join("charts"), previous: Some(folder) }
    }
}

/// Whether git says yes.
async fn git(args: &[&str]) -> bool {
    let mut git = Command::new("git");
    git.arg("-C")
        .arg(workspace())
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    git.status().await.expect("git can be started").success()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the path is text")
}
