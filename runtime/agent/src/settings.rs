//! What the agent must be told: flags, each with a variable of the same name.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use hotbay_api::names::PORT_AGENT;

use crate::fill::BlobsUrl;

/// Fills a runtime pod's bay from the cluster and reports back.
#[derive(Clone, Debug, Parser)]
#[command(name = "hotbay-agent", version)]
pub struct Settings {
    /// The bay: a folder shared with the runtime, which mounts it read-only.
    #[arg(long, env = "HOTBAY_BAY")]
    pub bay: PathBuf,
    /// The size in bytes of the volume that the bay is: no blob is fetched that would fill more than 90 % of it. Without one, or with 0, the disk
    /// is the limit.
    #[arg(long, env = "HOTBAY_BAY_SIZE", value_name = "BYTES")]
    pub bay_size: Option<u64>,
    /// The local report: a file that the runtime's keeper writes, in a volume of its own.
    #[arg(long, env = "HOTBAY_REPORT")]
    pub report: PathBuf,
    /// The pool's name; its namespace is the pod's.
    #[arg(long, env = "HOTBAY_POOL")]
    pub pool: String,
    /// The pod's namespace, where entries, blobs and the report are.
    #[arg(long, env = "HOTBAY_POD_NAMESPACE")]
    pub pod_namespace: String,
    /// The pod's name, which is the report's too.
    #[arg(long, env = "HOTBAY_POD_NAME")]
    pub pod_name: String,
    /// The pod's UID, which the report names as its owner.
    #[arg(long, env = "HOTBAY_POD_UID")]
    pub pod_uid: String,
    /// Where the operator's blob service is, as http://HOST:PORT; without it only the blobs that are in ConfigMaps can be had.
    #[arg(long, env = "HOTBAY_BLOBS_URL")]
    pub blobs_url: Option<BlobsUrl>,
    /// The file with the pod's token for the blob service; it is read anew for each blob.
    #[arg(long, env = "HOTBAY_BLOBS_TOKEN", default_value = "/var/run/secrets/hotbay/blobs/token")]
    pub blobs_token: PathBuf,
    /// Where /healthz and /readyz answer.
    #[arg(long, env = "HOTBAY_HEALTH_LISTEN", default_value_t = SocketAddr::from(([0, 0, 0, 0], PORT_AGENT)))]
    pub health_listen: SocketAddr,
    /// Under churn, the longest pause in seconds before progress is reported. All pods of a pool together should write 50 reports a
    /// second at most, so this is right for 3,000 pods, and a fiftieth of the pods' number for fewer.
    #[arg(long, env = "HOTBAY_REPORT_LONGEST_PAUSE", default_value = "60", value_parser = seconds)]
    pub report_longest_pause: Duration,
    /// What is logged, as in `info,hotbay_agent=debug`.
    #[arg(long, env = "HOTBAY_LOG", default_value = "info")]
    pub log: String,
}

fn seconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse().map(Duration::from_secs)
}
