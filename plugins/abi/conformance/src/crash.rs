//! What a fatal signal means: a view that was used too late, a piece that was used after its release, or simply a crash.
//!
//! Owns the signal handler. It must do nothing but write one line and end the process.

use std::ffi::{c_int, c_void};

use crate::arena::{What, what_is_at};
use crate::{Rule, report};

const FATAL: [(c_int, &str); 5] = [
    (libc::SIGSEGV, "SIGSEGV"),
    (libc::SIGBUS, "SIGBUS"),
    (libc::SIGABRT, "SIGABRT"),
    (libc::SIGFPE, "SIGFPE"),
    (libc::SIGILL, "SIGILL"),
];

/// The exit code of a process that the handler has ended; nobody else's that we know.
pub(crate) const CODE: c_int = 86;

/// Puts the handler in place for every thread of this process, on a stack of its own for this one.
pub(crate) fn install() {
    let stack = Box::leak(vec![0_u8; 64 * 1024].into_boxed_slice());
    let alternate = libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: stack.len() };
    // SAFETY: the stack is leaked, so it is there for ever.
    unsafe { libc::sigaltstack(&raw const alternate, std::ptr::null_mut()) };
    for (signal, _) in FATAL {
        // SAFETY: zeros are a valid sigaction, and the handler does only what a handler may.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
    }
}

extern "C" fn handler(signal: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes it; for SIGSEGV and SIGBUS it holds an address, else a number that means nothing here.
    let address = unsafe { (*info).si_addr() } as usize;
    let memory = matches!(signal, libc::SIGSEGV | libc::SIGBUS);
    let (rule, words) = match what_is_at(address).filter(|_| memory) {
        Some(What::Views) => (Rule::Views, "a view was used after its time, beyond its end, or written to"),
        Some(What::Pieces) => {
            (Rule::Release, "a piece was used after its release, beyond its end, or written to")
        }
        None => {
            let name = FATAL.iter().find(|(known, _)| *known == signal).map_or("a signal", |(_, name)| name);
            (Rule::Crash, name)
        }
    };
    report::line(&["broken\t", rule.id(), "\t", words, "\n"]);
    // SAFETY: ends the process without running anything else.
    unsafe { libc::_exit(CODE) }
}
