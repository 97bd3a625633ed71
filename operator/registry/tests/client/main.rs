//! The client, against the real registry, against layouts, and against servers that are broken or hostile.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in tests they are how a claim fails"
)]

mod faults;
mod registry;
mod slow;
mod support;
