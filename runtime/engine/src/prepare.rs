//! Brings a revision to serve: stage, check, probe, load, create.
//!
//! Owns the order of the steps and what each refusal is called. A step takes what the one before it has made, so code that never survived its
//! probe cannot reach the engine. Must not decide what is prepared: `modules` does.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hotbay_api::{Blob, Digest, Reason, Revision, chain, names};
use hotbay_artifact::{Handler, Host, ModuleFacts, check, host};
use hotbay_bay::{BlobError, Stage, VerifiedBlobs};
use hotbay_loader::{Image, Instance, InstanceConfig, Loader, Mark, Staged};
use hotbay_protocol::{EngineMemory, ProbeOutcome};
use tokio::sync::{Semaphore, oneshot};

use crate::link::Link;
use crate::modules::{Failure, Job, Retry};

/// Revisions that are staged and checked at a time: each may hold a module's bytes.
const AT_A_TIME: usize = 4;
/// How long a start may take while nothing serves and a last good revision could. As long as one call of create may; the start that comes after it, with the last
/// good one serving, has the usual time.
const HURRY: Duration = Duration::from_secs(3);

/// What preparations share.
pub(crate) struct Preparer {
    bay: PathBuf,
    stage: Stage,
    /// The builds that entries name; the others may go from the stage.
    named: Mutex<BTreeSet<Digest>>,
    host: Host,
    loader: Arc<Loader>,
    link: Arc<Link>,
    copied: VerifiedBlobs,
    checked: Mutex<HashMap<Digest, Arc<Handlers>>>,
    permits: Semaphore,
}

