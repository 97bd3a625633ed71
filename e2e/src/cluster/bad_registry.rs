//! Registries of a test's own, on this host, that do not do what a registry should.
//!
//! Owns the ways to be bad. They are reached from pods at the address of this host that faces the cluster's registry, over plain http, which
//! the operator must be told (`INSECURE` of scripts/install).

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::Cluster;
use crate::http::{Connection, Protocol, request, whole};

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Badness {
    /// It answers everything with this status.
    Answers(StatusCode),
    /// It accepts connections and never says a word.
    Silent,
    /// It hands on what the cluster's registry says, but for the last byte of each blob.
    ChangesBlobs,
}

/// A bad registry; it ends with this value.
pub struct BadRegistry {
    /// As references begin: `host:port`.
    pub name: String,
    _accepting: JoinSet<()>,
}

impl Cluster {
    /// Starts a bad registry.
    ///
    /// # Panics
    /// When this host has no address that faces the cluster's registry.
    pub async fn bad_registry(&self, badness: Badness) -> BadRegistry {
        let good = self.registry_address().await;
        let listener = TcpListener::bind((facing(good), 0)).await.expect("a port is free");
        let name = listener.local_addr().expect("a listener has an address").to_string();
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::new(Bad { badness, good })));
        BadRegistry { name, _accepting: accepting }
    }

    /// A registry's name at which nobody listens.
    ///
    /// # Panics
    /// As [`Self::bad_registry`].
    pub async fn no_registry(&self) -> String {
        let free = TcpListener::bind((facing(self.registry_address().await), 0)).await;
        free.and_then(|listener| listener.local_addr()).expect("a port is free").to_string()
    }
}

/// The address of this host from which `there` is reached.
fn facing(there: SocketAddr) -> IpAddr {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).expect("a port is free");
    // Sends nothing: the kernel only looks the route up.
    socket.connect(there).expect("there is a route to the registry");
    socket.local_addr().expect("a connected socket has an address").ip()
}

struct Bad {
    badness: Badness,
    good: SocketAddr,
}

async fn accept(listener: TcpListener, bad: Arc<Bad>) {
    let mut connections = JoinSet::new();
    while let Ok((connection, _)) = listener.accept().await {
        connections.spawn(serve(connection, Arc::clone(&bad)));
    }
}

async fn serve(connection: TcpStream, bad: Arc<Bad>) {
    if bad.badness == Badness::Silent {
        // Until whoever dialled gives up, or the test ends.
        return std::future::pending().await;
    }
    let answer = service_fn(async |asked: Request<Incoming>| Ok::<_, Infallible>(bad.answer(&asked).await));
    // A client that hangs up is its own affair.
    drop(http1::Builder::new().serve_connection(TokioIo::new(connection), answer).await);
}

impl Bad {
    async fn answer(&self, asked: &Request<Incoming>) -> Response<Full<Bytes>> {
        let mut answer = Response::new(Full::default());
        if let Badness::Answers(status) = self.badness {
            *answer.status_mut() = status;
            if status == StatusCode::UNAUTHORIZED {
                let challenge = HeaderValue::from_static("Basic realm=\"nobody\"");
                answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
            return answer;
        }
        let path = asked.uri().path();
        let mut passed =
            request(Protocol::H1, asked.method().clone(), &self.good.to_string(), path, whole(""));
        if let Some(accept) = asked.headers().get(header::ACCEPT) {
            passed.headers_mut().insert(header::ACCEPT, accept.clone());
        }
        let mut connection = Connection::open(self.good, Protocol::H1).await.expect("the registry answers");
        let given = connection.send(passed).await.expect("the registry answers");
        let mut body = given.body.to_vec();
        if let Some(last) = body.last_mut().filter(|_| path.contains("/blobs/")) {
            *last ^= 0xff;
        }
        *answer.status_mut() = StatusCode::from_u16(given.status).expect("a status is one");
        for name in ["content-type", "docker-content-digest"] {
            if let Some(value) = given.headers.get(name) {
                answer.headers_mut().insert(name, value.clone());
            }
        }
        if *asked.method() != Method::HEAD {
            *answer.body_mut() = Full::from(body);
        }
        answer
    }
}
