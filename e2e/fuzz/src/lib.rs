//! What must hold whatever bytes come: one function a target, which panics where it does not.
//!
//! Owns the claims. `tests/mutations.rs` makes them of seeds and deterministic mutations with any compiler; `fuzz/` has libFuzzer look for
//! what breaks them, by `scripts/fuzz`. Must not make a claim that another test makes of well-formed input.

#![allow(
    clippy::panic,
    clippy::expect_used,
    reason = "a target says by a panic that its claim does not hold"
)]

mod elf;
mod input;
mod manifest;
mod request;
mod response;

pub use elf::elf;
pub use manifest::manifest;
pub use request::request;
pub use response::response;
