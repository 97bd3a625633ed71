//! A module, loaded into this process, and its functions.
//!
//! Owns the load and the checks on the table. Everything here runs foreign code: only a child calls it.

use std::ffi::{CStr, CString, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr;

use hotbay_abi::{self as abi, Config, EntryFn, Handle, Rc, Request};
use hotbay_artifact::ModuleFacts;

use crate::threads::Threads;
use crate::{Rule, host, report};

const ENTRY: &CStr = c"hotbay_module_v1";

type CreateFn = unsafe extern "C" fn(*const Config, Handle, *mut *mut c_void) -> Rc;
type InstanceFn = unsafe extern "C" fn(*mut c_void, Handle) -> Rc;
type StartFn = unsafe extern "C" fn(*mut c_void, Handle, *const Request, *mut *mut c_void) -> Rc;

/// A module's functions.
#[derive(Clone, Copy)]
pub(crate) struct Module {
    create: CreateFn,
    poll_instance: InstanceFn,
    stop: InstanceFn,
    destroy: unsafe extern "C" fn(*mut c_void),
    start: StartFn,
    poll: InstanceFn,
    drop: unsafe extern "C" fn(*mut c_void, i32),
}

/// What the module calls its instance or a call's state.
#[derive(Clone, Copy)]
pub(crate) struct Theirs(*mut c_void);

// SAFETY: the ABI asks that instances and states may be used from any thread.
unsafe impl Send for Theirs {}
// SAFETY: as above.
unsafe impl Sync for Theirs {}

/// Loads the file and calls its entry. `None`: that broke a rule, which is reported.
pub(crate) fn load(path: &Path, facts: &ModuleFacts, newer: bool) -> Option<Module> {
    let entry = open(path)?;
    let before = Threads::now();
    report::doing("hotbay_module_v1");
    // SAFETY: the ELF note promises the signature, and the table lives for ever.
    let table = unsafe { entry(host::host(newer)) };
    for thread in before.left() {
        report::broken(Rule::Threads, &format!("the entry made the thread {thread:?}"));
    }
    if table.is_null() {
        report::broken(Rule::Table, "the module refuses this host");
        return None;
    }
    // SAFETY: every table begins with its size.
    let size = unsafe { (&raw const (*table).size).read() } as usize;
    if size < std::mem::offset_of!(abi::Module, extension) {
        report::broken(Rule::Table, &format!("its size is {size}"));
        return None;
    }
    let mut known = std::mem::MaybeUninit::<abi::Module>::zeroed();
    // SAFETY: as many bytes as both know are readable; zeros are valid for those that are left out.
    let known = unsafe {
        let length = size.min(size_of::<abi::Module>());
        ptr::copy_nonoverlapping(table.cast::<u8>(), known.as_mut_ptr().cast::<u8>(), length);
        known.assume_init()
    };
    asked(&known);
    checked(&known, facts)
}

/// Asks the module for what no module has, from two threads at once: it has to know that it does not know it.
fn asked(table: &abi::Module) {
    let Some(extension) = table.extension else { return };
    report::doing("extension");
    // SAFETY: any thread may call it from the entry on, and the id is a C string.
    let ask = move || unsafe { extension(c"hotbay.of-no-module/1".as_ptr()) }.is_null();
    let other = std::thread::spawn(ask);
    if !ask() || !other.join().unwrap_or(false) {
        report::broken(Rule::Table, "its extension() answered for an extension that does not exist");
    }
}

fn open(path: &Path) -> Option<EntryFn> {
    let name = CString::new(path.as_os_str().as_bytes()).ok()?;
    report::doing("dlopen");
    // SAFETY: this process is there to run the module's constructors.
    let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    if library.is_null() {
        // SAFETY: dlopen has failed, so there is a message.
        let words = unsafe { CStr::from_ptr(libc::dlerror()) };
        report::broken(Rule::Loads, &words.to_string_lossy());
        return None;
    }
    // SAFETY: the library was just opened.
    let symbol = unsafe { libc::dlsym(library, ENTRY.as_ptr()) };
    if symbol.is_null() {
        report::broken(Rule::Symbols, "hotbay_module_v1 is not exported");
        return None;
    }
    // SAFETY: the ELF note promises that the symbol is this function.
    Some(unsafe { std::mem::transmute::<*mut c_void, EntryFn>(symbol) })
}

fn checked(table: &abi::Module, facts: &ModuleFacts) -> Option<Module> {
    flags_checked(table.flags, facts.abi.flags);
    let handlers = facts.manifest.handlers.len();
    if table.n_handlers as usize != handlers {
        report::broken(
            Rule::Table,
            &format!("n_handlers is {} and its manifest has {handlers}", table.n_handlers),
        );
    }
    let functions = || {
        Some(Module {
            create: table.create?,
            poll_instance: table.poll_instance?,
            stop: table.stop?,
            destroy: table.destroy?,
            start: table.start?,
            poll: table.poll?,
            drop: table.drop?,
        })
    };
    let module = functions();
    if module.is_none() {
        report::broken(
            Rule::Table,
            &format!("NULL stands where a function is required: {}", missing(table).join(", ")),
        );
    }
    module
}

/// Those of the table, and those of the note, which hosts do not compare.
fn flags_checked(flags: u32, of_the_note: u32) {
    if flags & abi::MOD_PANIC_UNWIND == 0 {
        report::broken(Rule::Table, "HB_MOD_PANIC_UNWIND is not among its flags");
    }
    if flags >> 16 != 0 {
        report::broken(Rule::Table, &format!("its flags {flags:#x} ask for what no host knows"));
    }
    if flags != of_the_note {
        let words = format!(
            "its flags are {flags:#x} and those of the ABI note {of_the_note:#x}; they have to be the same"
        );
        report::broken(Rule::Table, &words);
    }
}

/// The required functions that are NULL.
fn missing(table: &abi::Module) -> Vec<&'static str> {
    let all = [
        ("create", table.create.is_none()),
        ("poll_instance", table.poll_instance.is_none()),
        ("stop", table.stop.is_none()),
        ("destroy", table.destroy.is_none()),
        ("start", table.start.is_none()),
        ("poll", table.poll.is_none()),
        ("drop", table.drop.is_none()),
    ];
    all.into_iter().filter(|(_, is_null)| *is_null).map(|(name, _)| name).collect()
}

