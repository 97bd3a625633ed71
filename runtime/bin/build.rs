//! Has the linker show modules the functions for thread-specific data that this program brings (see `hotbay_sys::keys`).

fn main() {
    for name in ["pthread_key_create", "pthread_key_delete", "pthread_getspecific", "pthread_setspecific"] {
        println!("cargo:rustc-link-arg-bins=-Wl,--undefined={name},--export-dynamic-symbol={name}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
