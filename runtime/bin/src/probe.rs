//! The probe: loads one staged module in this process, which is made for it.
//!
//! Owns how the outcome is told to the keeper: exit code 0 and a line that only we write, or 1 and a line of JSON with reason and message. Anything else is
//! the module's doing. Must not make an instance: config may be secret or wrong, and is the engine's business.

use std::io::Write as _;
use std::path::Path;

use hotbay_api::{Digest, Reason, names};
use hotbay_artifact::ModuleFacts;

/// Loads the file and says how it went.
pub fn run(path: &Path) -> ! {
    match load(path) {
        // No destructor of the module runs: an engine never runs them either.
        Ok(digest) => end(&hotbay_protocol::probe_passed(&digest), 0),
        Err((reason, message)) => {
            end(&serde_json::json!({"reason": reason, "message": message}).to_string(), 1)
        }
    }
}

fn end(line: &str, code: i32) -> ! {
    let mut out = std::io::stdout().lock();
    // Without the line the keeper takes it for a crash, which is the best that can be said then.
    let _ = writeln!(out, "\n{line}").and_then(|()| out.flush());
    hotbay_sys::process::exit_now(code)
}

fn load(path: &Path) -> Result<Digest, (Reason, String)> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let (digest, _compressed) = names::parse_blob_file(name)
        .ok_or_else(|| (Reason::Incomplete, format!("{} is not a staged module", path.display())))?;
    let bytes = std::fs::read(path)
        .map_err(|error| (Reason::Incomplete, format!("failed to read the stage: {error}")))?;
    let facts = ModuleFacts::read(&bytes).map_err(|error| (error.reason(), error.to_string()))?;
    hotbay_loader::probe(path, digest, facts.manifest.handlers.len())
        .map(|()| digest)
        .map_err(|error| (error.reason(), error.to_string()))
}
