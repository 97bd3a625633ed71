//! Brings a revision to serve: stage, check, probe, load, create.
//!
//! Owns the order of the steps and what each refusal is called. A step takes what the one before it has made, so code that never survived its
//! probe cannot reach the engine. Must not decide what is prepared: `modules` does.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use hotbay_api::{Blob, Digest, Reason, Revision};
use hotbay_artifact::{Host, ModuleFacts, check, host};
use hotbay_bay::VerifiedBlobs;
use hotbay_loader::{Image, Instance, InstanceConfig, Loader};
use hotbay_protocol::ProbeOutcome;
use tokio::sync::{Semaphore, oneshot};

use crate::link::Link;
use crate::modules::{Failure, Job};

/// Revisions that are staged and checked at a time: each may hold a module's bytes.
const AT_A_TIME: usize = 4;

/// What preparations share.
pub(crate) struct Preparer {
    bay: PathBuf,
    stage: PathBuf,
    host: Host,
    loader: Arc<Loader>,
    link: Arc<Link>,
    copied: VerifiedBlobs,
    checked: Mutex<HashMap<Digest, Arc<Handlers>>>,
    permits: Semaphore,
}

/// The names of a module's handlers, in the manifest's order.
pub(crate) type Handlers = Vec<String>;

/// An instance that is ready to serve.
pub(crate) struct Prepared {
    pub instance: Instance,
    pub digest: Digest,
    pub handlers: Arc<Handlers>,
}

/// A build that lies in the stage and passed the ELF checks.
struct Checked {
    path: PathBuf,
    digest: Digest,
    handlers: Arc<Handlers>,
}

/// A build that was loaded once in a child.
struct Probed(Checked);

impl Preparer {
    pub fn new(bay: PathBuf, stage: PathBuf, loader: Arc<Loader>, link: Arc<Link>) -> Self {
        Self {
            bay,
            stage,
            host: Host::current(),
            loader,
            link,
            copied: VerifiedBlobs::default(),
            checked: Mutex::default(),
            permits: Semaphore::new(AT_A_TIME),
        }
    }

    /// Goes through all steps. `row` is the module's row in the engine's memory.
    pub async fn prepare(self: Arc<Self>, job: &Job, row: u64) -> Result<Prepared, Failure> {
        let checked = {
            let _permit = self.permits.acquire().await;
            let (this, revision) = (Arc::clone(&self), job.revision.clone());
            let checked = tokio::task::spawn_blocking(move || this.check(&revision)).await;
            checked.map_err(|error| Failure::new(Reason::StartFailed, format!("checking failed: {error}")))??
        };
        let Probed(build) = self.probe(checked).await?;
        let image = self.load(&build).await?;
        let instance = self.create(image, job, row).await?;
        Ok(Prepared { instance, digest: build.digest, handlers: build.handlers })
    }

    fn check(&self, revision: &Revision) -> Result<Checked, Failure> {
        let blob = self.blob(revision)?;
        let path = self
            .copied
            .copy_blob(&self.bay, &blob.digest, blob.size, &self.stage)
            .map_err(|error| Failure::new(error.reason(), chain(&error)))?;
        let handlers = self.facts(&path, blob.digest)?;
        match revision.routes.iter().find(|route| !handlers.contains(&route.handler)) {
            Some(route) => Err(Failure::new(
                Reason::RouteInvalid,
                format!("route {} names the handler {:?}, and the module has {}", route.path, route.handler, handlers.join(", ")),
            )),
            None => Ok(Checked { path, digest: blob.digest, handlers }),
        }
    }

    fn blob<'r>(&self, revision: &'r Revision) -> Result<&'r Blob, Failure> {
        revision.blob_for(&self.host.platform).ok_or_else(|| {
            let built: Vec<String> = revision.blobs.iter().map(|blob| blob.platform.to_string()).collect();
            let message = format!(
                "there is no build for {}, only for {}; push one, or run the pool on nodes that match",
                self.host.platform,
                built.join(", ")
            );
            Failure::new(Reason::WrongArchitecture, message)
        })
    }

    /// The handlers of a staged build that fits this host. Checked once: staged files do not change.
    fn facts(&self, path: &std::path::Path, digest: Digest) -> Result<Arc<Handlers>, Failure> {
        let known = self.checked.lock().unwrap_or_else(PoisonError::into_inner).get(&digest).cloned();
        if let Some(handlers) = known {
            return Ok(handlers);
        }
        let bytes = std::fs::read(path)
            .map_err(|error| Failure::new(Reason::NoSpace, format!("failed to read the stage: {error}")))?;
        let facts = ModuleFacts::read(&bytes).map_err(|error| Failure::new(error.reason(), chain(&error)))?;
        check(&facts, &self.host, &host::library_exists)
            .map_err(|error| Failure::new(error.reason(), chain(&error)))?;
        let handlers: Handlers = facts.manifest.handlers.into_iter().map(|handler| handler.name).collect();
        let handlers = Arc::new(handlers);
        self.checked.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, Arc::clone(&handlers));
        Ok(handlers)
    }

    async fn probe(&self, build: Checked) -> Result<Probed, Failure> {
        match self.link.probe(build.digest, build.path.clone()).await {
            Some(ProbeOutcome::Passed) => Ok(Probed(build)),
            Some(ProbeOutcome::Refused { reason, message }) => Err(Failure::new(reason, message)),
            Some(ProbeOutcome::Crashed { message }) => {
                Err(Failure::new(Reason::ProbeCrashed, format!("loading the module ended the probe: {message}")))
            }
            Some(ProbeOutcome::TimedOut) => Err(Failure::new(
                Reason::ProbeTimeout,
                "loading the module did not return within 2s; look for work in its constructors",
            )),
            None => Err(Failure::new(Reason::StartFailed, "the keeper is gone")),
        }
    }

    async fn load(&self, build: &Checked) -> Result<Arc<Image>, Failure> {
        let (reply, result) = oneshot::channel();
        let done = move |loaded| {
            // Nobody waits any more: the image stays, for the next who wants it.
            let _unwanted = reply.send(loaded);
        };
        let (path, digest, handlers) = (build.path.clone(), build.digest, build.handlers.len());
        self.loader.load_probed(path, digest, handlers, done);
        let loaded = result.await.map_err(|_| Failure::new(Reason::StartFailed, "the loader is gone"))?;
        loaded.map_err(|error| Failure::new(error.reason(), chain(&error)))
    }

    async fn create(&self, image: Arc<Image>, job: &Job, row: u64) -> Result<Instance, Failure> {
        let (reply, result) = oneshot::channel();
        let config = InstanceConfig {
            key: job.key.clone(),
            json: job.revision.config.to_string(),
            fingerprint: u64::from_str_radix(&job.fingerprint, 16).unwrap_or_default(),
            row,
        };
        self.loader.create(image, config, move |created| {
            // Nobody waits any more: the instance comes back here and is retired by its drop.
            let _unwanted = reply.send(created);
        });
        let created = result.await.map_err(|_| Failure::new(Reason::StartFailed, "the loader is gone"))?;
        created.map_err(|error| Failure::new(error.reason(), error.to_string()))
    }
}

/// An error and its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
