//! The notes that make a shared object a module.
//!
//! Owns how they are found, in every PT_NOTE segment, each with its own alignment, and where one is that cannot be read. Must not judge what
//! they say.

use hotbay_abi::{NOTE_ABI, NOTE_MANIFEST, NOTE_NAME};
use object::LittleEndian as LE;
use object::elf::{PT_NOTE, ProgramHeader64};
use object::read::elf::{Note, ProgramHeader as _};

use super::Abi;
use super::image::{Elf, Image};

/// The name with its NUL, as the header has it.
const NAME_SIZE: u32 = NOTE_NAME.len() as u32 + 1;
/// What stands before a note's name: the two sizes and the type.
const HEAD_BYTES: u64 = 12;

/// What was found.
#[derive(Default)]
pub(super) struct Notes<'data> {
    /// The JSON of each manifest, without a C string's NUL.
    pub(super) manifests: Vec<&'data [u8]>,
    /// The first one that is long enough.
    pub(super) abi: Option<Abi>,
    /// The first that cannot be read: what lies behind it in its segment is not known.
    pub(super) broken: Option<BrokenNote>,
    /// The first size of a name of ours that is not the header's.
    pub(super) odd_name_size: Option<u32>,
}

/// A note, or a segment of notes, that cannot be read, by the byte of the file at which it begins.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenNote {
    /// It is longer than what holds it.
    #[error(
        "the note at byte {at:#x} of the file ends beyond its segment: its name_size is {name_size} and its desc_size {desc_size}, and only \
         {left} bytes follow its type"
    )]
    Beyond {
        /// Where it begins.
        at: u64,
        /// As it says.
        name_size: u32,
        /// As it says.
        desc_size: u32,
        /// What the segment has for both.
        left: u64,
    },
    /// There is no room for the two sizes and the type.
    #[error(
        "the note at byte {at:#x} of the file has only {left} bytes until its segment ends; a note has {HEAD_BYTES} before its name"
    )]
    Cut {
        /// Where it begins.
        at: u64,
        /// What the segment has.
        left: u64,
    },
    /// Nobody knows how to step through notes that are aligned so.
    #[error(
        "the segment of notes at byte {at:#x} of the file is aligned to {align}; align what is in .note.hotbay to 4"
    )]
    Alignment {
        /// Where it begins.
        at: u64,
        /// As its header says.
        align: u64,
    },
    /// It is not in the file.
    #[error("the segment of notes at byte {0:#x} goes beyond the end of the file")]
    Segment(u64),
}

impl<'data> Notes<'data> {
    pub(super) fn read(image: &Image<'data>) -> Self {
        let mut found = Self::default();
        for header in image.headers.iter().filter(|header| header.p_type(LE) == PT_NOTE) {
            // Other tools' notes are no reason to refuse a module: a broken one is told only where something of ours is missing.
            if let Err(broken) = found.segment(header, image.bytes) {
                found.broken.get_or_insert(broken);
            }
        }
        found
    }

    fn segment(&mut self, header: &ProgramHeader64<LE>, bytes: &'data [u8]) -> Result<(), BrokenNote> {
        let (mut at, align) = (header.p_offset(LE), header.p_align(LE));
        let segment = header.data(LE, bytes).map_err(|()| BrokenNote::Segment(at))?;
        let notes = header.notes(LE, bytes).map_err(|_| BrokenNote::Alignment { at, align })?;
        let mut rest = segment;
        for note in notes.into_iter().flatten() {
            let note = note.map_err(|_| fault(at, rest))?;
            self.take(&note);
            let length = length(&note, align.max(4));
            at += length;
            rest = usize::try_from(length).ok().and_then(|length| rest.get(length..)).unwrap_or_default();
        }
        Ok(())
    }

    fn take(&mut self, note: &Note<'data, Elf>) {
        if note.name() != NOTE_NAME.as_bytes() {
            return;
        }
        let name_size = note.n_namesz(LE);
        if name_size != NAME_SIZE {
            self.odd_name_size.get_or_insert(name_size);
        }
        match note.n_type(LE).0 {
            NOTE_MANIFEST => self.manifests.push(without_nul(note.desc())),
            NOTE_ABI => self.abi = self.abi.or_else(|| abi(note.desc())),
            _ => {}
        }
    }
}

/// From one note to the next; both its parts are padded.
fn length(note: &Note<'_, Elf>, align: u64) -> u64 {
    let name = (HEAD_BYTES + u64::from(note.n_namesz(LE))).next_multiple_of(align);
    (name + u64::from(note.n_descsz(LE))).next_multiple_of(align)
}

/// Why there is no note at the beginning of `rest`.
fn fault(at: u64, rest: &[u8]) -> BrokenNote {
    let left = rest.len() as u64;
    match rest {
        &[a, b, c, d, e, f, g, h, _, _, _, _, ..] => BrokenNote::Beyond {
            at,
            name_size: u32::from_le_bytes([a, b, c, d]),
            desc_size: u32::from_le_bytes([e, f, g, h]),
            left: left - HEAD_BYTES,
        },
        _ => BrokenNote::Cut { at, left },
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
