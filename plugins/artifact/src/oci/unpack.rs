//! From a layer's bytes to the module.
//!
//! Owns the rule that the bytes decide the form, and the bounds: a compressed kilobyte may claim to be a terabyte, and an archive may hold
//! links and paths that lead elsewhere. Nothing is ever written, and only one regular file of one name is read.

use std::io::{self, Read};

use bytes::Bytes;

use super::OciError;

/// The module's name in the archive of an image.
pub(super) const MODULE_FILE: &str = "module.so";

/// What an archive may have beside the module: its own headers, extended ones, and padding to a record of 10 KiB.
const ARCHIVE_ROOM: u64 = 64 * 1024;

/// Log2 of the most memory that a zstd window may take. Levels up to 19 need 23.
const ZSTD_WINDOW_LOG: u32 = 24;

/// The module in `layer`, at most `max_bytes` long.
///
/// # Errors
/// When the layer holds something else, or too much.
pub fn unpack(layer: Bytes, max_bytes: u64) -> Result<Bytes, OciError> {
    match layer[..] {
        [0x7f, b'E', b'L', b'F', ..] if layer.len() as u64 > max_bytes => Err(OciError::TooLarge(max_bytes)),
        [0x7f, b'E', b'L', b'F', ..] => Ok(layer),
        [0x1f, 0x8b, ..] => from_archive(flate2::bufread::MultiGzDecoder::new(&layer[..]), max_bytes),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            from_archive(zstd_reader(&layer).map_err(OciError::Unpack)?, max_bytes)
        }
        _ if layer.get(257..262) == Some(b"ustar") => from_archive(&layer[..], max_bytes),
        _ => Err(OciError::NotElf),
    }
}

fn zstd_reader(layer: &[u8]) -> io::Result<impl Read> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(layer)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG)?;
    Ok(decoder)
}

fn from_archive(reader: impl Read, max_bytes: u64) -> Result<Bytes, OciError> {
    let left = max_bytes.saturating_add(ARCHIVE_ROOM);
    let mut archive = tar::Archive::new(Bounded { reader, left });
    let broken = |error: io::Error| match error.kind() {
        io::ErrorKind::FileTooLarge => OciError::TooLarge(max_bytes),
        _ => OciError::Unpack(error),
    };
    let mut module = None;
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let kind = entry.header().entry_type();
        let name = file_name(&entry.path_bytes());
        if name.is_empty() && kind.is_dir() {
            continue;
        }
        if name != MODULE_FILE {
            return Err(OciError::Archive(format!("it holds {name:?}")));
        }
        if kind != tar::EntryType::Regular {
            return Err(OciError::Archive("/module.so is a link or a special file".to_owned()));
        }
        if entry.size() > max_bytes {
            return Err(OciError::TooLarge(max_bytes));
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(broken)?;
        if module.replace(bytes).is_some() {
            return Err(OciError::Archive("it holds /module.so twice".to_owned()));
        }
    }
    // To the end, so that the checksum behind compressed bytes is compared too.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(broken)?;
    let module = module.ok_or_else(|| OciError::Archive("it is empty".to_owned()))?;
    if module.starts_with(b"\x7fELF") { Ok(module.into()) } else { Err(OciError::NotElf) }
}

/// The path without what means "here": tools write `module.so`, `./module.so` or `/module.so`.
fn file_name(path: &[u8]) -> String {
    let path: String = String::from_utf8_lossy(path).chars().take(100).collect();
    let path = path.strip_prefix("./").or_else(|| path.strip_prefix('/')).unwrap_or(&path);
    if path == "." { String::new() } else { path.to_owned() }
}

/// Ends with an error, not with an end of file, where more follows than is allowed.
struct Bounded<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        match self.left.checked_sub(read as u64) {
            Some(left) => self.left = left,
            None => return Err(io::ErrorKind::FileTooLarge.into()),
        }
        Ok(read)
    }
}
