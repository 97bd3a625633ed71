//! Lines for the host's log, with the module's name, the request's id and its trace already in them.
//!
//! ```
//! use hotbay_sdk::log;
//! log::info("warmed up");
//! log::debug(format_args!("{} rows", 3)); // formatted only if somebody reads it
//! log::info_with("an order was placed", &[("user", 7.into()), ("kind", "book".into())]);
//! ```
//! Those who write with the crates `log` or `tracing` need none of this: what these say goes the same way, with no set-up (the features `log` and
//! `tracing`, on by default). In a unit test, where there is no host, lines go to standard error.

#[cfg(feature = "log")]
mod facade;
mod fields;

use std::fmt::Display;
use std::panic::Location;
use std::sync::atomic::{AtomicI32, Ordering};

use hotbay_abi::Str;

pub(crate) use fields::Fields;
pub use fields::Value;
#[cfg(any(feature = "log", feature = "tracing"))]
pub(crate) use fields::quoted;

use crate::{host, owner};

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
#[inline]
pub fn enabled(level: Level) -> bool {
    host::host().is_none_or(|host| {
        // SAFETY: the host's table is valid for ever, and so is the level that it names; the host writes it atomically too.
        let kept = unsafe { AtomicI32::from_ptr(host.log_level.cast_mut()) };
        level as i32 <= kept.load(Ordering::Relaxed)
    })
}

/// The two functions of a level.
macro_rules! levels {
    ($($level:ident $plain:ident $with:ident),*) => {$(
        #[doc = concat!("Logs at [`Level::", stringify!($level), "`].")]
        #[track_caller]
        pub fn $plain(message: impl Display) {
            at(Level::$level, &message, &[], Location::caller());
        }

        #[doc = concat!("Logs at [`Level::", stringify!($level), "`], with fields: each stays a value of its own in the JSON line, under `fields`.")]
        #[track_caller]
        pub fn $with(message: impl Display, fields: &[(&str, Value<'_>)]) {
            at(Level::$level, &message, fields, Location::caller());
        }
    )*};
}

levels!(Error error error_with, Warn warn warn_with, Info info info_with, Debug debug debug_with, Trace trace trace_with);

fn at(level: Level, message: &dyn Display, given: &[(&str, Value<'_>)], place: &Location<'_>) {
    if !enabled(level) {
        return;
    }
    let mut fields = Fields::default();
    given.iter().for_each(|(name, value)| fields.set(*name, value.to_json()));
    emit(level, place.file(), &message.to_string(), &fields);
}

/// Has what the crates `log` and `tracing` say come here. Each `.so` has these crates to itself, so this is no business of anybody else's; an author who
/// has installed something else before keeps it.
pub(crate) fn install() {
    #[cfg(feature = "log")]
    facade::install();
    #[cfg(feature = "tracing")]
    crate::trace::install();
}

/// Hands a line over. Its level was looked at before.
pub(crate) fn emit(level: Level, target: &str, message: &str, fields: &Fields) {
    let json = fields.to_json();
    let Some(host) = host::host() else {
        eprintln!("{level:?} {target}: {message} {json}");
        return;
    };
    // Who frees bytes for the host must not call it.
    let Some(handle) = owner::handle() else { return };
    let fields = if json.is_empty() { Str::ABSENT } else { Str::new(json.as_bytes()) };
    let (target, message) = (Str::new(target.as_bytes()), Str::new(message.as_bytes()));
    // SAFETY: a function of the host's table; the views live as long as this call.
    unsafe { (host.log)(handle, level as i32, target, message, fields) };
}
