//! A module, loaded into this process, and its functions.
//!
//! Owns the load and the checks on the table. Everything here runs foreign code: only a child calls it.

use std::ffi::{CStr, CString, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr;

use hotbay_abi::{self as abi, Config, EntryFn, Handle, Rc, Request};

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
pub(crate) fn load(path: &Path, handlers: usize, newer: bool) -> Option<Module> {
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
    checked(&known, handlers)
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

fn checked(table: &abi::Module, handlers: usize) -> Option<Module> {
    if table.flags & abi::MOD_PANIC_UNWIND == 0 {
        report::broken(Rule::Table, "HB_MOD_PANIC_UNWIND is not among its flags");
    }
    if table.flags >> 16 != 0 {
        report::broken(Rule::Table, &format!("its flags {:#x} ask for what no host knows", table.flags));
    }
    if table.n_handlers as usize != handlers {
        report::broken(
            Rule::Table,
            &format!("it has {} handlers and its manifest {handlers}", table.n_handlers),
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
        report::broken(Rule::Table, "a required function is NULL");
    }
    module
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
