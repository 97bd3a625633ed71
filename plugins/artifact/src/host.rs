//! The machine that this program runs on, as far as modules care.
//!
//! Owns what is read from it: platform, glibc, and where the dynamic linker looks. The only part of this crate that looks outside.

use std::fs;
use std::path::{Path, PathBuf};

use hotbay_api::Platform;

use crate::elf::{GlibcVersion, newest_glibc_defined};

/// The glibc of Hotbay's own runtime images, which are made of Debian 12; see images/Containerfile.
pub const IMAGE_GLIBC: GlibcVersion = GlibcVersion { major: 2, minor: 36 };

/// What a module must fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Machine and libc.
    pub platform: Platform,
    /// `None` if it cannot be told: another libc, or a static program.
    pub glibc: Option<GlibcVersion>,
}

impl Host {
    /// The machine and the libc that this very process uses. Reads the libc's whole file: ask once.
    pub fn current() -> Self {
        Self { platform: Platform::current(), glibc: loaded_glibc() }
    }
}

/// The version of the glibc that is mapped into this process. Asking the file that the dynamic linker will compare with needs neither
/// `unsafe` nor a guess about paths.
fn loaded_glibc() -> Option<GlibcVersion> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let paths = maps.lines().filter_map(|line| line.find('/').map(|at| Path::new(&line[at..])));
    let is_libc = |path: &&Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name == "libc.so.6" || (name.starts_with("libc-2.") && name.ends_with(".so"))
    };
    newest_glibc_defined(&fs::read(paths.into_iter().find(is_libc)?).ok()?)
}

/// Whether the dynamic linker would find `name` in the folders that it always searches: LD_LIBRARY_PATH, /etc/ld.so.conf, and its own.
pub fn library_exists(name: &str) -> bool {
    let plain = !name.is_empty() && !name.contains('/');
    plain && library_folders().iter().any(|folder| folder.join(name).exists())
}

fn library_folders() -> Vec<PathBuf> {
    let from_env = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> =
        std::env::split_paths(&from_env).filter(|path| path.is_absolute()).collect();
    let more = fs::read_dir("/etc/ld.so.conf.d").into_iter().flatten().flatten().map(|entry| entry.path());
    let texts = [PathBuf::from("/etc/ld.so.conf")]
        .into_iter()
        .chain(more)
        .filter_map(|path| fs::read_to_string(path).ok());
    for text in texts {
        folders.extend(text.lines().map(str::trim).filter(|line| line.starts_with('/')).map(PathBuf::from));
    }
    // Distributions with several architectures name a folder after this.
    let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
    for root in ["/lib", "/usr/lib"] {
        folders.extend([root.into(), format!("{root}64").into(), Path::new(root).join(&triplet)]);
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn this_process_knows_its_own_glibc() {
        let from_tool = std::process::Command::new("ldd").arg("--version").output().unwrap().stdout;
        let first = String::from_utf8(from_tool).unwrap().lines().next().unwrap().to_owned();
        let glibc = Host::current().glibc.unwrap();
        assert!(first.ends_with(&glibc.to_string()), "ldd says {first:?}, we say {glibc}");
    }

    #[test]
    fn libraries_are_found_by_plain_name_only() {
        assert!(library_exists("libc.so.6"));
        for name in ["libhotbay-none.so.1", "", "/etc/passwd", "../lib/libc.so.6"] {
            assert!(!library_exists(name), "{name:?} must not be found");
        }
    }
}
