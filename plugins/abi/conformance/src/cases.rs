//! The C modules of `modules/`: which there are, what is wrong with each, what comes of it in a real host, and how they are built.
//!
//! Owns the list, and the compiler's calls. Must not know how a host sees what comes: that is tested where there is one.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Rule;

/// Where the header and the sources are: as this crate was built.
pub(crate) const HERE: &str = env!("CARGO_MANIFEST_DIR");
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
    /// What comes of it in a real host. `None`: nobody can say, or it takes a test of its own to see.
    pub comes: Option<Comes>,
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

/// What comes of a module in a real host. The first five are what a GET without a body is answered with, each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comes {
    /// 200 with this text.
    Text(&'static str),
    /// 200 with so many bytes.
    Length(usize),
    /// This status, with no body.
    Status(u16),
    /// 500; the host has these words.
    Fails(&'static str),
    /// A beginning and no end, if anything; the host has these words.
    Cut(&'static str),
    /// It is never called, for this reason, as the host names it, and in these words.
    Refused(&'static str, &'static str),
}

use Comes::{Cut, Fails, Length, Refused, Status, Text};
use Wrong::{Breaks, Nothing, Odd};

/// `streams` and its kin: a head, and four pieces.
const STREAMED: Comes = Length(5 + 4 * 16 * 1024);

const fn case(source: &'static str, name: &'static str, wrong: Wrong) -> Case {
    Case { name, source, flags: &[], wrong, comes: None }
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
    Case { flags, ..lives(name, rule) }
}

impl Case {
    const fn comes(self, comes: Comes) -> Self {
        Self { comes: Some(comes), ..self }
    }
}

/// All of them.
pub static ALL: &[Case] = &[
    right("answers_at_once").comes(Text("answered\n")),
    Case { flags: &["-DTHREAD_IN_CONSTRUCTOR"], ..right("joins_a_thread_as_it_is_loaded") }
        .comes(Text("answered\n")),
    right("static_body").comes(Text("static\n")),
    right("owned_body"),
    right("no_content").comes(Status(204)),
    case("right.c", "fails_with_words", Odd(Rule::Succeeds)).comes(Fails("the words of fails_with_words")),
    case("right.c", "panics", Odd(Rule::Succeeds)).comes(Fails("panicked: the words of panics")),
    case("right.c", "panics_in_mid_stream", Odd(Rule::Succeeds))
        .comes(Cut("panicked: the words of panics_in_mid_stream")),
    right("aborts").comes(Cut("aborted")),
    right("logs").comes(Text("logged\n")),
    right("info"),
    right("looks_for_null").comes(Text("no parameters\n")),
    right("metrics").comes(Text("counted\n")),
    right("wakes").comes(Text("woken\n")),
    right("responds_from_a_thread").comes(Text("from a thread\n")),
    right("responds_before_start_returns").comes(Text("before start returned\n")),
    right("wakes_before_start_returns").comes(Text("polled\n")),
    right("timer").comes(Text("rung\n")),
    right("counts_drops"),
    right("reads_all").comes(Text("read 0, 0 trailers\n")),
    right("streams").comes(STREAMED),
    right("streams_much").comes(Length(5 + 128 * 16 * 1024)),
    right("streams_copies").comes(STREAMED),
    right("streams_trailers").comes(STREAMED),
    right("streams_length").comes(STREAMED),
    right("aborts_in_mid_stream").comes(Cut("aborted")),
    right("upgrade_echoes").comes(Text("no upgrade was offered\n")),
    right("keeps_config").comes(Text("{}")),
    right("create_computes").comes(Text("answered\n")),
    right("create_takes_polls").comes(Text("answered\n")),
    right("stop_takes_polls").comes(Text("answered\n")),
    case("right.c", "stop_panics", Odd(Rule::Stop)).comes(Text("answered\n")),
    right("own_thread").comes(Text("by the instance's thread\n")),
    right("older_table").comes(Text("answered\n")),
    Case { flags: &["-DNOTE_FLAGS=0x8001"], ..right("newer_table") }.comes(Text("answered\n")),
    right("runs_with_less").comes(Text("with less\n")),
    breaks("responds_twice", Rule::OneAnswer).comes(Text("the first answer\n")),
    case("right.c", "upgrades_again", Breaks(Rule::OneAnswer)),
    breaks("ready_without_answer", Rule::Complete).comes(Fails("without an answer")),
    breaks("ready_with_unfinished_stream", Rule::Complete).comes(Cut("in the middle")),
    breaks("never_woken", Rule::Wake),
    breaks("unknown_code", Rule::Codes).comes(Fails("rc 77 (unknown)")),
    breaks("unknown_code_from_poll", Rule::Codes).comes(Fails("rc 77 (unknown)")),
    breaks("ignores_what_must_be_understood", Rule::Flags).comes(Text("answered\n")),
    breaks("trusts_wakes", Rule::Complete),
    case("wrong.c", "responds_in_drop", Odd(Rule::AfterDrop)).comes(Text("in time\n")),
    breaks("foreign_handle", Rule::Handles).comes(Text("to somebody\n")),
    breaks("cuts_handles_short", Rule::Handles).comes(Text("awake\n")),
    breaks("uses_view_too_late", Rule::Views),
    breaks("uses_config_too_late", Rule::Views),
    breaks("writes_to_view", Rule::Views),
    breaks("view_as_body", Rule::Bodies),
    breaks("changes_its_body", Rule::Bodies),
    breaks("releases_twice", Rule::Release),
    breaks("never_releases", Rule::Release),
    breaks("uses_piece_too_late", Rule::Release),
    breaks("header_with_newline", Rule::Answer).comes(Text("refused -1\n")),
    breaks("header_with_bad_name", Rule::Answer).comes(Text("refused -1\n")),
    breaks("headers_at_null", Rule::Answer).comes(Text("refused -1\n")),
    breaks("too_many_headers", Rule::Answer).comes(Text("refused -3\n")),
    breaks("false_length", Rule::Answer).comes(Text("refused -1\n")),
    breaks("status_99", Rule::Answer).comes(Text("refused -1\n")),
    breaks("status_600", Rule::Answer).comes(Text("refused -1\n")),
    breaks("status_101", Rule::Answer).comes(Text("refused -1\n")),
    breaks("upgrade_without_offer", Rule::Answer).comes(Text("refused -4\n")),
    breaks("unknown_flag", Rule::Answer).comes(Text("refused -5\n")),
    breaks("short_response", Rule::Answer).comes(Text("refused\n")),
    breaks("writes_before_respond", Rule::Stream).comes(Text("answered\n")),
    breaks("writes_after_finish", Rule::Stream).comes(Text("head\n")),
    breaks("finishes_twice", Rule::Stream).comes(Text("head\n")),
    breaks("stream_short_of_its_length", Rule::Answer).comes(Cut("in the middle")),
    breaks("stream_beyond_its_length", Rule::Answer).comes(Cut("in the middle")),
    breaks("hangs", Rule::Returns),
    breaks("crashes", Rule::Crash),
    breaks("exits", Rule::Crash),
    lives("create_denies", Rule::Create).comes(Refused("ConfigRejected", "the words of create_denies")),
    lives("create_fails", Rule::Create).comes(Refused("StartFailed", "the words of create_fails")),
    lives("create_panics", Rule::Create).comes(Refused("StartFailed", "the words of create_panics")),
    lives("create_answers_nonsense", Rule::Create).comes(Refused("StartFailed", "it answered rc 77")),
    lives("create_fails_later", Rule::Create)
        .comes(Refused("StartFailed", "the words of create_fails_later")),
    lives("create_never_ready", Rule::Wake),
    lives("stop_never_ready", Rule::Stop).comes(Text("answered\n")),
    lives("stop_wakes_for_ever", Rule::Stop).comes(Text("answered\n")),
    // A real host sees of it what it sees of the two above, and each takes it 10 s.
    lives("stop_rings_too_late", Rule::Stop),
    lives("create_hangs", Rule::Returns),
    lives("stop_hangs", Rule::Returns),
    // Too long by so little that a host, which looks now and then, may not see it.
    lives("create_takes_too_long", Rule::Returns),
    lives("poll_instance_takes_too_long", Rule::Returns),
    lives("stop_takes_too_long", Rule::Returns),
    lives("destroy_takes_too_long", Rule::Returns),
    lives("one_instance_ever", Rule::Create).comes(Text("answered\n")),
    lives("one_instance_at_a_time", Rule::Create),
    lives("shares_its_config", Rule::Instances),
    lives("leaves_a_thread", Rule::Threads).comes(Text("answered\n")),
    lives("responds_to_instance", Rule::Handles).comes(Text("to a call\n")),
    lives("refuses_the_host", Rule::Table).comes(Refused("AbiMismatch", "refuses this host")),
    lives("table_too_short", Rule::Table).comes(Refused("AbiMismatch", "shorter")),
    lives("table_of_nothing", Rule::Table).comes(Refused("AbiMismatch", "shorter")),
    lives("null_function", Rule::Table).comes(Refused("AbiMismatch", "required: poll")),
    lives("unknown_high_flag", Rule::Table).comes(Refused("AbiMismatch", "does not know")),
    lives("panics_abort", Rule::Table).comes(Refused("AbiMismatch", "HB_MOD_PANIC_UNWIND")),
    lives("other_handlers", Rule::Table).comes(Refused("ManifestInvalid", "2 handlers")),
    lives("thread_in_entry", Rule::Threads),
    lives("claims_every_extension", Rule::Table),
    flagged("minor_too_new", Rule::Notes, &["-DMINOR=60000"]).comes(Refused("AbiMismatch", "60000")),
    flagged("no_notes", Rule::Notes, &["-DNO_NOTES"]).comes(Refused("ManifestInvalid", "no Hotbay manifest")),
    flagged("broken_manifest", Rule::Notes, &["-DMANIFEST=\"{}\""])
        .comes(Refused("ManifestInvalid", "not valid")),
    // Hosts take both: they read a note by its name, and its flags for what must be understood.
    flagged("name_of_eight_bytes", Rule::Notes, &["-DNAME_SIZE=8"]).comes(Text("answered\n")),
    flagged("other_flags_in_note", Rule::Table, &["-DNOTE_FLAGS=0"]).comes(Text("answered\n")),
    flagged("extra_symbol", Rule::Symbols, &["-DEXTRA"]),
    flagged("no_entry", Rule::Symbols, &["-DNO_ENTRY", "-Wno-unused-function"])
        .comes(Refused("MissingSymbol", "hotbay_module_v1")),
];

/// The names of those that a host answers for, each with what a client gets.
pub fn answered() -> impl Iterator<Item = (&'static str, Comes)> {
    let comes = ALL.iter().filter_map(|case| Some((case.name, case.comes?)));
    comes.filter(|(_, comes)| !matches!(comes, Refused(..)))
}

/// The names of those that no host calls, each with the reason and words of it.
pub fn refused() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    ALL.iter().filter_map(|case| match case.comes? {
        Refused(reason, words) => Some((case.name, reason, words)),
        _ => None,
    })
}

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

pub(crate) fn run(command: &mut Command) -> io::Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr))))
}
