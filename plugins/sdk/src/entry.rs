//! The functions that the host calls, and the table that names them.
//!
//! Owns the crossing from C: pointers become references here, nothing unwinds out, and what was boxed is freed once. Must decide nothing:
//! `instance` and `call` do.

use std::ffi::{c_char, c_void};
use std::ptr;
use std::str;

use hotbay_abi::{self as abi, ERR, Handle, MOD_PANIC_UNWIND, PENDING, READY, REQ_BODY_INLINE, Rc, Str};

use crate::call::{Call, CallState, Handler};
use crate::instance::{Create, Instance};
use crate::{Config, Request, Response, answer, host};

/// What `module!` says about the author's crate.
pub trait Define {
    /// In the order of the manifest.
    const HANDLERS: &'static [Handler];
    /// How an instance's state is made.
    const CREATE: Create;
    /// Whether panics unwind in that crate's build.
    const UNWINDS: bool;
    /// The same, as the ABI's flags.
    const FLAGS: u32 = if Self::UNWINDS { MOD_PANIC_UNWIND } else { 0 };
}

/// The module's table.
pub const fn table<M: Define>() -> abi::Module {
    abi::Module {
        size: abi::size_of_table::<abi::Module>(),
        abi_minor: abi::ABI_MINOR as u32,
        flags: M::FLAGS,
        // `module!` refuses more than 64.
        n_handlers: M::HANDLERS.len() as u32,
        create: Some(create::<M>),
        poll_instance: Some(poll_instance),
        stop: Some(stop),
        destroy: Some(destroy),
        start: Some(start),
        poll: Some(poll),
        drop: Some(drop_call),
        extension: Some(extension),
    }
}

/// What the entry symbol does: keeps the host and takes over panics. NULL if the host is too old.
///
/// # Safety
/// `host` must be NULL or a table that is valid for ever.
pub unsafe fn enter(host: *const abi::Host, table: &'static abi::Module) -> *const abi::Module {
    // SAFETY: the caller's promise.
    if !unsafe { host::keep(host) } {
        return ptr::null();
    }
    host::install_panic_hook();
    table
}

unsafe extern "C" fn create<M: Define>(config: *const abi::Config, me: Handle, out: *mut *mut c_void) -> Rc {
    host::guard(me, || {
        // SAFETY: the host gives a config that is valid until this returns.
        let Some(config) = (unsafe { read_config(&*config) }) else {
            host::fail(me, "the config is not UTF-8");
            return ERR;
        };
        let (instance, rc) = Instance::create(M::HANDLERS, M::CREATE, config, me);
        if rc == READY || rc == PENDING {
            // SAFETY: the host gives a place to write to.
            unsafe { out.write(Box::into_raw(Box::new(instance)).cast()) };
        }
        rc
    })
}

/// # Safety
/// The config's views must be valid for the call.
unsafe fn read_config(config: &abi::Config) -> Option<Config> {
    // SAFETY: the caller's promise.
    let text = |view: Str| unsafe { view.get() }.map_or(Some(""), |bytes| str::from_utf8(bytes).ok());
    let json = Some(text(config.config_json)?).filter(|json| !json.is_empty()).unwrap_or("{}");
    Some(Config::new(text(config.name)?, json).with_digest(text(config.digest)?.to_owned()))
}

unsafe extern "C" fn poll_instance(instance: *mut c_void, me: Handle) -> Rc {
    // SAFETY: `create` made the pointer, and the host does not use it after destroy.
    host::guard(me, || unsafe { instance_of(instance) }.poll(me))
}

/// Nothing runs on its own in a module of this SDK, so there is nothing to wait for; the state goes in `destroy`.
unsafe extern "C" fn stop(_instance: *mut c_void, _me: Handle) -> Rc {
    READY
}

unsafe extern "C" fn destroy(instance: *mut c_void) {
    host::guard(0, || {
        // SAFETY: `create` made the pointer from a box, the host destroys once, and every call was dropped before.
        drop(unsafe { Box::from_raw(instance.cast::<Instance>()) });
        READY
    });
}

unsafe extern "C" fn start(
    instance: *mut c_void,
    handle: Handle,
    request: *const abi::Request,
    out: *mut *mut c_void,
) -> Rc {
    // SAFETY: `create` made the pointer; the host destroys it after this call's drop. So the reference outlives the call's state.
    let instance: &'static Instance = unsafe { instance_of(instance) };
    // SAFETY: the host keeps the request, unchanged, until the call's drop returns, or until this does if it is not PENDING. The state is
    // dropped there or here, so that nothing outlives the views; a handler sees them with a lifetime that it cannot name.
    let raw: &'static abi::Request = unsafe { &*request };
    let Some((handler, state)) = instance.handler(raw.handler) else {
        host::fail(handle, "the host called a handler that the module does not have");
        return ERR;
    };
    // SAFETY: as above.
    let Some(request) = (unsafe { Request::view(raw, &**state) }) else {
        return answer::send(handle, Response::text("the request is not UTF-8\n").with_status(400));
    };
    let whole = raw.flags & REQ_BODY_INLINE != 0;
    if let (Call::Plain(function), true) = (handler.call, whole) {
        // Most calls: answered at once, and nothing of them is left.
        return host::guard(handle, || answer::send(handle, function(request)));
    }
    let (call, rc) = CallState::start(handler.call, request, whole, handle);
    if rc == PENDING {
        // SAFETY: the host gives a place to write to.
        unsafe { out.write(Box::into_raw(Box::new(call)).cast()) };
        return rc;
    }
    // What is left of the call is the author's too. A panic in there comes after the answer, so it changes nothing for the client.
    host::guard(0, || {
        drop(call);
        READY
    });
    rc
}

unsafe extern "C" fn poll(state: *mut c_void, handle: Handle) -> Rc {
    // SAFETY: `start` made the pointer, and the host polls one at a time and not after drop.
    host::guard(handle, || unsafe { &mut *state.cast::<CallState>() }.advance(handle))
}

unsafe extern "C" fn drop_call(state: *mut c_void, _why: i32) {
    host::guard(0, || {
        // SAFETY: `start` made the pointer from a box, and the host drops once, when no poll is on any stack.
        drop(unsafe { Box::from_raw(state.cast::<CallState>()) });
        READY
    });
}

/// This SDK offers none yet.
unsafe extern "C" fn extension(_id: *const c_char) -> *const c_void {
    ptr::null()
}

/// # Safety
/// `create` must have made the pointer, and nobody may destroy it during `'i`.
unsafe fn instance_of<'i>(instance: *mut c_void) -> &'i Instance {
    // SAFETY: the caller's promise; instances are only ever shared.
    unsafe { &*instance.cast::<Instance>() }
}