impl Module {
    /// Calls `create`.
    pub fn create(&self, config: *const Config, me: Handle) -> (Rc, Theirs) {
        let mut instance = ptr::null_mut();
        report::doing("create");
        // SAFETY: the config's views live for the call.
        let rc = unsafe { (self.create)(config, me, &raw mut instance) };
        (rc, Theirs(instance))
    }

    /// Calls `poll_instance`.
    pub fn poll_instance(&self, instance: Theirs, me: Handle) -> Rc {
        report::doing("poll_instance");
        // SAFETY: create or stop answered PENDING.
        unsafe { (self.poll_instance)(instance.0, me) }
    }

    /// Calls `stop`.
    pub fn stop(&self, instance: Theirs, me: Handle) -> Rc {
        report::doing("stop");
        // SAFETY: once, when no call is left.
        unsafe { (self.stop)(instance.0, me) }
    }

    /// Calls `destroy`.
    pub fn destroy(&self, instance: Theirs) {
        report::doing("destroy");
        // SAFETY: once, after stop.
        unsafe { (self.destroy)(instance.0) }
    }

    /// Calls `start`.
    pub fn start(&self, instance: Theirs, call: Handle, request: *const Request) -> (Rc, Theirs) {
        let mut state = ptr::null_mut();
        report::doing("start");
        // SAFETY: the instance is ready, and the request lives until the call is over.
        let rc = unsafe { (self.start)(instance.0, call, request, &raw mut state) };
        (rc, Theirs(state))
    }

    /// Calls `poll`.
    pub fn poll(&self, state: Theirs, call: Handle) -> Rc {
        report::doing("poll");
        // SAFETY: the state is of a start that answered PENDING, and was not dropped.
        unsafe { (self.poll)(state.0, call) }
    }

    /// Calls `drop`.
    pub fn drop(&self, state: Theirs, why: i32) {
        report::doing("drop");
        // SAFETY: once, for a start that answered PENDING.
        unsafe { (self.drop)(state.0, why) }
    }
}
