//! What a module's ELF file says, without running it.
//!
//! Owns [`ModuleFacts`]: notes, machine, libc, dependencies and symbols. All is found through the program headers, as the dynamic linker
//! does, because `sstrip` removes sections. The bytes are hostile: every read is bounded, and a hostile file costs no more than its size.
//! Must not decide whether a host can load the module: `check` does.

mod dynamic;
mod image;
mod notes;
mod versions;

use hotbay_abi::{NOTE_ABI, NOTE_MANIFEST, NOTE_NAME};
use hotbay_api::names::ENTRY_SYMBOL;
use hotbay_api::{Platform, Reason};

use crate::check::check_abi;
use crate::{CheckError, Manifest, ManifestError};
use dynamic::Dynamic;
use image::Image;
use notes::Notes;

pub use notes::BrokenNote;
pub use versions::GlibcVersion;
pub(crate) use versions::newest_glibc_defined;

/// All that can be known of a module without running it.
#[derive(Clone, Debug, PartialEq)]
pub struct ModuleFacts {
    /// What the module says about itself.
    pub manifest: Manifest,
    /// The ABI that it was built for.
    pub abi: Abi,
    /// Where it runs; its libc is `None` if it uses none.
    pub platform: Platform,
    /// Shared libraries that it needs, in their order.
    pub needed: Vec<String>,
    /// The oldest glibc that has every symbol version it asks for.
    pub min_glibc: Option<GlibcVersion>,
    /// Symbols that it exports, sorted; of a file with very many, the first [`MAX_EXPORTS`] found.
    pub exports: Vec<String>,
    /// It uses static thread-local storage, which may have no room left when it is loaded late.
    pub static_tls: bool,
    /// It can unwind a panic. A Rust module without this was built with `panic = "abort"` and would take its host along.
    pub imports_unwind: bool,
    /// A note of ours has a name of this size, which is not the header's 7. It is read all the same, and said by who looks for what a module does wrong.
    pub odd_name_size: Option<u32>,
}

/// The ABI that a module announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abi {
    /// Another major version cannot be served.
    pub major: u16,
    /// The least minor version that the module needs.
    pub minor: u16,
    /// Unknown low bits are ignored, an unknown bit of the high 16 refuses.
    pub flags: u32,
}

/// The most exports that are listed.
pub const MAX_EXPORTS: usize = 1000;

/// Why a file is no module.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// Not ELF, cut short, or not a shared object.
    #[error(
        "the file is not a whole ELF shared object: {0}; build a shared object (in Rust a cdylib), and copy it whole"
    )]
    Invalid(String),
    /// Of a kind of machine that Hotbay does not run on.
    #[error("the module is built for {0}; build it for 64-bit x86-64 or AArch64 Linux")]
    Machine(String),
    /// No manifest note.
    #[error(
        "the file has no Hotbay manifest (an ELF note called {NOTE_NAME}, of type {NOTE_MANIFEST}, in a PT_NOTE segment); a module is made with \
         hotbay_sdk's `module!` or with hotbay.h"
    )]
    NoManifest,
    /// One of the two notes is missing, and perhaps behind, or in, what cannot be read.
    #[error(
        "one of Hotbay's two notes, manifest and ABI, is missing, and not all notes of the file can be read: {0}"
    )]
    BrokenNote(BrokenNote),
    /// More than one manifest note.
    #[error("the file has {0} Hotbay manifests; link only one module into it")]
    ManyManifests(usize),
    /// The manifest is not valid.
    #[error("the module's manifest is not valid; build it with a Hotbay SDK, or correct the note")]
    Manifest(#[from] ManifestError),
    /// No ABI note, or one that is too short.
    #[error(
        "the file does not say which ABI it was built for (an ELF note called {NOTE_NAME}, of type {NOTE_ABI} and 8 bytes or more, in a PT_NOTE \
         segment); build it with a Hotbay SDK or hotbay.h"
    )]
    NoAbi,
    /// The ABI is another, so the rest cannot be read.
    #[error(transparent)]
    Abi(CheckError),
    /// The symbol that is called first is not exported.
    #[error(
        "the module does not export {ENTRY_SYMBOL}; do not strip dynamic symbols, nor hide it in a version script"
    )]
    MissingSymbol,
}

impl ElfError {
    /// What the status says. Waiting helps for none of them.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Invalid(_) => Reason::InvalidElf,
            Self::Machine(_) => Reason::WrongArchitecture,
            Self::NoManifest | Self::BrokenNote(_) | Self::ManyManifests(_) | Self::Manifest(_) => {
                Reason::ManifestInvalid
            }
            Self::NoAbi => Reason::AbiMismatch,
            Self::Abi(error) => error.reason(),
            Self::MissingSymbol => Reason::MissingSymbol,
        }
    }
}

impl ModuleFacts {
    /// Reads a module. Never panics, whatever the bytes.
    ///
    /// # Errors
    /// When the file is not a whole module. One for an ABI that this version does not serve is read if it can be, so that tools can show
    /// it; [`check_abi`] refuses it.
    pub fn read(bytes: &[u8]) -> Result<Self, ElfError> {
        let image = Image::parse(bytes)?;
        let dynamic = Dynamic::read(&image)?;
        let notes = Notes::read(&image);
        let lacks = |error| notes.broken.clone().map_or(error, ElfError::BrokenNote);
        // A file without any note is no module of any ABI; that it has no manifest is what its author must hear.
        if notes.manifests.is_empty() && notes.abi.is_none() {
            return Err(lacks(ElfError::NoManifest));
        }
        let abi = notes.abi.ok_or_else(|| lacks(ElfError::NoAbi))?;
        // What another ABI's manifest and symbols look like is not known here: its number is the fault then, not they.
        let or_abi = |error| check_abi(abi).map_or_else(ElfError::Abi, |()| error);
        let manifest = match notes.manifests[..] {
            [json] => Manifest::parse(json).map_err(|error| or_abi(error.into()))?,
            [] => return Err(or_abi(lacks(ElfError::NoManifest))),
            _ => return Err(or_abi(ElfError::ManyManifests(notes.manifests.len()))),
        };
        if !dynamic.has_entry {
            return Err(or_abi(ElfError::MissingSymbol));
        }
        let libc = dynamic.libc().map(str::to_owned);
        Ok(Self {
            manifest,
            abi,
            platform: Platform { os: "linux".to_owned(), arch: image.arch.to_owned(), libc },
            needed: dynamic.needed,
            min_glibc: dynamic.min_glibc,
            exports: dynamic.exports,
            static_tls: dynamic.static_tls,
            imports_unwind: dynamic.imports_unwind,
            odd_name_size: notes.odd_name_size,
        })
    }
}

fn invalid(why: impl Into<String>) -> ElfError {
    ElfError::Invalid(why.into())
}
