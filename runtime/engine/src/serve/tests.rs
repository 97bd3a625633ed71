//! Drains over real sockets. What a client has sent before is answered, and who has sent nothing holds nobody up.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Instant;

use hotbay_protocol::ENGINE_MEMORY_WORDS;
use hotbay_sys::memory::{SharedWords, create};
use tokio::runtime::{Builder, Runtime};

use super::*;

const DEADLINE: Duration = Duration::from_secs(60);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/// A server without routes, on one worker: it answers everything with 404.
struct Served {
    workers: Runtime,
    control: Runtime,
    server: Server,
    address: SocketAddr,
}

impl Served {
    fn new(timers: &Timers) -> Self {
        let workers = Builder::new_multi_thread().worker_threads(1).enable_io().build().unwrap();
        let fd = create("test", ENGINE_MEMORY_WORDS).unwrap();
        let memory = EngineMemory::new(SharedWords::map(&fd).unwrap()).unwrap();
        let pool = Pool::new(1, memory.clone());
        let server = Server::new(memory, workers.handle().clone(), timers.clone(), pool);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        server.activate(listener).unwrap();
        let control = Builder::new_current_thread().enable_time().build().unwrap();
        Self { workers, control, server, address }
    }

    /// A connection that the server has accepted; with `used`, one that has had an answer.
    fn connect(&self, used: bool) -> TcpStream {
        let mut client = TcpStream::connect(self.address).unwrap();
        client.set_read_timeout(Some(DEADLINE)).unwrap();
        self.wait_for(1);
        if used {
            client.write_all(REQUEST).unwrap();
            take_answer(&mut client);
        }
        client
    }

    /// Waits until so many connections are open.
    fn wait_for(&self, connections: usize) {
        let mut count = self.server.conns.count.subscribe();
        let reached = async {
            let reached = count.wait_for(|&count| count == connections);
            tokio::time::timeout(DEADLINE, reached).await.unwrap().unwrap();
        };
        self.control.block_on(reached);
    }

    /// Runs `meanwhile` while the one worker is in somebody's handler, so that all that happens in it finds the worker at once.
    fn while_busy(&self, meanwhile: impl FnOnce()) {
        let (began_tx, began_rx) = mpsc::channel();
        let (over_tx, over_rx) = mpsc::channel::<()>();
        self.workers.spawn(async move {
            began_tx.send(()).unwrap();
            over_rx.recv_timeout(DEADLINE).unwrap();
        });
        began_rx.recv_timeout(DEADLINE).unwrap();
        meanwhile();
        over_tx.send(()).unwrap();
    }

    /// What the second SIGTERM says, to the connections that are there.
    fn hurry(&self) {
        self.server.conns.open().conns.values().for_each(|conn| conn.move_to(Phase::Idle));
    }

    /// What `client` has begun, and ends with `end` once its connection knows of the hurry, is answered.
    fn finishes_in_a_hurry(&self, mut client: TcpStream, end: &[u8], case: &str) {
        self.while_busy(|| self.hurry());
        // Twice through the worker: it has seen the hurry.
        self.while_busy(|| ());
        client.write_all(end).unwrap();
        assert_answered(&rest(client), case);
        self.wait_for(0);
    }
}

/// Waits until the server's kernel has what `client` has sent.
fn delivered(client: &TcpStream) {
    let port = format!(":{:04X}", client.local_addr().unwrap().port());
    let began = Instant::now();
    loop {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        // Number, local and remote address, state, bytes that are not acknowledged:not read.
        let rows: Vec<Vec<&str>> = table.lines().map(|row| row.split_whitespace().collect()).collect();
        let acknowledged = rows.iter().any(|row| row[1].ends_with(&port) && row[4].starts_with("00000000:"));
        // An acknowledgement may come later than the bytes.
        let waits = rows.iter().any(|row| row[2].ends_with(&port) && !row[4].ends_with(":00000000"));
        if acknowledged || waits {
            return;
        }
        assert!(began.elapsed() < DEADLINE, "{table}");
        std::thread::yield_now();
    }
}

/// Reads one answer, and not a byte more.
fn take_answer(client: &mut TcpStream) {
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nnot found\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
}

/// What comes until the server closes.
fn rest(mut client: TcpStream) -> String {
    let mut answer = String::new();
    if let Err(error) = client.read_to_string(&mut answer) {
        answer += &error.to_string();
    }
    answer
}

fn assert_answered(answer: &str, case: &str) {
    assert!(answer.starts_with("HTTP/1.1 404 "), "{case}: the request was lost: {answer:?}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{case}: {answer:?}");
    assert!(answer.ends_with("\r\n\r\nnot found\n"), "{case}: {answer:?}");
}

#[test]
fn a_hurry_loses_no_request_that_was_sent_before() {
    let served = Served::new(&Timers::start().unwrap());
    for round in 0..40 {
        for used in [false, true] {
            let mut client = served.connect(used);
            served.while_busy(|| {
                client.write_all(REQUEST).unwrap();
                delivered(&client);
                served.hurry();
            });
            assert_answered(&rest(client), &format!("round {round}, used: {used}"));
            served.wait_for(0);
        }
    }
}

#[test]
fn a_head_that_is_on_its_way_may_finish() {
    let served = Served::new(&Timers::start().unwrap());
    for used in [false, true] {
        let mut client = served.connect(used);
        let (begin, end) = REQUEST.split_at(20);
        client.write_all(begin).unwrap();
        delivered(&client);
        served.finishes_in_a_hurry(client, end, &format!("used: {used}"));
    }
}

#[test]
fn a_head_of_which_a_part_came_with_the_request_before_it_may_finish() {
    let served = Served::new(&Timers::start().unwrap());
    let (begin, end) = REQUEST.split_at(20);
    for used in [false, true] {
        let mut client = served.connect(used);
        client.write_all(&[REQUEST, begin].concat()).unwrap();
        take_answer(&mut client);
        served.finishes_in_a_hurry(client, end, &format!("used: {used}"));
    }
}

#[test]
fn a_body_is_not_taken_for_the_part_of_a_head() {
    let served = Served::new(&Timers::start().unwrap());
    let mut client = served.connect(false);
    client.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx").unwrap();
    take_answer(&mut client);
    served.while_busy(|| served.hurry());
    assert_eq!(rest(client), "");
    served.wait_for(0);
}

#[test]
fn who_has_sent_nothing_is_closed_at_once() {
    let served = Served::new(&Timers::start().unwrap());
    for used in [false, true] {
        let client = served.connect(used);
        served.hurry();
        assert_eq!(rest(client), "", "used: {used}");
        served.wait_for(0);
    }
}

#[test]
fn a_short_drain_answers_what_was_sent_before_it() {
    let timers = Timers::start().unwrap();
    for round in 0..20 {
        for used in [false, true] {
            let served = Served::new(&timers);
            let mut client = served.connect(used);
            client.write_all(REQUEST).unwrap();
            delivered(&client);
            let cut = served.control.block_on(served.server.drain(DrainKind::Short, DEADLINE));
            assert_eq!(cut, 0);
            let answer = rest(client);
            // It may have been answered before the drain began, and the connection be closed as an idle one.
            assert!(answer.starts_with("HTTP/1.1 404 "), "round {round}, used: {used}: {answer:?}");
            assert!(answer.ends_with("\r\n\r\nnot found\n"), "round {round}, used: {used}: {answer:?}");
        }
    }
}
