//! The bay: the flat folder of entries and blobs that is Hotbay's contract.
//!
//! Owns how a bay is read ([`Reader`]), how a blob leaves it for the private [`Stage`], how it is filled ([`Writer`]), and
//! how plain `.so` files that people edit are picked up ([`DropIns`]). Blocking, for a plain thread: no runtime is needed. Must not decide
//! what is loaded, nor map a file of the bay: others can write it.

mod blob;
mod drop_in;
mod elf;
mod folder;
mod problem;
mod reader;
mod room;
mod sighting;
mod stage;
mod watch;
mod writer;

pub use blob::{BlobError, VerifiedBlobs, check_compressed, copy_blob};
pub use drop_in::{DropIn, DropInScan, DropIns, drop_in_stem};
pub use folder::Stamp;
pub use problem::Problem;
pub use reader::{Options, Reader, Scan};
pub use room::NoRoom;
pub use stage::Stage;
pub use watch::{FileWatch, POLL_INTERVAL, Wake, Waker};
pub use writer::{Contents, IncomingBlob, Swept, WriteError, Writer};

/// The largest entry that is read or written. Holds 64 routes and 64 KiB of config for two revisions with room to spare.
pub const MAX_ENTRY_BYTES: u64 = 256 * 1024;

#[cfg(test)]
mod fixtures;
