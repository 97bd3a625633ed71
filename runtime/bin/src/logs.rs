//! Log lines: JSON in pods, text on a terminal.
//!
//! Owns the one subscriber of the process. The level comes from HOTBAY_LOG (default `info`), in tracing's filter syntax.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// As [`init`], always as text: for a command whose standard error people read.
pub fn init_text() {
    install(true);
}

/// Installs the subscriber; later calls change nothing. Standard error is a terminal, or HOTBAY_LOG_FORMAT is `text`: text, else JSON.
pub fn init() {
    install(match std::env::var("HOTBAY_LOG_FORMAT").as_deref() {
        Ok("text") => true,
        Ok("json") => false,
        _ => std::io::stderr().is_terminal(),
    });
}

fn install(text: bool) {
    let filter = EnvFilter::try_from_env("HOTBAY_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // An error says that a subscriber is there already, which is what is wanted.
    let _already = if text {
        builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).compact().try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(false).try_init()
    };
}
