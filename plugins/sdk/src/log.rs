//! Lines for the host's log, with the module's name and the request already in it.
//!
//! ```
//! use hotbay_sdk::log;
//! log::info("warmed up");
//! log::debug(format_args!("{} rows", 3)); // formatted only if somebody reads it
//! ```
//! In a unit test, where there is no host, lines go to standard error.

use std::fmt::Display;
use std::panic::Location;
use std::sync::atomic::{AtomicI32, Ordering};

use hotbay_abi::Str;

use crate::host;

/// How important a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Level {
    /// Something failed.
    Error = 1,
    /// Something may fail soon, or was worked around.
    Warn = 2,
    /// What an operator wants to know.
    Info = 3,
    /// What the author wants to know.
    Debug = 4,
    /// Everything.
    Trace = 5,
}

/// Whether lines of this level are kept. The level may change while the module runs.
pub fn enabled(level: Level) -> bool {
    host::host().is_none_or(|host| {
        // SAFETY: the host's table is valid for ever, and so is the level that it names; the host writes it atomically too.
        let kept = unsafe { AtomicI32::from_ptr(host.log_level.cast_mut()) };
        level as i32 <= kept.load(Ordering::Relaxed)
    })
}

/// Logs at [`Level::Error`].
#[track_caller]
pub fn error(message: impl Display) {
    log(Level::Error, &message, Location::caller());
}

/// Logs at [`Level::Warn`].
#[track_caller]
pub fn warn(message: impl Display) {
    log(Level::Warn, &message, Location::caller());
}

/// Logs at [`Level::Info`].
#[track_caller]
pub fn info(message: impl Display) {
    log(Level::Info, &message, Location::caller());
}

/// Logs at [`Level::Debug`].
#[track_caller]
pub fn debug(message: impl Display) {
    log(Level::Debug, &message, Location::caller());
}

fn log(level: Level, message: &dyn Display, place: &Location<'_>) {
    if !enabled(level) {
        return;
    }
    let Some(host) = host::host() else {
        eprintln!("{level:?} {}: {message}", place.file());
        return;
    };
    let (target, message) = (Str::new(place.file().as_bytes()), message.to_string());
    // SAFETY: a function of the host's table; both views live as long as this call.
    unsafe { (host.log)(host::current(), level as i32, target, Str::new(message.as_bytes())) };
}
