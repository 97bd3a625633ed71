//! The manifest and the notes, written while the author's crate is compiled.
//!
//! Owns their bytes: JSON as `hotbay-artifact` reads it, and ELF notes as the header describes them. Must run at compile time only.

use hotbay_abi::{ABI_MAJOR, MAX_MANIFEST_BYTES, NOTE_ABI, NOTE_MANIFEST};

use crate::call::Handler;
use crate::config::schema::Schema;
use crate::entry::Define;

/// `NOTE_NAME`, its NUL and padding to four bytes.
const NAME: [u8; 8] = *b"Hotbay\0\0";
const NAME_BYTES: u32 = 7;
const SDK: &str = concat!("hotbay-sdk/", env!("CARGO_PKG_VERSION"));

/// What the manifest says. Its texts come from Cargo and from `#[handler]`, which refuse what JSON would have to escape.
pub struct Manifest<'a> {
    /// The author's crate.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// In the order of their indexes.
    pub handlers: &'a [Handler],
    /// What its config must look like.
    pub config: ConfigSchema<'a>,
}

/// Where the schema of a module's config comes from.
pub enum ConfigSchema<'a> {
    /// There is none: every config is taken.
    Absent,
    /// JSON, put in as it is.
    Text(&'a str),
    /// The author's type.
    Type(&'static Schema),
}

/// Both notes, one after the other as they lie in the file. `N` is the manifest's length, padded to four bytes.
#[repr(C, align(4))]
pub struct Notes<const N: usize> {
    abi: Note<8>,
    manifest: Note<N>,
}

#[repr(C, align(4))]
struct Note<const N: usize> {
    name_bytes: u32,
    desc_bytes: u32,
    kind: u32,
    name: [u8; 8],
    desc: [u8; N],
}

impl<const N: usize> Notes<N> {
    /// The notes of a module that asks for this minor version of the ABI.
    pub const fn new<M: Define>(manifest: &Manifest<'_>, abi_minor: u16) -> Self {
        let (major, minor, flags) =
            (ABI_MAJOR.to_le_bytes(), abi_minor.to_le_bytes(), M::FLAGS.to_le_bytes());
        let abi = [major[0], major[1], minor[0], minor[1], flags[0], flags[1], flags[2], flags[3]];
        let mut json = [0; N];
        let json_bytes = manifest.write(&mut json);
        Self { abi: Note::new(NOTE_ABI, abi, 8), manifest: Note::new(NOTE_MANIFEST, json, json_bytes) }
    }
}

impl<const N: usize> Note<N> {
    const fn new(kind: u32, desc: [u8; N], desc_bytes: usize) -> Self {
        Self { name_bytes: NAME_BYTES, desc_bytes: desc_bytes as u32, kind, name: NAME, desc }
    }
}

impl Manifest<'_> {
    /// How long the JSON is, padded to four bytes.
    pub const fn padded_len(&self) -> usize {
        let len = self.write(&mut []);
        assert!(len <= MAX_MANIFEST_BYTES, "the manifest is larger than 256 KiB; shorten the config schema");
        len.next_multiple_of(4)
    }

    /// Writes the JSON and says how long it is; into an empty slice nothing is written, but it is measured.
    const fn write(&self, out: &mut [u8]) -> usize {
        let mut json = Json::new(out);
        json.texts(&["{\"manifest\":1,\"name\":\"", self.name, "\",\"version\":\"", self.version]);
        json.texts(&["\",\"sdk\":\"", SDK, "\",\"handlers\":["]);
        let mut index = 0;
        while index < self.handlers.len() {
            json.texts(&[if index > 0 { "," } else { "" }]);
            json.handler(&self.handlers[index]);
            index += 1;
        }
        json.texts(&["]"]);
        match self.config {
            ConfigSchema::Absent => {}
            ConfigSchema::Text(schema) => json.texts(&[",\"configSchema\":", schema]),
            ConfigSchema::Type(schema) => {
                json.texts(&[",\"configSchema\":"]);
                json.config(schema);
            }
        }
        json.texts(&["}"]);
        json.len
    }
}

/// JSON as it is written; into an empty slice nothing is, and only `len` rises.
pub(crate) struct Json<'out> {
    out: &'out mut [u8],
    pub len: usize,
    /// Whether the next member of a schema is its first, and has no comma before it.
    pub first: bool,
}

impl<'out> Json<'out> {
    pub const fn new(out: &'out mut [u8]) -> Self {
        Self { out, len: 0, first: false }
    }
}

impl Json<'_> {
    const fn handler(&mut self, handler: &Handler) {
        self.texts(&["{\"name\":\"", handler.name, "\",\"methods\":["]);
        let mut index = 0;
        while index < handler.methods.len() {
            self.texts(&[if index > 0 { ",\"" } else { "\"" }, handler.methods[index], "\""]);
            index += 1;
        }
        let blocking = if handler.blocking { "\",\"blocking\":true}" } else { "\"}" };
        self.texts(&["],\"path\":\"", handler.path, blocking]);
    }

    pub const fn texts(&mut self, texts: &[&str]) {
        let mut index = 0;
        while index < texts.len() {
            let text = texts[index].as_bytes();
            if !self.out.is_empty() {
                // Whole texts at once: byte by byte, a long schema would exceed what the compiler lets constants compute.
                let (_, rest) = self.out.split_at_mut(self.len);
                let (place, _) = rest.split_at_mut(text.len());
                place.copy_from_slice(text);
            }
            self.len += text.len();
            index += 1;
        }
    }
}
