//! Settings: flags and HOTBAY_* variables.
//!
//! Owns their names, defaults and parsing; no other module reads the environment.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use hotbay_api::{ByteSize, PoolRef};
use hotbay_registry::Mirror;

/// The Hotbay operator.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Args {
    /// The pool of modules without runtimeRef, as namespace/name.
    #[arg(long, env = "HOTBAY_DEFAULT_RUNTIME", default_value = hotbay_api::names::DEFAULT_POOL)]
    pub default_runtime: PoolRef,
    /// Other places for references that begin with a prefix: PREFIX=URL,PREFIX=URL.
    #[arg(long, env = "HOTBAY_REGISTRY_MIRRORS", value_delimiter = ',', num_args = 0..)]
    pub registry_mirrors: Vec<OrNothing<Mirror>>,
    /// Registries that speak plain HTTP: HOST:PORT,HOST:PORT.
    #[arg(long, env = "HOTBAY_INSECURE_REGISTRIES", value_delimiter = ',', num_args = 0..)]
    pub insecure_registries: Vec<OrNothing<String>>,
    /// Where /healthz and /readyz are served.
    #[arg(long, env = "HOTBAY_HEALTH_LISTEN", default_value = "0.0.0.0:8081")]
    pub health_listen: SocketAddr,
    /// Where /metrics is served.
    #[arg(long, env = "HOTBAY_METRICS_LISTEN", default_value = "0.0.0.0:8080")]
    pub metrics_listen: SocketAddr,
    /// Where agents get the blobs that do not fit into ConfigMaps.
    #[arg(long, env = "HOTBAY_BLOBS_LISTEN", default_value = "0.0.0.0:8082")]
    pub blobs_listen: SocketAddr,
    /// Where fetched builds are kept. It may be lost at any time.
    #[arg(long, env = "HOTBAY_CACHE_DIR", default_value = "/var/cache/hotbay")]
    pub cache_dir: PathBuf,
    /// The most that fetched builds may take there.
    #[arg(long, env = "HOTBAY_CACHE_SIZE", default_value = "1Gi")]
    pub cache_size: ByteSize,
    /// What is logged, as tracing's filters: info, or hotbay_operator=debug,info.
    #[arg(long, env = "HOTBAY_LOG", default_value = "info")]
    pub log: String,
}

/// An item of a list; a chart renders an empty list as an empty variable, which is a list of one empty item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrNothing<T>(pub Option<T>);

impl<T: std::str::FromStr> std::str::FromStr for OrNothing<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        let text = text.trim();
        if text.is_empty() { Ok(Self(None)) } else { text.parse().map(|item| Self(Some(item))) }
    }
}

impl<T> OrNothing<T> {
    /// The items that are there.
    pub fn some(items: Vec<Self>) -> Vec<T> {
        items.into_iter().filter_map(|item| item.0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_may_be_empty_and_have_spaces() {
        let args =
            Args::try_parse_from(["op", "--insecure-registries", "a:1, b:2", "--registry-mirrors", ""])
                .unwrap();
        assert_eq!(OrNothing::some(args.insecure_registries), ["a:1", "b:2"]);
        assert_eq!(OrNothing::some(args.registry_mirrors), []);
        assert_eq!(args.default_runtime.to_string(), "hotbay/default");
    }

    #[test]
    fn a_bad_setting_is_refused() {
        assert!(Args::try_parse_from(["op", "--registry-mirrors", "nonsense"]).is_err());
        assert!(Args::try_parse_from(["op", "--default-runtime", "nonsense"]).is_err());
        assert!(Args::try_parse_from(["op", "--cache-size", "1.5Gi"]).is_err());
    }
}
