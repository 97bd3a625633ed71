//! Thread-specific data without glibc's limit of 1,024 keys a process.
//!
//! Every Rust module has a copy of std, and each copy takes keys for ever once it has made a thread, so that some thousand modules later the next one
//! aborts: "out of TLS keys". Here the four functions of POSIX are exported by the executable itself, which the dynamic linker asks before libc: all keys of
//! the process are numbers of ours, their values lie in a table that each thread has, and one real key sees to it that the table's destructors run.
//!
//! Owns those four symbols of whatever program this crate is linked into. Must not allocate, with Rust's allocator or with `malloc`: both may be `heap`, which
//! learns of a new thread as it allocates, and sets a value by these very functions while one of them is at work. So a thread's first values lie in its static
//! thread-local storage, more of them in pages from the kernel.

use std::cell::Cell;
use std::ffi::{CStr, c_int, c_void};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use libc::{EAGAIN, EINVAL, ENOMEM, pthread_key_t};

/// So many at a time: 1,200 modules take some 5,000. A megabyte of zeroes, of which the kernel gives only the pages that are used.
const KEYS: usize = 65_536;
/// So many values a thread has without asking the kernel. An allocator's key is among the first that are made, so setting it is never more than a store.
const FIRST: usize = 64;
/// The fewest values beyond those: a page of x86-64.
const MORE: usize = 4096 / size_of::<Value>();
/// How often destructors are run that set values anew (PTHREAD_DESTRUCTOR_ITERATIONS of glibc's limits.h).
const PASSES: usize = 4;

type Destructor = unsafe extern "C" fn(*mut c_void);
type SetSpecific = unsafe extern "C" fn(pthread_key_t, *const c_void) -> c_int;

/// A key. `sequence` is odd while it is taken and grows with each change, so that a value of an earlier owner is known as such.
struct Key {
    sequence: AtomicUsize,
    destructor: AtomicPtr<c_void>,
}

/// A thread's value, and for which owner of the key it was set.
#[derive(Clone, Copy)]
#[repr(C)]
struct Value {
    sequence: usize,
    value: *mut c_void,
}

/// A thread's values: `len` of them, which are [`FIRST_VALUES`] or a mapping.
#[derive(Clone, Copy)]
struct Table {
    values: *mut Value,
    len: usize,
}

const NO_VALUE: Value = Value { sequence: 0, value: ptr::null_mut() };
/// Of a thread that has set none.
const NO_TABLE: Table = Table { values: ptr::null_mut(), len: 0 };

/// What libc gives: one key, and the function that fills it.
struct Real {
    key: pthread_key_t,
    set: SetSpecific,
}

static ALL: [Key; KEYS] =
    [const { Key { sequence: AtomicUsize::new(0), destructor: AtomicPtr::new(ptr::null_mut()) } }; KEYS];
/// Where the search for a free key begins.
static NEXT: AtomicUsize = AtomicUsize::new(0);
static REAL: OnceLock<Option<Real>> = OnceLock::new();

thread_local! {
    // Both without a destructor: they are there until the thread's last instruction.
    static TABLE: Cell<Table> = const { Cell::new(NO_TABLE) };
    static FIRST_VALUES: Cell<[Value; FIRST]> = const { Cell::new([NO_VALUE; FIRST]) };
}

unsafe extern "C" {
    /// The name that libc itself has for the function below (glibc 2.34, Versions).
    fn __pthread_key_create(key: *mut pthread_key_t, destructor: Option<Destructor>) -> c_int;
}

fn is_taken(sequence: usize) -> bool {
    sequence % 2 == 1
}

fn real() -> Option<&'static Real> {
    let find = || {
        let name: &CStr = c"pthread_setspecific";
        // SAFETY: a lookup of a name behind this executable, in libc.
        let set = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
        let mut key = 0;
        // SAFETY: `key` may be written, and `destroy` is a destructor.
        let made = unsafe { __pthread_key_create(&raw mut key, Some(destroy)) };
        if set.is_null() || made != 0 {
            return None;
        }
        // SAFETY: libc's function of that name has that signature (POSIX).
        Some(Real { key, set: unsafe { std::mem::transmute::<*mut c_void, SetSpecific>(set) } })
    };
    REAL.get_or_init(find).as_ref()
}

/// POSIX `pthread_key_create`.
///
/// # Safety
/// `out` must be a place for a key; `destructor` must be callable on every thread that sets a value.
// Miri has its own, and takes no other; a sanitizer asks for keys before this could answer, so `scripts/sanitize` leaves libc its own, too.
#[cfg_attr(not(any(miri, feature = "libc-keys")), unsafe(no_mangle))]
pub unsafe extern "C" fn pthread_key_create(
    out: *mut pthread_key_t,
    destructor: Option<Destructor>,
) -> c_int {
    let start = NEXT.load(Ordering::Relaxed);
    for index in (0..KEYS).map(|step| (start + step) % KEYS) {
        let key = &ALL[index];
        let free = key.sequence.load(Ordering::Relaxed);
        if is_taken(free)
            || key.sequence.compare_exchange(free, free + 1, Ordering::AcqRel, Ordering::Relaxed).is_err()
        {
            continue;
        }
        let destructor = destructor.map_or(ptr::null_mut(), |function| function as *mut c_void);
        key.destructor.store(destructor, Ordering::Release);
        NEXT.store(index + 1, Ordering::Relaxed);
        // SAFETY: the caller's promise; an index is below 2^32.
        unsafe { out.write(index as pthread_key_t) };
        return 0;
    }
    EAGAIN
}

