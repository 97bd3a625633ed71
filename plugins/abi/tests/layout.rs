//! The Rust mirror and the C header say the same: every offset, every size and every constant, as a C and as a C++ compiler see them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, outside their functions")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use hotbay_abi as abi;

/// A line that the compiled header must print: what it is called, and its value.
type Fact = (String, i64);

/// Facts of a struct. The pattern names every field, so one that is added to the mirror and not here does not compile.
macro_rules! layout {
    ($facts:ident, $source:ident, $c:ident, $rust:ident { $($field:ident),* $(,)? }) => {
        let _ = |abi::$rust { $($field: _),* }: &abi::$rust| {};
        expect(&mut $facts, &mut $source, format!("sizeof({})", stringify!($c)), size_of::<abi::$rust>() as i64);
        $(
            let (c, field) = (stringify!($c), stringify!($field));
            let offset = std::mem::offset_of!(abi::$rust, $field) as i64;
            expect(&mut $facts, &mut $source, format!("offsetof({c}, {field})"), offset);
            let size = size_behind(|whole: &abi::$rust| &whole.$field) as i64;
            expect(&mut $facts, &mut $source, format!("sizeof((({c} *)0)->{field})"), size);
        )*
    };
}

macro_rules! constants {
    ($facts:ident, $source:ident, $($c:ident = $value:expr),* $(,)?) => {
        $(expect(&mut $facts, &mut $source, stringify!($c).to_owned(), i64::from($value));)*
    };
}

fn expect(facts: &mut Vec<Fact>, source: &mut String, expression: String, value: i64) {
    writeln!(source, "  printf(\"%s = %lld\\n\", \"{expression}\", (long long)({expression}));").unwrap();
    facts.push((expression, value));
}

fn size_behind<T, F>(_: fn(&T) -> &F) -> usize {
    size_of::<F>()
}

#[rustfmt::skip]
fn facts() -> (Vec<Fact>, String) {
    let (mut facts, mut source) = (Vec::new(), String::new());
    layout!(facts, source, hb_str, Str { ptr, len });
    layout!(facts, source, hb_header, Header { name, value });
    layout!(facts, source, hb_buf, Buf { ptr, len, owner, release });
    layout!(facts, source, hb_request, Request {
        size, flags, handler, http, pad, n_headers, n_params, method, scheme, authority, path, query, body, protocol, headers, params,
        content_length, deadline_ns, request_id,
    });
    layout!(facts, source, hb_response, Response { size, flags, status, pad, n_headers, headers, body });
    layout!(facts, source, hb_config, Config { size, flags, name, config_json, digest });
    layout!(facts, source, hb_host, Host {
        size, abi_minor, respond, read, write, finish, abort, wake, timer, trailers, info, fail, log, log_level, now_ns,
        extension,
    });
    layout!(facts, source, hb_metrics, Metrics { size, pad, register_series, add, set, observe });
    layout!(facts, source, hb_module, Module {
        size, abi_minor, flags, n_handlers, create, poll_instance, stop, destroy, start, poll, drop, extension,
    });
    // A note is read byte by byte, in files, and has no mirror.
    for (expression, value) in [
        ("sizeof(hb_note)", 20),
        ("offsetof(hb_note, name_size)", 0), ("sizeof(((hb_note *)0)->name_size)", 4),
        ("offsetof(hb_note, desc_size)", 4), ("sizeof(((hb_note *)0)->desc_size)", 4),
        ("offsetof(hb_note, type)", 8), ("sizeof(((hb_note *)0)->type)", 4),
        ("offsetof(hb_note, name)", 12), ("sizeof(((hb_note *)0)->name)", 8),
        ("sizeof(HB_METRICS_ID)", abi::METRICS_ID.to_bytes_with_nul().len() as i64),
    ] {
        expect(&mut facts, &mut source, expression.to_owned(), value);
    }
    constants!(facts, source,
        HB_ABI_MAJOR = abi::ABI_MAJOR, HB_ABI_MINOR = abi::ABI_MINOR,
        HB_READY = abi::READY, HB_PENDING = abi::PENDING, HB_EOF = abi::EOF, HB_ERR = abi::ERR, HB_GONE = abi::GONE,
        HB_LIMIT = abi::LIMIT, HB_DENIED = abi::DENIED, HB_UNSUPPORTED = abi::UNSUPPORTED, HB_PANIC = abi::PANIC,
        HB_REQ_BODY_INLINE = abi::REQ_BODY_INLINE, HB_REQ_UPGRADE_OK = abi::REQ_UPGRADE_OK,
        HB_RESP_STREAM = abi::RESP_STREAM, HB_RESP_UPGRADE = abi::RESP_UPGRADE, HB_RESP_COPY = abi::RESP_COPY,
        HB_WRITE_COPY = abi::WRITE_COPY,
        HB_INFO_PEER = abi::INFO_PEER, HB_INFO_REQUEST_ID = abi::INFO_REQUEST_ID, HB_INFO_TRACEPARENT = abi::INFO_TRACEPARENT,
        HB_LOG_ERROR = abi::LOG_ERROR, HB_LOG_WARN = abi::LOG_WARN, HB_LOG_INFO = abi::LOG_INFO, HB_LOG_DEBUG = abi::LOG_DEBUG,
        HB_LOG_TRACE = abi::LOG_TRACE,
        HB_METRIC_COUNTER = abi::METRIC_COUNTER, HB_METRIC_GAUGE = abi::METRIC_GAUGE, HB_METRIC_HISTOGRAM = abi::METRIC_HISTOGRAM,
        HB_MOD_PANIC_UNWIND = abi::MOD_PANIC_UNWIND,
        HB_DROP_DONE = abi::DROP_DONE, HB_DROP_DISCONNECT = abi::DROP_DISCONNECT, HB_DROP_TIMEOUT = abi::DROP_TIMEOUT,
        HB_DROP_SHUTDOWN = abi::DROP_SHUTDOWN, HB_DROP_ERROR = abi::DROP_ERROR,
    );
    (facts, source)
}

