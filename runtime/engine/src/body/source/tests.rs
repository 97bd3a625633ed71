//! What the pool learns of a client that takes a stream, or leaves.

use std::sync::mpsc as threads;
use std::task::Waker;
use std::time::{Duration, Instant};

use hotbay_loader::Mark;
use hotbay_protocol::{ENGINE_MEMORY_WORDS, EngineMemory};
use hotbay_sys::memory::{SharedWords, create};

use super::*;
use crate::pool::Pool;

const DEADLINE: Duration = Duration::from_secs(60);

/// A stream whose call has sent one piece, and holds its thread since.
struct Held {
    memory: EngineMemory,
    source: Source,
    pieces: mpsc::Sender<Piece>,
    /// Dropped, the call returns.
    go: threads::Sender<()>,
    _pool: Pool,
}

impl Held {
    fn new() -> Self {
        let memory = create("test", ENGINE_MEMORY_WORDS).unwrap();
        let memory = EngineMemory::new(SharedWords::map(&memory).unwrap()).unwrap();
        let pool = Pool::new(1, memory.clone());
        let (go, gone) = threads::channel();
        let (begin, begun) = threads::channel();
        let call = async move {
            begin.send(()).unwrap();
            let _told = gone.recv();
        };
        let ticket = pool.spawn(Mark { row: 1, fingerprint: 0 }, call).unwrap();
        begun.recv_timeout(DEADLINE).unwrap();
        let (pieces, coming) = mpsc::channel(PIECES);
        pieces.try_send(Piece::Frame(Frame::data(Bytes::from_static(b"one")))).ok().unwrap();
        let mut source = Source::Pooled(Box::new(Pooled {
            pieces: coming,
            end: Arc::default(),
            client: None,
            length: None,
            is_upgrade: false,
            is_over: false,
            ticket: None,
        }));
        source.wait(ticket);
        assert!(matches!(poll(&mut source), Poll::Ready(Some(Ok(_)))));
        assert!(poll(&mut source).is_pending());
        Self { memory, source, pieces, go, _pool: pool }
    }
}

fn poll(source: &mut Source) -> Poll<Option<Result<Frame<Bytes>, CallFailure>>> {
    source.poll_frame(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_call_that_holds_its_thread_after_the_head_is_abandoned_once_its_client_leaves() {
    let Held { memory, source, pieces, go, _pool } = Held::new();
    assert_eq!((memory.pool().busy, memory.pool().abandoned), (1, 0), "somebody waits for the rest");
    drop(source);
    assert!(pieces.is_closed());
    assert_eq!((memory.pool().busy, memory.pool().abandoned), (1, 1));
    drop(go);
    let until = Instant::now() + DEADLINE;
    while memory.pool().busy > 0 {
        assert!(Instant::now() < until);
        std::thread::yield_now();
    }
    assert_eq!(memory.pool().abandoned, 0);
}

#[test]
fn a_call_whose_stream_has_ended_is_not() {
    let Held { memory, mut source, pieces, go, _pool } = Held::new();
    drop(pieces);
    assert!(matches!(poll(&mut source), Poll::Ready(None)));
    drop(source);
    assert_eq!((memory.pool().busy, memory.pool().abandoned), (1, 0), "nobody was waiting for more");
    drop(go);
}
