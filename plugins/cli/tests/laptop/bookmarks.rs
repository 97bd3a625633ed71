//! The example `bookmarks`: sqlx and reqwest inside a module, with a real PostgreSQL and a server of HTTPS.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use hotbay_api::Reason;
use hotbay_e2e::http::{Answer, Connection, Protocol, request, whole};
use hotbay_e2e::laptop::Laptop;
use hotbay_e2e::modules;
use hotbay_e2e::postgres::Postgres;
use hotbay_e2e::wait::wait_for;
use http::{HeaderValue, Method, Response, header};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::workshop::{Workshop, yaml};

/// A server of HTTPS with three pages: `/` has a title, `/gone` is not there, and `/never` never answers.
struct Site {
    address: SocketAddr,
    certificate: String,
    /// How many wait for the page that never answers.
    waiting: watch::Receiver<usize>,
}

impl Site {
    async fn start() -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (count, waiting) = watch::channel(0);
        tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(config)), count));
        Self { address, certificate: made.cert.pem(), waiting }
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, waiting: watch::Sender<usize>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(speak(stream, tls.clone(), waiting.clone()));
    }
}

async fn speak(stream: TcpStream, tls: TlsAcceptor, waiting: watch::Sender<usize>) {
    // A client that does not trust us leaves in the middle of it.
    let Ok(stream) = tls.accept(stream).await else { return };
    let answer = service_fn(|request: http::Request<hyper::body::Incoming>| {
        let waiting = &waiting;
        async move {
            let (status, page) = match request.uri().path() {
                "/" => (200, "<html><title>A page of the test</title></html>"),
                "/never" => {
                    waiting.send_modify(|count| *count += 1);
                    std::future::pending().await
                }
                _ => (404, "<title>Nothing</title>"),
            };
            Response::builder().status(status).body(Full::new(Bytes::from_static(page.as_bytes())))
        }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
}

/// The module's YAML, with what else its config says.
fn module(postgres: &Postgres, site: &Site, more: &str) -> String {
    let (database, authority) = (json!(postgres.url()), json!(site.certificate));
    let config = format!("config: {{database: {database}, authority: {authority}, {more}}}");
    yaml("bookmarks", "bookmarks:1.0", &config)
}

/// The module with one connection to its database and much patience, served.
async fn start(shop: &Workshop, postgres: &Postgres, site: &Site) -> Laptop {
    shop.push(&modules::bookmarks(), "bookmarks:1.0").await;
    shop.save("bookmarks.yaml", &module(postgres, site, "connections: 1, patience: 30s"));
    let laptop = shop.run().await;
    laptop.active("default/bookmarks").await;
    laptop
}

async fn save(laptop: &Laptop, url: &str) -> Answer {
    let mut connection = Connection::open(laptop.address, Protocol::H1).await.unwrap();
    connection.send(post(laptop, url)).await.unwrap()
}

fn post(laptop: &Laptop, url: &str) -> http::Request<hotbay_e2e::http::Body> {
    let body = whole(json!({"url": url}).to_string());
    let mut post = request(Protocol::H1, Method::POST, &laptop.address.to_string(), "/bookmarks", body);
    post.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    post
}

async fn list(laptop: &Laptop) -> Value {
    let answer = laptop.get("/bookmarks").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// How many connections to the database are not this one.
async fn connections(postgres: &Postgres) -> String {
    postgres.ask(
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
    ).await
}

#[tokio::test]
async fn a_database_and_https_work_inside_a_module() {
    let (shop, postgres, site) = (Workshop::new(), Postgres::start().await, Site::start().await);
    let laptop = start(&shop, &postgres, &site).await;
    let saved = save(&laptop, &site.url("/")).await;
    let one = json!({"id": 1, "url": site.url("/"), "title": "A page of the test"});
    assert_eq!((saved.status, saved.json()), (201, one.clone()));
    assert_eq!(laptop.get("/bookmarks/1").await.json(), one);
    assert_eq!(list(&laptop).await, json!([one]));
    assert_eq!(postgres.ask("SELECT title FROM bookmarks").await, "A page of the test");

    for (url, status) in [(site.url("/gone").as_str(), 502), ("https://127.0.0.1:1/", 502), ("no url", 422)] {
        assert_eq!(save(&laptop, url).await.status, status, "{url}");
    }
    assert_eq!(laptop.get("/bookmarks/2").await.text(), "there is no bookmark 2\n");
    laptop.says(&["default/bookmarks", "a page cannot be read"]).await;
    assert_eq!(list(&laptop).await, json!([one]));
}

#[tokio::test]
async fn who_leaves_gives_back_the_only_connection() {
    let (shop, postgres, mut site) = (Workshop::new(), Postgres::start().await, Site::start().await);
    let laptop = start(&shop, &postgres, &site).await;
    for round in 1..=3 {
        let mut connection = Connection::open(laptop.address, Protocol::H1).await.unwrap();
        let (asked, url) = (post(&laptop, &site.url("/never")), &mut site.waiting);
        let waits = async { url.wait_for(|count| *count == round).await.map(drop) };
        tokio::select! {
            answer = connection.send(asked) => panic!("answered: {answer:?}"),
            waits = waits => waits.unwrap(),
        }
        drop(connection);
        // The request that was left holds the one connection until it is cancelled.
        assert_eq!(list(&laptop).await, json!([]));
    }
    assert_eq!(laptop.report().engine, 1, "no engine was replaced");
}

#[tokio::test]
async fn a_database_may_go_and_come_back() {
    let (shop, mut postgres, site) = (Workshop::new(), Postgres::start().await, Site::start().await);
    let laptop = start(&shop, &postgres, &site).await;
    assert_eq!(save(&laptop, &site.url("/")).await.status, 201);
    postgres.end();
    // A new config is a new instance, which finds no database; the old one serves on, as well as it can.
    shop.save("bookmarks.yaml", &module(&postgres, &site, "connections: 2, patience: 1s"));
    let failed = laptop.failed("default/bookmarks", Reason::StartFailed).await;
    let words = failed.failure.unwrap().message;
    assert!(words.contains("failed to prepare the database"), "{words}");
    assert!(!words.contains("pass-of-the-test"), "{words}");
    postgres.serve().await;
    wait_for("the old or the new instance has a connection again", async || {
        let answer = laptop.get("/bookmarks").await;
        (answer.status == 200).then_some(()).ok_or_else(|| answer.text())
    })
    .await;
    assert_eq!(list(&laptop).await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn connections_end_with_their_instance() {
    let (shop, postgres, site) = (Workshop::new(), Postgres::start().await, Site::start().await);
    let laptop = start(&shop, &postgres, &site).await;
    // No less than a busy machine needs to get a connection.
    for patience in 31..=33 {
        let before = laptop.entry("default/bookmarks", "served", |entry| entry.serving.is_some()).await;
        shop.save(
            "bookmarks.yaml",
            &module(&postgres, &site, &format!("connections: 1, patience: {patience}s")),
        );
        laptop.entry("default/bookmarks", "the next one", |entry| entry.serving != before.serving).await;
        assert_eq!(list(&laptop).await, json!([]));
        ends_with(&postgres, "1").await;
    }
    fs::remove_file(shop.file("bookmarks.yaml")).unwrap();
    ends_with(&postgres, "0").await;
}

async fn ends_with(postgres: &Postgres, count: &str) {
    wait_for("the other connections are closed", async || {
        let now = connections(postgres).await;
        (now == count).then_some(()).ok_or(now)
    })
    .await;
}
