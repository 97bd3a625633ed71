//! The C modules of `modules/`: which there are, what is wrong with each, and how they are built.
//!
//! Owns the list, and the compiler's calls. What a real host makes of each is tested where there is one.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Rule;

/// Where the header and the sources are: as this crate was built.
const HERE: &str = env!("CARGO_MANIFEST_DIR");
/// `address` or `thread`: the modules are instrumented as the host is that loads them. scripts/sanitize sets it; the host brings the sanitizer's runtime.
const SANITIZER: &str = "HOTBAY_SANITIZER";

/// A C module.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its name; it answers at `/NAME`.
    pub name: &'static str,
    /// The source.
    source: &'static str,
    /// Flags for the compiler.
    flags: &'static [&'static str],
    /// What is wrong with it.
    pub wrong: Wrong,
}

/// What is wrong with a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Nothing.
    Nothing,
    /// It breaks this rule.
    Breaks(Rule),
    /// It keeps the rules; there is something to say about this one.
    Odd(Rule),
}

use Wrong::{Breaks, Nothing, Odd};

const fn case(source: &'static str, name: &'static str, wrong: Wrong) -> Case {
    Case { name, source, flags: &[], wrong }
}

const fn right(name: &'static str) -> Case {
    case("right.c", name, Nothing)
}

const fn breaks(name: &'static str, rule: Rule) -> Case {
    case("wrong.c", name, Breaks(rule))
}

const fn lives(name: &'static str, rule: Rule) -> Case {
    case("life.c", name, Breaks(rule))
}

