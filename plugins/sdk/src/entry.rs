//! The functions that the host calls, and the table that names them.
//!
//! Owns the crossing from C: pointers become references here, nothing unwinds out, and what was boxed is freed once. Must decide nothing:
//! `alive` and `call` do.

use std::ffi::{c_char, c_void};
use std::ptr;
use std::str;
use std::sync::Arc;

use hotbay_abi::{
    self as abi, ERR, Handle, MOD_PANIC_UNWIND, PANIC, PENDING, READY, REQ_BODY_INLINE, REQ_UPGRADE_OK, Rc,
    Str, UNSUPPORTED,
};

use crate::alive::Alive;
use crate::answer::Sent;
use crate::call::{BodyMode, Call, CallState, Handler, Stage};
use crate::hook::Check;
use crate::instance::{Create, Stop};
use crate::link::{Held, Link, NO_LINK};
use crate::{Config, Request, Response, answer, host, log, time};

/// The lowest flag that may not be ignored by who does not know it, which this SDK does not know any of.
const MUST_UNDERSTAND: u32 = 1 << 16;

/// What `module!` says about the author's crate.
pub trait Define {
    /// In the order of the manifest.
    const HANDLERS: &'static [Handler];
    /// How an instance's state is made.
    const CREATE: Create;
    /// What runs when no call is left.
    const STOP: Stop = Stop::Nothing;
    /// Whether a config fits the module's type, if it names one.
    const CHECK: Option<Check> = None;
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
    log::install();
    table
}

