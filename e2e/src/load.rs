//! Load that counts every way in which a request can fail.
//!
//! Owns the counting. It is bounded: so many clients, each with one request at a time and a millisecond of rest, so that two cores have room for
//! what is tested. They run on a thread of their own, which can be in another network namespace: then the load travels as it does between pods.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use http::Method;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::task::JoinSet;

use crate::http::{Answer, Connection, Protocol, Trouble, request, whole};
use crate::wait::wait_for;

/// A request that takes longer has failed.
const TIME_LIMIT: Duration = Duration::from_secs(10);
const REST: Duration = Duration::from_millis(1);
/// Streams that share an HTTP/2 connection.
const STREAMS: usize = 4;
const STORIES: usize = 5;

/// What became of the requests.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Answered with 2xx.
    pub ok: u64,
    /// Answered otherwise, by status.
    pub other: BTreeMap<u16, u64>,
    /// Connections that were refused.
    pub connect_errors: u64,
    /// Requests without a whole answer.
    pub socket_errors: u64,
    /// Requests without an answer in time.
    pub timeouts: u64,
    /// The first failures in words.
    pub stories: Vec<String>,
}

impl Tally {
    /// All that is not `ok`.
    pub fn failed(&self) -> u64 {
        self.other.values().sum::<u64>() + self.connect_errors + self.socket_errors + self.timeouts
    }

    fn add(&mut self, other: Self) {
        self.ok += other.ok;
        other.other.into_iter().for_each(|(status, count)| *self.other.entry(status).or_default() += count);
        self.connect_errors += other.connect_errors;
        self.socket_errors += other.socket_errors;
        self.timeouts += other.timeouts;
        self.stories.extend(other.stories);
    }

    fn count(&mut self, outcome: Outcome) {
        let story = match outcome {
            Outcome::Answer(answer) if (200..300).contains(&answer.status) => {
                self.ok += 1;
                return;
            }
            Outcome::Answer(answer) => {
                *self.other.entry(answer.status).or_default() += 1;
                format!("{} {}", answer.status, answer.text())
            }
            Outcome::Trouble(Trouble::Connect(error)) => {
                self.connect_errors += 1;
                format!("connect: {error}")
            }
            Outcome::Trouble(Trouble::Unprocessed(story) | Trouble::Broken(story)) => {
                self.socket_errors += 1;
                story
            }
            Outcome::TimedOut => {
                self.timeouts += 1;
                "timed out".to_owned()
            }
        };
        if self.stories.len() < STORIES {
            self.stories.push(story);
        }
    }
}

enum Outcome {
    Answer(Answer),
    Trouble(Trouble),
    TimedOut,
}

/// Load that runs until it is stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    ok: Arc<AtomicU64>,
    thread: JoinHandle<Tally>,
}

impl Load {
    /// Starts `connections` connections that GET `path` again and again. An HTTP/2 connection carries four requests at a time.
    ///
    /// # Panics
    /// When no thread can be started.
    pub fn start(address: SocketAddr, protocol: Protocol, connections: usize, path: &str) -> Self {
        Self::start_in(None, address, protocol, connections, path)
    }

    /// The same, in this network namespace (a file such as /proc/PID/ns/net) if there is one.
    ///
    /// # Panics
    /// When no thread can be started.
    pub fn start_in(
        namespace: Option<File>,
        address: SocketAddr,
        protocol: Protocol,
        connections: usize,
        path: &str,
    ) -> Self {
        let (stop, ok) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (path, tally) = (path.to_owned(), Tally::default());
        let client = Client { address, protocol, path, stop: Arc::clone(&stop), ok: Arc::clone(&ok), tally };
        let thread = std::thread::spawn(move || {
            if let Some(file) = namespace {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("the thread can enter the network namespace");
            }
            // Of one thread: a namespace is a thread's, and every socket must be made in it.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be made").block_on(client.run(connections))
        });
        Self { stop, ok, thread }
    }

    /// Waits until `more` further requests were answered with 2xx.
    pub async fn answered(&self, more: u64) {
        let aim = self.ok.load(Ordering::Relaxed) + more;
        wait_for("the load goes on", async || {
            let ok = self.ok.load(Ordering::Relaxed);
            if ok >= aim { Ok(()) } else { Err(format!("{ok} of {aim} answers")) }
        })
        .await;
    }

