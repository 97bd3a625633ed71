//! Modules that are really loaded, and called from many threads at once: what Miri cannot run. `scripts/sanitize` runs it with host and modules built for
//! AddressSanitizer or ThreadSanitizer.
//!
//! The C modules are those of the conformance kit that a host has to survive. Calls end in every way that they can, among them in the middle.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, outside their functions")]

mod bench;
mod client;

use std::sync::Arc;
use std::thread;

use bench::Bench;
use client::{Fed, call, give_up};
use hotbay_api::Reason;
use hotbay_loader::{CreateError, Instance};

const THREADS: usize = 4;
const CALLS: usize = 25;
/// `streams` and its kin: a head, and four pieces.
const STREAMED: usize = 5 + 4 * 16 * 1024;

/// What a call comes to.
#[derive(Clone, Copy, Debug)]
enum Comes {
    /// 200 with a body that begins so.
    Text(&'static str),
    /// 200 with so many bytes.
    Length(usize),
    /// This status.
    Status(u16),
    /// No whole answer, for this reason.
    Fails(&'static str),
}
use Comes::{Fails, Length, Status, Text};

impl Comes {
    fn is(self, came: &Result<(u16, Vec<u8>), String>) -> bool {
        match (self, came) {
            (Text(text), Ok((200, body))) => body.starts_with(text.as_bytes()),
            (Length(length), Ok((200, body))) => body.len() == length,
            (Status(wanted), Ok((status, _))) => *status == wanted,
            (Fails(words), Err(said)) => said.contains(words),
            _ => false,
        }
    }
}

const CALLED: &[(&str, Comes)] = &[
    ("answers_at_once", Text("answered\n")),
    ("static_body", Text("static\n")),
    ("owned_body", Text("released ")),
    ("no_content", Status(204)),
    ("fails_with_words", Fails("the words of fails_with_words")),
    ("panics", Fails("panicked: the words of panics")),
    ("panics_in_mid_stream", Fails("panicked: the words of panics_in_mid_stream")),
    ("aborts", Fails("aborted")),
    ("logs", Text("logged\n")),
    ("info", Text("peer 127.0.0.1:5000, id yes")),
    ("metrics", Text("counted\n")),
    ("wakes", Text("woken\n")),
    ("responds_from_a_thread", Text("from a thread\n")),
    ("responds_before_start_returns", Text("before start returned\n")),
    ("wakes_before_start_returns", Text("polled\n")),
    ("timer", Text("rung\n")),
    ("reads_all", Text("read 327680, 0 trailers\n")),
    ("streams", Length(STREAMED)),
    ("streams_much", Length(5 + 128 * 16 * 1024)),
    ("streams_copies", Length(STREAMED)),
    ("streams_trailers", Length(STREAMED)),
    ("streams_length", Length(STREAMED)),
    ("aborts_in_mid_stream", Fails("aborted")),
    ("keeps_config", Text("{}")),
    ("create_takes_polls", Text("answered\n")),
    ("stop_takes_polls", Text("answered\n")),
    ("stop_panics", Text("answered\n")),
    ("own_thread", Text("by the instance's thread\n")),
    ("older_table", Text("answered\n")),
    ("newer_table", Text("answered\n")),
    ("runs_with_less", Text("with less\n")),
    ("responds_twice", Text("the first answer\n")),
    ("ready_without_answer", Fails("without an answer")),
    ("ready_with_unfinished_stream", Fails("in the middle")),
    ("unknown_code", Fails("rc 77 (unknown)")),
    ("unknown_code_from_poll", Fails("rc 77 (unknown)")),
    ("responds_in_drop", Text("in time\n")),
    ("foreign_handle", Text("to somebody\n")),
    ("cuts_handles_short", Text("awake\n")),
    ("header_with_newline", Text("refused -1\n")),
    ("false_length", Text("refused -1\n")),
    ("writes_before_respond", Text("answered\n")),
    ("writes_after_finish", Text("head\n")),
    ("finishes_twice", Text("head\n")),
    ("stream_short_of_its_length", Fails("in the middle")),
    ("stream_beyond_its_length", Fails("in the middle")),
    ("leaves_a_thread", Text("answered\n")),
];

/// Runs `work` on some threads at once, each marked as an engine's is.
fn crowd(bench: &Bench, work: impl Fn(usize) + Sync) {
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let work = &work;
            scope.spawn(move || {
                bench.attach();
                work(thread);
            });
        }
    });
}

#[test]
fn each_answers_many_threads_and_two_instances_at_once_as_it_answers_one() {
    let bench = Bench::get();
    for (name, comes) in CALLED {
        let image = bench.load(name);
        let instances: [Arc<Instance>; 2] = [(); 2].map(|()| bench.create(&image, "{}").unwrap());
        crowd(bench, |thread| {
            for turn in 0..CALLS {
                let body = (*name == "reads_all").then(|| Fed::by_a_thread(20));
                let came = call(&instances[(thread + turn) % 2], body);
                assert!(
                    comes.is(&came),
                    "{name}: {comes:?}, and not {:?}",
                    came.map(|(status, body)| (status, body.len()))
                );
            }
        });
        drop(instances);
        bench.is_gone(name, &image);
    }
}

#[test]
fn a_call_that_is_dropped_at_any_moment_harms_nobody() {
    let bench = Bench::get();
    let waits = [
        "wakes",
        "responds_from_a_thread",
        "own_thread",
        "timer",
        "counts_drops",
        "reads_all",
        "streams_much",
        "never_woken",
    ];
    for name in waits {
        let image = bench.load(name);
        let instance = bench.create(&image, "{}").unwrap();
        crowd(bench, |thread| {
            for turn in 0..CALLS {
                let body = (name == "reads_all").then(|| Fed::by_a_thread(20));
                give_up(&instance, body, (thread + turn) % 5);
            }
        });
        drop(instance);
        bench.is_gone(name, &image);
    }
}

#[test]
fn instances_come_and_go_while_others_are_called() {
    let bench = Bench::get();
    let image = bench.load("own_thread");
    crowd(bench, |_| {
        for _ in 0..CALLS {
            let instance = bench.create(&image, "{}").unwrap();
            assert!(Text("by the instance's thread\n").is(&call(&instance, None)));
        }
    });
    bench.is_gone("own_thread", &image);
}

#[test]
fn a_create_that_fails_says_so_and_costs_nothing_but_itself() {
    let bench = Bench::get();
    let refusals = [
        ("create_denies", Reason::ConfigRejected, "the words of create_denies"),
        ("create_fails", Reason::StartFailed, "the words of create_fails"),
        ("create_panics", Reason::StartFailed, "the words of create_panics"),
        ("create_fails_later", Reason::StartFailed, "the words of create_fails_later"),
        ("create_answers_nonsense", Reason::StartFailed, "it answered rc 77"),
    ];
    for (name, reason, words) in refusals {
        let image = bench.load(name);
        for _ in 0..2 {
            let error: CreateError = bench.create(&image, "{}").unwrap_err();
            assert_eq!(error.reason(), reason, "{name}: {error}");
            assert!(error.to_string().contains(words), "{name}: {error}");
        }
        bench.is_gone(name, &image);
    }
    let sound = bench.create(&bench.load("answers_at_once"), "{}").unwrap();
    assert!(Text("answered\n").is(&call(&sound, None)));
}
