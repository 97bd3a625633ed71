//! A loader, and modules for it.
//!
//! Owns the one loader of this program, as an engine has one. Must not call modules: `client` does.

use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, LazyLock, Mutex, mpsc};
use std::time::{Duration, Instant};

use hotbay_api::{Digest, EntryKey};
use hotbay_conformance::cases::Case;
use hotbay_loader::{CreateError, Image, Instance, InstanceConfig, Loader, Mark, Staged, attach_thread};
use hotbay_protocol::{ENGINE_MEMORY_WORDS, EngineMemory};
use hotbay_sys::memory::{SharedWords, create};
use tempfile::TempDir;

/// For what comes by itself.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The loader and what it has loaded.
pub struct Bench {
    loader: Loader,
    memory: EngineMemory,
    folder: TempDir,
    loaded: Mutex<HashMap<String, Arc<Image>>>,
}

impl Bench {
    /// The one that all tests share.
    pub fn get() -> &'static Self {
        static BENCH: LazyLock<Bench> = LazyLock::new(|| {
            let fd = create("test", ENGINE_MEMORY_WORDS).unwrap();
            let memory = EngineMemory::new(SharedWords::map(&fd).unwrap()).unwrap();
            let loader = Loader::new(memory.clone()).unwrap();
            Bench { loader, memory, folder: tempfile::tempdir().unwrap(), loaded: Mutex::default() }
        });
        &BENCH
    }

    /// Gives this thread a mark, as the engine's threads have one.
    pub fn attach(&self) {
        attach_thread(&self.memory);
    }

    /// Builds and loads a module of the conformance kit.
    pub fn load(&self, name: &str) -> Arc<Image> {
        let mut loaded = self.loaded.lock().unwrap();
        if let Some(image) = loaded.get(name) {
            return Arc::clone(image);
        }
        let path = Case::named(name)
            .unwrap_or_else(|| panic!("no case is called {name}"))
            .build(self.folder.path())
            .unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
        let digest = Digest::of(&fs::read(&path).unwrap());
        let (reply, replied) = mpsc::channel();
        let staged = Staged { path, digest, handlers: 1, mark: Mark::default() };
        self.loader.load_probed(staged, move |image| reply.send(image).unwrap());
        let image = replied.recv_timeout(DEADLINE).unwrap().unwrap_or_else(|error| panic!("{name}: {error}"));
        loaded.insert(name.to_owned(), Arc::clone(&image));
        image
    }

    /// Makes an instance.
    pub fn create(&self, image: &Arc<Image>, json: &str) -> Result<Arc<Instance>, CreateError> {
        let key = EntryKey::new("tests", "module").unwrap();
        let config = InstanceConfig { key, json: json.to_owned(), mark: Mark::default() };
        let (reply, replied) = mpsc::channel();
        self.loader.create(Arc::clone(image), config, move |made| reply.send(made).unwrap());
        replied.recv_timeout(DEADLINE).unwrap().map(Arc::new)
    }

    /// Waits until no instance of the image is left: each holds it until it was destroyed.
    pub fn is_gone(&self, name: &str, image: &Arc<Image>) {
        let until = Instant::now() + DEADLINE;
        // Ours, the loader's, and the one in `loaded`.
        while Arc::strong_count(image) > 3 {
            assert!(Instant::now() < until, "{name}: an instance is left");
            std::thread::yield_now();
        }
    }
}
