//! For build scripts of programs that load modules, and for the tests of what comes of them.
//!
//! Owns what their linker shows modules: `hotbay_sys::keys`, `hotbay_sys::made` and `hotbay_sys::heap`. No part of the crate: they take this file in by its path.

/// Thread-specific data.
pub const KEYS: [&str; 4] =
    ["pthread_key_create", "pthread_key_delete", "pthread_getspecific", "pthread_setspecific"];

/// Threads.
pub const THREADS: [&str; 1] = ["pthread_create"];

/// Memory. All of them or none: what one has allocated, another frees.
pub const HEAP: [&str; 11] = [
    "malloc",
    "calloc",
    "realloc",
    "reallocarray",
    "free",
    "posix_memalign",
    "aligned_alloc",
    "memalign",
    "valloc",
    "pvalloc",
    "malloc_usable_size",
];

/// Has the linker show modules the functions for thread-specific data, threads and memory that this crate brings into the program.
pub fn show_modules() {
    for name in KEYS.iter().chain(&THREADS).chain(&HEAP) {
        println!("cargo:rustc-link-arg-bins=-Wl,--undefined={name},--export-dynamic-symbol={name}");
    }
}
