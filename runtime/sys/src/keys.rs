//! Thread-specific data without glibc's limit of 1,024 keys a process.
//!
//! Every Rust module has a copy of std, and each copy takes keys for ever once it has made a thread, so that some thousand modules later the next one
//! aborts: "out of TLS keys". Here the four functions of POSIX are exported by the executable itself, which the dynamic linker asks before libc: all keys of
//! the process are numbers of ours, their values lie in a table that each thread has, and one real key sees to it that the table's destructors run.
//!
//! Owns those four symbols of whatever program this crate is linked into. Must not use Rust's allocator: that may keep its own state by these very functions.

use std::cell::Cell;
use std::ffi::{CStr, c_int, c_void};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use libc::{EAGAIN, EINVAL, ENOMEM, pthread_key_t};

/// So many at a time: 1,200 modules take some 5,000. A megabyte of zeroes, of which the kernel gives only the pages that are used.
const KEYS: usize = 65_536;
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

/// A thread's values: `len` of them, in memory of libc's.
#[derive(Clone, Copy)]
struct Table {
    values: *mut Value,
    len: usize,
}

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
    // Without a destructor: it is there until the thread's last instruction.
    static TABLE: Cell<Table> = const { Cell::new(Table { values: ptr::null_mut(), len: 0 }) };
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

/// Makes room for `index`, and has libc call [`destroy`] when the thread ends.
fn grow(table: Table, index: usize) -> Option<Table> {
    let len = (index + 1).next_power_of_two().max(64);
    // SAFETY: `values` is NULL or came from here, and nobody else has it.
    let values = unsafe { libc::realloc(table.values.cast(), len * size_of::<Value>()) }.cast::<Value>();
    if values.is_null() {
        return None;
    }
    // SAFETY: the new part of what was given; sequence 0 is nobody's.
    unsafe { values.add(table.len).write_bytes(0, len - table.len) };
    let grown = Table { values, len };
    TABLE.set(grown);
    let real = real()?;
    // SAFETY: the key is ours; its value says only that there is a table.
    let set = unsafe { (real.set)(real.key, values.cast()) };
    (set == 0).then_some(grown)
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
    let table = TABLE.replace(Table { values: ptr::null_mut(), len: 0 });
    // SAFETY: from `grow`, and nobody has it any more.
    unsafe { libc::free(table.values.cast()) };
}

/// Empties a value, and calls its destructor if it has one.
fn destroy_value(index: usize) -> bool {
    let place = TABLE.get().values.wrapping_add(index);
    // SAFETY: `destroy` stays below the table's length.
    let Value { sequence, value } = unsafe { place.read() };
    // SAFETY: as above.
    unsafe { place.write(Value { sequence, value: ptr::null_mut() }) };
    let key = &ALL[index];
    let destructor = key.destructor.load(Ordering::Acquire);
    if value.is_null() || destructor.is_null() || key.sequence.load(Ordering::Acquire) != sequence {
        return false;
    }
    // SAFETY: stored by `pthread_key_create` from such a function.
    let destructor = unsafe { std::mem::transmute::<*mut c_void, Destructor>(destructor) };
    // SAFETY: the value was set for this key, and POSIX has its destructor called with it, once.
    unsafe { destructor(value) };
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(destructor: Option<Destructor>) -> pthread_key_t {
        let mut key = pthread_key_t::MAX;
        // SAFETY: `key` may be written. libc's declaration is linked to the function of this module, as every other caller's is.
        assert_eq!(unsafe { libc::pthread_key_create(&raw mut key, destructor) }, 0);
        key
    }

    fn set(key: pthread_key_t, value: usize) -> c_int {
        // SAFETY: the tests' destructors take numbers for pointers and follow none.
        unsafe { libc::pthread_setspecific(key, ptr::without_provenance(value)) }
    }

    fn get(key: pthread_key_t) -> usize {
        // SAFETY: any number may be asked for.
        unsafe { libc::pthread_getspecific(key) }.addr()
    }

    fn delete(key: pthread_key_t) -> c_int {
        // SAFETY: any number may be deleted.
        unsafe { libc::pthread_key_delete(key) }
    }

    #[test]
    fn there_are_more_keys_than_libc_has_and_each_thread_has_values_of_its_own() {
        let keys: Vec<_> = (0..5_000).map(|_| key(None)).collect();
        let check = |offset: usize| {
            let mut sorted = keys.clone();
            sorted.dedup();
            assert_eq!(sorted.len(), keys.len(), "no key is given out twice");
            assert!(keys.iter().all(|&key| get(key) == 0), "a new thread has no values");
            keys.iter().enumerate().for_each(|(index, &key)| assert_eq!(set(key, index + offset), 0));
            keys.iter().enumerate().for_each(|(index, &key)| assert_eq!(get(key), index + offset));
        };
        std::thread::scope(|scope| {
            scope.spawn(|| check(1));
            scope.spawn(|| check(100_000));
        });
        keys.into_iter().for_each(|key| assert_eq!(delete(key), 0));
    }

    #[test]
    fn a_key_that_is_given_out_again_has_no_value_of_its_earlier_owner() {
        let first = key(None);
        assert_eq!((set(first, 7), get(first)), (0, 7));
        assert_eq!((delete(first), delete(first)), (0, EINVAL));
        assert_eq!((get(first), set(first, 8)), (0, EINVAL));
        // The search goes on behind the last one, so the same number comes back after all others: it is made to be the next.
        NEXT.store(first as usize, Ordering::Relaxed);
        let again = key(None);
        assert_eq!(get(again), 0);
        assert_eq!(delete(again), 0);
        assert_eq!((get(u32::MAX), set(u32::MAX, 1), delete(u32::MAX)), (0, EINVAL, EINVAL));
    }

    static RUN: AtomicUsize = AtomicUsize::new(0);
    static SETS_AGAIN: AtomicUsize = AtomicUsize::new(usize::MAX);

    unsafe extern "C" fn count(value: *mut c_void) {
        RUN.fetch_add(value.addr(), Ordering::Relaxed);
    }

    unsafe extern "C" fn set_again(value: *mut c_void) {
        count_one(value);
        set(SETS_AGAIN.load(Ordering::Relaxed) as pthread_key_t, value.addr());
    }

    fn count_one(value: *mut c_void) {
        // SAFETY: `count` follows no pointer.
        unsafe { count(value) };
    }

    #[test]
    fn destructors_run_when_a_thread_ends_and_a_bounded_number_of_times() {
        let (plain, again) = (key(Some(count)), key(Some(set_again)));
        SETS_AGAIN.store(again as usize, Ordering::Relaxed);
        std::thread::spawn(move || assert_eq!((set(plain, 1_000_000), set(again, 1)), (0, 0)))
            .join()
            .unwrap();
        let total = RUN.load(Ordering::Relaxed);
        assert_eq!(total / 1_000_000, 1, "a value's destructor runs once");
        let passes = total % 1_000_000;
        assert!((PASSES..=PASSES * PASSES).contains(&passes), "{passes} passes for one that never gives up");
        assert_eq!((delete(plain), delete(again)), (0, 0));
    }
}
