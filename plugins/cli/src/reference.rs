//! How the CLI reaches registries: mirrors, credentials, plain HTTP.
//!
//! Owns the mapping of flags to the registry client's options. Must not know what is done with it.

use std::path::PathBuf;

use clap::Args;
use hotbay_registry::{AddressPolicy, Client, Credentials, Mirror, MirrorTarget, Options};

/// Flags of every command that reaches a registry.
#[derive(Clone, Debug, Args)]
pub struct RegistryArgs {
    /// Look for references that begin with PREFIX elsewhere: `registry.example.com=http://127.0.0.1:5000` or `…=oci:DIR`.
    #[arg(
        long = "mirror",
        env = "HOTBAY_REGISTRY_MIRRORS",
        value_name = "PREFIX=URL|oci:DIR",
        value_delimiter = ','
    )]
    pub mirrors: Vec<String>,
    /// Speak plain HTTP with this registry (`host:port`, or `host` for all its ports). May be given several times.
    #[arg(long, env = "HOTBAY_INSECURE_REGISTRIES", value_name = "HOST", value_delimiter = ',')]
    pub insecure_registry: Vec<String>,
}

impl RegistryArgs {
    /// A client with these flags, the user's Docker credentials, and (for `plain_http`) one more insecure host.
    pub fn client(&self, plain_http: Option<String>) -> anyhow::Result<Client> {
        let insecure = self.insecure_registry.iter().cloned().chain(plain_http).collect();
        Ok(Client::new(Options {
            mirrors: self.mirrors()?,
            insecure,
            layouts: true,
            credentials: Credentials::docker_default(),
            addresses: AddressPolicy { refuse_loopback: false },
            ..Options::default()
        }))
    }

    /// The image layouts among the mirrors, which may change while a command runs.
    pub fn layouts(&self) -> anyhow::Result<Vec<PathBuf>> {
        let layout = |mirror: Mirror| match mirror.target {
            MirrorTarget::Layout(path) => Some(path),
            MirrorTarget::Url(_) => None,
        };
        Ok(self.mirrors()?.into_iter().filter_map(layout).collect())
    }

    fn mirrors(&self) -> anyhow::Result<Vec<Mirror>> {
        self.mirrors
            .iter()
            .map(|text| text.parse().map_err(|why: String| anyhow::anyhow!("--mirror {text}: {why}")))
            .collect()
    }
}