/// A module's handlers, in the manifest's order.
pub(crate) type Handlers = Vec<Handler>;

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
    pub fn new(bay: PathBuf, stage: Stage, loader: Arc<Loader>, link: Arc<Link>) -> Self {
        Self {
            bay,
            stage,
            named: Mutex::default(),
            host: Host::current(),
            loader,
            link,
            copied: VerifiedBlobs::default(),
            checked: Mutex::default(),
            permits: Semaphore::new(AT_A_TIME),
        }
    }

    /// Notes which builds entries name. Call it before anything is prepared that was not named before: others may go from the stage.
    pub fn set_named(&self, named: BTreeSet<Digest>) {
        *self.named.lock().unwrap_or_else(PoisonError::into_inner) = named;
    }

    /// Removes staged builds that no entry names; how many. What is mapped from them stays mapped.
    pub fn sweep_stage(&self) -> usize {
        sweep(self.stage.path(), &self.named)
    }

    /// Goes through all steps. `row` is the module's row in the engine's memory.
    pub async fn prepare(
        self: Arc<Self>,
        job: &Job,
        row: usize,
        memory: &EngineMemory,
    ) -> Result<Prepared, Failure> {
        let checked = {
            let _permit = self.permits.acquire().await;
            let (this, revision) = (Arc::clone(&self), job.revision.clone());
            let checked = tokio::task::spawn_blocking(move || this.check(&revision)).await;
            checked
                .map_err(|error| Failure::new(Reason::StartFailed, format!("checking failed: {error}")))??
        };
        let Probed(build) = self.probe(checked).await?;
        let fingerprint = u64::from_str_radix(&job.fingerprint, 16).unwrap_or_default();
        // Before its code runs, so that a crash in it has a digest.
        let prefix = u64::from_str_radix(&build.digest.hex()[..16], 16).unwrap_or_default();
        memory.name_instance(row, fingerprint, prefix);
        let mark = Mark { row: row as u64, fingerprint };
        let (path, handlers) = (build.path.clone(), build.handlers.len());
        let staged = Staged { path, digest: build.digest, handlers, mark };
        let image = self.load(staged.clone()).await?;
        let instance = self.create(image, job, staged).await?;
        Ok(Prepared { instance, digest: build.digest, handlers: build.handlers })
    }

    fn check(&self, revision: &Revision) -> Result<Checked, Failure> {
        let blob = self.blob(revision)?;
        let path = self.stage_blob(blob).map_err(|error| blob_failure(&error))?;
        let handlers = self.facts(&path, blob.digest)?;
        let names: Vec<&str> = handlers.iter().map(|handler| handler.name.as_str()).collect();
        match revision.routes.iter().find(|route| !names.contains(&route.handler.as_str())) {
            Some(route) => Err(Failure::new(
                Reason::RouteInvalid,
                format!(
                    "route {} names the handler {:?}, and the module has {}",
                    route.path,
                    route.handler,
                    names.join(", ")
                ),
            )),
            None => Ok(Checked { path, digest: blob.digest, handlers }),
        }
    }

    fn stage_blob(&self, blob: &Blob) -> Result<PathBuf, BlobError> {
        let copy = || self.copied.copy_blob(&self.bay, &blob.digest, blob.size, &self.stage);
        with_room(copy, || self.sweep_stage())
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
    fn facts(&self, path: &Path, digest: Digest) -> Result<Arc<Handlers>, Failure> {
        let known = self.checked.lock().unwrap_or_else(PoisonError::into_inner).get(&digest).cloned();
        if let Some(handlers) = known {
            return Ok(handlers);
        }
        let bytes = std::fs::read(path).map_err(|error| {
            Failure::new(Reason::StartFailed, format!("failed to read the stage: {error}"))
        })?;
        let facts = ModuleFacts::read(&bytes).map_err(|error| Failure::new(error.reason(), chain(&error)))?;
        check(&facts, &self.host, &host::library_exists)
            .map_err(|error| Failure::new(error.reason(), chain(&error)))?;
        let handlers = Arc::new(facts.manifest.handlers);
        self.checked.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, Arc::clone(&handlers));
        Ok(handlers)
    }

    async fn probe(&self, build: Checked) -> Result<Probed, Failure> {
        match self.link.probe(build.digest, build.path.clone()).await {
            Some(ProbeOutcome::Passed) => Ok(Probed(build)),
            Some(ProbeOutcome::Refused { reason, message }) => Err(Failure::new(reason, message)),
            Some(ProbeOutcome::Crashed { message }) => Err(Failure::new(
                Reason::ProbeCrashed,
                format!("{message}; look at what its constructors do"),
            )),
            Some(ProbeOutcome::TimedOut) => Err(Failure::new(
                Reason::ProbeTimeout,
                "loading the module did not return within 2s; look for work in its constructors",
            )),
            None => Err(Failure::new(Reason::StartFailed, "the keeper is gone")),
        }
    }

    async fn load(&self, staged: Staged) -> Result<Arc<Image>, Failure> {
        let (reply, result) = oneshot::channel();
        let done = move |loaded| {
            // Nobody waits any more: the image stays, for the next who wants it.
            let _unwanted = reply.send(loaded);
        };
        self.loader.load_probed(staged, done);
        let loaded = result.await.map_err(|_| Failure::new(Reason::StartFailed, "the loader is gone"))?;
        loaded.map_err(|error| Failure::new(error.reason(), chain(&error)))
    }

    async fn create(&self, image: Arc<Image>, job: &Job, staged: Staged) -> Result<Instance, Failure> {
        let (reply, result) = oneshot::channel();
        let config =
            InstanceConfig { key: job.key.clone(), json: job.revision.config.to_string(), mark: staged.mark };
        // Answered by the loader thread just before our create, when everything that was asked of it earlier is done.
        let (turn, turned) = oneshot::channel();
        if job.hurry {
            self.loader.load_probed(staged.clone(), move |_image| {
                let _unwanted = turn.send(());
            });
        }
        self.loader.create(image, config, move |created| {
            // Nobody waits any more: the instance comes back here and is retired by its drop.
            let _unwanted = reply.send(created);
        });
        let created = if job.hurry {
            let _gone = turned.await;
            tokio::time::timeout(HURRY, result).await.map_err(|_elapsed| {
                let message =
                    format!("the module did not start within {HURRY:?}; the last good revision goes first");
                Failure::new(Reason::StartTimeout, message)
            })?
        } else {
            result.await
        };
        let created = created.map_err(|_| Failure::new(Reason::StartFailed, "the loader is gone"))?;
        created.map_err(|error| Failure::new(error.reason(), error.to_string()))
    }
}

