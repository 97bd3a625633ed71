//! Streams from a module that does as each test says, through the host's own table: what its client gets, and what it is told.

mod module;

use std::ffi::c_void;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Wake, Waker};
use std::time::Duration;

use hotbay_abi::{Buf, Handle};
use http_body_util::BodyExt as _;

use self::module::*;
use super::*;
use crate::answer::{Answer, AnswerBody};
use crate::call::Started;

/// Counts how often it is woken.
#[derive(Default)]
struct Wakes(AtomicU32);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// What one poll comes to, in words, and the wakes that it caused.
fn polled(stream: &mut Stream) -> (String, u32) {
    let wakes = Arc::new(Wakes::default());
    let frame = stream.poll_frame(&mut Context::from_waker(&Waker::from(Arc::clone(&wakes))));
    let words = match frame {
        Poll::Pending => "waits".to_owned(),
        Poll::Ready(None) => "end".to_owned(),
        Poll::Ready(Some(Err(failure))) => failure.to_string(),
        Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
            Ok(data) => String::from_utf8(data.to_vec()).unwrap(),
            Err(frame) => format!("{:?}", frame.into_trailers().unwrap()),
        },
    };
    (words, wakes.0.load(Ordering::SeqCst))
}

fn says(stream: &mut Stream) -> String {
    polled(stream).0
}

/// Keeps the handle of the call that it is given to.
fn kept() -> (Arc<Mutex<Handle>>, impl Fn(Handle)) {
    let handle = Arc::new(Mutex::new(0));
    (Arc::clone(&handle), move |call| *handle.lock().unwrap() = call)
}

fn wake(call: &Mutex<Handle>) {
    // SAFETY: any number may be given.
    unsafe { (host().wake)(*call.lock().unwrap()) }
}