/// POSIX `pthread_key_delete`. No destructor runs.
///
/// # Safety
/// As POSIX has it: none, for any number.
#[cfg_attr(not(any(miri, feature = "libc-keys")), unsafe(no_mangle))]
pub unsafe extern "C" fn pthread_key_delete(key: pthread_key_t) -> c_int {
    let Some(entry) = ALL.get(key as usize) else { return EINVAL };
    let taken = entry.sequence.load(Ordering::Relaxed);
    let freed = is_taken(taken)
        && entry.sequence.compare_exchange(taken, taken + 1, Ordering::AcqRel, Ordering::Relaxed).is_ok();
    if freed { 0 } else { EINVAL }
}

/// POSIX `pthread_getspecific`.
///
/// # Safety
/// As POSIX has it: none, for any number.
#[cfg_attr(not(any(miri, feature = "libc-keys")), unsafe(no_mangle))]
pub unsafe extern "C" fn pthread_getspecific(key: pthread_key_t) -> *mut c_void {
    let table = TABLE.get();
    let index = key as usize;
    if index >= table.len {
        return ptr::null_mut();
    }
    // SAFETY: below `len`, and the table is this thread's alone.
    let value = unsafe { table.values.add(index).read() };
    let owner = ALL[index].sequence.load(Ordering::Relaxed);
    if value.sequence == owner { value.value } else { ptr::null_mut() }
}

/// POSIX `pthread_setspecific`.
///
/// # Safety
/// `value` must be what the key's destructor expects.
#[cfg_attr(not(any(miri, feature = "libc-keys")), unsafe(no_mangle))]
pub unsafe extern "C" fn pthread_setspecific(key: pthread_key_t, value: *const c_void) -> c_int {
    let index = key as usize;
    let Some(owner) = ALL.get(index).map(|key| key.sequence.load(Ordering::Acquire)) else { return EINVAL };
    if !is_taken(owner) {
        return EINVAL;
    }
    let mut table = TABLE.get();
    if index >= table.len {
        if value.is_null() {
            return 0;
        }
        let Some(grown) = grow(table, index) else { return ENOMEM };
        table = grown;
    }
    // SAFETY: below `len`, and the table is this thread's alone.
    unsafe { table.values.add(index).write(Value { sequence: owner, value: value.cast_mut() }) };
    0
}

/// Makes room for `index`.
fn grow(table: Table, index: usize) -> Option<Table> {
    let table = if table.len == 0 { begin()? } else { table };
    if index < table.len {
        return Some(table);
    }
    let len = (index + 1).next_power_of_two().max(MORE);
    let values = map(len)?;
    // SAFETY: the new one is longer, and another mapping.
    unsafe { ptr::copy_nonoverlapping(table.values, values, table.len) };
    let grown = Table { values, len };
    TABLE.set(grown);
    unmap(table);
    Some(grown)
}

/// Gives the thread its first table, and has libc call [`destroy`] when the thread ends.
fn begin() -> Option<Table> {
    let table = Table { values: FIRST_VALUES.with(Cell::as_ptr).cast(), len: FIRST };
    // Before libc is asked, which may allocate: whoever comes here on behalf of that finds the table.
    TABLE.set(table);
    // SAFETY: the key is ours; its value says only that there is a table.
    let set = real().map(|real| unsafe { (real.set)(real.key, table.values.cast()) });
    if set != Some(0) {
        end();
        return None;
    }
    Some(TABLE.get())
}

/// Leaves the thread without a table.
fn end() {
    unmap(TABLE.replace(NO_TABLE));
    FIRST_VALUES.set([NO_VALUE; FIRST]);
}

/// So many values that are nobody's: sequence 0, as the kernel gives pages.
fn map(len: usize) -> Option<*mut Value> {
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping, at no address in particular.
    let pages = unsafe { libc::mmap(ptr::null_mut(), len * size_of::<Value>(), access, kind, -1, 0) };
    (pages != libc::MAP_FAILED).then_some(pages.cast())
}

/// Gives a table back that is the thread's no more.
fn unmap(table: Table) {
    if table.len > FIRST {
        // SAFETY: it is from `map`, of that length, and nobody has it any more.
        unsafe { libc::munmap(table.values.cast(), table.len * size_of::<Value>()) };
    }
}

/// Runs when a thread with a table ends. A value that is set by a destructor after the last pass has its destructor run in libc's next one.
unsafe extern "C" fn destroy(_table: *mut c_void) {
    for _ in 0..PASSES {
        let mut ran = false;
        let mut index = 0;
        // A destructor may make the table grow, so it is looked at anew each time.
        while index < TABLE.get().len {
            ran |= destroy_value(index);
            index += 1;
        }
        if !ran {
            break;
        }
    }
    end();
}

/// Empties a value, and calls its destructor if it has one.
fn destroy_value(index: usize) -> bool {
    let place = TABLE.get().values.wrapping_add(index);
    // SAFETY: `destroy` stays below the table's length.
    let Value { sequence, value } = unsafe { place.read() };
    if value.is_null() {
        // Most are, and a page that is only read is none of the thread's own.
        return false;
    }
    // SAFETY: as above.
    unsafe { place.write(Value { sequence, value: ptr::null_mut() }) };
    let key = &ALL[index];
    let destructor = key.destructor.load(Ordering::Acquire);
    if destructor.is_null() || key.sequence.load(Ordering::Acquire) != sequence {
        return false;
    }
    // SAFETY: stored by `pthread_key_create` from such a function.
    let destructor = unsafe { std::mem::transmute::<*mut c_void, Destructor>(destructor) };
    // SAFETY: the value was set for this key, and POSIX has its destructor called with it, once.
    unsafe { destructor(value) };
    true
}

#[cfg(test)]
mod tests;