unsafe extern "C" fn create<M: Define>(config: *const abi::Config, me: Handle, out: *mut *mut c_void) -> Rc {
    host::guard(me, || {
        // SAFETY: the host gives a config that is valid until this returns.
        let raw = unsafe { &*config };
        if raw.flags >= MUST_UNDERSTAND {
            return refuse(me, "config", raw.flags);
        }
        // SAFETY: as above.
        let Some(config) = (unsafe { read_config(raw) }) else {
            host::fail(me, "the config is not UTF-8");
            return ERR;
        };
        match Alive::create::<M>(config, me) {
            Ok((alive, rc)) => {
                // SAFETY: the host gives a place to write to.
                unsafe { out.write(Box::into_raw(Box::new(alive)).cast()) };
                rc
            }
            Err(rc) => rc,
        }
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
    unsafe { alive(instance) }.poll(me)
}

unsafe extern "C" fn stop(instance: *mut c_void, me: Handle) -> Rc {
    // SAFETY: as above.
    unsafe { alive(instance) }.stop(me)
}

unsafe extern "C" fn destroy(instance: *mut c_void) {
    host::guard(0, || {
        // SAFETY: `create` made the pointer from a box, the host destroys once, and every call was dropped before.
        let alive = *unsafe { Box::from_raw(instance.cast::<Alive>()) };
        alive.destroy();
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
    let alive: &'static Alive = unsafe { alive(instance) };
    // SAFETY: the host keeps the request, unchanged, until the call's drop returns, or until this does if it is not PENDING. The state is
    // dropped there or here, so that nothing outlives the views; a handler sees them with a lifetime that it cannot name.
    let raw: &'static abi::Request = unsafe { &*request };
    if raw.flags >= MUST_UNDERSTAND {
        return refuse(handle, "request", raw.flags);
    }
    let Some((handler, shared)) = alive.instance.handler(raw.handler) else {
        host::fail(handle, "the host called a handler that the module does not have");
        return ERR;
    };
    let link = link_for(raw, handler.body, handle);
    let pointer = link.as_ref().map_or(NO_LINK, |link| Arc::as_ptr(&link.0));
    // SAFETY: as above, and the link is held until the views go.
    let request = unsafe { Request::view(raw, handle, pointer, shared) };
    let at_once = request.whole().is_some() || handler.body == BodyMode::Stream;
    match handler.call {
        Call::Plain(function) if at_once => answer_at_once(alive, handle, function, request, link, out),
        // SAFETY: as of this function, for both.
        call if at_once && link.is_none() => unsafe { step(alive, handle, call, request, out) },
        call => {
            let stage = match at_once {
                true => Stage::Begin { call, request },
                false => Stage::Reading { call, request },
            };
            // SAFETY: as of this function.
            unsafe { begin(alive, handle, stage, link, out) }
        }
    }
}

/// A newer host asks for what the other side must understand.
#[cold]
fn refuse(any: Handle, what: &str, flags: u32) -> Rc {
    host::fail(
        any,
        &format!(
            "the host's {what} has flags {flags:#x}, which this module's SDK is too old for: build it with a newer one"
        ),
    );
    UNSUPPORTED
}

/// Most calls: a plain function answers, and nothing of the call is left. What few have is kept out of their way.
#[inline(always)]
fn answer_at_once(
    alive: &'static Alive,
    handle: Handle,
    function: for<'a> fn(Request<'a>) -> Response,
    request: Request<'static>,
    link: Option<Held>,
    out: *mut *mut c_void,
) -> Rc {
    let mut left = None;
    let rc = host::guard(handle, || {
        let _entered = alive.runtime.enter();
        let sent = answer::send(handle, function(request));
        if let Sent::Over(rc) = sent {
            // Nothing is in it, which the compiler looks for all the same.
            std::mem::forget(sent);
            return rc.min(READY);
        }
        left = Some(sent);
        PENDING
    });
    match left {
        None => rc,
        Some(sent) => match Stage::after(sent) {
            Err(rc) => rc,
            // SAFETY: as of `start`, whose parameters these are.
            Ok(stage) => unsafe { begin(alive, handle, stage, link, out) },
        },
    }
}

/// Most other calls: what was called is done at its first step, and nothing of the call is kept.
///
/// # Safety
/// As for `start` in the header.
#[inline(always)]
unsafe fn step(
    alive: &'static Alive,
    handle: Handle,
    call: Call,
    request: Request<'static>,
    out: *mut *mut c_void,
) -> Rc {
    let (mut told, mut left) = (None, None);
    let rc = host::guard(handle, || {
        let _entered = alive.runtime.enter();
        match call.step(request, handle, &mut left) {
            Ok((PENDING, stage)) | Err(stage) => left = Some(stage),
            Ok((rc, stage)) => {
                told = Some(rc);
                // A panic of the author's destructors comes after the answer, and changes nothing for the client.
                host::resign();
                drop(stage);
            }
        }
        PENDING
    });
    match left {
        // SAFETY: as of this function.
        Some(stage) => unsafe { keep_or_go_on(alive, handle, stage, rc, out) },
        None => told.unwrap_or(rc),
    }
}

/// # Safety
/// As for `start` in the header.
#[inline(never)]
unsafe fn keep_or_go_on(
    alive: &'static Alive,
    handle: Handle,
    stage: Stage,
    rc: Rc,
    out: *mut *mut c_void,
) -> Rc {
    if rc == PANIC {
        // What panicked is dropped here and not while that unwinds: a destructor that panics as well would end the process.
        end(Box::new(CallState::new(stage, None, &alive.runtime)));
        return rc;
    }
    if !matches!(stage, Stage::Running(_) | Stage::Stepping(_)) {
        // SAFETY: as of this function.
        return unsafe { begin(alive, handle, stage, None, out) };
    }
    let call = Box::new(CallState::new(stage, None, &alive.runtime));
    // SAFETY: the host gives a place to write to.
    unsafe { out.write(Box::into_raw(call).cast()) };
    PENDING
}

/// Goes on with a call that is not over at once.
///
/// # Safety
/// As for `start` in the header.
#[inline(never)]
unsafe fn begin(
    alive: &'static Alive,
    handle: Handle,
    stage: Stage,
    link: Option<Held>,
    out: *mut *mut c_void,
) -> Rc {
    let mut call = Some(CallState::new(stage, link, &alive.runtime));
    let rc = host::guard(0, || {
        let _entered = alive.runtime.enter();
        let rc = host::guard(handle, || call.as_mut().map_or(ERR, |call| call.advance(handle)));
        if rc != PENDING {
            // What is left of the call is the author's too. A panic in there comes after the answer, so it changes nothing for the client.
            host::guard(0, || {
                drop(call.take());
                READY
            });
        }
        rc
    });
    match call {
        // SAFETY: the host gives a place to write to.
        Some(call) if rc == PENDING => unsafe { out.write(Box::into_raw(Box::new(call)).cast()) },
        Some(call) => end(Box::new(call)),
        None => {}
    }
    rc
}

/// Only a call that reads from the host, or may leave HTTP, needs one.
fn link_for(raw: &abi::Request, body: BodyMode, handle: Handle) -> Option<Held> {
    let whole = raw.flags & REQ_BODY_INLINE != 0;
    let reads = !whole && body == BodyMode::Stream;
    (reads || raw.flags & REQ_UPGRADE_OK != 0).then(|| Held(Link::new(handle, raw.http)))
}

unsafe extern "C" fn poll(state: *mut c_void, handle: Handle) -> Rc {
    host::guard(handle, || {
        // SAFETY: `start` made the pointer, and the host polls one at a time and not after drop.
        let call = unsafe { &mut *state.cast::<CallState>() };
        let _entered = call.runtime().enter();
        time::wake_due(handle);
        call.poll(handle)
    })
}

unsafe extern "C" fn drop_call(state: *mut c_void, _why: i32) {
    // SAFETY: `start` made the pointer from a box, and the host drops once, when no poll is on any stack.
    end(unsafe { Box::from_raw(state.cast::<CallState>()) });
}

fn end(call: Box<CallState>) {
    let runtime = call.runtime();
    host::guard(0, || {
        let _entered = runtime.enter();
        drop(call);
        READY
    });
}

/// This SDK offers none yet.
unsafe extern "C" fn extension(_id: *const c_char) -> *const c_void {
    ptr::null()
}

/// # Safety
/// `create` must have made the pointer, and nobody may destroy it during `'i`.
unsafe fn alive<'i>(instance: *mut c_void) -> &'i Alive {
    // SAFETY: the caller's promise; instances are only ever shared.
    unsafe { &*instance.cast::<Alive>() }
}
