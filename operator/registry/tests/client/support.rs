//! What the tests talk to: the real registry as a child process, and a server that misbehaves on purpose.

pub mod faulty;
pub mod real;

use bytes::Bytes;
use hotbay_api::Platform;
use hotbay_artifact::oci::{Annotations, annotation};
use hotbay_registry::{Client, Options, PlatformBuild};

/// Enough for every module of these tests.
pub const LIMIT: u64 = 1 << 20;

/// Bytes that pass for a module as far as a registry is concerned, and do not compress.
pub fn module(seed: u8, length: usize) -> Bytes {
    let mut state = u32::from(seed) + 1;
    let noise = std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    });
    b"\x7fELF".iter().copied().chain(noise).take(length).collect()
}

pub fn platform(arch: &str, libc: Option<&str>) -> Platform {
    Platform { os: "linux".into(), arch: arch.into(), libc: libc.map(str::to_owned) }
}

pub fn build(arch: &str, bytes: &Bytes) -> PlatformBuild {
    PlatformBuild { platform: platform(arch, None), bytes: bytes.clone() }
}

pub fn titled(title: &str) -> Annotations {
    [(annotation::TITLE.to_owned(), title.to_owned())].into()
}

/// A client that speaks plain HTTP to this machine.
pub fn client(change: impl FnOnce(&mut Options)) -> Client {
    let mut options = Options { insecure: vec!["127.0.0.1".into()], layouts: true, ..Options::default() };
    change(&mut options);
    Client::new(options)
}
