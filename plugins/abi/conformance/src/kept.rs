//! Modules of versions that are frozen: `kept/VERSION` has a module that uses nearly all of that version, its header, and the binary that was made of both.
//!
//! Owns how they are found and compiled. Never changes them: that they still work is what they are kept for.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cases::{HERE, run};

/// The module of ABI 1.0: compiled into `folder` by the header of then, and, on the architecture that it is for, the binary of then.
///
/// # Errors
/// When there is no C compiler, or it refuses; its words are in the error.
pub fn modules(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let kept = Path::new(HERE).join("kept/1.0");
    let file = folder.join("everything.so");
    let mut compiler = Command::new("cc");
    compiler.args([
        "-std=c11",
        "-O2",
        "-Wall",
        "-Wextra",
        "-Wpedantic",
        "-Werror",
        "-fPIC",
        "-fvisibility=hidden",
    ]);
    compiler.args(["-shared", "-Wl,-z,defs,-z,now,-s", "-I"]).arg(&kept).arg("-o").arg(&file);
    run(compiler.arg(kept.join("everything.c")))?;
    let mut modules = vec![file];
    if cfg!(target_arch = "x86_64") {
        modules.push(kept.join("everything-x86_64.so"));
    }
    Ok(modules)
}
