//! The file's outer shape: headers, and which bytes are mapped where.
//!
//! Owns the checks that the file is whole and of a kind that can be loaded at all. Must not look into notes or the dynamic section.

use object::elf::{
    EM_AARCH64, EM_X86_64, ET_DYN, FileHeader64, Machine, PT_DYNAMIC, PT_LOAD, ProgramHeader64,
};
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use object::{LittleEndian as LE, ReadRef as _};

use super::{ElfError, invalid};

/// The type parameter of `object`'s readers: 64-bit, little-endian.
pub(super) type Elf = FileHeader64<LE>;

/// A whole ELF64 little-endian shared object.
pub(super) struct Image<'data> {
    pub(super) bytes: &'data [u8],
    pub(super) headers: &'data [ProgramHeader64<LE>],
    /// In OCI's words.
    pub(super) arch: &'static str,
}

impl<'data> Image<'data> {
    pub(super) fn parse(bytes: &'data [u8]) -> Result<Self, ElfError> {
        check_ident(bytes)?;
        let cut = |error: object::read::Error| invalid(error.to_string());
        let header = Elf::parse(bytes).map_err(cut)?;
        if header.e_type(LE) != ET_DYN {
            return Err(invalid("it is not a shared object"));
        }
        let arch = arch(header.e_machine(LE))?;
        let headers = header.program_headers(LE, bytes).map_err(cut)?;
        // Linkers write the section table last, so a file whose copy is not finished yet is seen here. `sstrip` leaves none.
        header.section_headers(LE, bytes).map_err(cut)?;
        let image = Self { bytes, headers, arch };
        image.check_segments()?;
        Ok(image)
    }

    fn check_segments(&self) -> Result<(), ElfError> {
        if !self.headers.iter().any(|header| header.p_type(LE) == PT_LOAD) {
            return Err(invalid("it has nothing to load"));
        }
        for header in self.headers {
            let checked = [PT_LOAD, PT_DYNAMIC].contains(&header.p_type(LE));
            if checked && header.data(LE, self.bytes).is_err() {
                return Err(invalid("a segment reaches beyond the end of the file"));
            }
            if checked && header.p_filesz(LE) > header.p_memsz(LE) {
                return Err(invalid("a segment is larger in the file than in memory"));
            }
        }
        Ok(())
    }

    /// The file's bytes from what is mapped at `address` to the end of that segment.
    pub(super) fn at(&self, address: u64) -> Option<&'data [u8]> {
        self.headers.iter().filter(|header| header.p_type(LE) == PT_LOAD).find_map(|header| {
            let offset = address.checked_sub(header.p_vaddr(LE))?;
            let left = header.p_filesz(LE).checked_sub(offset).filter(|left| *left > 0)?;
            self.bytes.read_bytes_at(header.p_offset(LE).checked_add(offset)?, left).ok()
        })
    }
}

/// The first bytes decide what the rest means.
fn check_ident(bytes: &[u8]) -> Result<(), ElfError> {
    match bytes {
        [0x7f, b'E', b'L', b'F', 2, 1, ..] => Ok(()),
        [0x7f, b'E', b'L', b'F', 1, ..] => Err(ElfError::Machine("a 32-bit machine".to_owned())),
        [0x7f, b'E', b'L', b'F', 2, 2, ..] => Err(ElfError::Machine("a big-endian machine".to_owned())),
        [] => Err(invalid("it is empty")),
        _ => Err(invalid("it does not begin as ELF")),
    }
}

fn arch(machine: Machine) -> Result<&'static str, ElfError> {
    match machine {
        EM_X86_64 => Ok("amd64"),
        EM_AARCH64 => Ok("arm64"),
        Machine(other) => Err(ElfError::Machine(format!("machine number {other}"))),
    }
}