#[test]
fn pieces_come_as_they_are_written_and_trailers_last() {
    let (call, keep) = kept();
    let module = Module::new(move |call, nth| {
        keep(call);
        match nth {
            0 => assert_eq!(begin(call, "one"), abi::READY),
            1 => assert_eq!(write(call, lent("two")), abi::READY),
            _ => {
                let trailers = [header("x-a", "b"), header("content-length", "3"), header("host", "c")];
                assert_eq!(write(call, lent("three")), abi::READY);
                assert_eq!(finish(call, &[header("x-a", "b\r\nc: d")]), abi::ERR, "and it goes on");
                assert_eq!(finish(call, &trailers), abi::READY);
                assert_eq!((finish(call, &[]), write(call, lent("four"))), (abi::GONE, abi::GONE));
            }
        }
        abi::PENDING
    });
    let mut stream = stream(module);
    assert_eq!((says(&mut stream), polled(&mut stream)), ("one".into(), ("waits".into(), 0)));
    wake(&call);
    assert_eq!((says(&mut stream), says(&mut stream)), ("two".into(), "waits".into()));
    wake(&call);
    assert_eq!(says(&mut stream), "three");
    assert_eq!(module.whys(), [abi::DROP_DONE], "it can say no more");
    assert_eq!((says(&mut stream), says(&mut stream)), (r#"{"x-a": "b"}"#.into(), "end".into()));
    assert!(stream.is_end());
}

#[test]
fn whoever_ends_in_the_middle_is_cut_before_and_after_the_head() {
    for (rc, words) in
        [(abi::READY, "it said that it was done"), (abi::PANIC, "it panicked"), (-9, "rc -9 (unknown)")]
    {
        let early = Module::new(move |call, _| {
            begin(call, "one");
            rc
        });
        let Started::Done(Err(failure @ CallFailure { kind: FailureKind::Unfinished(_), .. })) =
            started(early, no_body())
        else {
            panic!("it is no answer")
        };
        assert!(failure.to_string().contains(words), "{failure}");
        let (call, keep) = kept();
        let late = Module::new(move |call, nth| {
            keep(call);
            if nth == 0 { [begin(call, "one"), abi::PENDING][1] } else { rc }
        });
        let mut stream = stream(late);
        assert_eq!(says(&mut stream), "one");
        wake(&call);
        let said = says(&mut stream);
        assert!(said.contains(words), "{said}");
        assert_eq!(late.whys(), [abi::DROP_ERROR]);
    }
}

#[test]
fn what_was_finished_stands_whatever_follows() {
    let module = Module::new(|call, _| {
        begin(call, "one");
        write(call, lent("two"));
        finish(call, &[]);
        abi::PANIC
    });
    let mut stream = stream(module);
    assert_eq!([says(&mut stream), says(&mut stream), says(&mut stream)], ["one", "two", "end"]);
}

#[test]
fn a_promised_length_is_kept_or_the_stream_is_cut() {
    for (more, ends, words) in
        [("tw", true, "tw"), ("t", true, "another length"), ("two", false, "another length")]
    {
        let (call, keep) = kept();
        let module = Module::new(move |call, nth| {
            keep(call);
            match nth {
                0 => {
                    assert_eq!(begin_with(call, abi::RESP_STREAM, &[header("content-length", "5")], "one"), 0)
                }
                _ if ends => drop((write(call, lent(more)), finish(call, &[]))),
                _ => assert_eq!(write(call, lent(more)), abi::ERR),
            }
            abi::PENDING
        });
        let mut stream = stream(module);
        assert_eq!((stream.length(), says(&mut stream)), (Some(5), "one".into()));
        wake(&call);
        let said = says(&mut stream);
        assert!(said.contains(words), "{more}: {said}");
    }
}

#[test]
fn a_full_queue_is_refused_and_its_module_polled_when_there_is_room() {
    let large: &'static str = "x".repeat(100 * 1024).leak();
    let module = Module::new(move |call, nth| {
        let rc = if nth == 0 { begin(call, large) } else { abi::READY };
        assert_eq!(rc, abi::READY);
        while write(call, lent(large)) == abi::READY {}
        abi::PENDING
    });
    let mut stream = stream(module);
    let calls = || module.calls.load(Ordering::SeqCst);
    assert_eq!(
        (says(&mut stream).len(), calls()),
        (large.len(), 1),
        "two are there, and a third was refused"
    );
    assert_eq!((says(&mut stream).len(), calls()), (large.len(), 2), "it was polled first");
}

#[test]
fn whoever_is_always_ready_lets_others_have_their_turn() {
    let module = Module::new(|call, nth| {
        if nth == 0 {
            begin(call, "");
        }
        let mut written = 0;
        while write(call, lent("")) == abi::READY {
            written += 1;
        }
        assert_eq!(written, 64);
        abi::PENDING
    });
    let mut stream = stream(module);
    assert_eq!(polled(&mut stream), ("waits".into(), 1), "the thread is given back, and it goes on later");
    assert_eq!(module.calls.load(Ordering::SeqCst), 2);
}

#[test]
fn another_thread_may_begin_and_go_on() {
    let (tell, told) = mpsc::channel();
    let module = Module::new(move |call, _| {
        tell.send(call).unwrap();
        abi::PENDING
    });
    let Started::Pending(mut call) = started(module, no_body()) else { panic!("it waits") };
    let handle = told.recv_timeout(Duration::from_secs(60)).unwrap();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut cx = Context::from_waker(&waker);
    assert!(std::pin::Pin::new(&mut call).poll(&mut cx).is_pending());
    std::thread::spawn(move || assert_eq!(begin(handle, "one"), abi::READY)).join().unwrap();
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    let Poll::Ready(Ok(Answer { body: AnswerBody::Stream(mut stream), .. })) =
        std::pin::Pin::new(&mut call).poll(&mut cx)
    else {
        panic!("its head is there")
    };
    drop(call);
    assert!(module.whys().is_empty(), "the stream has the call now");
    assert_eq!((says(&mut stream), says(&mut stream)), ("one".into(), "waits".into()));
    std::thread::spawn(move || assert_eq!((write(handle, lent("two")), finish(handle, &[])), (0, 0)))
        .join()
        .unwrap();
    assert_eq!((says(&mut stream), says(&mut stream)), ("two".into(), "end".into()));
    assert_eq!(module.whys(), [abi::DROP_DONE]);
}

#[test]
fn a_client_that_leaves_or_an_engine_that_ends_is_told_and_then_nobody_is_there() {
    static RELEASED: AtomicU32 = AtomicU32::new(0);
    unsafe extern "C" fn release(_: *mut c_void) {
        RELEASED.fetch_add(1, Ordering::SeqCst);
    }
    for end in [None, Some(DropReason::Shutdown)] {
        let (call, keep) = kept();
        let module = Module::new(move |call, _| {
            keep(call);
            begin(call, "one");
            write(call, Buf { release: Some(release), ..lent("two") });
            abi::PENDING
        });
        let mut stream = stream(module);
        end.into_iter().for_each(|end| stream.set_end(end));
        drop(stream);
        assert_eq!(module.whys(), [end.unwrap_or(DropReason::Disconnect) as i32]);
        let late = *call.lock().unwrap();
        assert_eq!([begin(late, "x"), write(late, lent("x")), finish(late, &[])], [abi::GONE; 3]);
        assert_eq!(read(late), Err(abi::GONE));
    }
    assert_eq!(RELEASED.load(Ordering::SeqCst), 2, "what nobody took is released");
}

#[test]
fn trailers_of_a_request_come_after_its_end() {
    let trailers = http::HeaderMap::from_iter([(http::header::ETAG, http::HeaderValue::from_static("x"))]);
    let frames = [Frame::data(Bytes::from_static(b"one")), Frame::trailers(trailers)];
    let module = Module::new(|call, _| {
        let trailers = || {
            let (mut out, mut count) = (std::ptr::null(), 7);
            // SAFETY: both are ours.
            assert_eq!(unsafe { (host().trailers)(call, &raw mut out, &raw mut count) }, abi::READY);
            // SAFETY: the host says how many there are; they live as long as the request.
            (0..count as usize).map(|nth| unsafe { (*out.add(nth)).value.get() }.unwrap()).collect::<Vec<_>>()
        };
        assert!(trailers().is_empty());
        assert_eq!((read(call), read(call), read(call)), (Ok(b"one".into()), Err(abi::EOF), Err(abi::EOF)));
        assert_eq!(trailers(), [b"x"]);
        begin_with(call, 0, &[], "whole")
    });
    assert!(matches!(answered(module, coming(frames)).body, AnswerBody::Whole(body) if body == "whole"));
}

type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A body that lies ready, up to its end or to what breaks it.
struct Ready<I>(I);

impl<I: Iterator<Item = Result<Frame<Bytes>, BodyError>> + Unpin> http_body::Body for Ready<I> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.0.next())
    }
}

