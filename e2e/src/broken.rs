//! Modules that no runtime may load: copies of a whole one with one thing broken.
//!
//! Each function takes the file of a module that works, such as [`modules::hello`](crate::modules::hello)`("1.0")`, and returns the path
//! of a broken copy of it in `test-modules/broken`. For `hotbay push` and `hotbay run` pass the path on. A registry takes any bytes:
//!
//! ```ignore
//! let bytes = Bytes::from(fs::read(broken::newer_libc(&modules::hello("1.0")))?);
//! scene.push_builds("hello:broken", &[(Platform::current(), bytes)]).await;
//! ```
//!
//! | function | is refused for |
//! | --- | --- |
//! | [`not_elf`], [`truncated`] | `InvalidElf` |
//! | [`other_machine`], [`unknown_machine`] | `WrongArchitecture` |
//! | [`newer_libc`] | `LibcTooOld` |
//! | [`missing_library`] | `DependencyMissing` |
//! | [`without_note`], [`bad_manifest`] | `ManifestInvalid` |
//! | [`without_entry`] | `MissingSymbol` |
//! | [`padded`] | `TooLarge`, where less is allowed |
//!
//! A newer ABI and constructors that abort, exit or hang are builds of `faulty`, see [`modules`](crate::modules). What fails in `create` is
//! `faulty` with a config. Only bytes are changed, by names that must be there: a copy that would not be broken fails the test that asks for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::modules::target_folder;

/// Where the ELF header has its machine number.
const E_MACHINE: usize = 18;
const EM_X86_64: u8 = 62;
const EM_AARCH64: u8 = 183;
const EM_RISCV: u8 = 243;

/// A text file under a module's name.
pub fn not_elf() -> PathBuf {
    save("not-elf.so", b"#!/bin/sh\nexit 0\n")
}

/// The first half of the file.
pub fn truncated(module: &Path) -> PathBuf {
    patched(module, "truncated", |elf| elf.truncate(elf.len() / 2))
}

/// For the machine that this one is not, among those that Hotbay runs on; see [`unknown_machine`].
pub fn other_machine(module: &Path) -> PathBuf {
    patched(module, "other-machine", |elf| {
        elf[E_MACHINE] = if elf[E_MACHINE] == EM_X86_64 { EM_AARCH64 } else { EM_X86_64 };
    })
}

/// For RISC-V, on which nothing of Hotbay runs.
pub fn unknown_machine(module: &Path) -> PathBuf {
    patched(module, "unknown-machine", |elf| elf[E_MACHINE] = EM_RISCV)
}

/// Needs glibc 2.99. The version's hash stays: nobody may get so far as to look at it.
pub fn newer_libc(module: &Path) -> PathBuf {
    patched(module, "newer-libc", |elf| {
        let newest = (10..99).rev().find(|minor| holds(elf, libc_version(*minor).as_bytes()));
        let newest = newest.expect("the module needs some version of glibc");
        replace(elf, libc_version(newest).as_bytes(), libc_version(99).as_bytes());
    })
}

/// Needs `libnone_.so.1`, which nobody has.
pub fn missing_library(module: &Path) -> PathBuf {
    patched(module, "missing-library", |elf| replace(elf, b"\0libgcc_s.so.1\0", b"\0libnone_.so.1\0"))
}

/// A shared object as any compiler makes it: its notes are another tool's.
pub fn without_note(module: &Path) -> PathBuf {
    patched(module, "without-note", |elf| replace(elf, b"Hotbay\0\0", b"HotBAY\0\0"))
}

/// Its manifest is not JSON.
pub fn bad_manifest(module: &Path) -> PathBuf {
    patched(module, "bad-manifest", |elf| replace(elf, b"{\"manifest\"", b"[\"manifest\""))
}

/// Exports another name than `hotbay_module_v1`.
pub fn without_entry(module: &Path) -> PathBuf {
    patched(module, "without-entry", |elf| replace(elf, b"\0hotbay_module_v1\0", b"\0hotbay_module_vX\0"))
}

/// A module that works, with so many bytes behind it that the file has `size`.
pub fn padded(module: &Path, size: usize) -> PathBuf {
    patched(module, &format!("padded-{size}"), |elf| {
        assert!(elf.len() < size, "the module has {} bytes by itself", elf.len());
        elf.resize(size, 0);
    })
}

fn libc_version(minor: u32) -> String {
    format!("\0GLIBC_2.{minor}\0")
}

fn patched(module: &Path, how: &str, patch: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let mut elf = fs::read(module).expect("the module was built");
    patch(&mut elf);
    let stem = module.file_stem().expect("a module is a file").to_string_lossy();
    save(&format!("{stem}_{how}.so"), &elf)
}

/// Puts the file in place by rename: test programs that run at the same time make the same one.
fn save(name: &str, bytes: &[u8]) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let folder = target_folder().join("broken");
    fs::create_dir_all(&folder).expect("the folder of broken modules can be made");
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let temporary = folder.join(format!(".{name}.{}.{number}", std::process::id()));
    let path = folder.join(name);
    fs::write(&temporary, bytes).expect("the broken module can be written");
    fs::rename(&temporary, &path).expect("the broken module can be put in place");
    path
}

fn holds(bytes: &[u8], words: &[u8]) -> bool {
    bytes.windows(words.len()).any(|window| window == words)
}

/// Replaces every occurrence by what is as long.
fn replace(bytes: &mut [u8], old: &[u8], new: &[u8]) {
    assert_eq!(old.len(), new.len(), "nothing may move");
    let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(old)).collect();
    assert!(!places.is_empty(), "the module holds {:?}", String::from_utf8_lossy(old));
    for at in places {
        bytes[at..at + new.len()].copy_from_slice(new);
    }
}

#[cfg(test)]
mod tests {
    use hotbay_api::Reason;
    use hotbay_artifact::{Host, ModuleFacts, check, host};

    use super::*;
    use crate::modules;

    /// Why a file cannot be loaded here.
    fn verdict(file: &Path) -> Option<Reason> {
        let bytes = fs::read(file).unwrap();
        match ModuleFacts::read(&bytes) {
            Ok(facts) => {
                check(&facts, &Host::current(), &host::library_exists).err().map(|error| error.reason())
            }
            Err(error) => Some(error.reason()),
        }
    }

    #[test]
    fn each_copy_is_broken_in_its_own_way_only() {
        let whole = modules::hello("1.0");
        assert_eq!(verdict(&whole), None);
        let cases: [(PathBuf, Option<Reason>); 10] = [
            (not_elf(), Some(Reason::InvalidElf)),
            (truncated(&whole), Some(Reason::InvalidElf)),
            (other_machine(&whole), Some(Reason::WrongArchitecture)),
            (unknown_machine(&whole), Some(Reason::WrongArchitecture)),
            (newer_libc(&whole), Some(Reason::LibcTooOld)),
            (missing_library(&whole), Some(Reason::DependencyMissing)),
            (without_note(&whole), Some(Reason::ManifestInvalid)),
            (bad_manifest(&whole), Some(Reason::ManifestInvalid)),
            (without_entry(&whole), Some(Reason::MissingSymbol)),
            (padded(&whole, 1 << 20), None),
        ];
        for (file, expected) in cases {
            assert_eq!(verdict(&file), expected, "{}", file.display());
        }
    }
}
