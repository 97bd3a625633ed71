//! The probe: loads one staged module in this process, which is made for it.
//!
//! Owns how the outcome is told to the keeper: exit code 0, or 1 and a line of JSON with reason and message on standard output. Anything else is
//! the module's doing. Must not make an instance: config may be secret or wrong, and is the engine's business.

use std::path::Path;
use std::process::ExitCode;

use hotbay_api::{Reason, names};
use hotbay_artifact::ModuleFacts;

/// Loads the file and says how it went.
pub fn run(path: &Path) -> ExitCode {
    match load(path) {
        Ok(()) => ExitCode::SUCCESS,
        Err((reason, message)) => {
            println!("{}", serde_json::json!({"reason": reason, "message": message}));
            ExitCode::FAILURE
        }
    }
}

fn load(path: &Path) -> Result<(), (Reason, String)> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let (digest, _compressed) = names::parse_blob_file(name)
        .ok_or_else(|| (Reason::Incomplete, format!("{} is not a staged module", path.display())))?;
    let bytes =
        std::fs::read(path).map_err(|error| (Reason::Incomplete, format!("failed to read the stage: {error}")))?;
    let facts = ModuleFacts::read(&bytes).map_err(|error| (error.reason(), error.to_string()))?;
    hotbay_loader::probe(path, digest, facts.manifest.handlers.len())
        .map_err(|error| (error.reason(), error.to_string()))
}
