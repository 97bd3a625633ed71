//! A build tool as a child: what it says goes to the terminal, and a copy is kept.
//!
//! Owns the two pipes. Must not understand what is said.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ChildStderr, Command, Stdio};

use anyhow::Context as _;

use super::BuildError;

/// So much of what a tool says is kept of its beginning, where a compiler's first mistake is, and of its end, where a linker's is, in bytes; the terminal
/// gets all of it.
const KEPT: usize = 32 * 1024;

/// What came of a tool that ended by itself.
pub(super) struct Ended {
    pub success: bool,
    /// Its standard error.
    pub said: String,
}

/// Runs a tool to its end and calls `each` with every line of its standard output when it comes.
///
/// # Errors
/// When it cannot be started, and `missing` says what to install then, or is ended by a signal.
pub(super) fn run(
    mut command: Command,
    missing: &str,
    each: &mut dyn FnMut(&str),
) -> Result<Ended, BuildError> {
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
    if let Some(signal) = status.signal() {
        // Where it lies is of no interest.
        let tool = name.rsplit('/').next().unwrap_or(&name);
        let signal = hotbay_sys::signals::name(signal);
        return Err(BuildError::Ended { tool: tool.to_owned(), signal });
    }
    Ok(Ended { success: status.success(), said: String::from_utf8_lossy(&said).into_owned() })
}

/// Copies to our own standard error what a tool says there, as it comes.
fn copied(mut pipe: ChildStderr) -> Vec<u8> {
    let (mut kept, mut piece) = (Kept::default(), [0; 4096]);
    loop {
        match pipe.read(&mut piece) {
            Ok(0) | Err(_) => return kept.all(),
            Ok(count) => {
                write(&piece[..count]);
                kept.take(&piece[..count]);
            }
        }
    }
}

/// The beginning and the end of what may be long.
#[derive(Default)]
struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    /// Whether something between them is left out.
    has_gap: bool,
}

impl Kept {
    fn take(&mut self, piece: &[u8]) {
        let room = KEPT.saturating_sub(self.head.len()).min(piece.len());
        let (head, tail) = piece.split_at(room);
        self.head.extend_from_slice(head);
        self.tail.extend(tail);
        let over = self.tail.len().saturating_sub(KEPT);
        self.tail.drain(..over);
        self.has_gap |= over > 0;
    }

    /// Both; of the end whole lines alone.
    fn all(self) -> Vec<u8> {
        let Self { mut head, tail, has_gap } = self;
        if has_gap {
            head.extend_from_slice(b"\n[...]\n");
            head.extend(tail.into_iter().skip_while(|byte| *byte != b'\n').skip(1));
        } else {
            head.extend(tail);
        }
        head
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

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(pieces: &[&[u8]]) -> String {
        let mut kept = Kept::default();
        pieces.iter().for_each(|piece| kept.take(piece));
        String::from_utf8(kept.all()).unwrap()
    }

    #[test]
    fn of_what_is_long_the_beginning_and_the_end_are_kept() {
        assert_eq!(kept(&[b"one\n", b"two\n"]), "one\ntwo\n");
        let warning = b"m.c:1:1: warning: no\n".repeat(KEPT / 4);
        let long = kept(&[b"m.c:1:1: error: first\n", &warning, b"ld: last\n"]);
        assert!(long.starts_with("m.c:1:1: error: first\n") && long.ends_with("no\nld: last\n"), "{long}");
        assert!(long.contains("\n[...]\nm.c:1:1: warning: no\n") && long.len() < 3 * KEPT, "{long}");
        let all = "a".repeat(2 * KEPT);
        assert_eq!(kept(&[all.as_bytes()]), all, "nothing is between them");
    }
}
