//! A module's code, loaded.
//!
//! Owns `dlopen` and the entry call. Must not be asked for files that others can write, or that did not pass the ELF checks: what is loaded runs.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use hotbay_abi as abi;
use hotbay_abi::{EntryFn, Module};
use hotbay_api::{Digest, Reason, names};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use crate::host;

/// A module's table with every function that it must have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    pub n_handlers: u32,
    pub create: unsafe extern "C" fn(*const abi::Config, abi::Handle, *mut *mut std::ffi::c_void) -> abi::Rc,
    pub poll_instance: unsafe extern "C" fn(*mut std::ffi::c_void, abi::Handle) -> abi::Rc,
    pub stop: unsafe extern "C" fn(*mut std::ffi::c_void, abi::Handle) -> abi::Rc,
    pub destroy: unsafe extern "C" fn(*mut std::ffi::c_void),
    pub start: unsafe extern "C" fn(
        *mut std::ffi::c_void,
        abi::Handle,
        *const abi::Request,
        *mut *mut std::ffi::c_void,
    ) -> abi::Rc,
    pub poll: unsafe extern "C" fn(*mut std::ffi::c_void, abi::Handle) -> abi::Rc,
    pub drop: unsafe extern "C" fn(*mut std::ffi::c_void, i32),
}

/// A loaded shared object. It stays mapped for the life of the process, whoever still holds this.
#[derive(Debug)]
pub struct Image {
    table: Table,
    digest: Digest,
}

/// Why a file could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The dynamic linker refused it.
    #[error("the dynamic linker refuses the module: {0}")]
    Linker(String),
    /// The entry symbol is not there.
    #[error(
        "the module does not export {}; export it from the shared object (in Rust: a cdylib with module!)",
        names::ENTRY_SYMBOL
    )]
    NoEntry,
    /// The entry function answered NULL.
    #[error("the module refuses this host (ABI {}.{})", abi::ABI_MAJOR, abi::ABI_MINOR)]
    Refused,
    /// The table is too short, lacks a function, or has flags that it may not have or lacks one.
    #[error("the module's table is not whole: {0}")]
    Table(String),
    /// The table and the manifest differ.
    #[error(
        "the module's table has {table} handlers (n_handlers) and its manifest names {manifest}; make them the same, as an SDK does when the \
         module is built again"
    )]
    Handlers {
        /// In the table.
        table: u32,
        /// In the manifest.
        manifest: usize,
    },
    /// The staged file is not what was staged.
    #[error("the staged copy of {0} was changed; clear the state folder")]
    Changed(Digest),
    /// The load did not return in time.
    #[error("loading the module did not return within {0:?}")]
    Hangs(std::time::Duration),
}

impl LoadError {
    /// In one word. The linker's own words are told apart by their text (glibc 2.36's dl-open.c, dl-load.c, dl-version.c).
    pub fn reason(&self) -> Reason {
        match self {
            Self::Linker(words) if words.contains("static TLS") => Reason::StaticTls,
            Self::Linker(words) if words.contains("version `GLIBC_") => Reason::LibcTooOld,
            Self::Linker(words) if words.contains("cannot open shared object file") => {
                Reason::DependencyMissing
            }
            Self::Linker(words) if words.contains("failed to map segment") => Reason::NoExec,
            Self::Linker(words) if words.contains("undefined symbol") => Reason::DependencyMissing,
            Self::Linker(_) => Reason::InvalidElf,
            Self::NoEntry => Reason::MissingSymbol,
            Self::Refused | Self::Table(_) => Reason::AbiMismatch,
            Self::Handlers { .. } => Reason::ManifestInvalid,
            Self::Changed(_) => Reason::DigestMismatch,
            Self::Hangs(_) => Reason::ProbeTimeout,
        }
    }
}

