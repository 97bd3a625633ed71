//! A Kubernetes with Hotbay in it, as tests see it.
//!
//! Owns what the runner says of it, and nothing of any kind of cluster: whatever KUBECONFIG leads to will do.
//!
//! | variable | is |
//! | --- | --- |
//! | `KUBECONFIG` | how to reach it |
//! | `REGISTRY` | the registry, as this host reaches it; the operator reaches it as `registry.example.com`, by its mirror setting |
//! | `HOTBAY_E2E_LOCAL` | the state folder of the local cluster (e2e/cluster), if it is that: its processes are in this host's /proc |

pub mod account;
pub mod bad_registry;
pub mod node;
pub mod outage;
pub mod own_operator;
mod own_pool;
pub mod pods;
pub mod proxy;
pub mod registry;
pub mod release;
pub mod restarts;
pub mod scene;
mod story;
pub mod wrk;

use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use kube::api::Api;
use kube::{Client, Resource};
use tokio::process::Command;

/// The namespace of the pool.
pub const POOL_NAMESPACE: &str = "hotbay";
/// The namespace of the operator.
pub const OPERATOR_NAMESPACE: &str = "hotbay-system";
/// The pool.
pub const POOL: &str = "default";

/// The cluster that tests run against.
#[derive(Clone)]
pub struct Cluster {
    /// Its API.
    pub client: Client,
    /// The registry, as this host reaches it: `host:port`.
    pub registry: String,
    /// The state folder of the local cluster; `None` for any other cluster.
    pub local: Option<PathBuf>,
}

impl Cluster {
    /// The cluster that the environment names.
    ///
    /// # Panics
    /// When it names none.
    pub async fn connect() -> Self {
        let client = Client::try_default().await.expect("KUBECONFIG leads to a cluster");
        let registry = std::env::var("REGISTRY").expect("REGISTRY names a registry: host:port");
        let local =
            std::env::var_os("HOTBAY_E2E_LOCAL").filter(|folder| !folder.is_empty()).map(PathBuf::from);
        Self { client, registry, local }
    }

    /// The objects of a kind in a namespace.
    pub fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The state folder of the local cluster. On another cluster it says that the test, or this part of it, is skipped.
    pub fn local_or_skip(&self, test: &str, why: &str) -> Option<&PathBuf> {
        if self.local.is_none() {
            say(&format!("SKIPPED {test}: {why}"));
        }
        self.local.as_ref()
    }
}

/// Runs kubectl to its end and returns what it printed.
///
/// # Panics
/// When it fails.
pub async fn kubectl(args: &[&str]) -> String {
    run("kubectl", args).await
}

/// Runs a program to its end and returns what it printed.
///
/// # Panics
/// When it fails.
pub async fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.unwrap_or_else(|error| panic!("{program} cannot be started: {error}"));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {words}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Prints a line that the test harness does not swallow: a figure, or that something is skipped.
pub fn say(line: &str) {
    // A closed standard error is no reason to fail a test.
    drop(writeln!(std::io::stderr().lock(), "{line}"));
}
