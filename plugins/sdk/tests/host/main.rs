//! A module against a host: what the ABI asks of a module holds for whatever its author writes.

#![allow(unsafe_code, reason = "the host's side of the C boundary")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, outside their functions"
)]

mod driver;
mod mock;
mod subject;

use std::sync::atomic::Ordering;
use std::thread;

use driver::Instance;
use hotbay_abi::{self as abi, DENIED, EOF, ERR, GONE, LIMIT, PANIC, PENDING, READY, Str, UNSUPPORTED};
use mock::Given;
use subject::*;

#[test]
fn a_plain_handler_answers_in_start_and_leaves_no_state() {
    let instance = Instance::new();
    let call = instance.call_with(PLAIN, |request| request.body = Str::new(b"hi"), &[]);
    assert_eq!(call.rc, READY);
    let answer = call.answer();
    assert_eq!((answer.status, answer.given), (200, Given::Copy));
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(answer.headers, [header("content-type", "text/plain; charset=utf-8"), header("x-b", "1")]);
    let expected = r#"GET /plain/7%20 Some("a=b") Some("7%20") Some("1") hi"#;
    assert_eq!(String::from_utf8(answer.into_body()).unwrap(), expected);
    assert_eq!(mock::logged(call.handle), [(3, "asked for /plain/7%20".to_owned())]);
}

#[test]
fn a_handler_that_the_module_does_not_have_is_an_error_with_words() {
    let instance = Instance::new();
    let call = instance.call(99);
    assert_eq!((call.rc, call.is_unanswered()), (ERR, true));
    assert!(call.fails()[0].contains("does not have"), "{:?}", call.fails());
}

#[test]
fn a_small_body_is_copied_a_static_one_lent_and_a_large_one_owned_beyond_the_instance() {
    let instance = Instance::new();
    let constant = instance.call(CONSTANT).answer();
    let large = instance.call(LARGE).answer();
    drop(instance);
    assert_eq!((constant.given, constant.into_body()), (Given::Static, b"static".to_vec()));
    assert_eq!((large.given, large.into_body()), (Given::Owned, vec![7; 4097]));
}

#[test]
fn an_answer_that_the_host_refuses_is_a_failure_with_words() {
    let instance = Instance::new();
    for (rc, words) in [(ERR, "malformed"), (LIMIT, "headers")] {
        let mut call = instance.call(WAITS);
        mock::with(call.handle, |known| known.respond = rc);
        instance.shared.open.store(true, Ordering::Relaxed);
        assert_eq!(call.poll(), rc);
        assert!(call.fails()[0].contains(words), "{:?}", call.fails());
        instance.shared.open.store(false, Ordering::Relaxed);
    }
}

#[test]
fn a_waiting_handler_is_woken_from_another_thread_and_answers_once() {
    let instance = Instance::new();
    let mut call = instance.call(WAITS);
    assert_eq!((call.rc, call.is_unanswered()), (PENDING, true));
    assert_eq!(call.poll(), PENDING, "an early poll is legal");
    instance.shared.open.store(true, Ordering::Relaxed);
    let waker = instance.shared.waker.lock().unwrap().take().unwrap();
    thread::spawn(move || waker.wake());
    assert_eq!(mock::woken(call.handle), 1);
    assert_eq!(call.poll(), READY);
    assert_eq!(call.answer().into_body(), b"/plain/7%20");
    call.drop_state();
    assert_eq!(instance.shared.dropped.load(Ordering::Relaxed), 1);
}

#[test]
fn wakers_of_one_call_are_the_same_and_those_of_two_are_not() {
    let instance = Instance::new();
    let waker = || instance.shared.waker.lock().unwrap().clone().unwrap();
    let mut first = instance.call(WAITS);
    let before = waker();
    first.poll();
    assert!(before.will_wake(&waker()));
    let _second = instance.call(WAITS);
    assert!(!before.will_wake(&waker()));
}

#[test]
fn a_call_that_the_client_left_is_dropped_without_a_poll_and_a_late_wake_does_nothing() {
    let instance = Instance::new();
    let mut call = instance.call(WAITS);
    let waker = instance.shared.waker.lock().unwrap().take().unwrap();
    call.drop_state();
    assert_eq!(instance.shared.dropped.load(Ordering::Relaxed), 1);
    assert!(call.is_unanswered());
    drop(call);
    drop(instance);
    waker.wake();
}