impl Image {
    /// Loads the file and calls its entry function. `manifest_handlers` is how many handlers the manifest names.
    ///
    /// # Errors
    /// See [`LoadError`]. What was mapped stays mapped.
    ///
    /// # Safety
    /// The file's constructors and entry function run here: it must be a module that passed the ELF checks (its note promises the entry's
    /// signature), and nobody may write to it any more.
    pub unsafe fn load(path: &Path, digest: Digest, manifest_handlers: usize) -> Result<Self, LoadError> {
        // RTLD_NODELETE: threads, TLS destructors and wakers may outlive any dlclose.
        let flags = RTLD_NOW | RTLD_LOCAL | libc::RTLD_NODELETE;
        // SAFETY: the caller vouches for the constructors.
        let library = unsafe { Library::open(Some(OsStr::from_bytes(path.as_os_str().as_bytes())), flags) }
            .map_err(|error| LoadError::Linker(linker_words(&error, path)))?;
        // SAFETY: the ELF note promises the signature.
        let entry: EntryFn = unsafe { library.get::<EntryFn>(names::ENTRY_SYMBOL.as_bytes()) }
            .map(|symbol| *symbol)
            .map_err(|_| LoadError::NoEntry)?;
        std::mem::forget(library);
        // SAFETY: the signature is as promised, and the host's table lives as long as the process.
        let table = unsafe { table_of(entry(host::table())) }?;
        if table.n_handlers as usize != manifest_handlers {
            return Err(LoadError::Handlers { table: table.n_handlers, manifest: manifest_handlers });
        }
        Ok(Self { table, digest })
    }

    /// Of the file.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// An image whose functions are the test's own.
    #[cfg(test)]
    pub(crate) fn of(table: Table) -> Self {
        Self { table, digest: Digest::of(b"") }
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }
}

/// The linker's message with the path taken out: the stage's folder tells a user nothing.
fn linker_words(error: &libloading::Error, path: &Path) -> String {
    let words = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    words.replace(&*path.to_string_lossy(), "the module")
}

/// Copies a module's table, checking that it is whole.
///
/// # Safety
/// `module` must be NULL or point to at least `size` bytes of a table.
unsafe fn table_of(module: *const Module) -> Result<Table, LoadError> {
    if module.is_null() {
        return Err(LoadError::Refused);
    }
    // SAFETY: every table begins with its size.
    let size = unsafe { (&raw const (*module).size).read() };
    // `extension` is the last field and may be absent.
    if (size as usize) < std::mem::offset_of!(Module, extension) {
        return Err(LoadError::Table(format!(
            "its size of {size} bytes is shorter than the first version of the ABI requires; set it to sizeof(hb_module)"
        )));
    }
    // SAFETY: all fields up to `extension` lie within `size`, and only those are read.
    let field = unsafe { &*module.cast::<Required>() };
    check_flags(field.flags)?;
    let functions = || {
        Some(Table {
            n_handlers: field.n_handlers,
            create: field.create?,
            poll_instance: field.poll_instance?,
            stop: field.stop?,
            destroy: field.destroy?,
            start: field.start?,
            poll: field.poll?,
            drop: field.drop?,
        })
    };
    functions().ok_or_else(|| {
        LoadError::Table(format!("NULL stands where a function is required: {}", field.missing().join(", ")))
    })
}

/// One must be set, and one of the high half would have to be understood.
fn check_flags(flags: u32) -> Result<(), LoadError> {
    if flags & abi::MOD_PANIC_UNWIND == 0 {
        return Err(LoadError::Table(
            "its panics would end the engine, as HB_MOD_PANIC_UNWIND is not among its flags; set it there and in the ABI note, or in Rust \
             build it with panic = \"unwind\""
                .to_owned(),
        ));
    }
    if flags >> 16 != 0 {
        return Err(LoadError::Table(format!(
            "it asks for something that this host does not know, with the high bits of its flags {flags:#010x}; clear them, or upgrade Hotbay"
        )));
    }
    Ok(())
}

/// [`Module`] without its optional end.
#[repr(C)]
struct Required {
    size: u32,
    abi_minor: u32,
    flags: u32,
    n_handlers: u32,
    create:
        Option<unsafe extern "C" fn(*const abi::Config, abi::Handle, *mut *mut std::ffi::c_void) -> abi::Rc>,
    poll_instance: Option<unsafe extern "C" fn(*mut std::ffi::c_void, abi::Handle) -> abi::Rc>,
    stop: Option<unsafe extern "C" fn(*mut std::ffi::c_void, abi::Handle) -> abi::Rc>,
    destroy: Option<unsafe extern "C" fn(*mut std::ffi::c_void)>,
    start: Option<
        unsafe extern "C" fn(
            *mut std::ffi::c_void,
            abi::Handle,
            *const abi::Request,
            *mut *mut std::ffi::c_void,
        ) -> abi::Rc,
    >,
    poll: Option<unsafe extern "C" fn(*mut std::ffi::c_void, abi::Handle) -> abi::Rc>,
    drop: Option<unsafe extern "C" fn(*mut std::ffi::c_void, i32)>,
}