    /// Lets what is under way end, and says how it all went.
    ///
    /// # Panics
    /// When a client has panicked.
    pub async fn stop(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let joined = tokio::task::spawn_blocking(|| self.thread.join()).await;
        joined.expect("joining does not panic").expect("a client does not panic")
    }
}

struct Client {
    address: SocketAddr,
    protocol: Protocol,
    path: String,
    stop: Arc<AtomicBool>,
    ok: Arc<AtomicU64>,
    tally: Tally,
}

impl Client {
    /// So many connections at a time.
    async fn run(self, connections: usize) -> Tally {
        let mut clients = JoinSet::new();
        for _ in 0..connections {
            match self.protocol {
                Protocol::H1 => clients.spawn(self.fork().run_requests()),
                Protocol::H2c => clients.spawn(self.fork().run_streams()),
            };
        }
        let mut total = Tally::default();
        while let Some(client) = clients.join_next().await {
            total.add(client.expect("a client does not panic"));
        }
        total
    }

    /// One connection after another, each as long as the server keeps it.
    async fn run_requests(mut self) -> Tally {
        let mut connection = None;
        while !self.stop.load(Ordering::Relaxed) {
            self.turn(&mut connection).await;
            tokio::time::sleep(REST).await;
        }
        self.tally
    }

    /// As `run_requests`, with several requests at a time on each connection.
    async fn run_streams(self) -> Tally {
        let mut total = Tally::default();
        let mut streams = JoinSet::new();
        while !self.stop.load(Ordering::Relaxed) {
            let connection = match Connection::open(self.address, self.protocol).await {
                Ok(connection) => connection,
                Err(trouble) => {
                    total.count(Outcome::Trouble(trouble));
                    tokio::time::sleep(REST).await;
                    continue;
                }
            };
            for _ in 0..STREAMS {
                streams.spawn(self.fork().stream(connection.share()));
            }
            // They end together: when the connection does, or at the stop.
            while let Some(stream) = streams.join_next().await {
                total.add(stream.expect("a stream does not panic"));
            }
        }
        total
    }

    fn fork(&self) -> Self {
        let (path, tally) = (self.path.clone(), Tally::default());
        let (stop, ok) = (Arc::clone(&self.stop), Arc::clone(&self.ok));
        Self { address: self.address, protocol: self.protocol, path, stop, ok, tally }
    }

    async fn stream(mut self, connection: Connection) -> Tally {
        let mut connection = Some(connection);
        while !self.stop.load(Ordering::Relaxed) && connection.is_some() {
            self.turn(&mut connection).await;
            tokio::time::sleep(REST).await;
        }
        self.tally
    }

    /// One request to its end. What the server says that it has not begun with is sent again on a connection of its own.
    async fn turn(&mut self, connection: &mut Option<Connection>) {
        let outcome = match tokio::time::timeout(TIME_LIMIT, self.ask(connection)).await {
            Ok(Ok(answer)) => Outcome::Answer(answer),
            Ok(Err(trouble)) => Outcome::Trouble(trouble),
            Err(_elapsed) => Outcome::TimedOut,
        };
        match &outcome {
            Outcome::Answer(answer) if (200..300).contains(&answer.status) => {
                self.ok.fetch_add(1, Ordering::Relaxed);
            }
            Outcome::Answer(_) => {}
            Outcome::Trouble(_) | Outcome::TimedOut => *connection = None,
        }
        self.tally.count(outcome);
        connection.take_if(|connection| connection.is_closed());
    }

    async fn ask(&self, connection: &mut Option<Connection>) -> Result<Answer, Trouble> {
        loop {
            let open = match connection {
                Some(open) => open,
                None => connection.insert(Connection::open(self.address, self.protocol).await?),
            };
            let host = self.address.to_string();
            match open.send(request(self.protocol, Method::GET, &host, &self.path, whole(""))).await {
                Err(Trouble::Unprocessed(_)) => *connection = None,
                done => return done,
            }
        }
    }
}
