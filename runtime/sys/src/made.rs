//! Threads that modules make.
//!
//! A thread that a module makes for itself runs its code long after the call that made it: when it dies, its slot says nothing. So `pthread_create` is exported by
//! the executable itself, which the dynamic linker asks before libc, as `keys` is: a thread made inside a module's code remembers whose, and so do the
//! threads that it makes. A fatal signal writes that into its record (see `crash`). They get an alternate signal stack, too, without which an overflow
//! of the ordinary one would leave no record: std in a module gives its threads none.
//!
//! Owns that symbol of whatever program this crate is linked into. Must not know what a maker is, nor touch a thread-local that has a destructor: glibc notes
//! those under the dynamic linker's lock, which `dlopen` holds while a module's constructors run, and one of them may wait for this thread.

use std::alloc::{Layout, alloc};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr::null_mut;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use libc::{EAGAIN, pthread_attr_t, pthread_t};

use crate::crash;

/// Two words about who makes a thread, for whoever reads the record; both 0: nobody.
pub type Maker = [u64; 2];
/// Nobody.
pub const NOBODY: Maker = [0; 2];

/// What a thread begins with. It may be unwound: `pthread_exit` does it.
type Start = unsafe extern "C-unwind" fn(*mut c_void) -> *mut c_void;
type Create = unsafe extern "C" fn(*mut pthread_t, *const pthread_attr_t, Start, *mut c_void) -> c_int;

thread_local! {
    /// A plain word without destructor, so that a signal handler may read it.
    static MAKER: Cell<Maker> = const { Cell::new(NOBODY) };
}

/// A function that says in whose code this thread is, or null.
static ASK: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// Has threads ask `whose` as they make another: in whose code this thread is. From then on for ever.
pub fn ask(whose: fn() -> Maker) {
    ASK.store(whose as *mut c_void, Ordering::Release);
}

/// Whose this thread is.
pub fn maker() -> Maker {
    MAKER.get()
}

/// This thread is nobody's, although it was made in somebody's code.
pub fn belongs_to_nobody() {
    MAKER.set(NOBODY);
}

/// Whose a thread is that this one makes now.
fn maker_of_next() -> Maker {
    let ask = ASK.load(Ordering::Acquire);
    if ask.is_null() {
        return NOBODY;
    }
    // SAFETY: only `ask` stores there, a function of this type.
    let here = unsafe { std::mem::transmute::<*mut c_void, fn() -> Maker>(ask) }();
    if here == NOBODY { maker() } else { here }
}

/// What a thread of somebody's is to begin with.
struct Beginning {
    start: Start,
    argument: *mut c_void,
    maker: Maker,
}

fn real() -> Option<Create> {
    static REAL: OnceLock<Option<Create>> = OnceLock::new();
    *REAL.get_or_init(|| {
        // SAFETY: a lookup of a name behind this executable, in libc.
        let create = unsafe { libc::dlsym(libc::RTLD_NEXT, c"pthread_create".as_ptr()) };
        if create.is_null() {
            return None;
        }
        // SAFETY: libc's function of that name has that signature (POSIX).
        Some(unsafe { std::mem::transmute::<*mut c_void, Create>(create) })
    })
}

/// POSIX `pthread_create`.
///
/// # Safety
/// As libc's: `out` must be a place for a thread, `attributes` null or initialised ones, and `start` callable with `argument` on another thread.
// Miri and the sanitizers have their own, and take no other: see `keys`.
#[cfg_attr(not(any(miri, feature = "libc-keys")), unsafe(no_mangle))]
pub unsafe extern "C" fn pthread_create(
    out: *mut pthread_t,
    attributes: *const pthread_attr_t,
    start: Start,
    argument: *mut c_void,
) -> c_int {
    let Some(create) = real() else { return EAGAIN };
    let maker = maker_of_next();
    if maker == NOBODY {
        // SAFETY: the caller's promise.
        return unsafe { create(out, attributes, start, argument) };
    }
    // SAFETY: the layout has a size.
    let beginning = unsafe { alloc(Layout::new::<Beginning>()) }.cast::<Beginning>();
    if beginning.is_null() {
        return EAGAIN;
    }
    // SAFETY: new memory of that layout.
    unsafe { beginning.write(Beginning { start, argument, maker }) };
    // SAFETY: the caller's promise; `begin` takes what `beginning` is, once.
    let code = unsafe { create(out, attributes, begin, beginning.cast()) };
    if code != 0 {
        // SAFETY: there is no thread, so it is still ours; it is what `Box` would have allocated.
        drop(unsafe { Box::from_raw(beginning) });
    }
    code
}

/// Begins a thread of somebody's.
///
/// # Safety
/// `beginning` is a [`Beginning`] in memory that a `Box` may free, for this call alone.
unsafe extern "C-unwind" fn begin(beginning: *mut c_void) -> *mut c_void {
    let (start, argument) = {
        // SAFETY: the caller's promise.
        let beginning = unsafe { Box::from_raw(beginning.cast::<Beginning>()) };
        MAKER.set(beginning.maker);
        (beginning.start, beginning.argument)
    };
    // Without one the thread works all the same.
    drop(crash::ensure_alt_stack());
    // SAFETY: the promise of who made the thread. Nothing here is dropped after it, so that it may be unwound.
    unsafe { start(argument) }
}
