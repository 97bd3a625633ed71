//! The client: what users of this crate hold.
//!
//! Owns the settings, the choice of where a reference leads (mirrors, plain HTTP, layouts), and the time that an operation may take. It is
//! the pipeline's [`Source`].

use std::future::Future;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use hotbay_api::Digest;
use hotbay_artifact::oci::{Annotations, Form};
use hotbay_pipeline::{Artifact, Source, SourceError};
use tokio::sync::Mutex;
use url::Url;

use crate::address::AddressPolicy;
use crate::credentials::Credentials;
use crate::fault::Fault;
use crate::fetch;
use crate::layout::Layout;
use crate::observer::Observer;
use crate::push::{self, PlatformBuild};
use crate::reference::{Reference, ReferenceError, Selector, is_repository};
use crate::remote::Remote;
use crate::store::Store;
use crate::transport::{Patience, Transport};

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
    /// A fetch or push, with all its requests.
    pub transfer: Duration,
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

/// An HTTP client for registries, and a reader of layouts. Cheap to use for many operations, which share connections but no tokens.
pub struct Client {
    options: Options,
    transport: Transport,
}

impl Default for Timeouts {
    fn default() -> Self {
        // 64 MiB for each of two platforms at 1 MiB/s take a little over two minutes.
        let seconds = Duration::from_secs;
        Self { connect: seconds(10), idle: seconds(30), resolve: seconds(30), transfer: seconds(300) }
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
    fn rest<'name>(&self, name: &'name str) -> Option<&'name str> {
        let rest = name.strip_prefix(&self.prefix)?;
        if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
    }
}

/// Where a reference leads, and which artifact there.
struct Place<'client> {
    store: Store<'client>,
    selector: Option<Selector>,
    /// For messages: the host or folder that is really asked.
    asked: String,
}

impl Client {
    /// A client; nothing is dialled or read yet.
    pub fn new(options: Options) -> Self {
        let Timeouts { connect, idle, .. } = options.timeouts;
        let authorities = options.authorities.clone();
        let patience = Patience { connect, idle };
        let transport = Transport::new(options.addresses, patience, authorities, options.observer.clone());
        Self { options, transport }
    }

    /// Stores `builds` under `reference`, which must have a tag or a layout's name, and returns the digest it leads to then: that of a
    /// manifest, or of the index of several builds. `annotations` go to each manifest; the title is also the layer's.
    ///
    /// # Errors
    /// As for a [`Source`]. What was stored before a failure stays, without a name.
    pub async fn push(
        &self,
        reference: &str,
        builds: &[PlatformBuild],
        form: Form,
        annotations: &Annotations,
    ) -> Result<Digest, SourceError> {
        let Place { store, selector, asked } =
            self.locate(reference).map_err(|fault| fault.of("", reference))?;
        let Some(Selector::Tag(name)) = selector else {
            return Err(Fault::Invalid(
                "a push needs a tag, as in registry.example.com/hello:1.0".to_owned(),
            )
            .of(&asked, reference));
        };
        let pushed = push::push(&store, &name, builds, form, annotations);
        in_time(self.options.timeouts.transfer, pushed).await.map_err(|fault| fault.of(&asked, reference))
    }

    fn locate(&self, text: &str) -> Result<Place<'_>, Fault> {
        let reference: Reference =
            text.parse().map_err(|error: ReferenceError| Fault::Invalid(error.to_string()))?;
        match reference {
            Reference::Layout { folder, selector } if self.options.layouts => {
                Ok(Place::layout(folder, selector))
            }
            Reference::Layout { .. } => Err(Fault::Invalid(
                "a folder (oci:DIR) is for a laptop; push the artifact to a registry and name that"
                    .to_owned(),
            )),
            Reference::Registry { registry, repository, selector } => {
                let name = format!("{registry}/{repository}");
                // The longest prefix is the one that was meant.
                let matching =
                    self.options.mirrors.iter().filter_map(|mirror| Some((mirror, mirror.rest(&name)?)));
                match matching.max_by_key(|(mirror, _)| mirror.prefix.len()) {
                    Some((Mirror { target: MirrorTarget::Layout(folder), .. }, rest)) => {
                        Ok(Place::layout(folder.clone(), Some(name_in_layout(rest, selector))))
                    }
                    Some((Mirror { target: MirrorTarget::Url(url), .. }, rest)) => {
                        self.mirrored(url, rest, selector)
                    }
                    None => self.remote(registry, repository, selector),
                }
            }
        }
    }

    fn mirrored(&self, url: &Url, rest: &str, selector: Selector) -> Result<Place<'_>, Fault> {
        let parts: Vec<&str> =
            [url.path().trim_matches('/'), rest].into_iter().filter(|part| !part.is_empty()).collect();
        let repository = parts.join("/");
        if !is_repository(&repository) {
            return Err(Fault::Invalid(format!(
                "the mirror {url} makes of it {repository:?}, which is no repository"
            )));
        }
        let registry = url[url::Position::BeforeHost..url::Position::AfterPort].to_owned();
        Ok(self.place(registry, url.clone(), repository, selector))
    }

    fn remote(&self, registry: String, repository: String, selector: Selector) -> Result<Place<'_>, Fault> {
        let host = registry
            .rsplit_once(':')
            .filter(|_| !registry.ends_with(']'))
            .map_or(&*registry, |(host, _)| host);
        let plain = self.options.insecure.iter().any(|insecure| *insecure == registry || insecure == host);
        // Docker Hub's API is not where its name says; every other registry's is.
        let api_host = if registry == "docker.io" { "registry-1.docker.io" } else { &registry };
        let base = format!("{}://{api_host}/", if plain { "http" } else { "https" });
        let base = base.parse().map_err(|error: url::ParseError| Fault::Invalid(error.to_string()))?;
        Ok(self.place(registry, base, repository, selector))
    }

    fn place(&self, registry: String, base: Url, repository: String, selector: Selector) -> Place<'_> {
        let remote = Remote {
            transport: &self.transport,
            credentials: &self.options.credentials,
            registry: registry.clone(),
            base,
            repository,
            authorization: Mutex::default(),
        };
        Place { store: Store::Remote(Box::new(remote)), selector: Some(selector), asked: registry }
    }
}

