//! The functions of POSIX as a program calls them, and threads that come and go.

use super::*;
#[cfg(all(feature = "heap", not(miri)))]
use crate::heap::tests::resident;

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
    std::thread::spawn(move || assert_eq!((set(plain, 1_000_000), set(again, 1)), (0, 0))).join().unwrap();
    let total = RUN.load(Ordering::Relaxed);
    assert_eq!(total / 1_000_000, 1, "a value's destructor runs once");
    let passes = total % 1_000_000;
    assert!((PASSES..=PASSES * PASSES).contains(&passes), "{passes} passes for one that never gives up");
    assert_eq!((delete(plain), delete(again)), (0, 0));
}

type Start = extern "C" fn(*mut c_void) -> *mut c_void;

/// A thread as a module in C starts it: the C library has it call nothing before `start`, where Rust's own begin with an allocation. Answers what it does.
fn raw_thread(start: Start, argument: *const c_void) -> usize {
    let mut thread = 0;
    let mut answer = ptr::null_mut();
    // SAFETY: `thread` may be written; `start` takes `argument`, which outlives the thread, because it is joined here.
    unsafe {
        assert_eq!(libc::pthread_create(&raw mut thread, ptr::null(), start, argument.cast_mut()), 0);
        assert_eq!(libc::pthread_join(thread, &raw mut answer), 0);
    }
    answer.addr()
}

static ENDED: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" fn ended(value: *mut c_void) {
    ENDED.fetch_add(value.addr(), Ordering::Relaxed);
}

/// Sets a value for each of the keys, the first before all else. Answers how many of the values are still there afterwards.
extern "C" fn sets_all(keys: *mut c_void) -> *mut c_void {
    // SAFETY: the test below gives it that.
    let keys = unsafe { &*keys.cast::<Vec<pthread_key_t>>() };
    for (index, &key) in keys.iter().enumerate() {
        assert_eq!(set(key, index + 1), 0);
    }
    let kept = keys.iter().enumerate().filter(|&(index, &key)| get(key) == index + 1).count();
    ptr::without_provenance_mut(kept)
}

#[test]
fn a_thread_that_begins_with_a_value_keeps_it_however_many_follow() {
    const MANY: usize = 3_000;
    // From the lowest numbers on, so that some are among a thread's first values.
    NEXT.store(0, Ordering::Relaxed);
    let keys: Vec<_> = (0..MANY).map(|_| key(Some(ended))).collect();
    assert_eq!(raw_thread(sets_all, (&raw const keys).cast()), MANY);
    assert_eq!(
        ENDED.load(Ordering::Relaxed),
        MANY * (MANY + 1) / 2,
        "the destructor of each value ran, once"
    );
    keys.into_iter().for_each(|key| assert_eq!(delete(key), 0));
}

/// What a module's thread may do before it ends: `argument` is a key, the lowest bit of which says whether its value or the memory comes first.
#[cfg(all(feature = "heap", not(miri)))]
extern "C" fn allocates(argument: *mut c_void) -> *mut c_void {
    let (key, first) = ((argument.addr() >> 1) as pthread_key_t, argument.addr() & 1 == 0);
    if first {
        set(key, 1);
    }
    let memory = crate::heap::malloc(100);
    if !memory.is_null() {
        // SAFETY: so much was asked for; it is not used afterwards.
        unsafe {
            memory.cast::<u8>().write_bytes(7, 100);
            crate::heap::free(memory);
        }
    }
    if !first {
        set(key, 1);
    }
    ptr::without_provenance_mut(get(key))
}

/// mimalloc learns of a thread's end by a key of its own.
#[cfg(all(feature = "heap", not(miri)))]
#[test]
fn threads_that_end_leave_no_memory_behind() {
    // A low number makes a short table, and short work of it.
    NEXT.store(0, Ordering::Relaxed);
    let key = key(None);
    let run = |threads: usize| {
        for thread in 0..threads {
            let argument = ptr::without_provenance((key as usize) << 1 | thread & 1);
            assert_eq!(raw_thread(allocates, argument), 1);
        }
    };
    run(1_000);
    let before = resident();
    for thousand in 1..=20 {
        run(1_000);
        let grown = resident().saturating_sub(before);
        assert!(grown < 32 << 20, "{thousand},000 threads have left {grown} bytes");
    }
    assert_eq!(delete(key), 0);
}