impl Required {
    /// The functions that are NULL.
    fn missing(&self) -> Vec<&'static str> {
        let all = [
            ("create", self.create.is_none()),
            ("poll_instance", self.poll_instance.is_none()),
            ("stop", self.stop.is_none()),
            ("destroy", self.destroy.is_none()),
            ("start", self.start.is_none()),
            ("poll", self.poll.is_none()),
            ("drop", self.drop.is_none()),
        ];
        all.into_iter().filter(|(_, is_null)| *is_null).map(|(name, _)| name).collect()
    }
}

const _: () = assert!(size_of::<Required>() == std::mem::offset_of!(Module, extension));

#[cfg(test)]
mod tests {
    use std::ffi::c_void;

    use abi::{Config, Handle, Rc, Request, size_of_table};

    use super::*;

    unsafe extern "C" fn create(_: *const Config, _: Handle, _: *mut *mut c_void) -> Rc {
        abi::READY
    }
    unsafe extern "C" fn instance(_: *mut c_void, _: Handle) -> Rc {
        abi::READY
    }
    unsafe extern "C" fn destroy(_: *mut c_void) {}
    unsafe extern "C" fn start(_: *mut c_void, _: Handle, _: *const Request, _: *mut *mut c_void) -> Rc {
        abi::READY
    }
    unsafe extern "C" fn end(_: *mut c_void, _: i32) {}

    /// As a module of a later minor version has it: what is new stands at the end.
    #[repr(C)]
    struct Newer {
        known: Module,
        news: [u64; 4],
    }

    fn table(change: impl FnOnce(&mut Newer)) -> Result<Table, LoadError> {
        let known = Module {
            size: size_of_table::<Module>(),
            abi_minor: u32::from(abi::ABI_MINOR),
            flags: abi::MOD_PANIC_UNWIND,
            n_handlers: 3,
            create: Some(create),
            poll_instance: Some(instance),
            stop: Some(instance),
            destroy: Some(destroy),
            start: Some(start),
            poll: Some(instance),
            drop: Some(end),
            extension: None,
        };
        let mut newer = Newer { known, news: [u64::MAX; 4] };
        change(&mut newer);
        // SAFETY: as many bytes as any size that a test gives.
        unsafe { table_of((&raw const newer).cast()) }
    }

    #[test]
    fn tables_of_older_and_newer_modules_are_read_by_their_size() {
        let oldest = u32::try_from(std::mem::offset_of!(Module, extension)).unwrap();
        for size in [oldest, size_of_table::<Module>(), size_of_table::<Newer>()] {
            let read = table(|newer| (newer.known.size, newer.known.abi_minor) = (size, 99));
            assert_eq!(read.unwrap().n_handlers, 3, "{size} bytes");
        }
        for size in [0, 16, oldest - 1] {
            assert!(
                matches!(table(|newer| newer.known.size = size), Err(LoadError::Table(_))),
                "{size} bytes"
            );
        }
        assert!(table(|newer| newer.known.flags |= 1 << 15).is_ok(), "a low flag may be ignored");
    }

    #[test]
    fn a_table_that_is_not_whole_is_refused_with_words() {
        let refused = |change: fn(&mut Newer)| match table(change) {
            Err(LoadError::Table(words)) => words,
            other => panic!("{other:?}"),
        };
        for (change, words) in [
            (
                (|newer| newer.known.poll = None) as fn(&mut Newer),
                "NULL stands where a function is required: poll",
            ),
            (|newer| (newer.known.create, newer.known.drop) = (None, None), "required: create, drop"),
            (|newer| newer.known.flags = 0, "HB_MOD_PANIC_UNWIND is not among its flags; set it there"),
            (|newer| newer.known.flags = 0, "panic = \"unwind\""),
            (
                |newer| newer.known.flags |= 1 << 16,
                "does not know, with the high bits of its flags 0x00010001",
            ),
            (|newer| newer.known.size = 16, "its size of 16 bytes is shorter"),
        ] {
            let said = refused(change);
            assert!(said.contains(words), "{said} must say {words:?}");
        }
        // All of them, under their own names.
        let said = refused(|newer| {
            let Module { size, abi_minor, flags, n_handlers, .. } = newer.known;
            // SAFETY: zeros are NULL for an optional function, and valid for numbers.
            newer.known = Module { size, abi_minor, flags, n_handlers, ..unsafe { std::mem::zeroed() } };
        });
        assert!(said.ends_with(": create, poll_instance, stop, destroy, start, poll, drop"), "{said}");
        // SAFETY: NULL is what a module answers that refuses its host.
        assert!(matches!(unsafe { table_of(std::ptr::null()) }, Err(LoadError::Refused)));
    }
}
