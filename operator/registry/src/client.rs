//! The client: what users of this crate hold.
//!
//! Owns the choice of where a reference leads (mirrors, plain HTTP, layouts), and the time that an operation may take. It is the pipeline's
//! [`Source`].

use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hotbay_api::Digest;
use hotbay_artifact::oci::{Annotations, Form};
use hotbay_pipeline::{Artifact, Source, SourceError};
use tokio::sync::Mutex;
use url::Url;

use crate::fault::Fault;
use crate::fetch;
use crate::layout::Layout;
use crate::options::{Mirror, MirrorTarget, Options, Timeouts};
use crate::push::{self, PlatformBuild};
use crate::reference::{Reference, ReferenceError, Selector, is_repository};
use crate::remote::Remote;
use crate::store::Store;
use crate::transport::{Patience, Transport};

/// An HTTP client for registries, and a reader of layouts. Cheap to use for many operations, which share connections but no tokens.
pub struct Client {
    options: Options,
    transport: Transport,
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
        let Timeouts { connect, idle, pace, .. } = options.timeouts;
        let authorities = options.authorities.clone();
        let patience = Patience { connect, idle, pace };
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
        Clock::of(self.options.timeouts.transfer)
            .run(pushed)
            .await
            .map_err(|fault| fault.of(&asked, reference))
    }

    /// The host, with its port unless that is the usual one, that is asked for a reference: a mirror's, if one stands for it. Folders count as
    /// hosts; what is no reference leads to none, which is empty.
    pub fn host_of(&self, reference: &str) -> String {
        self.locate(reference).map_or_else(|_| String::new(), |place| place.host())
    }

    fn locate(&self, text: &str) -> Result<Place<'_>, Fault> {
        let words = |error: ReferenceError| {
            if self.options.layouts { error.with_layouts() } else { error.to_string() }
        };
        let reference: Reference = text.parse().map_err(|error| Fault::Invalid(words(error)))?;
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

    fn host(&self) -> String {
        match &self.store {
            // A URL's host is in lower case, however it was written.
            Store::Remote(remote) => {
                remote.base[url::Position::BeforeHost..url::Position::AfterPort].to_owned()
            }
            Store::Layout(_) => self.asked.clone(),
        }
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
        Clock::of(self.options.timeouts.resolve)
            .run(resolved)
            .await
            .map_err(|fault| fault.of(&asked, reference))
    }

    async fn fetch(&self, reference: &str, digest: &Digest, max_bytes: u64) -> Result<Artifact, SourceError> {
        let place = self.locate(reference).map_err(|fault| fault.of("", reference))?;
        let host = place.host();
        let Place { store, asked, .. } = place;
        let fetched = async {
            let mut clock = Clock::of(self.options.timeouts.transfer);
            let plan = clock.run(fetch::plan(&store, digest, max_bytes)).await?;
            let mut space = self.options.room.arriving(&host, plan.packed_bytes()).await;
            let packed = clock.run(fetch::layers(&store, plan, &mut space)).await?;
            drop(space);
            fetch::open(packed, max_bytes, &self.options.room).await
        };
        let builds = fetched.await.map_err(|fault: Fault| fault.of(&asked, reference))?;
        Ok(Artifact { reference: reference.to_owned(), digest: *digest, builds })
    }
}

/// The time that an operation may take, of which its parts take theirs.
struct Clock {
    limit: Duration,
    spent: Duration,
}

impl Clock {
    fn of(limit: Duration) -> Self {
        Self { limit, spent: Duration::ZERO }
    }

    async fn run<T>(&mut self, part: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let begun = Instant::now();
        let ended = tokio::time::timeout(self.limit.saturating_sub(self.spent), part).await;
        self.spent += begun.elapsed();
        ended.unwrap_or_else(|_| {
            Err(Fault::unreachable(format!(
                "the operation timed out: it took longer than {} s",
                self.limit.as_secs()
            )))
        })
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
    fn what_leads_to_one_host_counts_as_its() {
        let mirrors = ["r.io=http://m.io:5000/x", "s.io=http://M.io:5000", "l.io=oci:/layout"];
        let mirrors = mirrors.iter().map(|text| text.parse().unwrap()).collect();
        let client = Client::new(Options { mirrors, ..Options::default() });
        for (reference, host) in [
            ("r.io/a:1", "m.io:5000"),
            ("s.io/b:1", "m.io:5000"),
            ("m.io:5000/a:1", "m.io:5000"),
            ("T.io/a:1", "t.io"),
            ("t.io:443/a:1", "t.io"),
            ("docker.io/library/a:1", "registry-1.docker.io"),
            ("l.io/a:1", "oci:/layout"),
            ("hello", ""),
        ] {
            assert_eq!(client.host_of(reference), host, "{reference}");
        }
    }

    #[test]
    fn a_folder_is_read_only_by_those_who_may_name_one() {
        assert!(asked(&[], "oci:/etc:a").contains("is for a laptop"), "{}", asked(&[], "oci:/etc:a"));
        let client = Client::new(Options { layouts: true, ..Options::default() });
        assert!(matches!(client.locate("oci:/etc:a"), Ok(Place { store: Store::Layout(_), .. })));
        let refused = |client: &Client, text: &str| match client.locate(text) {
            Err(Fault::Invalid(words)) => words,
            _ => panic!("{text} is no reference"),
        };
        let words = refused(&client, "hello:1.0");
        assert!(words.ends_with("for Docker Hub, or oci:DIR:NAME for an image layout"), "{words}");
        assert!(!refused(&client, "h.io/A").contains("oci:"), "it has a registry");
        let words = refused(&Client::new(Options::default()), "hello:1.0");
        assert!(words.ends_with("for Docker Hub"), "who may not name a folder is told of none: {words}");
    }
}
