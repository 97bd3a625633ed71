//! The example modules as files, built from source once a run.
//!
//! Owns a target folder of its own, `test-modules`, so that a variant never overwrites what `cargo build` has made. A lock keeps test programs that
//! run at the same time from building over each other; a built file is replaced by rename only.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::cargo;

/// `hello` that answers `Hello from Hotbay <version>`.
pub fn hello(version: &str) -> PathBuf {
    build(&Variant { example: "hello", features: "", text: version })
}

/// `echo`.
pub fn echo() -> PathBuf {
    build(&Variant { example: "echo", features: "", text: "" })
}

/// `router`, an axum application.
pub fn router() -> PathBuf {
    build(&Variant { example: "router", features: "", text: "" })
}

/// `limits`, whose config is a type.
pub fn limits() -> PathBuf {
    build(&Variant { example: "limits", features: "", text: "" })
}

/// `services`, which uses what its host offers.
pub fn services() -> PathBuf {
    build(&Variant { example: "services", features: "", text: "" })
}

/// Another build of `services`.
pub fn services_second() -> PathBuf {
    build(&Variant { example: "services", features: "second", text: "" })
}

/// `guestbook`, whose handlers take and return all kinds of things.
pub fn guestbook() -> PathBuf {
    build(&Variant { example: "guestbook", features: "", text: "" })
}

/// `streams`, whose bodies come and go in pieces.
pub fn streams() -> PathBuf {
    build(&Variant { example: "streams", features: "", text: "" })
}

/// `turnstile`, a hand-written service.
pub fn turnstile() -> PathBuf {
    build(&Variant { example: "turnstile", features: "", text: "" })
}

/// `bookmarks`, an axum application that needs a database.
pub fn bookmarks() -> PathBuf {
    build(&Variant { example: "bookmarks", features: "", text: "" })
}

/// `faulty`, which fails as its config says.
pub fn faulty() -> PathBuf {
    build(&Variant { example: "faulty", features: "", text: "" })
}

/// `faulty` whose handler is declared `blocking`.
pub fn blocking() -> PathBuf {
    build(&Variant { example: "faulty", features: "blocking", text: "" })
}

/// `faulty` that wants an ABI which no host has yet.
pub fn newer_abi() -> PathBuf {
    build(&Variant { example: "faulty", features: "newer-abi", text: "" })
}

/// `faulty` whose constructor aborts the process that loads it.
pub fn constructor_abort() -> PathBuf {
    build(&Variant { example: "faulty", features: "constructor-abort", text: "" })
}

/// `faulty` whose constructor ends the process that loads it with exit code 0.
pub fn constructor_exit() -> PathBuf {
    build(&Variant { example: "faulty", features: "constructor-exit", text: "" })
}

/// `faulty` whose constructor never returns.
pub fn constructor_hang() -> PathBuf {
    build(&Variant { example: "faulty", features: "constructor-hang", text: "" })
}

/// One build of an example.
struct Variant<'v> {
    example: &'v str,
    features: &'v str,
    /// HOTBAY_HELLO_TEXT; empty: not set.
    text: &'v str,
}

static BUILT: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);

fn build(variant: &Variant) -> PathBuf {
    let name = [variant.example, variant.features, variant.text].join("_");
    // A build that failed under the lock fails its own test; the next one tries again.
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let built = built.get_or_insert_default();
    if let Some(path) = built.get(&name) {
        return path.clone();
    }
    let folder = target_folder();
    fs::create_dir_all(&folder).expect("the target folder can be made");
    let lock = File::create(folder.join("lock")).expect("the lock file can be made");
    lock.lock().expect("the lock file can be locked");
    cargo_build(variant, &folder);
    let path = folder.join(format!("{}.so", name.trim_end_matches('_')));
    let temporary = path.with_extension("tmp");
    fs::copy(folder.join(format!("debug/lib{}.so", variant.example)), &temporary)
        .expect("the module was built");
    fs::rename(&temporary, &path).expect("the module can be put in place");
    built.insert(name, path.clone());
    path
}

/// Small files: what counts is what modules do, and every swap hashes and copies them. Without LTO, `faulty` is larger than what a pool hands
/// over by default.
const SMALL: [(&str, &str); 4] = [
    ("CARGO_PROFILE_DEV_DEBUG", "0"),
    ("CARGO_PROFILE_DEV_STRIP", "symbols"),
    ("CARGO_PROFILE_DEV_OPT_LEVEL", "s"),
    ("CARGO_PROFILE_DEV_LTO", "fat"),
];

fn cargo_build(variant: &Variant, folder: &Path) {
    cargo::build(|command| {
        command.args(["--package", variant.example, "--features", variant.features]);
        command.env("CARGO_TARGET_DIR", folder).envs(SMALL);
        if variant.text.is_empty() {
            command.env_remove("HOTBAY_HELLO_TEXT")
        } else {
            command.env("HOTBAY_HELLO_TEXT", variant.text)
        }
    });
}

/// Where built and broken modules lie.
pub(crate) fn target_folder() -> PathBuf {
    cargo::target().join("test-modules")
}