#[test]
fn a_panic_is_a_failure_with_its_words_and_its_place() {
    let instance = Instance::new();
    let call = instance.call(PANICS);
    assert_eq!((call.rc, call.is_unanswered()), (PANIC, true));
    let [words] = &call.fails()[..] else { panic!("one reason, not {:?}", call.fails()) };
    assert!(words.contains("subject.rs:") && words.ends_with(": the plain one"), "{words}");
    assert_eq!(instance.call(PLAIN).rc, READY, "the next request is answered");
}

#[test]
fn a_panic_after_waiting_drops_the_future_once() {
    let instance = Instance::new();
    let mut call = instance.call(PANICS_LATE);
    instance.shared.open.store(true, Ordering::Relaxed);
    assert_eq!(call.poll(), PANIC);
    assert!(call.fails()[0].ends_with(": the late one"), "{:?}", call.fails());
    call.drop_state();
    assert_eq!(instance.shared.dropped.load(Ordering::Relaxed), 1);
}

#[test]
fn a_panic_in_the_first_poll_drops_the_future_once_and_leaves_no_state() {
    let instance = Instance::new();
    instance.shared.open.store(true, Ordering::Relaxed);
    let call = instance.call(PANICS_LATE);
    assert_eq!(call.rc, PANIC);
    assert_eq!(instance.shared.dropped.load(Ordering::Relaxed), 1);
}

#[test]
fn a_payload_whose_destructor_would_abort_is_never_dropped() {
    let instance = Instance::new();
    let call = instance.call(PANICS_VICIOUSLY);
    assert_eq!(call.rc, PANIC);
    assert!(call.fails()[0].contains("no text"), "{:?}", call.fails());
}

#[test]
fn a_destructor_that_panics_does_not_unwind_into_the_host() {
    let instance = Instance::new();
    instance.call(DROP_PANICS).drop_state();
    assert_eq!(instance.shared.dropped.load(Ordering::Relaxed), 1);
    assert_eq!(mock::levels_of("a destructor panics"), [abi::LOG_ERROR]);
}

#[test]
fn a_destructor_that_panics_because_a_poll_did_ends_nothing_but_its_call() {
    let instance = Instance::new();
    let call = instance.call(FURIOUS);
    assert_eq!((call.rc, call.is_unanswered()), (PANIC, true));
    let [words] = &call.fails()[..] else { panic!("one reason, not {:?}", call.fails()) };
    assert!(words.ends_with(": the furious one, 0 dropped"), "{words}");
    assert_eq!(instance.shared.dropped.load(Ordering::Relaxed), 1);
    assert_eq!(mock::levels_of("and its destructor"), [abi::LOG_ERROR]);
    assert_eq!(instance.call(PLAIN).rc, READY, "the next request is answered");
}