fn coming<const N: usize>(frames: [Frame<Bytes>; N]) -> Body {
    Body::Stream(Ready(frames.into_iter().map(Ok)).boxed_unsync())
}

/// How a call ends whose module reads a body that is broken, begins to answer if it is told to, and then says `rc`.
fn after_a_broken_body(begins: bool, rc: abi::Rc) -> FailureKind {
    let (call, keep) = kept();
    let module = Module::new(move |call, nth| {
        keep(call);
        match nth {
            0 if begins => [begin(call, "one"), abi::PENDING][1],
            _ => {
                assert_eq!([read(call), read(call)], [Err(abi::GONE), Err(abi::GONE)]);
                rc
            }
        }
    });
    let body = Body::Stream(Ready([Err("a bad chunk".into())].into_iter()).boxed_unsync());
    match started(module, body) {
        Started::Done(Err(failure)) => failure.kind,
        Started::Done(Ok(Answer { body: AnswerBody::Stream(mut stream), .. })) => {
            assert_eq!(says(&mut stream), "one");
            wake(&call);
            let wakes = Waker::from(Arc::new(Wakes::default()));
            let Poll::Ready(Some(Err(failure))) = stream.poll_frame(&mut Context::from_waker(&wakes)) else {
                panic!("it was cut")
            };
            failure.kind
        }
        _ => panic!("it is over, or has begun"),
    }
}

#[test]
fn whoever_ends_because_its_clients_body_did_has_not_failed() {
    for begins in [false, true] {
        for rc in [abi::GONE, abi::READY] {
            assert_eq!(after_a_broken_body(begins, rc), FailureKind::BodyBroken, "{begins} {rc}");
        }
        for rc in [abi::ERR, abi::PANIC, abi::LIMIT] {
            let kind = after_a_broken_body(begins, rc);
            assert!(!kind.is_clients(), "{begins} {rc}: {kind}");
        }
    }
}

#[test]
fn an_upgrade_reads_when_it_is_done_and_ends_when_both_sides_have() {
    let (call, keep) = kept();
    let (tell, told) = mpsc::channel();
    let module = Module::new(move |call, nth| {
        keep(call);
        if nth == 0 {
            begin_with(call, abi::RESP_UPGRADE, &[], "hi");
        }
        let read = read(call);
        tell.send(read.clone()).unwrap();
        if read == Ok(b"one".into()) {
            assert_eq!((finish(call, &[header("x-a", "b")]), finish(call, &[])), (abi::ERR, abi::READY));
        }
        abi::PENDING
    });
    let AnswerBody::Stream(mut stream) = answered(module, no_body()).body else { panic!("it is a stream") };
    assert!(stream.is_upgrade());
    assert_eq!((says(&mut stream), says(&mut stream)), ("hi".into(), "waits".into()));
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [Err(abi::PENDING)]);
    stream.upgraded(coming([Frame::data(Bytes::from_static(b"one"))]));
    assert_eq!(says(&mut stream), "end", "our side");
    assert!(!stream.is_over());
    assert_eq!(says(&mut stream), "waits");
    wake(&call);
    assert_eq!(says(&mut stream), "end", "both");
    assert!(stream.is_over());
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [Ok(b"one".into()), Err(abi::EOF)]);
    assert_eq!(module.whys(), [abi::DROP_DONE]);
}
