//! Each function of the C library, told as the C library tells it.

use super::*;

/// Some memory, filled.
fn filled(memory: *mut c_void, size: usize) -> *mut c_void {
    assert!(!memory.is_null());
    // SAFETY: so much was asked for.
    unsafe { ptr::write_bytes(memory.cast::<u8>(), 7, size) };
    memory
}

fn errno_of(call: impl FnOnce() -> *mut c_void) -> Option<i32> {
    set_errno(0);
    assert!(call().is_null());
    std::io::Error::last_os_error().raw_os_error()
}

/// The process's memory in bytes: proc(5), `statm`.
pub(crate) fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn memory_is_as_large_and_as_aligned_as_was_asked_for() {
    for size in [0, 1, 24, 4096, 100_000, 3 << 20] {
        let mut placed = ptr::null_mut();
        // SAFETY: `placed` may be written.
        assert_eq!(unsafe { posix_memalign(&raw mut placed, 256, size) }, 0);
        let all = [(malloc(size), 1), (aligned_alloc(64, size), 64), (memalign(8192, size), 8192)];
        let all = all.into_iter().chain([(placed, 256), (valloc(size), PAGE), (pvalloc(size), PAGE)]);
        for (memory, alignment) in all {
            assert_eq!(memory.addr() % alignment, 0);
            // SAFETY: it is ours.
            assert!(unsafe { malloc_usable_size(filled(memory, size)) } >= size);
            // SAFETY: as above, and not used afterwards.
            unsafe { free(memory) };
        }
    }
}

#[test]
fn what_grows_keeps_its_bytes_and_what_is_cleared_is_clear() {
    let zeroes = calloc(100, 3);
    // SAFETY: so much was asked for.
    let bytes = unsafe { std::slice::from_raw_parts(zeroes.cast::<u8>(), 300) };
    assert!(bytes.iter().all(|byte| *byte == 0));
    // SAFETY: each comes from the one before, which is not used again.
    unsafe {
        let grown = realloc(filled(zeroes, 300), 100_000);
        assert!(std::slice::from_raw_parts(grown.cast::<u8>(), 300).iter().all(|byte| *byte == 7));
        free(reallocarray(grown, 10, 10));
        free(realloc(ptr::null_mut(), 10));
        free(ptr::null_mut());
    }
}

#[test]
fn what_shrinks_to_nothing_is_freed() {
    let before = resident();
    for _ in 0..400 {
        let memory = filled(malloc(1 << 20), 1 << 20);
        // SAFETY: neither is used afterwards.
        unsafe {
            assert!(realloc(memory, 0).is_null());
            assert!(reallocarray(malloc(10), 0, 8).is_null());
        }
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 200 << 20, "of 400 MiB, {grown} bytes are left");
    // SAFETY: there is nothing that it might free.
    let empty = unsafe { realloc(ptr::null_mut(), 0) };
    assert!(!empty.is_null(), "that is what `malloc(0)` answers");
    // SAFETY: it is ours, and not used afterwards.
    unsafe { free(empty) };
}

#[test]
fn memalign_takes_the_next_power_of_two_and_aligned_alloc_no_other() {
    for (alignment, granted) in [(0, 1), (3, 4), (24, 32), (100, 128), (4097, 8192)] {
        let memory = filled(memalign(alignment, 50), 50);
        assert_eq!(memory.addr() % granted, 0);
        // SAFETY: it is ours, and not used afterwards.
        unsafe { free(memory) };
        assert_eq!(errno_of(|| aligned_alloc(alignment, 50)), Some(EINVAL));
    }
    assert_eq!(errno_of(|| memalign(usize::MAX, 50)), Some(EINVAL));
}

#[test]
fn what_cannot_be_is_told_as_by_the_c_library() {
    assert_eq!(errno_of(|| malloc(usize::MAX / 2)), Some(ENOMEM));
    assert_eq!(errno_of(|| calloc(usize::MAX, 2)), Some(ENOMEM));
    assert_eq!(errno_of(|| pvalloc(usize::MAX)), Some(ENOMEM));
    // SAFETY: there is nothing that it might free.
    assert_eq!(errno_of(|| unsafe { reallocarray(ptr::null_mut(), usize::MAX, 2) }), Some(ENOMEM));
    assert_eq!(errno_of(|| aligned_alloc(24, 8)), Some(EINVAL));
    let mut untouched = ptr::null_mut();
    // SAFETY: `untouched` may be written.
    assert_eq!(unsafe { posix_memalign(&raw mut untouched, 4, 8) }, EINVAL);
    assert!(untouched.is_null());
}

#[test]
fn threads_free_what_others_have_allocated() {
    let (sender, receiver) = std::sync::mpsc::sync_channel::<usize>(64);
    let frees = std::thread::spawn(move || {
        // SAFETY: each was allocated by the other thread, which does not use it any more.
        receiver.iter().map(|memory| unsafe { free(ptr::with_exposed_provenance_mut(memory)) }).count()
    });
    (0..10_000)
        .for_each(|size| sender.send(filled(malloc(size % 2000), size % 2000).expose_provenance()).unwrap());
    drop(sender);
    assert_eq!(frees.join().unwrap(), 10_000);
}
