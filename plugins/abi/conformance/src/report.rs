//! What a child tells its parent: lines in a file, each written at once, so that what was said before a crash stays said.
//!
//! Owns the lines' form. The signal handler writes them too, so nothing here may allocate on that way.

use std::fs::File;
use std::os::fd::IntoRawFd as _;
use std::sync::atomic::{AtomicI32, Ordering};

use crate::Rule;

static FILE: AtomicI32 = AtomicI32::new(-1);

/// Something that a module did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which rule it is about.
    pub rule: Rule,
    /// It breaks the rule; otherwise it is legal and worth knowing.
    pub broken: bool,
    /// What happened.
    pub words: String,
}

/// What a child has said.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub findings: Vec<Finding>,
    /// What it was doing last.
    pub doing: String,
    /// It came to its end.
    pub done: bool,
    /// This program could not do its part.
    pub failed: Option<String>,
}

/// Has everything written to `file` from now on. It was opened for appending.
pub(crate) fn open(file: File) {
    FILE.store(file.into_raw_fd(), Ordering::Release);
}

/// A rule is broken.
pub(crate) fn broken(rule: Rule, words: &str) {
    line(&["broken\t", rule.id(), "\t", &plain(words), "\n"]);
}

/// Legal, and worth knowing.
pub(crate) fn remark(rule: Rule, words: &str) {
    line(&["remark\t", rule.id(), "\t", &plain(words), "\n"]);
}

/// What follows is `what`.
pub(crate) fn doing(what: &str) {
    line(&["doing\t", what, "\n"]);
}

/// This program cannot do its part.
pub(crate) fn failed(words: &str) {
    line(&["failed\t", &plain(words), "\n"]);
}

/// The scenario has ended.
pub(crate) fn done() {
    line(&["done\n"]);
}

/// Writes one line. Safe in a signal handler.
pub(crate) fn line(parts: &[&str]) {
    let mut bytes = [0_u8; 1024];
    let mut length = 0;
    for part in parts {
        let room = bytes.len() - length;
        let part = &part.as_bytes()[..part.len().min(room)];
        bytes[length..length + part.len()].copy_from_slice(part);
        length += part.len();
    }
    // A line that had to be cut still ends.
    if length == bytes.len() {
        bytes[length - 1] = b'\n';
    }
    // SAFETY: the bytes are ours; a descriptor that is not open is an error that nobody could be told.
    let _written = unsafe { libc::write(FILE.load(Ordering::Acquire), bytes.as_ptr().cast(), length) };
}

fn plain(words: &str) -> String {
    words.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Reads what a child wrote.
pub(crate) fn read(text: &str) -> Said {
    let mut said = Said::default();
    for line in text.lines() {
        let mut fields = line.splitn(3, '\t');
        let kind = fields.next().unwrap_or_default();
        let second = fields.next().unwrap_or_default();
        match (kind, Rule::from_id(second)) {
            ("done", _) => said.done = true,
            ("failed", _) => said.failed = Some(second.to_owned()),
            ("doing", _) => said.doing = second.to_owned(),
            ("broken" | "remark", Some(rule)) => {
                let words = fields.next().unwrap_or_default().to_owned();
                let finding = Finding { rule, broken: kind == "broken", words };
                if !said.findings.contains(&finding) {
                    said.findings.push(finding);
                }
            }
            _ => {}
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_before_a_crash_is_read_once_each() {
        let said = read(
            "doing\tstart\nbroken\twake\tnobody\nbroken\twake\tnobody\nremark\tafter-drop\tlate\nbroken\tx",
        );
        assert_eq!((said.doing.as_str(), said.done, said.findings.len()), ("start", false, 2));
        assert_eq!((said.findings[0].rule, said.findings[0].broken), (Rule::Wake, true));
        assert!(!said.findings[1].broken);
    }
}
