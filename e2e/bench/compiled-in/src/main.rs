//! hello as one would write it without Hotbay: a handler of an axum Router, compiled in.
//!
//! Owns the other side of the comparison, and that it is a fair one: allocator, profile, workers and connection loop are the engine's, and
//! [`governed`] puts around the Router what the engine puts around a module. What the engine does besides (it looks for the first bytes of HTTP/2, closes
//! idle connections, drains) is not here: that is the product's own cost.

mod governed;
#[path = "../../subjects/streams/src/app.rs"]
mod streams;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::routing::get;
use axum::{Router, ServiceExt};
use clap::{Parser, ValueEnum};
use hotbay_protocol::EngineMemory;
use hotbay_sys::memory::SharedWords;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

use crate::governed::Governed;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// hello compiled into an axum server.
#[derive(Debug, Parser)]
struct Cli {
    /// Where to serve.
    #[arg(long)]
    listen: SocketAddr,
    /// Threads that serve requests.
    #[arg(long)]
    workers: usize,
    /// What every request is answered with.
    #[arg(long)]
    text: String,
    /// Serve large bodies, and no text.
    #[arg(long)]
    streams: bool,
    /// Who reads the connections.
    #[arg(long, value_enum, default_value = "hyper")]
    by: By,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    /// hyper's HTTP/1 connection, as the engine uses it.
    Hyper,
    /// `axum::serve`.
    Axum,
}

/// The state of the handler, as the module's instance has it.
struct Greeting(String);

/// As in plugins/examples/hello, line by line.
async fn hello(State(state): State<Arc<Greeting>>) -> String {
    state.0.clone()
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let Cli { listen, workers, text, streams, by } = Cli::parse();
    let memory = hotbay_sys::memory::create("compiled-in", hotbay_protocol::ENGINE_MEMORY_WORDS)?;
    let memory = EngineMemory::new(SharedWords::map(&memory)?)?;
    let counted = memory.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .on_thread_start(move || governed::attach_thread(&counted))
        .enable_all()
        .build()?;
    let (router, max_body) = if streams {
        (streams::app(), 2 << 30)
    } else {
        (Router::new().route("/hello", get(hello)).with_state(Arc::new(Greeting(text))), governed::MAX_BODY)
    };
    let service = Governed::new(router, memory, max_body);
    // On the workers, as the engine's accept loop is.
    runtime.block_on(runtime.spawn(async move {
        let listener = TcpListener::bind(listen).await?;
        match by {
            By::Hyper => accept(&listener, service).await,
            By::Axum => {
                let make_service = <Governed as ServiceExt<Request>>::into_make_service(service);
                Ok(axum::serve(listener, make_service).await?)
            }
        }
    }))?
}

async fn accept(listener: &TcpListener, service: Governed) -> Result<(), Failure> {
    loop {
        let (stream, _peer) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(async move {
            let builder = hyper::server::conn::http1::Builder::new();
            // A client that goes away is no failure.
            drop(builder.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}
