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
use hotbay_conformance::cases::{
    self,
    Comes::{self, Cut, Fails, Length, Status, Text},
};
use hotbay_loader::{CreateError, Instance};

const THREADS: usize = 4;
const CALLS: usize = 25;
/// Modules that cannot be asked here as the others are: of one there can be no second instance, and the others stop for 10 s.
const NOT_HERE: [&str; 3] = ["one_instance_ever", "stop_never_ready", "stop_wakes_for_ever"];
/// Modules whose answer depends on who asks, and what it begins with here.
const HERE: [(&str, Comes); 3] = [
    ("info", Text("peer 127.0.0.1:5000, id yes")),
    ("owned_body", Text("released ")),
    ("reads_all", Text("read 327680, 0 trailers\n")),
];

/// Each that is called here, with what comes of it.
fn called() -> impl Iterator<Item = (&'static str, Comes)> {
    let others = |name: &str| !NOT_HERE.contains(&name) && HERE.iter().all(|(here, _)| *here != name);
    cases::answered().filter(move |(name, _)| others(name)).chain(HERE)
}

/// Whether this is what was to come, as one sees it who calls without a client.
fn is(comes: Comes, came: &Result<(u16, Vec<u8>), String>) -> bool {
    match (comes, came) {
        (Text(text), Ok((200, body))) => body.starts_with(text.as_bytes()),
        (Length(length), Ok((200, body))) => body.len() == length,
        (Status(wanted), Ok((status, body))) => *status == wanted && body.is_empty(),
        (Fails(words) | Cut(words), Err(said)) => said.contains(words),
        _ => false,
    }
}

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
    for (name, comes) in called() {
        let image = bench.load(name);
        let instances: [Arc<Instance>; 2] = [(); 2].map(|()| bench.create(&image, "{}").unwrap());
        crowd(bench, |thread| {
            for turn in 0..CALLS {
                let body = (name == "reads_all").then(|| Fed::by_a_thread(20));
                let came = call(&instances[(thread + turn) % 2], body);
                assert!(
                    is(comes, &came),
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
            assert!(is(Text("by the instance's thread\n"), &call(&instance, None)));
        }
    });
    bench.is_gone("own_thread", &image);
}

#[test]
fn a_create_that_fails_says_so_and_costs_nothing_but_itself() {
    let bench = Bench::get();
    // What is refused for another reason never comes to a create.
    let refusals: Vec<_> = cases::refused()
        .filter(|(_, reason, _)| ["ConfigRejected", "StartFailed"].contains(reason))
        .collect();
    assert!(refusals.len() >= 5, "{refusals:?}");
    for (name, reason, words) in refusals {
        let image = bench.load(name);
        for _ in 0..2 {
            let error: CreateError = bench.create(&image, "{}").unwrap_err();
            assert_eq!(error.reason().to_string(), reason, "{name}: {error}");
            assert!(error.to_string().contains(words), "{name}: {error}");
        }
        bench.is_gone(name, &image);
    }
    let sound = bench.create(&bench.load("answers_at_once"), "{}").unwrap();
    assert!(is(Text("answered\n"), &call(&sound, None)));
}
