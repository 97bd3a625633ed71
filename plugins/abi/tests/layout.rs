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
