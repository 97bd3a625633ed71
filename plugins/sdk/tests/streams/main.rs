//! Bodies that are streamed, and what follows an upgrade, against a host that does what a test tells it.

#![allow(unsafe_code, reason = "the host's side of the C boundary")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, outside their functions"
)]

#[allow(dead_code, reason = "another test uses the rest")]
#[path = "../host/driver.rs"]
mod driver;
#[allow(dead_code, reason = "another test uses the rest")]
#[path = "../host/mock.rs"]
mod mock;
mod subject;

use std::sync::atomic::Ordering;
use std::thread;

use driver::{Call, Instance};
use hotbay_abi::{self as abi, EOF, ERR, GONE, LIMIT, PANIC, PENDING, READY, Str};
use mock::Given;
use subject::*;

/// A request whose body is read.
fn unread(request: &mut abi::Request) {
    request.flags = 0;
    request.content_length = -1;
}

/// A request that offers to speak `echo`.
fn offers(request: &mut abi::Request) {
    request.flags |= abi::REQ_UPGRADE_OK;
    request.protocol = Str::new(b"echo");
}

fn wire<T>(call: &Call<'_>, look: impl FnOnce(&mut mock::Wire) -> T) -> T {
    mock::with(call.handle, |known| look(&mut known.wire))
}

fn sent(call: &Call<'_>) -> String {
    String::from_utf8(wire(call, |wire| wire.bytes())).unwrap()
}

/// The trailers, if the answer was finished.
fn finished(call: &Call<'_>) -> Option<Vec<(String, String)>> {
    wire(call, |wire| wire.finished.clone())
}

#[test]
fn the_head_goes_before_the_first_piece_is_there() {
    let instance = Instance::new();
    let mut call = instance.call(CHANNEL);
    assert_eq!(call.rc, PENDING);
    let answer = call.answer();
    assert_eq!((answer.status, answer.flags & abi::RESP_STREAM), (200, abi::RESP_STREAM));
    assert_eq!((answer.into_body(), sent(&call)), (vec![], String::new()));
    let mut sender = instance.shared.sender.lock().unwrap().take().unwrap();
    assert!(now(sender.send("one ")).is_ok());
    assert_eq!((mock::woken(call.handle), call.poll()), (1, PENDING));
    assert!(now(sender.send("two")).is_ok());
    sender.finish_with(hotbay_sdk::Trailers::new().with("X-Sum", "7"));
    assert_eq!(call.poll(), READY);
    assert_eq!(sent(&call), "one two");
    assert_eq!(finished(&call), Some(vec![("x-sum".to_owned(), "7".to_owned())]));
}

#[test]
fn a_sender_waits_for_the_client_and_sees_it_leave() {
    let instance = Instance::new();
    let mut call = instance.call(CHANNEL);
    wire(&call, |wire| wire.room = 1);
    let mut sender = instance.shared.sender.lock().unwrap().take().unwrap();
    for piece in ["one", "two"] {
        assert!(now(sender.send(piece)).is_ok());
        assert_eq!(call.poll(), PENDING);
    }
    assert!(now(sender.send("three")).is_ok(), "one waits in the channel");
    assert_eq!(
        (call.poll(), sent(&call)),
        (PENDING, "one".to_owned()),
        "the host has no room for the second"
    );
    assert!(!ready(sender.send("four")), "and so there is none for a fourth");
    wire(&call, |wire| wire.room = 1);
    assert_eq!((call.poll(), sent(&call)), (PENDING, "onetwo".to_owned()), "what was not taken comes again");
    call.drop_state();
    assert!(now(sender.send("five")).is_err());
}

#[test]
fn a_sender_that_is_dropped_cuts() {
    let instance = Instance::new();
    let mut call = instance.call(CHANNEL);
    drop(instance.shared.sender.lock().unwrap().take());
    assert_eq!((call.poll(), finished(&call)), (ERR, None));
    assert!(call.fails()[0].contains("dropped before it called finish"), "{:?}", call.fails());
}

