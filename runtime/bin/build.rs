//! Modules get the program's own functions for memory, threads and thread-specific data.

#[path = "../sys/link.rs"]
mod link;

fn main() {
    link::show_modules();
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=../sys/link.rs");
}
