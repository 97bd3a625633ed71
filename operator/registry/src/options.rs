//! What a client may be told.
//!
//! Owns the settings, their defaults and how a mirror is written. Must not act on them: the client does.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use url::Url;

use crate::address::AddressPolicy;
use crate::credentials::Credentials;
use crate::observer::Observer;
use crate::pace::Pace;
use crate::room::Room;

/// What a client may be told. The default is a laptop's without credentials.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where else to look. A mirror replaces its registry: there is no falling back, so that an answer never depends on which one is up.
    pub mirrors: Vec<Mirror>,
    /// Hosts that speak plain HTTP: `host:port`, or `host` for all its ports.
    pub insecure: Vec<String>,
    /// Certificates of authorities to trust beside the system's, as PEM; empty if there are none.
    pub authorities: Vec<u8>,
    /// Who we are.
    pub credentials: Credentials,
    /// Whether a reference may be `oci:DIR`. Whoever writes references then reads folders with our rights, so that is for a laptop, where
    /// both are one person. A mirror's layout is the administrator's choice and needs no permission.
    pub layouts: bool,
    /// Which addresses are refused.
    pub addresses: AddressPolicy,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// How much memory fetched artifacts may take together.
    pub room: Room,
    /// Who is told of each request.
    pub observer: Observer,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection stands.
    pub connect: Duration,
    /// Between two reads of an answer.
    pub idle: Duration,
    /// A look-up of a digest, with all its requests.
    pub resolve: Duration,
    /// A fetch or push, with all its requests, but not the wait for room in memory.
    pub transfer: Duration,
    /// The least that a body must bring.
    pub pace: Pace,
}

/// Another place for all references that begin with a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// `registry.example.com` or `registry.example.com/team`: whole components.
    pub prefix: String,
    /// What stands for it.
    pub target: MirrorTarget,
}

/// What stands for a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MirrorTarget {
    /// A registry, with a path if its repositories have one more component. `http` is plain HTTP.
    Url(Url),
    /// An image layout. The rest of the reference, such as `hello:1.0`, is the name in it.
    Layout(PathBuf),
}

impl Default for Timeouts {
    fn default() -> Self {
        // 64 MiB for each of two platforms at 1 MiB/s take a little over two minutes.
        let seconds = Duration::from_secs;
        Self {
            connect: seconds(10),
            idle: seconds(30),
            resolve: seconds(30),
            transfer: seconds(300),
            pace: Pace::default(),
        }
    }
}

impl FromStr for Mirror {
    type Err = String;

    /// Reads `PREFIX=URL` or `PREFIX=oci:DIR`.
    fn from_str(text: &str) -> Result<Self, String> {
        let form = || {
            format!(
                "{text:?} is not a mirror; write registry.example.com=https://mirror.example.com or …=oci:DIR"
            )
        };
        let (prefix, target) =
            text.split_once('=').filter(|(prefix, _)| !prefix.is_empty()).ok_or_else(form)?;
        let target = match target.strip_prefix("oci:") {
            Some(folder) if !folder.is_empty() => MirrorTarget::Layout(folder.into()),
            _ => {
                let url: Url = target.parse().map_err(|_| form())?;
                let plain = url.query().is_none() && url.username().is_empty() && url.password().is_none();
                if !["http", "https"].contains(&url.scheme()) || !plain {
                    return Err(form());
                }
                MirrorTarget::Url(url)
            }
        };
        Ok(Self { prefix: prefix.trim_end_matches('/').to_owned(), target })
    }
}

impl Mirror {
    /// What follows the prefix in `name`, a registry and a repository; `None` if it does not begin with it.
    pub(crate) fn rest<'name>(&self, name: &'name str) -> Option<&'name str> {
        let rest = name.strip_prefix(&self.prefix)?;
        if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_that_are_none_are_refused() {
        for text in [
            "",
            "r.io",
            "=https://m.io",
            "r.io=m.io",
            "r.io=oci:",
            "r.io=ftp://m.io",
            "r.io=https://u:p@m.io",
        ] {
            assert!(text.parse::<Mirror>().is_err(), "{text:?} must be refused");
        }
    }
}
