//! The fuzz targets on seeds and on mutations of them: the same ones each time, as many as a few seconds allow. `scripts/fuzz` looks further.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, outside their functions"
)]

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Numbers that look random and are the same in each run (Marsaglia's xorshift64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit.max(1)
    }

    /// One to six changes: bytes, their order, how many.
    fn mutate(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        const ODD: [&[u8]; 8] = [b"\0", b"\xff\xff\xff\xff", b"\r\n", b"\x7f", b"%", b"?", b"{", b"\x80\x00"];
        let mut bytes = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(6) {
            let (from, length) = (self.below(bytes.len()), 1 + self.below(8));
            let to = (from + length).min(bytes.len());
            match self.below(7) {
                0 => bytes.truncate(from),
                1 => drop(bytes.drain(from..to)),
                2 => {
                    let other = &seeds[self.below(seeds.len())];
                    let at = self.below(other.len());
                    bytes.splice(from..from, other[at..(at + 4 * length).min(other.len())].iter().copied());
                }
                3 => {
                    let odd = ODD[self.below(ODD.len())];
                    bytes.splice(from..to, odd.iter().copied());
                }
                4 => bytes[from..to].reverse(),
                _ => {
                    let with = self.below(256) as u8;
                    bytes[from..to].iter_mut().for_each(|byte| *byte = byte.wrapping_add(with));
                }
            }
        }
        bytes
    }
}

fn seeds(of: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(of);
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files.into_iter().map(|file| fs::read(file).unwrap()).collect()
}

/// Runs a target on its seeds and on that many mutations. A claim that does not hold is shown with its input, to become a seed.
fn holds(target: fn(&[u8]), seeds: &[Vec<u8>], rounds: usize) {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mutated = (0..rounds).map(|_| numbers.mutate(seeds));
    for (nth, bytes) in seeds.iter().cloned().chain(mutated).enumerate() {
        if panic::catch_unwind(AssertUnwindSafe(|| target(&bytes))).is_err() {
            let kept = std::env::temp_dir().join("hotbay-fuzz-input");
            fs::write(&kept, &bytes).unwrap();
            panic!(
                "input {nth}, kept in {}: {}",
                kept.display(),
                bytes[..bytes.len().min(400)].escape_ascii()
            );
        }
    }
}

/// The module of `hotbay new --lang c`, as a file.
fn module() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let [source, file] = ["module.c", "module.so"].map(|name| folder.path().join(name));
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
    let template = fs::read_to_string(plugins.join("cli/templates/c/module.c")).unwrap();
    fs::write(&source, template.replace("{{name}}", "tiny")).unwrap();
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-fvisibility=hidden", "-s", "-I"])
        .arg(plugins.join("abi/include"))
        .arg(source)
        .arg("-o")
        .arg(&file)
        .status()
        .unwrap();
    assert!(status.success(), "the C template compiles");
    fs::read(file).unwrap()
}

#[test]
fn any_file_is_read_or_refused() {
    let module = module();
    let facts = hotbay_artifact::ModuleFacts::read(&module);
    assert!(facts.is_ok_and(|facts| facts.exports == ["hotbay_module_v1"]), "the seed is a module");
    holds(hotbay_fuzz::elf, &[module], 20_000);
}

#[test]
fn any_manifest_is_read_or_refused() {
    let seeds = seeds("manifest");
    for seed in &seeds {
        hotbay_artifact::Manifest::parse(seed).unwrap();
    }
    holds(hotbay_fuzz::manifest, &seeds, 50_000);
}

#[test]
fn any_request_is_seen_as_it_came() {
    holds(hotbay_fuzz::request, &seeds("request"), 50_000);
}

#[test]
fn any_answer_is_carried_or_refused() {
    holds(hotbay_fuzz::response, &seeds("response"), 50_000);
}
