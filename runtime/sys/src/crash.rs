//! Fatal signals: a record in shared memory, then the end.
//!
//! Owns the handler. On SIGSEGV, BUS, FPE, ILL, ABRT, TRAP or SYS it writes which signal, which thread's slot and who made it, which address and what the thread
//! was at to shared words, and lets the process die of that signal within milliseconds. It goes on with nothing and unwinds nothing: what a
//! fault left in the heap, and which locks it holds, nobody can know. The first fault wins, and other threads that fault let it finish its record. `exit()`
//! and SIGKILL leave no record.
//!
//! What a thread is at is a pointer that it sets with [`enter`], two stores a call; what lies behind it is read only in the handler, by the
//! function given to [`describe_with`]. If the fault has destroyed that too, the kernel ends the process inside the handler: the words
//! before it are written by then.
//!
//! The handler runs on an alternate stack, or an overflow of the ordinary one would leave no record. Rust's own threads have one; those
//! that a foreign library makes must call [`ensure_alt_stack`].

use std::cell::Cell;
use std::ffi::c_void;
use std::io;
use std::mem::MaybeUninit;
use std::ptr::null_mut;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, Ordering};

use crate::made::{self, Maker};
use crate::memory::SharedWords;

const FATAL: [i32; 7] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGABRT, libc::SIGTRAP, libc::SIGSYS];

/// How many words a record takes: signal, slot + 1, address, length of the text in bytes, the text, and who made the thread.
pub const RECORD_WORDS: usize = MAKER + size_of::<Maker>() / size_of::<u64>();
/// Where in a record stands who made the thread (see [`made`]).
pub const MAKER: usize = TEXT + TEXT_WORDS;
/// The most bytes of the text.
pub const TEXT_BYTES: usize = TEXT_WORDS * 8;

const TEXT: usize = 4;
const TEXT_WORDS: usize = 24;

// The handler needs little, but a CPU with AVX-512 or AMX pushes up to 11 KiB of registers for it.
const ALT_STACK_BYTES: usize = 64 * 1024;

/// How long a thread that faults later gives way, in steps of a millisecond. A record takes microseconds, but its thread may wait for a processor. Steps,
/// because time also passes for a process that is stopped as a whole, as in a container that has used up its share.
const GIVE_WAY_STEPS: u32 = 50;

/// The record: `RECORD_WORDS` words that stay mapped for ever. Null before [`install`].
static RECORD: AtomicPtr<AtomicU64> = AtomicPtr::new(null_mut());
/// The thread of the first fault, which alone writes the record; 0 before it.
static CLAIMED: AtomicI32 = AtomicI32::new(0);
/// Who may write the record: a child that a module forks inherits handler and memory, and is none of the keeper's business.
static OWNER: AtomicI32 = AtomicI32::new(0);
/// A [`Describe`], or null.
static DESCRIBE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// Writes what a thread was at into `text` and says how many bytes that are. Runs inside a fault: it may only copy.
///
/// # Safety
/// `activity` is what a thread has given to [`enter`] and not yet to [`leave`].
pub type Describe = unsafe fn(activity: *const c_void, text: &mut [u8; TEXT_BYTES]) -> usize;

thread_local! {
    /// This thread's slot + 1. A plain word without destructor, so that the handler may read it.
    static SLOT: Cell<u64> = const { Cell::new(0) };
    /// What this thread is at; a plain word for the same reason.
    static ACTIVITY: Cell<*const c_void> = const { Cell::new(std::ptr::null()) };
}

/// Catches fatal signals from now on; the record is at `words[offset..]`, in the order that [`RECORD_WORDS`] tells. The memory stays mapped
/// as long as the process lives.
///
/// # Errors
/// When the record does not fit into `words`, or the kernel refuses.
pub fn install(words: SharedWords, offset: usize) -> io::Result<()> {
    let record = offset
        .checked_add(RECORD_WORDS)
        .and_then(|end| words.get(offset..end))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the crash record does not fit"))?;
    RECORD.store(record.as_ptr().cast_mut(), Ordering::Release);
    OWNER.store(rustix::process::getpid().as_raw_pid(), Ordering::Release);
    // The handler may run until the very end of the process.
    std::mem::forget(words);
    ensure_alt_stack()?;
    FATAL.iter().try_for_each(|&signal| set_action(signal, on_fatal as *const () as usize))
}

