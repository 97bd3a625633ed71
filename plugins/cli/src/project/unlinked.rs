//! What a linker says that cannot do its work.
//!
//! Owns how its words are found, in what the compiler of Rust or make say, and which of them come first. The command that ran it, which fills a screen,
//! is left out: `cargo build` prints it. Must not know what is linked, nor show anything.

use std::fmt::Write as _;

use cargo_metadata::diagnostic::{Diagnostic, DiagnosticLevel};

use crate::ansi;

/// How rustc begins when its linker has failed.
const FAILED: &str = "linking with `";
/// How it begins when there is nothing to give to the linker.
const NO_LIBRARY: &str = "could not find native static library";
/// Rustc's only word on the command that is of no use without it.
const OMITTED: &str = "some arguments are omitted";
/// What some linkers say without their name before it.
const PLAIN: [&str; 2] = ["undefined reference to", "multiple definition of"];
/// Before the place of what lld and mold miss.
const REFERENCED: &str = ">>> referenced by ";

/// See the module.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unlinked {
    /// All that the linker said.
    pub text: String,
    /// What it misses first, after the place if it says so; `None`: it does not say what is wrong, as one that was killed does not.
    pub first: Option<String>,
}

/// What the linker that rustc ran has said.
pub(super) fn of_rustc(diagnostic: &Diagnostic) -> Option<Unlinked> {
    let message = &diagnostic.message;
    if message.starts_with(NO_LIBRARY) {
        let text = diagnostic.rendered.clone().unwrap_or_default();
        return Some(Unlinked { text, first: Some(message.clone()) });
    }
    message.strip_prefix(FAILED)?;
    // The command comes first.
    let mut notes = diagnostic.children.iter().skip(1).filter(|note| !note.message.starts_with(OMITTED));
    let said = notes.next().map(|note| note.message.trim()).unwrap_or_default();
    let mut text = format!("\x1b[1m\x1b[91merror\x1b[0m\x1b[1m: {message}\x1b[0m\n{said}\n");
    for note in notes {
        let level = if note.level == DiagnosticLevel::Help { "help" } else { "note" };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{level}: {}", note.message);
    }
    text.push('\n');
    Some(Unlinked { text, first: first(said) })
}

/// What a linker has said among all that make and its tools `said`; `None`: it was not the linker.
pub(super) fn of_make(said: &str) -> Option<Unlinked> {
    let first = first(said)?;
    let is_linkers = |line: &str| {
        let line = ansi::plain(line);
        by_linker(&line).is_some() || complaint(&line).is_some()
    };
    let text = said.split_inclusive('\n').skip_while(|line| !is_linkers(line)).collect();
    Some(Unlinked { text, first: Some(first) })
}

/// The first complaint, on one line.
fn first(said: &str) -> Option<String> {
    let plain = ansi::plain(said);
    let mut lines = plain.lines();
    let words = without_offset(lines.by_ref().find_map(complaint)?);
    let place = lines.next().and_then(|next| next.strip_prefix(REFERENCED));
    // `lib.rs:2 (src/lib.rs:2)`
    let place = place.map(|by| by.rsplit_once(" (").map_or(by, |(_, whole)| whole.trim_end_matches(')')));
    Some(place.map_or(words.clone(), |place| format!("{place}: {words}")))
}

/// What is wrong, if that is what the line says.
fn complaint(line: &str) -> Option<&str> {
    let own = by_linker(line);
    let words = own.unwrap_or(line);
    // `in function …:` has the complaint on the next line.
    let is_none = words.contains("warning: ") || words.starts_with("NOTE: ") || words.ends_with(':');
    let counts = own.is_some() || PLAIN.iter().any(|plain| line.contains(plain));
    let words = words.strip_prefix("fatal ").unwrap_or(words);
    (counts && !is_none).then(|| words.strip_prefix("error: ").unwrap_or(words))
}

/// The words on a line that a linker begins with its name.
fn by_linker(line: &str) -> Option<&str> {
    let (program, words) = line.split_once(": ")?;
    // Of another machine's: `aarch64-linux-gnu-ld.bfd`.
    let name = program.rsplit(['/', '-']).next()?;
    (["ld", "lld", "mold"].contains(&name) || name.starts_with("ld.")).then_some(words)
}

/// Without `(.text+0x12)`, which says nothing to people.
fn without_offset(words: &str) -> String {
    let parts = words.split_once(":(").and_then(|(file, rest)| Some((file, rest.split_once("): ")?.1)));
    parts.map_or(words.to_owned(), |(file, rest)| format!("{file}: {rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_linker_is_understood() {
        for (said, expected) in [
            (
                "/usr/bin/ld: /tmp/c.o: in function `f':\nm.c:(.text+0x1): undefined reference to `nowhere'\n",
                "m.c: undefined reference to `nowhere'",
            ),
            (
                "/usr/bin/ld: /tmp/c.o: in function `f':\n/m/m.c:2: undefined reference to `S::f()'\n",
                "/m/m.c:2: undefined reference to `S::f()'",
            ),
            (
                "/usr/lib/gcc-cross/aarch64-linux-gnu/12/../bin/ld: cannot find -lfoo: No such file\n",
                "cannot find -lfoo: No such file",
            ),
            (
                "/tmp/c.o:m.c:function f: error: undefined reference to 'nowhere'\ncollect2: error: ld returned 1\n",
                "/tmp/c.o:m.c:function f: error: undefined reference to 'nowhere'",
            ),
            (
                "rust-lld: error: undefined symbol: nowhere\n>>> referenced by lib.rs:2 (src/lib.rs:2)\n>>>   /t/m.o:(f)\n",
                "src/lib.rs:2: undefined symbol: nowhere",
            ),
            (
                "\x1b[1mld.lld\x1b[0m: error: undefined symbol: nowhere\n>>> referenced by m.c\n",
                "m.c: undefined symbol: nowhere",
            ),
            ("mold: fatal: library not found: foo\n", "fatal: library not found: foo"),
            ("aarch64-linux-gnu-ld.bfd: cannot find -lfoo\n", "cannot find -lfoo"),
            (
                "/usr/bin/ld: warning: m.o: executable stack\n/usr/bin/ld: m.o: bad relocation\n",
                "m.o: bad relocation",
            ),
        ] {
            assert_eq!(first(said).as_deref(), Some(expected), "{said}");
        }
    }

    #[test]
    fn what_others_say_is_no_linkers() {
        for said in [
            "m.c:3:7: error: expected ';'\n",
            "make: *** [Makefile:4: m.so] Error 1\n",
            "build: failed\nscaffold: no\n",
            "collect2: fatal error: ld terminated with signal 9 [Killed]\ncompilation terminated.\n",
            "/usr/bin/ld: warning: m.o: missing .note.GNU-stack section\n/usr/bin/ld: NOTE: deprecated\n",
            "cc: error: no input files\n",
        ] {
            assert_eq!(of_make(said), None, "{said}");
        }
    }

    #[test]
    fn of_make_the_linkers_words_are_left_and_what_follows_them() {
        let words = "/usr/bin/ld: m.o: in function `f':\nm.c:(.text+0x1): undefined reference to `g'\n\
                     collect2: error: ld returned 1 exit status\nmake: *** [Makefile:2: m.so] Error 1\n";
        let unlinked = of_make(&format!("m.c:1:1: warning: unused\n  1 | int a;\n{words}")).unwrap();
        assert_eq!(unlinked.text, words);
    }
}
