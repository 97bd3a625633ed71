//! The functions of the mirror have the types of ABI 1.0, as `types-1.0.c` has them for the header: sizes do not tell one function from another. That this compiles is the test.

use std::ffi::{c_char, c_void};

use hotbay_abi::{Buf, Config, Header, Host, Metrics, Module, Request, Response, Str};

type Handle = u64;
type Rc = i32;

const _: fn(&Host) = |host| {
    let _: unsafe extern "C" fn(Handle, *const Response) -> Rc = host.respond;
    let _: unsafe extern "C" fn(Handle, *mut Buf) -> Rc = host.read;
    let _: unsafe extern "C" fn(Handle, *const Buf, u32) -> Rc = host.write;
    let _: unsafe extern "C" fn(Handle, *const Header, u32) -> Rc = host.finish;
    let _: unsafe extern "C" fn(Handle) -> Rc = host.abort;
    let _: unsafe extern "C" fn(Handle) = host.wake;
    let _: unsafe extern "C" fn(Handle, u64) -> Rc = host.timer;
    let _: unsafe extern "C" fn(Handle, *mut *const Header, *mut u32) -> Rc = host.trailers;
    let _: unsafe extern "C" fn(Handle, u32, *mut Str) -> Rc = host.info;
    let _: unsafe extern "C" fn(Handle, Str) = host.fail;
    let _: unsafe extern "C" fn(Handle, i32, Str, Str, Str) = host.log;
    let _: *const i32 = host.log_level;
    let _: unsafe extern "C" fn() -> u64 = host.now_ns;
    let _: unsafe extern "C" fn(*const c_char) -> *const c_void = host.extension;
};

const _: fn(&Module) = |module| {
    let _: Option<unsafe extern "C" fn(*const Config, Handle, *mut *mut c_void) -> Rc> = module.create;
    let _: Option<unsafe extern "C" fn(*mut c_void, Handle) -> Rc> = module.poll_instance;
    let _: Option<unsafe extern "C" fn(*mut c_void, Handle) -> Rc> = module.stop;
    let _: Option<unsafe extern "C" fn(*mut c_void)> = module.destroy;
    let _: Option<unsafe extern "C" fn(*mut c_void, Handle, *const Request, *mut *mut c_void) -> Rc> =
        module.start;
    let _: Option<unsafe extern "C" fn(*mut c_void, Handle) -> Rc> = module.poll;
    let _: Option<unsafe extern "C" fn(*mut c_void, i32)> = module.drop;
    let _: Option<unsafe extern "C" fn(*const c_char) -> *const c_void> = module.extension;
};

const _: fn(&Metrics) = |metrics| {
    type Register =
        unsafe extern "C" fn(Handle, u32, Str, Str, *const Header, u32, *const f64, u32, *mut u64) -> Rc;
    let _: Register = metrics.register_series;
    let _: unsafe extern "C" fn(u64, f64) = metrics.add;
    let _: unsafe extern "C" fn(u64, f64) = metrics.set;
    let _: unsafe extern "C" fn(u64, f64) = metrics.observe;
};

const _: hotbay_abi::EntryFn = {
    extern "C" fn entry(_host: *const Host) -> *const Module {
        std::ptr::null()
    }
    entry
};
