//! The heap of modules: `malloc` and its kin, by mimalloc.
//!
//! A module allocates with the C library's functions, whatever it is written in. Here they are exported by the executable itself, which the dynamic linker
//! asks before libc; they take a third of the instructions of libc's, and many threads share pages where libc would give each an arena of its own. The
//! program's own Rust code has mimalloc as its global allocator, but another heap of it: what a module writes beyond its memory hits memory of modules first.
//!
//! A child of `fork` must do nothing but `exec`: nothing here waits for other threads' locks before it, as libc's own heap does. The ABI forbids it to modules.
//!
//! Owns those symbols of whatever program this crate is linked into, all of them, because what one has allocated another frees. Must not allocate, log or panic:
//! the dynamic linker calls these functions before there is anything else.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use libc::{EINVAL, ENOMEM};
use libmimalloc_sys::{
    mi_free, mi_heap_calloc, mi_heap_delete, mi_heap_malloc, mi_heap_malloc_aligned, mi_heap_new,
    mi_heap_realloc, mi_heap_t, mi_usable_size,
};

/// What x86-64 and arm64 Linux have at least; a multiple of it does no harm.
const PAGE: usize = 4096;

static HEAP: AtomicPtr<mi_heap_t> = AtomicPtr::new(ptr::null_mut());

/// The modules' heap; NULL if there is no memory even for that.
#[inline(always)]
fn heap() -> *mut mi_heap_t {
    let heap = HEAP.load(Ordering::Acquire);
    if heap.is_null() { first_heap() } else { heap }
}

#[cold]
fn first_heap() -> *mut mi_heap_t {
    // SAFETY: it may be called at any time; mimalloc makes itself ready.
    let made = unsafe { mi_heap_new() };
    match HEAP.compare_exchange(ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => made,
        Err(first) => {
            if !made.is_null() {
                // SAFETY: it was made just now, and nobody else knows it.
                unsafe { mi_heap_delete(made) };
            }
            first
        }
    }
}

/// What the C library's functions answer when there is no memory.
#[inline(always)]
fn checked(memory: *mut c_void) -> *mut c_void {
    if memory.is_null() {
        set_errno(ENOMEM);
    }
    memory
}

#[cold]
fn set_errno(number: c_int) {
    // SAFETY: the place is the thread's own.
    unsafe { libc::__errno_location().write(number) };
}

/// With the modules' heap, if there is one.
#[inline(always)]
fn allocate(by: impl FnOnce(*mut mi_heap_t) -> *mut c_void) -> *mut c_void {
    let heap = heap();
    checked(if heap.is_null() { ptr::null_mut() } else { by(heap) })
}

/// C `malloc`.
#[unsafe(no_mangle)]
pub extern "C" fn malloc(size: usize) -> *mut c_void {
    // SAFETY: the heap is never deleted; so in all that follows.
    allocate(|heap| unsafe { mi_heap_malloc(heap, size) })
}

/// C `calloc`.
#[unsafe(no_mangle)]
pub extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    // SAFETY: as above.
    allocate(|heap| unsafe { mi_heap_calloc(heap, count, size) })
}

/// C `realloc`. As in glibc, a size of 0 frees `memory` and answers NULL, which C leaves open.
///
/// # Safety
/// As C has it: `memory` must be NULL or come from one of these functions, and not be used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(memory: *mut c_void, size: usize) -> *mut c_void {
    if size == 0 && !memory.is_null() {
        // SAFETY: the caller's promise.
        unsafe { free(memory) };
        return ptr::null_mut();
    }
    // SAFETY: as above, and the caller's promise.
    allocate(|heap| unsafe { mi_heap_realloc(heap, memory, size) })
}

/// BSD `reallocarray`.
///
/// # Safety
/// As of [`realloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn reallocarray(memory: *mut c_void, count: usize, size: usize) -> *mut c_void {
    match count.checked_mul(size) {
        // SAFETY: the caller's promise.
        Some(size) => unsafe { realloc(memory, size) },
        None => checked(ptr::null_mut()),
    }
}

/// C `free`.
///
/// # Safety
/// As of [`realloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(memory: *mut c_void) {
    // SAFETY: the caller's promise.
    unsafe { mi_free(memory) };
}

/// C11 `aligned_alloc`. As C17 has it, and glibc from 2.38 on, an alignment that is no power of two is an error.
#[unsafe(no_mangle)]
pub extern "C" fn aligned_alloc(alignment: usize, size: usize) -> *mut c_void {
    if !alignment.is_power_of_two() {
        set_errno(EINVAL);
        return ptr::null_mut();
    }
    // SAFETY: as above; the alignment is a power of two.
    allocate(|heap| unsafe { mi_heap_malloc_aligned(heap, size, alignment) })
}

/// SunOS `memalign`. As in glibc, an alignment that is no power of two stands for the next one.
#[unsafe(no_mangle)]
pub extern "C" fn memalign(alignment: usize, size: usize) -> *mut c_void {
    // 0, which is none, where there is no next one.
    aligned_alloc(alignment.checked_next_power_of_two().unwrap_or(0), size)
}

/// POSIX `posix_memalign`.
///
/// # Safety
/// `out` must be a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(out: *mut *mut c_void, alignment: usize, size: usize) -> c_int {
    if !alignment.is_power_of_two() || !alignment.is_multiple_of(size_of::<*mut c_void>()) {
        return EINVAL;
    }
    let heap = heap();
    if heap.is_null() {
        return ENOMEM;
    }
    // SAFETY: as above; the alignment is a power of two.
    let memory = unsafe { mi_heap_malloc_aligned(heap, size, alignment) };
    if memory.is_null() {
        return ENOMEM;
    }
    // SAFETY: the caller's promise.
    unsafe { out.write(memory) };
    0
}

/// BSD `valloc`.
#[unsafe(no_mangle)]
pub extern "C" fn valloc(size: usize) -> *mut c_void {
    aligned_alloc(PAGE, size)
}

/// SVr4 `pvalloc`: whole pages.
#[unsafe(no_mangle)]
pub extern "C" fn pvalloc(size: usize) -> *mut c_void {
    match size.checked_next_multiple_of(PAGE) {
        Some(size) => aligned_alloc(PAGE, size),
        None => checked(ptr::null_mut()),
    }
}

/// GNU `malloc_usable_size`.
///
/// # Safety
/// `memory` must be NULL or come from one of these functions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc_usable_size(memory: *mut c_void) -> usize {
    // SAFETY: the caller's promise.
    unsafe { mi_usable_size(memory) }
}

#[cfg(test)]
pub(crate) mod tests;
