//! What rows and instances are called.
//!
//! Owns the rows of names. A row is named once, before anything points to it; its instances are the last few that were prepared, the newest first.

use std::sync::atomic::Ordering;

use hotbay_api::EntryKey;

use super::{EngineMemory, MAX_MODULES, NAMES, ROWS_NAMED};

/// In a row: the key's length in bytes, its text (127 bytes at most), then pairs of an instance's fingerprint and its build's digest.
pub(super) const ROW: usize = 32;
const KEY: usize = 1;
const KEY_WORDS: usize = 17;
const INSTANCES: usize = 18;
/// The wanted one, the last good one, and those that came before them.
const MAX_INSTANCES: usize = 7;

impl EngineMemory {
    /// Names module row `row` (1 and up). Must be done before a slot names the row.
    pub fn name_module(&self, row: usize, key: &EntryKey) {
        let text = key.to_string();
        let row = row.min(MAX_MODULES - 1);
        let at = NAMES + row * ROW;
        for (index, chunk) in text.as_bytes().chunks(8).take(KEY_WORDS).enumerate() {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.words[at + KEY + index].store(u64::from_le_bytes(word), Ordering::Relaxed);
        }
        self.words[at].store(text.len() as u64, Ordering::Release);
        self.words[ROWS_NAMED].fetch_max(row as u64 + 1, Ordering::Release);
    }

    /// The module of row `row`.
    pub fn module(&self, row: usize) -> Option<EntryKey> {
        let at = NAMES + row.min(MAX_MODULES - 1) * ROW;
        let length = usize::try_from(self.words[at].load(Ordering::Acquire)).ok()?;
        let bytes: Vec<u8> = (0..KEY_WORDS)
            .flat_map(|index| self.words[at + KEY + index].load(Ordering::Relaxed).to_le_bytes())
            .take(length)
            .collect();
        let text = String::from_utf8(bytes).ok()?;
        let (namespace, name) = text.split_once('/')?;
        EntryKey::new(namespace, name).ok()
    }

    /// Every module that has a row.
    pub fn modules(&self) -> impl Iterator<Item = EntryKey> {
        (1..self.rows()).filter_map(|row| self.module(row))
    }

    /// One more than the last row that was named.
    pub(super) fn rows(&self) -> usize {
        let named = usize::try_from(self.words[ROWS_NAMED].load(Ordering::Acquire)).unwrap_or(0);
        named.clamp(1, MAX_MODULES)
    }

    /// Says of which build (by the first eight bytes of its digest) an instance of module `row` is. To be done before its code is loaded.
    pub fn name_instance(&self, row: usize, fingerprint: u64, digest: u64) {
        if row == 0 || row >= MAX_MODULES {
            return;
        }
        let pair = |index: usize| NAMES + row * ROW + INSTANCES + index * 2;
        let known = |index: &usize| self.words[pair(*index)].load(Ordering::Relaxed) == fingerprint;
        // One that was known is the newest again.
        let last = (0..MAX_INSTANCES).find(known).unwrap_or(MAX_INSTANCES - 1);
        for index in (1..=last).rev() {
            for word in [0, 1] {
                let newer = self.words[pair(index - 1) + word].load(Ordering::Relaxed);
                self.words[pair(index) + word].store(newer, Ordering::Relaxed);
            }
        }
        self.words[pair(0)].store(fingerprint, Ordering::Relaxed);
        self.words[pair(0) + 1].store(digest, Ordering::Release);
    }

    /// The first twelve hex digits of the digest of an instance's build; empty if nobody said.
    pub(super) fn instance_digest(&self, row: usize, fingerprint: u64) -> String {
        let found = self.instances(row).find(|(instance, _)| *instance == fingerprint);
        found.map_or_else(String::new, |(_, digest)| format!("{digest:016x}")[..12].to_owned())
    }

    /// Whether no other module has a build that this instance is of, and this one no newer instance of it.
    pub(super) fn has_its_build_alone(&self, row: usize, fingerprint: u64) -> bool {
        let own = self.instances(row).find(|(instance, _)| *instance == fingerprint);
        let Some((_, own)) = own else { return false };
        let newest = |row: usize| self.instances(row).find(|(_, digest)| *digest == own);
        (1..self.rows()).all(|at| match newest(at) {
            None => true,
            Some((instance, _)) => (at, instance) == (row, fingerprint),
        })
    }

    /// The instances of a row, by fingerprint, and the digests of their builds.
    fn instances(&self, row: usize) -> impl Iterator<Item = (u64, u64)> {
        let at = NAMES + row.min(MAX_MODULES - 1) * ROW + INSTANCES;
        let pairs = (0..MAX_INSTANCES).map(move |index| at + index * 2);
        let read = |at: usize| self.words[at].load(Ordering::Acquire);
        pairs.map(move |at| (read(at), read(at + 1))).filter(|&(_, digest)| digest != 0)
    }
}
