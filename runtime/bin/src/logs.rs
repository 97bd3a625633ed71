//! Log lines: JSON in pods, text on a terminal.
//!
//! Owns the one subscriber of the process. The level comes from HOTBAY_LOG (default `info`), in tracing's filter syntax.

use std::io::IsTerminal as _;

use hotbay_logs::Level;

/// As [`init`], always as text: for a command whose standard error people read.
pub fn init_text() -> Level {
    install(true)
}

/// Installs the subscriber; later calls change nothing. Standard error is a terminal, or HOTBAY_LOG_FORMAT is `text`: text, else JSON.
pub fn init() -> Level {
    install(match std::env::var("HOTBAY_LOG_FORMAT").as_deref() {
        Ok("text") => true,
        Ok("json") => false,
        _ => std::io::stderr().is_terminal(),
    })
}

fn install(text: bool) -> Level {
    let filter = std::env::var("HOTBAY_LOG").unwrap_or_else(|_| "info".to_owned());
    if text {
        hotbay_logs::text(&filter, std::io::stderr, std::io::stderr().is_terminal())
    } else {
        hotbay_logs::json(&filter, std::io::stderr)
    }
}
