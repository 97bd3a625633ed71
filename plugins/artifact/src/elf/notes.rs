//! The notes that make a shared object a module.
//!
//! Owns how they are found: in every PT_NOTE segment, each with its own alignment. Must not judge what they say.

use hotbay_abi::{NOTE_ABI, NOTE_MANIFEST, NOTE_NAME};
use object::LittleEndian as LE;
use object::read::elf::ProgramHeader as _;

use super::Abi;
use super::image::Image;

/// What was found.
#[derive(Default)]
pub(super) struct Notes<'data> {
    /// The JSON of each manifest, without a C string's NUL.
    pub(super) manifests: Vec<&'data [u8]>,
    /// The first one that is long enough.
    pub(super) abi: Option<Abi>,
}

impl<'data> Notes<'data> {
    pub(super) fn read(image: &Image<'data>) -> Self {
        let mut found = Self::default();
        // A segment of notes that cannot be read hides at most its own: other tools' notes are no reason to refuse a module.
        let segments = image.headers.iter().filter_map(|header| header.notes(LE, image.bytes).ok().flatten());
        for note in segments.flat_map(|notes| notes.map_while(Result::ok)) {
            if note.name() != NOTE_NAME.as_bytes() {
                continue;
            }
            match note.n_type(LE).0 {
                NOTE_MANIFEST => found.manifests.push(without_nul(note.desc())),
                NOTE_ABI => found.abi = found.abi.or_else(|| abi(note.desc())),
                _ => {}
            }
        }
        found
    }
}

/// A later version may append to the note.
fn abi(desc: &[u8]) -> Option<Abi> {
    let (&[a, b, c, d, e, f, g, h], _) = desc.split_first_chunk()?;
    Some(Abi {
        major: u16::from_le_bytes([a, b]),
        minor: u16::from_le_bytes([c, d]),
        flags: u32::from_le_bytes([e, f, g, h]),
    })
}

fn without_nul(mut json: &[u8]) -> &[u8] {
    while let [rest @ .., 0] = json {
        json = rest;
    }
    json
}
