//! A connection over real sockets and over a pair in memory: what is buffered of an answer, and when it ends.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hotbay_protocol::{ENGINE_MEMORY_WORDS, EngineMemory};
use hotbay_sys::memory::{SharedWords, create};
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use super::*;
use crate::pool::Pool;
use crate::timers::Timers;

const LARGE: usize = 1 << 20;
/// What the buffer of a connection may grow to.
const ROOM: u64 = 64 * 1024;
const DEADLINE: Duration = Duration::from_secs(60);
const LIMITS: Limits = Limits { head: 30, idle: 620, answer: 60 };
/// The beginning of an HTTP/2 connection whose client gives answers no window, and its first request.
const NO_WINDOW: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0\
    \0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01a";

/// Counts what is taken of an answer.
struct Counted {
    body: Sending,
    taken: Arc<AtomicU64>,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let length = frame.iter().flatten().filter_map(Frame::data_ref).map(Bytes::len).sum::<usize>();
        self.taken.fetch_add(length as u64, Ordering::Relaxed);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[tokio::test]
async fn a_large_answer_fills_no_large_buffer() {
    let conn = Arc::new(Conn::new(Phase::Open, &Arc::default()));
    let taken = Arc::new(AtomicU64::new(0));
    let service = service_fn(async |_request: Request<Incoming>| {
        let mut body = Sending::new(Payload::Whole(Bytes::from(vec![b'x'; LARGE])));
        body.send(Busy::new(&conn, false));
        Ok::<_, Infallible>(Response::new(Counted { body, taken: Arc::clone(&taken) }))
    });

    // As much as a socket takes for a client that reads nothing.
    let (mut client, server) = tokio::io::duplex(64);
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut connection = pin!(h1().serve_connection(TokioIo::new(server), service));
    let polled = connection.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop()));
    assert!(polled.is_pending());
    let held = taken.load(Ordering::Relaxed);
    assert!((1..=ROOM).contains(&held), "{held} bytes were taken for a client that reads nothing");

    let mut answer = Vec::new();
    let (served, read) = tokio::join!(connection, client.read_to_end(&mut answer));
    served.unwrap();
    read.unwrap();
    assert!(answer.ends_with(&vec![b'x'; LARGE]), "all of it arrives");
}

/// A client's socket, its connection's, and the connection, whose clock stands at 0. The sockets hold little.
async fn connect() -> (TcpStream, TcpStream, Arc<Conn>) {
    let small = || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(4096).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket
    };
    let listener = small();
    listener.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = listener.listen(1).unwrap();
    let client = small().connect(listener.local_addr().unwrap()).await.unwrap();
    let (socket, _) = listener.accept().await.unwrap();
    (client, socket, Arc::new(Conn::new(Phase::Open, &Arc::default())))
}

/// Waits until the sweep would cut the connection after a minute, though a request is in flight.
async fn is_cut_while_busy(conn: &Conn) {
    let held = async {
        while !conn.activity.look().is_busy() || conn.stale(61, LIMITS).is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, held).await.unwrap();
    assert_eq!((conn.stale(60, LIMITS), conn.stale(61, LIMITS)), (None, Some(Phase::Cut)));
}

#[tokio::test]
async fn a_client_that_takes_no_bytes_of_an_answer_is_cut_and_one_that_does_is_not() {
    let (mut client, socket, conn) = connect().await;
    let (served, timers) = (Arc::clone(&conn), Timers::start().unwrap());
    let serving = tokio::spawn(async move {
        let service = service_fn(async |_request: Request<Incoming>| {
            let mut body = Sending::new(Payload::Whole(Bytes::from(vec![b'x'; LARGE])));
            body.send(Busy::new(&served, false));
            Ok::<_, Infallible>(Response::new(body))
        });
        h1().serve_connection(TokioIo::new(Client::new(socket, &served, &timers)), service).await
    });
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    is_cut_while_busy(&conn).await;
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    serving.await.unwrap().unwrap();
    assert!(answer.ends_with(&vec![b'x'; LARGE]), "all of it arrives");
    assert_eq!(conn.stale(61, LIMITS), None, "it has taken all");
}

/// A client of a server that has no routes.
async fn served() -> (TcpStream, Arc<Conn>, JoinHandle<()>) {
    let memory = create("test", ENGINE_MEMORY_WORDS).unwrap();
    let memory = EngineMemory::new(SharedWords::map(&memory).unwrap()).unwrap();
    let shared = Arc::new(Shared::new(memory.clone(), Timers::start().unwrap(), Pool::new(1, memory)));
    let (client, socket, conn) = connect().await;
    let served = Arc::clone(&conn);
    (client, conn, tokio::spawn(async move { serve(socket, &served, &shared).await }))
}

#[tokio::test]
async fn a_client_that_gives_an_answer_no_window_is_cut() {
    let (mut client, conn, serving) = served().await;
    client.write_all(NO_WINDOW).await.unwrap();
    is_cut_while_busy(&conn).await;
    conn.move_to(Phase::Cut);
    tokio::time::timeout(DEADLINE, serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn who_sends_all_of_a_request_that_nobody_reads_has_the_answer() {
    let body = format!("POST /nowhere HTTP/1.1\r\nhost: a\r\ncontent-length: {LARGE}\r\n\r\n");
    let head = "GET /nowhere HTTP/1.1\r\nhost: a\r\nx: ";
    for (head, status) in [(body.as_str(), "HTTP/1.1 404 "), (head, "HTTP/1.1 431 ")] {
        let (mut client, _conn, serving) = served().await;
        client.write_all(head.as_bytes()).await.unwrap();
        client.write_all(&vec![b'x'; LARGE]).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(status), "{answer}");
        drop(client);
        tokio::time::timeout(DEADLINE, serving).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_client_that_neither_sends_nor_leaves_after_the_last_answer_is_not_waited_for() {
    let (mut client, _conn, serving) = served().await;
    client.write_all(b"POST /nowhere HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    tokio::time::timeout(DEADLINE, serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_idle_connection_has_nothing_to_wait_for_even_after_a_body() {
    let (mut client, conn, serving) = served().await;
    client.write_all(b"POST /nowhere HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody").await.unwrap();
    let mut answer = [0; "HTTP/1.1 404 ".len()];
    client.read_exact(&mut answer).await.unwrap();
    assert!(conn.had_body());
    conn.move_to(Phase::Idle);
    tokio::time::timeout(DEADLINE, serving).await.unwrap().unwrap();
    assert!(!conn.had_body());
}
