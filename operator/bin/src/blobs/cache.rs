//! Builds and what is known of artifacts, on a disk that may be lost at any time.
//!
//! Owns the folder: what lies in it under the name `sha256-<hex>` has that digest, all of it together keeps a bound, and what was used last
//! stays longest. Files are written aside and renamed. A file that was there before this process is hashed before it is served for the first
//! time. All here blocks; callers use a thread for it.

use std::collections::HashMap;
use std::fs::{self, File, FileTimes};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use hotbay_api::{Digest, names};
use sha2::Digest as _;

/// A small file takes a block of the disk and an entry of the folder; so the bound also bounds their number.
const LEAST_BYTES: u64 = 4096;
/// The name of a file that is being written begins so.
const TEMPORARY: &str = ".";

/// See the module.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    limit_bytes: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    files: HashMap<String, Known>,
    /// Of all files, and of those that are being written.
    bytes: u64,
    /// Counts uses.
    clock: u64,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    bytes: u64,
    used: u64,
    verified: bool,
}

/// Why something could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// It is larger than the whole cache.
    #[error(
        "{name} has {bytes} bytes and the operator's cache holds {limit} (HOTBAY_CACHE_SIZE); ask for a larger one"
    )]
    TooLarge {
        /// Its name.
        name: String,
        /// Its size.
        bytes: u64,
        /// The bound.
        limit: u64,
    },
    /// The bytes are others than they were said to be.
    #[error("the bytes to be kept as {want} are {got}")]
    Mismatch {
        /// What they were said to be.
        want: Digest,
        /// What they are.
        got: Digest,
    },
    /// The disk.
    #[error("the operator's cache {} cannot be used", folder.display())]
    Io {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Cache {
    /// Opens the folder, which is made if need be, and lets go what exceeds `limit_bytes`.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open(folder: PathBuf, limit_bytes: u64) -> Result<Self, CacheError> {
        let cache = Self { folder, limit_bytes, state: Mutex::default() };
        cache.scan().map_err(|source| cache.io(source))?;
        cache.make_room(&mut cache.lock(), 0);
        Ok(cache)
    }

    /// Takes in what an earlier process left.
    fn scan(&self) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            match entry.file_name().into_string() {
                Ok(name) if meta.is_file() && !name.starts_with(TEMPORARY) => {
                    found.push((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), name, meta.len()));
                }
                // What a killed operator was writing. Nobody else writes here.
                _ => drop(fs::remove_file(entry.path())),
            }
        }
        found.sort();
        let mut state = self.lock();
        for (_, name, bytes) in found {
            state.insert(name, charged(bytes), false);
        }
        Ok(())
    }

    /// The blob and its size, to be read from the beginning; `None` if it is not there. Also tells the disk that it was used.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn blob(&self, digest: &Digest) -> Result<Option<(File, u64)>, CacheError> {
        let name = names::blob_file(digest);
        let Some(mut file) = self.file(&name)? else { return Ok(None) };
        let verified = self.lock().files.get(&name).is_some_and(|known| known.verified);
        if !verified {
            let got = hash(&mut file).map_err(|source| self.io(source))?;
            if got != *digest {
                tracing::warn!(%digest, %got, "a blob in the cache is damaged and is removed");
                self.remove(&name);
                return Ok(None);
            }
            if let Some(known) = self.lock().files.get_mut(&name) {
                known.verified = true;
            }
        }
        let bytes = file.metadata().map_err(|source| self.io(source))?.len();
        Ok(Some((file, bytes)))
    }

    /// Keeps a blob.
    ///
    /// # Errors
    /// When the bytes are not the digest's, do not fit, or the disk fails.
    pub fn put_blob(&self, digest: &Digest, bytes: &[u8]) -> Result<(), CacheError> {
        let name = names::blob_file(digest);
        if self.lock().files.get(&name).is_some_and(|known| known.verified) {
            return Ok(());
        }
        let got = Digest::of(bytes);
        if got != *digest {
            return Err(CacheError::Mismatch { want: *digest, got });
        }
        self.put(name, bytes)
    }

    /// A document by its name; `None` if it is not there.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn document(&self, name: &str) -> Result<Option<Vec<u8>>, CacheError> {
        let Some(mut file) = self.file(name)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|source| self.io(source))?;
        Ok(Some(bytes))
    }

    /// Keeps a document under a name that no blob has.
    ///
    /// # Errors
    /// When it does not fit, or the disk fails.
    pub fn put_document(&self, name: &str, bytes: &[u8]) -> Result<(), CacheError> {
        self.put(name.to_owned(), bytes)
    }

    /// An open file stays whole whatever becomes of its name.
    fn file(&self, name: &str) -> Result<Option<File>, CacheError> {
        if !self.lock().touch(name) {
            return Ok(None);
        }
        match File::open(self.folder.join(name)) {
            Ok(file) => {
                // So that a next process knows what was used last. If the disk does not take it, little is lost.
                drop(file.set_times(FileTimes::new().set_modified(SystemTime::now())));
                Ok(Some(file))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.lock().forget(name);
                Ok(None)
            }
            Err(source) => Err(self.io(source)),
        }
    }

    fn put(&self, name: String, bytes: &[u8]) -> Result<(), CacheError> {
        let size = charged(bytes.len() as u64);
        if size > self.limit_bytes {
            return Err(CacheError::TooLarge { name, bytes: size, limit: self.limit_bytes });
        }
        let number = {
            let mut state = self.lock();
            self.make_room(&mut state, size);
            state.bytes += size;
            state.tick()
        };
        let written = self.write(&name, &format!("{TEMPORARY}{number}"), bytes);
        let mut state = self.lock();
        state.bytes -= size;
        if written.is_ok() {
            state.insert(name, size, true);
        }
        written.map_err(|source| self.io(source))
    }

    fn write(&self, name: &str, temporary: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.folder.join(temporary);
        let written = File::create(&temporary)
            .and_then(|mut file| file.write_all(bytes))
            .and_then(|()| fs::rename(&temporary, self.folder.join(name)));
        if written.is_err() {
            // It takes room that is wanted.
            drop(fs::remove_file(&temporary));
        }
        written
    }

    /// Lets the least recently used go until `bytes` more fit.
    fn make_room(&self, state: &mut State, bytes: u64) {
        while state.bytes + bytes > self.limit_bytes {
            let oldest = state.files.iter().min_by_key(|(_, known)| known.used).map(|(name, _)| name.clone());
            let Some(oldest) = oldest else { return };
            state.forget(&oldest);
            drop(fs::remove_file(self.folder.join(&oldest)));
            tracing::debug!(file = oldest, "removed from the cache to make room");
        }
    }

    fn remove(&self, name: &str) {
        self.lock().forget(name);
        drop(fs::remove_file(self.folder.join(name)));
    }

    fn io(&self, source: io::Error) -> CacheError {
        CacheError::Io { folder: self.folder.clone(), source }
    }

    /// A poisoned lock is a panic elsewhere, which ends the process anyway; what is here says no more than the folder does.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl State {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn insert(&mut self, name: String, bytes: u64, verified: bool) {
        let used = self.tick();
        self.forget(&name);
        self.bytes += bytes;
        self.files.insert(name, Known { bytes, used, verified });
    }

    fn forget(&mut self, name: &str) {
        self.bytes -= self.files.remove(name).map_or(0, |known| known.bytes);
    }

    /// Notes a use; whether the file is known.
    fn touch(&mut self, name: &str) -> bool {
        let now = self.tick();
        let known = self.files.get_mut(name);
        known.map(|known| known.used = now).is_some()
    }
}

fn charged(bytes: u64) -> u64 {
    bytes.max(LEAST_BYTES)
}

/// Of the whole file, which is then at its beginning again.
fn hash(file: &mut File) -> io::Result<Digest> {
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    file.rewind()?;
    Ok(Digest::from_bytes(hasher.finalize().into()))
}

#[cfg(test)]
mod tests;
