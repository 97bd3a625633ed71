//! A module as a file, and as what a registry holds.
//!
//! Owns what can be known of a module without running it: the manifest, the ELF facts, whether a host can load it, and the two OCI forms.
//! Must not load a module, nor open a connection. All but `host` is pure: bytes in, facts out, and never a panic whatever the bytes.

pub mod check;
pub mod elf;
pub mod host;
pub mod manifest;
pub mod oci;

pub use check::{CheckError, check, check_abi, check_anywhere};
pub use elf::{Abi, BrokenNote, ElfError, GlibcVersion, ModuleFacts};
pub use host::Host;
pub use manifest::{Handler, Manifest, ManifestError};