/// Names the slot that this thread reports in, to be written when a fatal signal hits it.
pub fn set_slot(slot: Option<usize>) {
    let word = slot.and_then(|slot| u64::try_from(slot).ok()).map_or(0, |slot| slot + 1);
    SLOT.with(|cell| cell.set(word));
}

/// The slot of this thread, as [`set_slot`] named it.
pub fn slot() -> Option<usize> {
    usize::try_from(SLOT.get().checked_sub(1)?).ok()
}

/// Has the handler describe what a thread was at by this function.
pub fn describe_with(describe: Describe) {
    DESCRIBE.store(describe as *mut c_void, Ordering::Release);
}

/// Says what this thread is at from now on: something that lives until the [`leave`] with what this returns.
#[inline]
pub fn enter(activity: *const c_void) -> *const c_void {
    ACTIVITY.replace(activity)
}

/// Says that this thread is again at what it was at before.
#[inline]
pub fn leave(before: *const c_void) {
    ACTIVITY.set(before);
}

/// Gives this thread an alternate signal stack if it has none; it goes with the thread. By a pthread key and not by a thread-local with a destructor, which
/// not every thread may touch (see [`made`]).
///
/// # Errors
/// When there is no memory for it, or no key.
pub fn ensure_alt_stack() -> io::Result<()> {
    static KEY: OnceLock<Option<libc::pthread_key_t>> = OnceLock::new();
    let mut current = MaybeUninit::<libc::stack_t>::uninit();
    // SAFETY: with no new stack sigaltstack only writes the current one, a whole stack_t, unless it fails.
    let current = unsafe {
        check(libc::sigaltstack(null_mut(), current.as_mut_ptr()))?;
        current.assume_init()
    };
    if current.ss_flags & libc::SS_DISABLE == 0 {
        return Ok(());
    }
    let key = KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: `key` may be written, and `free_alt_stack` is a destructor.
        let made = unsafe { libc::pthread_key_create(&raw mut key, Some(free_alt_stack)) };
        (made == 0).then_some(key)
    });
    let Some(key) = key else { return Err(io::ErrorKind::OutOfMemory.into()) };
    let stack = Box::into_raw(Box::new(AltStack::new()?));
    // SAFETY: the key was made; its values are what its destructor takes.
    if unsafe { libc::pthread_setspecific(*key, stack.cast()) } != 0 {
        // SAFETY: nobody else has it.
        drop(unsafe { Box::from_raw(stack) });
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    Ok(())
}

/// The destructor of [`ensure_alt_stack`]'s key.
unsafe extern "C" fn free_alt_stack(stack: *mut c_void) {
    // SAFETY: the key's values are boxed stacks, and each comes here once.
    drop(unsafe { Box::from_raw(stack.cast::<AltStack>()) });
}

/// An alternate stack in use by this thread, above a page that nobody may touch.
struct AltStack {
    start: *mut c_void,
    bytes: usize,
}

