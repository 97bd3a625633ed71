//! The test's probe: does what the staged path's name says.

use std::process::ExitCode;

use hotbay_api::Digest;
use hotbay_protocol::probe_passed;

/// Runs one probe.
pub fn run(path: &str) -> ExitCode {
    match path.rsplit('/').next() {
        Some("passed") => {
            println!("{}", probe_passed(&Digest::of(b"passed")));
            ExitCode::SUCCESS
        }
        Some("refused") => {
            println!("{}", "chatter\n".repeat(10_000));
            println!(r#"{{"reason": "StaticTls", "message": "no room"}}"#);
            ExitCode::from(1)
        }
        Some("crashed") => std::process::abort(),
        _ => loop {
            std::thread::park();
        },
    }
}