#[test]
fn what_a_newer_host_wants_to_be_understood_is_refused_with_words_and_the_rest_ignored() {
    let instance = Instance::new();
    for handler in [PLAIN, BODY, WAITS] {
        let call = instance.call_with(handler, |request| request.flags |= 1 << 16, &[]);
        assert_eq!((call.rc, call.is_unanswered()), (UNSUPPORTED, true));
        assert!(call.fails()[0].contains("flags 0x10001"), "{:?}", call.fails());
    }
    assert_eq!(instance.call_with(PLAIN, |request| request.flags |= 1 << 15, &[]).rc, READY);
    let refused = Instance::with_flags(r#""newer""#, 1 << 31);
    assert_eq!(refused.rc, UNSUPPORTED);
    let words = mock::with(refused.me, |known| known.fails.clone());
    assert!(words[0].contains("config has flags 0x80000000"), "{words:?}");
    assert_eq!(Instance::with_flags(r#""new""#, 1 << 15).rc, READY);
}

#[test]
fn a_panic_in_stop_is_told_and_the_instance_goes_all_the_same() {
    for (config, words) in [(STOP_PANICS, "stop panics"), (STOP_PANICS_LATE, "stop panics late")] {
        let mut instance = Instance::with_config(config);
        assert_eq!(instance.call(PLAIN).rc, READY);
        let stopped = instance.stop();
        if config == STOP_PANICS_LATE {
            assert_eq!(stopped, PENDING);
            instance.shared.open.store(true, Ordering::Relaxed);
            instance.poll();
        }
        instance.settled();
        let shared = instance.destroy();
        assert_eq!(shared.destroyed.load(Ordering::Relaxed), 1, "{config}");
        let told = format!("the stop hook panicked: {words}");
        assert_eq!(mock::levels_of(&told), [abi::LOG_ERROR], "{config}");
        assert_eq!(Instance::new().call(PLAIN).rc, READY, "the next one is as good");
    }
}

#[test]
fn a_panic_in_the_destructor_of_an_instances_state_does_not_unwind_into_the_host() {
    let mut instance = Instance::with_config(DESTROY_PANICS);
    instance.stop();
    assert_eq!(instance.settled(), READY);
    assert_eq!(instance.destroy().destroyed.load(Ordering::Relaxed), 1);
    assert_eq!(mock::levels_of("the state's destructor panics"), [abi::LOG_ERROR]);
    assert_eq!(Instance::new().call(PLAIN).rc, READY);
}

#[test]
fn a_body_that_comes_in_pieces_is_whole_before_the_handler_is_called() {
    let instance = Instance::new();
    let pieces = [Ok(&b"ab"[..]), Err(PENDING), Ok(b"cd"), Ok(b""), Err(EOF)];
    let mut call = instance.call_with(BODY, |request| request.flags = 0, &pieces);
    assert_eq!((call.rc, call.is_unanswered()), (PENDING, true));
    assert_eq!(call.poll(), READY);
    let answer = call.answer();
    assert_eq!((answer.status, answer.into_body()), (201, b"abcd".to_vec()));
    assert_eq!(mock::with(call.handle, |known| known.released.load(Ordering::Relaxed)), 3);
}

#[test]
fn a_body_that_is_all_there_is_answered_in_start() {
    let instance = Instance::new();
    let call = instance.call_with(PLAIN, |request| request.flags = 0, &[Ok(b"xyz"), Err(EOF)]);
    assert_eq!(call.rc, READY);
    assert!(call.answer().into_body().ends_with(b"xyz"));
}

#[test]
fn a_body_that_keeps_coming_gives_other_calls_their_turn() {
    let instance = Instance::new();
    let pieces: Vec<_> = std::iter::repeat_n(Ok(&b"a"[..]), 100).chain([Err(EOF)]).collect();
    let mut call = instance.call_with(BODY, |request| request.flags = 0, &pieces);
    assert_eq!((call.rc, mock::woken(call.handle)), (PENDING, 1));
    assert_eq!(call.poll(), READY);
    assert_eq!(call.answer().into_body(), vec![b'a'; 100]);
}

#[test]
fn a_body_that_is_too_large_is_a_413_and_one_that_is_cut_off_is_nothing() {
    let instance = Instance::new();
    let large = instance.call_with(PANICS, |request| request.flags = 0, &[Ok(b"ab"), Err(LIMIT)]);
    assert_eq!((large.rc, large.answer().status), (READY, 413));
    let gone = instance.call_with(PANICS, |request| request.flags = 0, &[Ok(b"ab"), Err(GONE)]);
    assert_eq!((gone.rc, gone.is_unanswered()), (GONE, true));
}

#[test]
fn create_fails_with_the_words_of_its_error_or_panic() {
    let words = |instance: &Instance| mock::with(instance.me, |known| known.fails.clone());
    let error = Instance::with_config(r#""error""#);
    assert_eq!((error.rc, words(&error)), (ERR, vec!["not for ns/subject of sha256:00".to_owned()]));
    let denied = Instance::with_config(r#""denied""#);
    let told = "the shop cannot open: spec.config.hours: has no day".to_owned();
    assert_eq!(
        (denied.rc, words(&denied)),
        (DENIED, vec![told]),
        "the config is at fault behind another error, too"
    );
    let panic = Instance::with_config(r#""panic""#);
    assert_eq!(panic.rc, PANIC);
    assert!(words(&panic)[0].ends_with("create panics for ns/subject"), "{:?}", words(&panic));
}

#[test]
fn an_instance_may_take_its_time_and_is_called_only_when_it_is_ready() {
    let mut instance = Instance::with_config(r#""pending""#);
    assert_eq!((instance.rc, instance.poll()), (PENDING, PENDING));
    assert_eq!(instance.call(PLAIN).rc, ERR);
    instance.shared.open.store(true, Ordering::Relaxed);
    instance.shared.waker.lock().unwrap().take().unwrap().wake();
    assert_eq!((mock::woken(instance.me), instance.poll()), (1, READY));
    assert_eq!(instance.call(PLAIN).rc, READY);
    assert_eq!(instance.poll(), READY, "a poll too many is legal");
}

#[test]
fn a_host_that_is_too_old_is_refused() {
    let old = abi::Host { size: mock::HOST.size - 8, ..*mock::HOST };
    assert!(driver::enter(Box::leak(Box::new(old))).is_null());
}

#[test]
fn the_table_says_what_the_manifest_says() {
    let module = driver::module();
    assert_eq!(
        (module.size, module.abi_minor),
        (abi::size_of_table::<abi::Module>(), u32::from(abi::ABI_MINOR))
    );
    assert_eq!((module.flags, module.n_handlers), (abi::MOD_PANIC_UNWIND, 10));
}
