//! What the program shows modules: functions that the dynamic linker has to find in it before it asks the C library.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::fs;

use object::{Object as _, ObjectSymbol as _};

#[path = "../../../runtime/sys/link.rs"]
#[allow(dead_code, reason = "the build script has the linker do it; here is seen what came of it")]
mod link;

#[test]
fn modules_find_the_functions_for_memory_and_thread_specific_data_in_the_program() {
    let program = fs::read(env!("CARGO_BIN_EXE_hotbay")).unwrap();
    let program = object::File::parse(&*program).unwrap();
    let shown: Vec<&str> = program
        .dynamic_symbols()
        .filter(|symbol| symbol.is_definition())
        .map(|symbol| symbol.name().unwrap())
        .collect();
    for name in link::KEYS.iter().chain(&link::HEAP) {
        assert!(shown.contains(name), "{name} is not among {shown:?}");
    }
}
