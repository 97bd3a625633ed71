//! Whether an ELF file is all there.
//!
//! Owns the check that everything the headers promise lies within the file, which a file that is still being written fails: linkers put
//! the section table last. Says nothing about whether the module can be loaded; the engine's checks do.

/// What is wrong with the file, for people.
pub(crate) type Incomplete = &'static str;

const PT_LOAD: u32 = 1;
const HEADER: usize = 64;

/// Checks that every loaded segment and the section table lie within `bytes`.
pub(crate) fn check_whole(bytes: &[u8]) -> Result<(), Incomplete> {
    let header = bytes.get(..HEADER).ok_or("it is too short for an ELF file")?;
    if header.get(..4) != Some(b"\x7fELF".as_slice()) {
        return Err("it is not an ELF file");
    }
    // Class 2 is 64 bit, data 1 is little-endian: all that Rust's tier-1 Linux targets with shared objects of ours are.
    if header.get(4..6) != Some([2, 1].as_slice()) {
        return Err("it is not a 64-bit little-endian ELF file");
    }
    let segments = Table {
        offset: number(header, 0x20, 8),
        size: number(header, 0x36, 2),
        count: number(header, 0x38, 2),
    };
    let sections = Table {
        offset: number(header, 0x28, 8),
        size: number(header, 0x3a, 2),
        count: number(header, 0x3c, 2),
    };
    if segments.count == 0 || segments.size < 56 {
        return Err("it has no program headers, so it is not a shared object");
    }
    sections.within(bytes).ok_or("it is cut short: its section table lies beyond its end")?;
    let headers = segments.within(bytes).ok_or("it is cut short: its program headers lie beyond its end")?;
    let step = usize::try_from(segments.size).map_err(|_| "its program headers are too large")?;
    for header in headers.chunks_exact(step) {
        let end = number(header, 8, 8).checked_add(number(header, 32, 8));
        if number(header, 0, 4) == u64::from(PT_LOAD) && end.is_none_or(|end| end > bytes.len() as u64) {
            return Err("it is cut short: a segment lies beyond its end");
        }
    }
    Ok(())
}

/// A table of headers.
struct Table {
    offset: u64,
    size: u64,
    count: u64,
}

impl Table {
    fn within<'b>(&self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let end = self.offset.checked_add(self.size.checked_mul(self.count)?)?;
        bytes.get(usize::try_from(self.offset).ok()?..usize::try_from(end).ok()?)
    }
}

/// The little-endian number of `length` bytes at `offset`; 0 beyond the end.
fn number(bytes: &[u8], offset: usize, length: usize) -> u64 {
    let field = bytes.get(offset..offset + length).unwrap_or_default();
    field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_file_is_whole() {
        let whole = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(check_whole(&whole), Ok(()));
        for length in [0, 4, 63, 64, 100, 4096, whole.len() / 2, whole.len() - 1] {
            assert!(check_whole(&whole[..length]).is_err(), "{length} bytes must not pass for all");
        }
    }

    #[test]
    fn absurd_headers_are_refused_without_overflow() {
        let mut bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        bytes[0x28..0x30].fill(0xff);
        assert!(
            check_whole(&bytes).is_err(),
            "a section table at the end of the address space must be refused"
        );
        assert_eq!(check_whole(b"#!/bin/sh\nexit 0\n"), Err("it is too short for an ELF file"));
        assert_eq!(check_whole(&[b'x'; 100]), Err("it is not an ELF file"));
    }
}
