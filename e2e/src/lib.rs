//! What end-to-end tests share: modules built from source, an HTTP client, load, and a laptop.
//!
//! Tests of the CLI use it as well as those of a cluster. Nothing here is part of a product.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "everything here runs inside tests"
)]

pub mod broken;
pub mod cargo;
pub mod cluster;
pub mod docs;
pub mod exports;
pub mod http;
pub mod laptop;
pub mod load;
pub mod modules;
pub mod postgres;
pub mod shipped;
pub mod wait;
