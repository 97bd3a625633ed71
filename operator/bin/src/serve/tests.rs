//! The server's bounds, over real connections where they are about connections, and without a clock where they are about time.

use std::sync::atomic::AtomicUsize;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::net::TcpStream;

use super::*;

const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";

fn ok(_: &Request<Incoming>) -> Response<Full<Bytes>> {
    text(StatusCode::OK, "ok\n")
}

async fn started() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Nothing is closed for its time.
    let hour = Duration::from_secs(3600);
    tokio::spawn(serve_within(Limits { head: hour, all: hour }, listener, ok));
    address
}

async fn probe(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(REQUEST).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(start_paused = true)]
async fn an_accept_that_fails_again_and_again_is_not_asked_again_at_once() {
    let asked = AtomicUsize::new(0);
    let accept = || async {
        let number = asked.fetch_add(1, Ordering::SeqCst);
        if number < 5 { Err(io::Error::other("too many open files")) } else { Ok(number) }
    };
    let start = Instant::now();
    assert_eq!(accepted(accept).await, 5);
    assert_eq!(start.elapsed(), ACCEPT_PAUSE * 5);
}

#[tokio::test]
async fn connections_that_say_nothing_keep_no_probe_away() {
    let address = started().await;
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS + 8 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    assert!(probe(address).await.starts_with("HTTP/1.1 200 OK"));
    let first = tokio::time::timeout(Duration::from_secs(60), silent[0].read(&mut [0])).await;
    assert!(!matches!(first, Err(_) | Ok(Ok(1..))), "the oldest was closed: {first:?}");
    let last = silent.last_mut().unwrap();
    last.write_all(REQUEST).await.unwrap();
    let mut answer = String::new();
    last.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "the youngest was kept: {answer}");
}

#[tokio::test]
async fn the_oldest_that_has_asked_for_nothing_goes_first() {
    let connection = |has_asked| {
        let task = tokio::spawn(std::future::pending::<()>());
        (Connection { has_asked: Arc::new(AtomicBool::new(has_asked)), task: task.abort_handle() }, task)
    };
    let (connections, mut tasks): (Vec<_>, Vec<_>) =
        (0..CONNECTIONS).map(|number| connection(number < 2)).unzip();
    let mut open = Open(connections);
    assert!(open.make_room());
    assert!(tasks.remove(2).await.unwrap_err().is_cancelled());
    assert!(!open.make_room(), "there is room now");
    open.0.retain(|connection| connection.has_asked.load(Ordering::Relaxed));
    open.0.extend((0..CONNECTIONS - 2).map(|_| connection(true).0));
    assert!(open.make_room());
    assert!(tasks.remove(0).await.unwrap_err().is_cancelled(), "if all have asked, the oldest");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_and_an_answer_that_is_not_read_end_the_connection() {
    for (request, limit) in [(&REQUEST[..10], LIMITS.head), (REQUEST, LIMITS.all)] {
        // The answer has more bytes than go in between.
        let (ours, mut theirs) = duplex(64);
        theirs.write_all(request).await.unwrap();
        let start = Instant::now();
        attend(LIMITS, ours, Arc::new(ok), Arc::default()).await;
        assert_eq!(start.elapsed().as_secs(), limit.as_secs());
    }
}

#[tokio::test(start_paused = true)]
async fn what_happens_again_and_again_is_told_now_and_then() {
    let mut told = Seldom::default();
    assert_eq!([(); 3].map(|()| told.may_tell()), [true, false, false]);
    tokio::time::advance(SELDOM).await;
    assert!(told.may_tell());
}