const fn flagged(name: &'static str, rule: Rule, flags: &'static [&'static str]) -> Case {
    Case { name, source: "life.c", flags, wrong: Breaks(rule) }
}

/// All of them.
pub static ALL: &[Case] = &[
    right("answers_at_once"),
    right("static_body"),
    right("owned_body"),
    right("no_content"),
    case("right.c", "fails_with_words", Odd(Rule::Succeeds)),
    case("right.c", "panics", Odd(Rule::Succeeds)),
    case("right.c", "panics_in_mid_stream", Odd(Rule::Succeeds)),
    right("aborts"),
    right("logs"),
    right("info"),
    right("looks_for_null"),
    right("metrics"),
    right("wakes"),
    right("responds_from_a_thread"),
    right("responds_before_start_returns"),
    right("wakes_before_start_returns"),
    right("timer"),
    right("counts_drops"),
    right("reads_all"),
    right("streams"),
    right("streams_much"),
    right("streams_copies"),
    right("streams_trailers"),
    right("streams_length"),
    right("aborts_in_mid_stream"),
    right("upgrade_echoes"),
    right("keeps_config"),
    right("create_takes_polls"),
    right("stop_takes_polls"),
    case("right.c", "stop_panics", Odd(Rule::Stop)),
    right("own_thread"),
    right("older_table"),
    right("newer_table"),
    right("runs_with_less"),
    breaks("responds_twice", Rule::OneAnswer),
    breaks("ready_without_answer", Rule::Complete),
    breaks("ready_with_unfinished_stream", Rule::Complete),
    breaks("never_woken", Rule::Wake),
    breaks("unknown_code", Rule::Codes),
    breaks("unknown_code_from_poll", Rule::Codes),
    breaks("ignores_what_must_be_understood", Rule::Flags),
    breaks("trusts_wakes", Rule::Complete),
    case("wrong.c", "responds_in_drop", Odd(Rule::AfterDrop)),
    breaks("foreign_handle", Rule::Handles),
    breaks("cuts_handles_short", Rule::Handles),
    breaks("uses_view_too_late", Rule::Views),
    breaks("uses_config_too_late", Rule::Views),
    breaks("writes_to_view", Rule::Views),
    breaks("view_as_body", Rule::Bodies),
    breaks("changes_its_body", Rule::Bodies),
    breaks("releases_twice", Rule::Release),
    breaks("never_releases", Rule::Release),
    breaks("uses_piece_too_late", Rule::Release),
    breaks("header_with_newline", Rule::Answer),
    breaks("header_with_bad_name", Rule::Answer),
    breaks("headers_at_null", Rule::Answer),
    breaks("too_many_headers", Rule::Answer),
    breaks("false_length", Rule::Answer),
    breaks("status_99", Rule::Answer),
    breaks("status_600", Rule::Answer),
    breaks("status_101", Rule::Answer),
    breaks("upgrade_without_offer", Rule::Answer),
    breaks("unknown_flag", Rule::Answer),
    breaks("short_response", Rule::Answer),
    breaks("writes_before_respond", Rule::Stream),
    breaks("writes_after_finish", Rule::Stream),
    breaks("finishes_twice", Rule::Stream),
    breaks("stream_short_of_its_length", Rule::Answer),
    breaks("stream_beyond_its_length", Rule::Answer),
    breaks("hangs", Rule::Returns),
    breaks("crashes", Rule::Crash),
    breaks("exits", Rule::Crash),
    lives("create_denies", Rule::Create),
    lives("create_fails", Rule::Create),
    lives("create_panics", Rule::Create),
    lives("create_answers_nonsense", Rule::Create),
    lives("create_fails_later", Rule::Create),
    lives("create_never_ready", Rule::Wake),
    lives("stop_never_ready", Rule::Stop),
    lives("create_hangs", Rule::Returns),
    lives("stop_hangs", Rule::Returns),
    lives("one_instance_ever", Rule::Create),
    lives("one_instance_at_a_time", Rule::Create),
    lives("shares_its_config", Rule::Instances),
    lives("leaves_a_thread", Rule::Threads),
    lives("responds_to_instance", Rule::Handles),
    lives("refuses_the_host", Rule::Table),
    lives("table_too_short", Rule::Table),
    lives("table_of_nothing", Rule::Table),
    lives("null_function", Rule::Table),
    lives("unknown_high_flag", Rule::Table),
    lives("panics_abort", Rule::Table),
    lives("other_handlers", Rule::Table),
    lives("thread_in_entry", Rule::Threads),
    flagged("minor_too_new", Rule::Notes, &["-DMINOR=60000"]),
    flagged("no_notes", Rule::Notes, &["-DNO_NOTES"]),
    flagged("broken_manifest", Rule::Notes, &["-DMANIFEST=\"{}\""]),
    flagged("extra_symbol", Rule::Symbols, &["-DEXTRA"]),
    flagged("no_entry", Rule::Symbols, &["-DNO_ENTRY", "-Wno-unused-function"]),
];

impl Case {
    /// The one with this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|case| case.name == name)
    }

    /// Compiles it to `folder/NAME.so`.
    ///
    /// # Errors
    /// When there is no C compiler, or it refuses; its words are in the error.
    pub fn build(&self, folder: &Path) -> io::Result<PathBuf> {
        let file = folder.join(format!("{}.so", self.name));
        match std::env::var(SANITIZER).as_deref() {
            Err(_) => {
                let mut compiler = self.compiler("cc");
                compiler.args(["-O1", "-g0", "-shared", "-Wl,-z,defs,-z,now,-s,--gc-sections"]);
                run(compiler.arg("-o").arg(&file))?;
            }
            Ok(sanitizer) => self.build_instrumented(sanitizer, &file)?,
        }
        Ok(file)
    }

    /// In two steps: a linker that knows of a sanitizer would want a runtime of its own, and there must be one in a process.
    fn build_instrumented(&self, sanitizer: &str, file: &Path) -> io::Result<()> {
        let checks = match sanitizer {
            "address" => "-fsanitize=address,undefined",
            "thread" => "-fsanitize=thread",
            other => return Err(io::Error::other(format!("{SANITIZER} is {other:?}: address or thread"))),
        };
        let object = file.with_extension("o");
        let mut compiler = self.compiler("clang");
        compiler.args(["-O1", "-g", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all", "-c", checks]);
        run(compiler.arg("-o").arg(&object))?;
        run(Command::new("clang").args(["-shared", "-pthread", "-Wl,-z,now", "-o"]).arg(file).arg(&object))
    }

    /// A call of this compiler for the source, as strict as it can be.
    fn compiler(&self, name: &str) -> Command {
        let mut compiler = Command::new(name);
        compiler.args(["-std=c11", "-fPIC", "-fvisibility=hidden", "-pthread"]);
        compiler.args(["-Wall", "-Wextra", "-Wpedantic", "-Werror"]);
        compiler.arg(format!("-I{HERE}/../include")).arg(format!("-DCASE={}", self.name));
        compiler.args(self.flags).arg(Path::new(HERE).join("modules").join(self.source));
        compiler
    }
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr))))
}
