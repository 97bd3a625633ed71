//! `hotbay` as its users meet it: the built program, its processes, real modules, real sockets.
//!
//! One program for all tests, so that modules are built once. Each test has ports, folders and processes of its own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "all of it is tests")]

mod admin;
mod artifacts;
mod authors;
mod bookmarks;
mod browser;
mod configs;
mod conformance;
mod docs;
mod ending;
mod extractors;
mod faults;
mod folder;
mod h2spec;
mod kept;
mod logs;
mod pipes;
mod refusals;
mod requests;
mod router;
mod services;
mod stalls;
mod streams;
mod swaps;
mod throttle;
mod turnstile;
mod uploads;
mod workshop;
mod yaml;
