//! Calls, as the engine makes them: to their end, or to a point where nobody wants them any more.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use bytes::Bytes;
use hotbay_loader::{AnswerBody, Body, Captures, Incoming, Instance, Started, start};
use http_body::Frame;
use http_body_util::BodyExt as _;

use crate::bench::DEADLINE;

/// One call to its end: the answer's status and all of its body, or why there is none.
pub fn call(instance: &Arc<Instance>, body: Option<Fed>) -> Result<(u16, Vec<u8>), String> {
    let answer = match start(instance, incoming(body, "/")) {
        Started::Done(answer) => answer,
        Started::Pending(call) => wait_for(call),
    };
    let answer = answer.map_err(|failure| failure.to_string())?;
    let mut all = Vec::new();
    match answer.body {
        AnswerBody::Whole(bytes) => all.extend_from_slice(&bytes),
        AnswerBody::Stream(mut stream) => {
            while let Some(frame) = wait_for(std::future::poll_fn(|cx| stream.poll_frame(cx))) {
                // Trailers are no part of it.
                if let Ok(data) = frame.map_err(|failure| failure.to_string())?.into_data() {
                    all.extend_from_slice(&data);
                }
            }
        }
    }
    Ok((answer.status.as_u16(), all))
}

/// A call that is polled so often, whatever comes of that, and then dropped, wherever it is.
pub fn give_up(instance: &Arc<Instance>, body: Option<Fed>, polls: usize) {
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    let cx = &mut Context::from_waker(&waker);
    let mut stream = match start(instance, incoming(body, "/?wait")) {
        Started::Done(answer) => answer.ok().map(|answer| answer.body),
        Started::Pending(call) => {
            let mut call = pin!(call);
            let answer = (0..polls).find_map(|_| match call.as_mut().poll(cx) {
                Poll::Ready(answer) => Some(answer),
                Poll::Pending => None,
            });
            answer.and_then(Result::ok).map(|answer| answer.body)
        }
    };
    if let Some(AnswerBody::Stream(stream)) = &mut stream {
        for _ in 0..polls {
            let _whatever = stream.poll_frame(cx);
        }
    }
}

fn incoming(body: Option<Fed>, target: &str) -> Incoming {
    let (parts, ()) = http::Request::post(target).body(()).unwrap().into_parts();
    let body = match body {
        None => Body::Whole(Bytes::new()),
        Some(fed) => Body::Stream(fed.map_err(|never| match never {}).boxed_unsync()),
    };
    Incoming {
        parts,
        handler: 0,
        captures: Captures::default(),
        body,
        peer: Some(([127, 0, 0, 1], 5000).into()),
    }
}

struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls when it is woken.
fn wait_for<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    let mut future = pin!(future);
    let until = Instant::now() + DEADLINE;
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        let left = until.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "nobody woke it");
        thread::park_timeout(left);
    }
}

/// A request's body that another thread brings, in pieces of 16 KiB.
pub struct Fed(Arc<Mutex<Pieces>>);

#[derive(Default)]
struct Pieces {
    left: VecDeque<Bytes>,
    is_all: bool,
    reader: Option<Waker>,
}

impl Fed {
    pub fn by_a_thread(pieces: usize) -> Self {
        let fed = Arc::<Mutex<Pieces>>::default();
        let ours = Arc::clone(&fed);
        thread::spawn(move || {
            for nth in 1..=pieces {
                let mut pieces_there = ours.lock().unwrap();
                pieces_there.left.push_back(Bytes::from(vec![7; 16 * 1024]));
                pieces_there.is_all = nth == pieces;
                let reader = pieces_there.reader.take();
                drop(pieces_there);
                reader.into_iter().for_each(Waker::wake);
                thread::yield_now();
            }
        });
        Self(fed)
    }
}

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut pieces = self.0.lock().unwrap();
        match pieces.left.pop_front() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            None if pieces.is_all => Poll::Ready(None),
            None => {
                pieces.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
