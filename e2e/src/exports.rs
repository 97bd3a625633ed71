//! What a program shows modules: functions that the dynamic linker has to find in it before it asks the C library.

use std::fs;
use std::path::Path;

use object::{Object as _, ObjectSymbol as _};

#[path = "../../runtime/sys/link.rs"]
#[allow(dead_code, reason = "the build script has the linker do it; here is seen what came of it")]
mod link;

/// Fails unless `program` shows the functions for memory, threads and thread-specific data.
pub fn assert_shown(program: &Path) {
    let program = fs::read(program).unwrap();
    let program = object::File::parse(&*program).unwrap();
    let shown: Vec<&str> = program
        .dynamic_symbols()
        .filter(|symbol| symbol.is_definition())
        .map(|symbol| symbol.name().unwrap())
        .collect();
    for name in link::KEYS.iter().chain(&link::THREADS).chain(&link::HEAP) {
        assert!(shown.contains(name), "{name} is not among {shown:?}");
    }
}
