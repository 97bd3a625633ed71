//! Modules get the program's own functions for memory and thread-specific data.

#[path = "../../runtime/sys/link.rs"]
mod link;

fn main() {
    link::show_modules();
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=../../runtime/sys/link.rs");
}