/// Compiles a program that prints the facts as the header has them, and compares.
fn agrees(compiler: &str, standard: &str, extension: &str) {
    let (facts, prints) = facts();
    let folder = tempfile::tempdir().unwrap();
    let (source, program) = (folder.path().join(format!("layout.{extension}")), folder.path().join("layout"));
    let text =
        format!("#include \"hotbay.h\"\n#include <stdio.h>\nint main(void) {{\n{prints}  return 0;\n}}\n");
    std::fs::write(&source, text).unwrap();
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let compiled = Command::new(compiler)
        .args([standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I"])
        .arg(include)
        .arg(&source)
        .arg("-o")
        .arg(&program)
        .output()
        .unwrap_or_else(|error| panic!("{compiler} must be installed (`make deps`): {error}"));
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let printed = Command::new(&program).output().unwrap();
    let expected: String =
        facts.iter().map(|(expression, value)| format!("{expression} = {value}\n")).collect();
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), expected);
}

#[test]
fn the_mirror_agrees_with_the_header_in_c11() {
    agrees("cc", "-std=c11", "c");
}

#[test]
fn the_mirror_agrees_with_the_header_in_cxx17() {
    agrees("c++", "-std=c++17", "cc");
}

/// The constants of the header that the mirror has, all of them: one that is added to the header alone is seen here.
#[test]
fn every_constant_of_the_header_is_compared() {
    let header =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("include/hotbay.h")).unwrap();
    let (facts, _) = facts();
    let defined: Vec<&str> = header.lines().filter_map(|line| line.strip_prefix("#define HB_")).collect();
    assert!(defined.len() > 10, "the header's constants were not found");
    for line in defined {
        let name = format!("HB_{}", line.split_whitespace().next().unwrap());
        // A helper for C and C++, no part of the ABI.
        if name.contains('(') {
            continue;
        }
        // Its mirror is a text, which a C compiler does not print; it is compared here.
        if name == "HB_METRICS_ID" {
            assert_eq!(line, format!("METRICS_ID {:?}", abi::METRICS_ID.to_str().unwrap()));
            continue;
        }
        assert!(facts.iter().any(|(expression, _)| *expression == name), "{name} is not in the mirror");
    }
}

/// Lines of `abi-1.0.txt`. Neither changes any more.
const FROZEN: usize = 197;

/// The types of ABI 1.0, of functions above all, which sizes do not tell apart: a later header has to compile with them.
#[test]
fn the_types_that_were_frozen_stay_as_they_were() {
    for (compiler, language) in [
        ("gcc", ["-x", "c", "-std=c11"]),
        ("clang", ["-x", "c", "-std=c11"]),
        ("g++", ["-x", "c++", "-std=c++17"]),
        ("clang++", ["-x", "c++", "-std=c++17"]),
    ] {
        let header = include_str!("../include/hotbay.h");
        assert_eq!(compiled_types(compiler, &language, header), Ok(()), "{compiler}");
        // A change that no size tells is seen.
        for (was, is) in [
            ("typedef uint64_t hb_h;", "typedef int64_t hb_h;"),
            ("int64_t content_length;", "uint64_t content_length;"),
            ("(*drop)(void *state, int32_t why)", "(*drop)(void *state, uint32_t why)"),
            ("(*abort)(hb_h call)", "(*abort)(hb_h call, uint32_t flags)"),
            ("const double *buckets", "const float *buckets"),
        ] {
            assert!(header.contains(was), "{was}");
            let words = compiled_types(compiler, &language, &header.replace(was, is)).expect_err(was);
            assert!(words.contains("types-1.0.c"), "{words}");
        }
    }
}

/// Has a compiler look at `types-1.0.c` with this header; its words if it refuses.
fn compiled_types(compiler: &str, language: &[&str], header: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hotbay.h"), header).unwrap();
    let compiled = Command::new(compiler)
        .args(language)
        .args(["-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(folder.path())
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/types-1.0.c"))
        .output()
        .unwrap_or_else(|error| panic!("{compiler} must be installed (`make deps`): {error}"));
    if compiled.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&compiled.stderr).into_owned())
    }
}

/// What ABI 1.0 was when it was frozen, for ever: a struct with `size` may become larger at its end, and nothing else of what is written there may change.
#[test]
fn what_was_frozen_stays_as_it_was() {
    let frozen = include_str!("abi-1.0.txt");
    let (facts, _) = facts();
    let mut broken = Vec::new();
    let lines: Vec<&str> = frozen.lines().filter(|line| !line.starts_with('#')).collect();
    for line in &lines {
        let (expression, then) = line.split_once(" = ").unwrap();
        let then: i64 = then.parse().unwrap();
        let now = facts.iter().find(|(known, _)| known == expression).map(|(_, value)| *value);
        let grows = ["hb_request", "hb_response", "hb_config", "hb_host", "hb_module", "hb_metrics"]
            .iter()
            .any(|name| expression == format!("sizeof({name})"));
        let stands = match now {
            Some(now) if grows => now >= then,
            now => now == Some(then),
        };
        if !stands {
            broken.push(format!("{line}, and now it is {now:?}"));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert_eq!(abi::METRICS_ID, c"hotbay.metrics/1");
    assert_eq!(lines.len(), FROZEN, "a line was taken out, or put in");
}
