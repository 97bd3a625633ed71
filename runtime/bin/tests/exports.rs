//! Modules get the program's functions for memory and thread-specific data.

#[test]
fn modules_find_the_functions_for_memory_and_thread_specific_data_in_the_program() {
    hotbay_e2e::exports::assert_shown(env!("CARGO_BIN_EXE_hotbay-runtime").as_ref());
}
