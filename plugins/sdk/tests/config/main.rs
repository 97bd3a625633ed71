//! `#[derive(ModuleConfig)]` as authors use it: the schema that it writes, and that it and the parser agree.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "all of it is tests, and most fields are only parsed"
)]

mod agreement;
mod refusals;
mod schemas;
mod types;