impl AltStack {
    fn new() -> io::Result<Self> {
        // SAFETY: sysconf takes a number.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
        let bytes = ALT_STACK_BYTES + page;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
        // SAFETY: a new mapping aliases nothing; its first page is inside it; and the stack that is announced is the rest of it, which stays
        // mapped until `drop` has taken it back.
        unsafe {
            let start = libc::mmap(null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
            if start == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            let stack = Self { start, bytes };
            check(libc::mprotect(start, page, libc::PROT_NONE))?;
            let usable = libc::stack_t { ss_sp: start.byte_add(page), ss_flags: 0, ss_size: ALT_STACK_BYTES };
            check(libc::sigaltstack(&usable, null_mut()))?;
            Ok(stack)
        }
    }
}

impl Drop for AltStack {
    fn drop(&mut self) {
        let none = libc::stack_t { ss_sp: null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
        // SAFETY: the thread stops using the stack before it is unmapped, and is not on it: destructors run on its ordinary one.
        unsafe {
            libc::sigaltstack(&none, null_mut());
            libc::munmap(self.start, self.bytes);
        }
    }
}

/// Runs inside a fault: only atomics, plain copies and async-signal-safe calls.
extern "C" fn on_fatal(signal: i32, info: *mut libc::siginfo_t, _context: *mut c_void) {
    let record = RECORD.load(Ordering::Acquire);
    // SAFETY: getpid is async-signal-safe and cannot fail.
    let owned = unsafe { libc::getpid() } == OWNER.load(Ordering::Acquire);
    if owned && !record.is_null() {
        // SAFETY: `install` stored a pointer to RECORD_WORDS words that stay mapped for ever.
        let record = unsafe { std::slice::from_raw_parts(record, RECORD_WORDS) };
        // SAFETY: gettid takes nothing, cannot fail and is a plain system call.
        let thread = unsafe { libc::gettid() };
        match CLAIMED.compare_exchange(0, thread, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => write(record, signal, info),
            // A fault inside the handler: nobody is left to wait for.
            Err(first) if first == thread => {}
            Err(_) => give_way(),
        }
    }
    end_by(signal)
}

/// Writes the record of this thread's fault. The signal's word comes after those that belong to it, so that no reader sees half of them.
fn write(record: &[AtomicU64], signal: i32, info: *const libc::siginfo_t) {
    // SAFETY: the kernel gives a handler with SA_SIGINFO a whole siginfo_t; only a fault of the kernel's own has an address in it, and only
    // a signal that a process sent has a sender.
    let (address, sent) = unsafe {
        let info = &*info;
        if info.si_code > 0 { (info.si_addr() as u64, false) } else { (0, info.si_pid() != libc::getpid()) }
    };
    // What another process sends hits any thread: whatever that was at has nothing to do with it.
    record[1].store(if sent { 0 } else { SLOT.get() }, Ordering::Relaxed);
    for (word, value) in record[MAKER..].iter().zip(made::maker()) {
        word.store(if sent { 0 } else { value }, Ordering::Relaxed);
    }
    record[2].store(address, Ordering::Relaxed);
    record[0].store(u64::from(signal.unsigned_abs()), Ordering::Release);
    // Last: what is read here may be broken, and a fault inside the handler is the end.
    if !sent {
        describe(record);
    }
}

/// Adds what this thread was at. Copies only.
fn describe(record: &[AtomicU64]) {
    let (describe, activity) = (DESCRIBE.load(Ordering::Acquire), ACTIVITY.get());
    if describe.is_null() || activity.is_null() {
        return;
    }
    let mut text = [0; TEXT_BYTES];
    // SAFETY: only `describe_with` stores there, a function of this type; `activity` was given to `enter` and not yet to `leave`.
    let length = unsafe {
        let describe = std::mem::transmute::<*mut c_void, Describe>(describe);
        describe(activity, &mut text)
    };
    for (word, bytes) in record[TEXT..].iter().zip(text.as_chunks::<8>().0) {
        word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
    }
    record[TEXT - 1].store(length.min(TEXT_BYTES) as u64, Ordering::Release);
}

/// Another thread faulted first: it writes its record, and ends the process when that is done. Bounded, in case it cannot.
fn give_way() {
    let step = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    for _ in 0..GIVE_WAY_STEPS {
        // SAFETY: nanosleep is async-signal-safe, reads a whole timespec and need not say what is left.
        unsafe { libc::nanosleep(&step, null_mut()) };
    }
}

/// Ends the process as the signal would have without a handler, so that its parent sees the signal.
fn end_by(signal: i32) -> ! {
    // SAFETY: all of these are async-signal-safe and take plain numbers or a set that sigemptyset has initialised. `_exit` is for a kernel
    // that let the process live.
    unsafe {
        // Writing a core file of an engine's size would hold its clients for seconds.
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
        let _ = set_action(signal, libc::SIG_DFL);
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), null_mut());
        libc::raise(signal);
        libc::_exit(128 + signal)
    }
}

fn set_action(signal: i32, handler: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: a zeroed sigaction is a valid one; the handler is SIG_DFL or has the signature that SA_SIGINFO promises.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&mut action.sa_mask);
        check(libc::sigaction(signal, &action, null_mut()))
    }
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
