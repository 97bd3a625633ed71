//! An HTTP server that answers what a test tells it, for faults that a real registry cannot be made to show.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hotbay_api::Digest;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
}

/// What is answered.
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Body,
}

enum Body {
    Whole(Bytes),
    /// Chunks without end.
    Endless,
    /// A byte now and then, without end.
    Trickle,
    /// Nothing, and the connection stays open.
    Silence,
    /// Nothing, and the connection is closed.
    HangUp,
}

impl Answer {
    pub fn new(status: u16) -> Self {
        Self { status, headers: vec![], body: Body::Whole(Bytes::new()) }
    }

    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub fn body(mut self, bytes: impl Into<Bytes>) -> Self {
        self.body = Body::Whole(bytes.into());
        self
    }

    pub fn endless(mut self) -> Self {
        self.body = Body::Endless;
        self
    }

    /// Promises this many bytes, and sends one now and then.
    pub fn trickle(bytes: usize) -> Self {
        Self { body: Body::Trickle, ..Self::new(200) }.with("Content-Length", bytes)
    }

    pub fn silence() -> Self {
        Self { body: Body::Silence, ..Self::new(200) }
    }

    pub fn hang_up() -> Self {
        Self { body: Body::HangUp, ..Self::new(200) }
    }

    /// A document, as a registry serves it.
    pub fn document(media_type: &str, bytes: &Bytes) -> Self {
        Self::new(200)
            .with("Content-Type", media_type)
            .with("Docker-Content-Digest", Digest::of(bytes))
            .body(bytes.clone())
    }
}

pub struct Faulty {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Faulty {
    pub async fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1", answer).await
    }

    /// Listens on another of this machine's addresses: another host, as far as the client can tell.
    pub async fn start_at(host: &str, answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((host, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (asked.clone(), Arc::new(answer));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, answer) = (log.clone(), answer.clone());
                // Ends with its connection; a client that hangs up early is part of the tests.
                tokio::spawn(async move {
                    let _ = serve(stream, &log, &*answer).await;
                });
            }
        });
        Self { address, asked, task }
    }

    pub fn reference(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    stream: TcpStream,
    log: &Mutex<Vec<Asked>>,
    answer: &(dyn Fn(&Asked) -> Answer + Send + Sync),
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut first = lines.first().map(String::as_str).unwrap_or_default().split(' ').map(str::to_owned);
    let header =
        |line: &String| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let asked = Asked {
        method: first.next().unwrap_or_default(),
        path: first.next().unwrap_or_default(),
        headers: lines.iter().skip(1).filter_map(header).collect(),
    };
    log.lock().unwrap().push(asked.clone());
    write(&mut stream, &asked, answer(&asked)).await
}

async fn write(stream: &mut BufReader<TcpStream>, asked: &Asked, answer: Answer) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} Test\r\nConnection: close\r\n", answer.status);
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    match answer.body {
        Body::HangUp => {}
        Body::Silence => {
            // Until the client hangs up.
            let mut line = String::new();
            while stream.read_line(&mut line).await? > 0 {}
        }
        Body::Endless => {
            stream.write_all(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes()).await?;
            let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
            loop {
                stream.write_all(&chunk).await?;
            }
        }
        Body::Trickle => {
            stream.write_all(format!("{head}\r\n").as_bytes()).await?;
            loop {
                stream.write_all(b" ").await?;
                stream.flush().await?;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        Body::Whole(bytes) => {
            let body = if asked.method == "HEAD" { Bytes::new() } else { bytes.clone() };
            stream.write_all(format!("{head}Content-Length: {}\r\n\r\n", bytes.len()).as_bytes()).await?;
            stream.write_all(&body).await?;
            stream.flush().await?;
        }
    }
    stream.shutdown().await
}
