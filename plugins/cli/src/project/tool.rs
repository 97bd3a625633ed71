//! A build tool as a child: what it says goes to the terminal, and a copy is kept.
//!
//! Owns the two pipes. Must not understand what is said.

use std::io::{BufRead as _, BufReader, IsTerminal as _, Read, Write as _};
use std::process::{ChildStderr, Command, Stdio};

use anyhow::Context as _;

/// So much of what a tool says is kept, in bytes; the terminal gets all of it.
const KEPT: usize = 64 * 1024;

/// What came of a tool.
pub(super) struct Ended {
    pub success: bool,
    /// Its standard error.
    pub said: String,
}

/// Runs a tool to its end and calls `each` with every line of its standard output when it comes.
///
/// # Errors
/// When it cannot be started; `missing` says what to install.
pub(super) fn run(mut command: Command, missing: &str, each: &mut dyn FnMut(&str)) -> anyhow::Result<Ended> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    hotbay_sys::process::end_with_parent(&mut command);
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command.spawn().with_context(|| format!("failed to start {name}; {missing}"))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let said = std::thread::scope(|scope| {
        let copy = scope.spawn(move || stderr.map(copied).unwrap_or_default());
        for line in
            stdout.into_iter().flat_map(|pipe| BufReader::new(pipe).split(b'\n')).map_while(Result::ok)
        {
            each(&String::from_utf8_lossy(&line));
        }
        copy.join().unwrap_or_default()
    });
    let status = child.wait().with_context(|| format!("failed to wait for {name}"))?;
    Ok(Ended { success: status.success(), said: String::from_utf8_lossy(&said).into_owned() })
}

/// Copies to our own standard error what a tool says there, as it comes.
fn copied(mut pipe: ChildStderr) -> Vec<u8> {
    let (mut kept, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        match pipe.read(&mut piece) {
            Ok(0) | Err(_) => return kept,
            Ok(count) => {
                write(&piece[..count]);
                let room = KEPT.saturating_sub(kept.len());
                kept.extend_from_slice(&piece[..count.min(room)]);
            }
        }
    }
}

/// Shows something as a tool would.
pub(super) fn show(text: &str) {
    write(text.as_bytes());
}

/// A terminal that is gone is no reason to stop building, nor to panic as `eprint` does.
fn write(bytes: &[u8]) {
    let _ = std::io::stderr().write_all(bytes);
}

/// Whether who reads standard error sees colours.
pub(super) fn has_colours() -> bool {
    std::io::stderr().is_terminal()
}