fn blob_failure(error: &BlobError) -> Failure {
    let failure = Failure::new(error.reason(), chain(error));
    // No descriptors, a disk that fails, a file that is not ours: it passes without the bay changing.
    let passes = matches!(error, BlobError::Unreadable { .. } | BlobError::Stage { .. });
    if passes { Failure { retry: Retry::Later, ..failure } } else { failure }
}

/// Copies, and once more after a sweep if there was no room. Nobody tells of it if it can be mended here: builds stay staged until their room is needed.
fn with_room<T>(copy: impl Fn() -> Result<T, BlobError>, sweep: impl Fn() -> usize) -> Result<T, BlobError> {
    match copy() {
        Err(error) if error.reason() == Reason::NoSpace => {
            // Also when nothing was removed: another preparation may have swept since the first try.
            sweep();
            copy()
        }
        result => result,
    }
}

fn sweep(stage: &Path, named: &Mutex<BTreeSet<Digest>>) -> usize {
    let Ok(files) = std::fs::read_dir(stage) else { return 0 };
    let mut removed = 0;
    for file in files.flatten() {
        let digest = file.file_name().to_str().and_then(names::parse_blob_file).map(|(digest, _)| digest);
        let Some(digest) = digest else { continue };
        // Locked for one file at a time: what is named from now on is not removed, and who names it does not wait for the whole stage.
        let named = named.lock().unwrap_or_else(PoisonError::into_inner);
        if !named.contains(&digest) && std::fs::remove_file(file.path()).is_ok() {
            removed += 1;
            tracing::debug!(file = %file.path().display(), "removed from the stage: no entry names it");
        }
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stage_keeps_what_is_named_and_what_is_no_build() {
        let stage = tempfile::tempdir().unwrap();
        let [kept, gone] = [b"kept", b"gone"].map(|bytes| Digest::of(bytes));
        let path = |name: &str| stage.path().join(name);
        for name in [names::blob_file(&kept), names::blob_file(&gone), ".copying".to_owned()] {
            std::fs::write(path(&name), "").unwrap();
        }
        assert_eq!(sweep(stage.path(), &Mutex::new(BTreeSet::from([kept]))), 1);
        assert!(path(&names::blob_file(&kept)).exists() && path(".copying").exists());
        assert!(!path(&names::blob_file(&gone)).exists());
    }

    #[test]
    fn who_finds_no_room_tries_again_even_if_another_has_swept() {
        let tries = std::cell::Cell::new(0);
        let copy = || {
            tries.set(tries.get() + 1);
            let no_space = BlobError::NoSpace { stage: PathBuf::from("stage"), want: 1 };
            if tries.get() == 1 { Err(no_space) } else { Ok(tries.get()) }
        };
        assert_eq!(with_room(copy, || 0).unwrap(), 2, "the other's sweep has made the room");
    }

    #[test]
    fn a_stage_that_fails_is_tried_again_by_the_clock_and_a_missing_blob_when_the_bay_changes() {
        let source = std::io::Error::from_raw_os_error(24);
        let stage = blob_failure(&BlobError::Stage { stage: PathBuf::from("stage"), source });
        assert_eq!((stage.trouble.reason, stage.retry), (Reason::StartFailed, Retry::Later));
        let absent = blob_failure(&BlobError::Absent { digest: Digest::of(b"") });
        assert_eq!((absent.trouble.reason, absent.retry), (Reason::Incomplete, Retry::Blobs));
    }
}