#[test]
fn a_stream_gives_other_calls_their_turn_and_large_pieces_are_not_copied() {
    let instance = Instance::new();
    let mut call = instance.call(ENDLESS);
    assert_eq!((call.rc, mock::woken(call.handle)), (PENDING, 1));
    let first = call.answer();
    assert_eq!((first.given, first.into_body().len()), (Given::Owned, PIECE));
    assert_eq!(wire(&call, |wire| (wire.pieces.len(), wire.owned)), (64, 64));
    wire(&call, |wire| wire.write = GONE);
    assert_eq!(call.poll(), GONE, "nobody is there");
    call.drop_state();
    assert_eq!(instance.shared.dropped.load(Ordering::Relaxed), 1);
}

#[test]
fn a_client_that_wants_no_body_ends_the_stream() {
    let instance = Instance::new();
    let mut call = instance.call(ENDLESS);
    wire(&call, |wire| wire.write = EOF);
    assert_eq!(call.poll(), READY);
    assert_eq!((finished(&call), instance.shared.dropped.load(Ordering::Relaxed)), (Some(vec![]), 0));
    call.drop_state();
    assert_eq!(instance.shared.dropped.load(Ordering::Relaxed), 1);
}

#[test]
fn an_error_or_a_panic_in_mid_stream_cuts_and_says_why() {
    let instance = Instance::new();
    for (handler, rc, words) in [(FAILS, ERR, "mid-stream: out of pieces"), (PANICS, PANIC, ": out of words")]
    {
        let call = instance.call(handler);
        assert_eq!((call.rc, finished(&call)), (rc, None));
        assert!(call.fails()[0].contains(words), "{:?}", call.fails());
        assert_eq!(call.answer().into_body(), b"a piece");
    }
}

#[test]
fn an_error_before_the_first_piece_is_a_500() {
    let instance = Instance::new();
    let call = instance.call(FAILS_AT_ONCE);
    assert_eq!((call.rc, call.is_unanswered()), (ERR, true));
    assert!(call.fails()[0].contains("before it began: nothing to say"), "{:?}", call.fails());
}

#[test]
fn a_handler_reads_its_body_as_it_comes_and_the_trailers_after_it() {
    let instance = Instance::new();
    let reads = [Ok(&b"ab"[..]), Err(PENDING), Ok(b"cde"), Err(EOF)];
    let mut call = instance.call_with(COUNTS, unread, &reads);
    assert_eq!((call.rc, instance.shared.seen.load(Ordering::Relaxed)), (PENDING, 2));
    wire(&call, |wire| wire.trailers = vec![("x-sum", "5")]);
    assert_eq!(call.poll(), READY);
    assert_eq!(call.answer().into_body(), b"5 Some(\"5\")");
    assert_eq!(mock::with(call.handle, |known| known.released.load(Ordering::Relaxed)), 2);
}

#[test]
fn a_body_that_was_there_is_one_piece() {
    let instance = Instance::new();
    let call = instance.call_with(COUNTS, |request| request.body = Str::new(b"hello"), &[]);
    assert_eq!((call.rc, call.answer().into_body()), (READY, b"5 None".to_vec()));
}

#[test]
fn a_reader_is_told_what_ended_its_body() {
    let instance = Instance::new();
    for (rc, words) in [(LIMIT, "maxRequestBodySize"), (GONE, "the client left")] {
        let call = instance.call_with(COUNTS, unread, &[Ok(b"ab"), Err(rc)]);
        let answer = call.answer();
        assert_eq!((call.rc, answer.status), (READY, 413));
        let body = String::from_utf8(answer.into_body()).unwrap();
        assert!(body.contains(words), "{body}");
    }
}

#[test]
fn a_reader_gives_other_calls_their_turn() {
    let instance = Instance::new();
    let reads: Vec<_> = std::iter::repeat_n(Ok(&b"a"[..]), 100).chain([Err(EOF)]).collect();
    let mut call = instance.call_with(COUNTS, unread, &reads);
    assert_eq!((call.rc, mock::woken(call.handle)), (PENDING, 1));
    assert_eq!(instance.shared.seen.load(Ordering::Relaxed), 64);
    assert_eq!((call.poll(), call.answer().into_body()), (READY, b"100 None".to_vec()));
}