impl Place<'_> {
    fn layout(folder: PathBuf, selector: Option<Selector>) -> Self {
        let asked = format!("oci:{}", folder.display());
        Self { store: Store::Layout(Layout { folder }), selector, asked }
    }
}

/// A layout behind a mirror holds several repositories, so its names are what is left of the reference.
fn name_in_layout(rest: &str, selector: Selector) -> Selector {
    match selector {
        Selector::Tag(tag) if !rest.is_empty() => Selector::Tag(format!("{rest}:{tag}")),
        other => other,
    }
}

impl Source for Client {
    async fn resolve(&self, reference: &str) -> Result<Digest, SourceError> {
        let Place { store, selector, asked } =
            self.locate(reference).map_err(|fault| fault.of("", reference))?;
        let resolved = store.digest_of(selector.as_ref());
        in_time(self.options.timeouts.resolve, resolved).await.map_err(|fault| fault.of(&asked, reference))
    }

    async fn fetch(&self, reference: &str, digest: &Digest, max_bytes: u64) -> Result<Artifact, SourceError> {
        let Place { store, asked, .. } = self.locate(reference).map_err(|fault| fault.of("", reference))?;
        let fetched = fetch::builds(&store, digest, max_bytes);
        let builds = in_time(self.options.timeouts.transfer, fetched)
            .await
            .map_err(|fault| fault.of(&asked, reference))?;
        Ok(Artifact { reference: reference.to_owned(), digest: *digest, builds })
    }
}

async fn in_time<T>(limit: Duration, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => Err(Fault::unreachable(format!(
            "the operation timed out: it took longer than {} s",
            limit.as_secs()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(mirrors: &[&str], reference: &str) -> String {
        let mirrors = mirrors.iter().map(|text| text.parse().unwrap()).collect();
        let client =
            Client::new(Options { mirrors, insecure: vec!["plain.io".into()], ..Options::default() });
        match client.locate(reference) {
            Ok(Place { store: Store::Remote(remote), .. }) => {
                format!("{}v2/{}", remote.base.join("/").unwrap(), remote.repository)
            }
            Ok(Place { store: Store::Layout(layout), selector, .. }) => {
                format!("{} {selector:?}", layout.folder.display())
            }
            Err(fault) => format!("{:?}", fault.of("", reference)),
        }
    }

    #[test]
    fn a_reference_leads_to_its_registry_unless_a_mirror_stands_for_it() {
        assert_eq!(asked(&[], "r.io/a/b:1"), "https://r.io/v2/a/b");
        assert_eq!(asked(&[], "plain.io:5000/a:1"), "http://plain.io:5000/v2/a");
        assert_eq!(asked(&[], "docker.io/library/a:1"), "https://registry-1.docker.io/v2/library/a");
        let mirrors = ["r.io=http://m.io:5000/x", "r.io/team=https://t.io", "r.io/local=oci:/layout"];
        assert_eq!(asked(&mirrors, "r.io/a:1"), "http://m.io:5000/v2/x/a");
        assert_eq!(asked(&mirrors, "r.io/team/a:1"), "https://t.io/v2/a");
        assert_eq!(asked(&mirrors, "r.io/teams/a:1"), "http://m.io:5000/v2/x/teams/a");
        assert_eq!(asked(&mirrors, "r.io/local/a:1"), "/layout Some(Tag(\"a:1\"))");
        assert_eq!(asked(&mirrors, "r.io/local:1"), "/layout Some(Tag(\"1\"))");
        assert!(asked(&mirrors, "r.io/team:1").contains("no repository"));
        assert_eq!(asked(&mirrors, "r.io.evil/a:1"), "https://r.io.evil/v2/a");
    }

    #[test]
    fn a_folder_is_read_only_by_those_who_may_name_one() {
        assert!(asked(&[], "oci:/etc:a").contains("is for a laptop"), "{}", asked(&[], "oci:/etc:a"));
        let client = Client::new(Options { layouts: true, ..Options::default() });
        assert!(matches!(client.locate("oci:/etc:a"), Ok(Place { store: Store::Layout(_), .. })));
    }

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
