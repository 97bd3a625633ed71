//! For build scripts of programs that load modules.
//!
//! Owns what their linker is told of `hotbay_sys::keys`. No part of the crate: a build script takes this file in by its path.

/// Has the linker show modules the functions for thread-specific data that this crate brings into the program.
pub fn show_keys() {
    for name in ["pthread_key_create", "pthread_key_delete", "pthread_getspecific", "pthread_setspecific"] {
        println!("cargo:rustc-link-arg-bins=-Wl,--undefined={name},--export-dynamic-symbol={name}");
    }
}