#[test]
fn a_request_goes_back_out_while_it_comes_in() {
    let instance = Instance::new();
    let large = vec![b'x'; 5000];
    let reads = [Ok(&b"ab"[..]), Ok(&large), Err(PENDING), Ok(b"cd"), Err(EOF)];
    let mut call = instance.call_with(ECHO, unread, &reads);
    assert_eq!((call.rc, call.answer().into_body()), (PENDING, b"ab".to_vec()));
    assert_eq!(wire(&call, |wire| (wire.bytes(), wire.owned)), (large.clone(), 1));
    assert_eq!((call.poll(), finished(&call)), (READY, Some(vec![])));
    assert_eq!(wire(&call, |wire| wire.bytes().len()), large.len() + 2);
    assert_eq!(mock::with(call.handle, |known| known.released.load(Ordering::Relaxed)), 3);
}

#[test]
fn a_task_that_reads_is_woken_by_the_calls_poll_and_by_its_end() {
    let instance = Instance::new();
    let mut call = instance.call_with(ELSEWHERE, unread, &[]);
    assert_eq!(call.rc, PENDING);
    let mut reader = instance.shared.reader.lock().unwrap().take().unwrap();
    let (task, woken) = Counter::new();
    assert!(reader.poll(&task).is_pending());
    assert_eq!(call.poll(), PENDING);
    assert_eq!(woken.count(), 1, "the poll was meant for whoever waits");
    mock::with(call.handle, |known| known.reads.push_back(Ok(b"late".to_vec())));
    assert_eq!(reader.poll(&task), std::task::Poll::Ready(Some(Ok(b"late".to_vec()))));
    assert!(reader.poll(&task).is_pending());
    let handle = call.handle;
    call.drop_state();
    assert_eq!(woken.count(), 2, "the end, too");
    mock::with(handle, |known| known.reads.push_back(Err(GONE)));
    assert_eq!(reader.poll(&task), std::task::Poll::Ready(Some(Err(hotbay_sdk::BodyError::Gone))));
    drop(call);
    assert_eq!(reader.trailers(), None);
}

#[test]
fn an_upgrade_speaks_both_ways_and_ends_with_its_future() {
    let instance = Instance::new();
    let mut call = instance.call_with(UPGRADES, offers, &[Ok(b"early")]);
    let answer = call.answer();
    assert_eq!((call.rc, answer.status, answer.flags), (PENDING, 101, abi::RESP_UPGRADE));
    assert_eq!(answer.headers, [("upgrade".to_owned(), "echo".to_owned())]);
    assert_eq!((sent(&call), finished(&call)), ("early".to_owned(), None));
    mock::with(call.handle, |known| {
        known.reads = [Ok(b" and late".to_vec()), Err(EOF)].into();
        known.wire.room = 0;
    });
    assert_eq!(call.poll(), PENDING, "the client is slower");
    wire(&call, |wire| wire.room = 9);
    assert_eq!((call.poll(), sent(&call)), (READY, "early and late".to_owned()));
    assert_eq!(finished(&call), Some(vec![]));
}

#[test]
fn an_upgrade_may_be_awaited_by_a_task() {
    let instance = Instance::new();
    let mut call = instance.call_with(UPGRADES_LATER, offers, &[]);
    assert_eq!((call.rc, call.answer().status), (PENDING, 101));
    let pending = instance.shared.upgraded.lock().unwrap().take().unwrap();
    let mut io = now(pending).unwrap();
    assert!(now(io.write_all(b"from elsewhere")).is_ok());
    assert_eq!((call.poll(), sent(&call)), (PENDING, "from elsewhere".to_owned()));
    thread::spawn(move || drop(io)).join().unwrap();
    assert!(mock::woken(call.handle) > 0);
    assert_eq!((call.poll(), finished(&call)), (READY, Some(vec![])));
}

#[test]
fn a_panic_after_an_upgrade_cuts_it() {
    let instance = Instance::new();
    let call = instance.call_with(UPGRADE_PANICS, offers, &[Ok(b"x")]);
    assert_eq!((call.rc, finished(&call)), (PANIC, None));
    assert!(wire(&call, |wire| wire.aborted));
}

#[test]
fn no_offer_is_no_upgrade() {
    let instance = Instance::new();
    let call = instance.call(UPGRADES);
    assert_eq!((call.rc, call.answer().status), (READY, 426));
}
