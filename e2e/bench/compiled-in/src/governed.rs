//! What the engine puts around a module, around a Router: a limit of requests at a time, one for the body, a time-out, counters.
//!
//! Owns that each is done as the engine does it (`runtime/engine/src/request.rs`), in one service without a box or a layer of its own: tower-http's
//! would cost more, and make the comparison easier for Hotbay.

use std::cell::OnceCell;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::future::RouteFuture;
use hotbay_protocol::{EngineMemory, Shard};
use http_body_util::Limited;
use tokio::time::Sleep;
use tower_service::Service;

/// The defaults of a HandlerModule.
const MAX_CONCURRENT: u32 = 256;
pub const MAX_BODY: u64 = 1024 * 1024;
const TIMEOUT: Duration = Duration::from_secs(10);
/// The one module's row of counters.
const ROW: usize = 1;

thread_local! {
    static SHARD: OnceCell<Shard> = const { OnceCell::new() };
}

/// Gives this thread counters of its own.
pub fn attach_thread(memory: &EngineMemory) {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let shard = memory.shard(Some(NEXT.fetch_add(1, Ordering::Relaxed)));
    SHARD.with(|here| {
        here.get_or_init(|| shard);
    });
}

fn count(memory: &EngineMemory, count: impl FnOnce(&Shard)) {
    SHARD.with(|here| match here.get() {
        Some(shard) => count(shard),
        None => count(&memory.shard(None)),
    });
}

/// A Router with limits.
#[derive(Clone)]
pub struct Governed {
    router: Router,
    shared: Arc<Shared>,
}

struct Shared {
    memory: EngineMemory,
    in_flight: AtomicU32,
    max_body: u64,
}

/// One request on its way.
pub struct Call {
    route: Result<RouteFuture<Infallible>, StatusCode>,
    /// Armed when the handler first waits.
    timeout: Option<Pin<Box<Sleep>>>,
    shared: Arc<Shared>,
    began: Instant,
}

impl Governed {
    /// `router` with the engine's limits and counters, and bodies of at most `max_body` bytes.
    pub fn new(router: Router, memory: EngineMemory, max_body: u64) -> Self {
        Self { router, shared: Arc::new(Shared { memory, in_flight: AtomicU32::new(0), max_body }) }
    }

    fn route<B>(&mut self, request: Request<B>) -> Result<RouteFuture<Infallible>, StatusCode>
    where
        B: hyper::body::Body<Data = axum::body::Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        if self.shared.in_flight.fetch_add(1, Ordering::Relaxed) >= MAX_CONCURRENT {
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        if request.body().is_end_stream() {
            return Ok(self.router.call(request));
        }
        if request.body().size_hint().exact().is_some_and(|length| length > self.shared.max_body) {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        let limit = usize::try_from(self.shared.max_body).unwrap_or(usize::MAX);
        Ok(self.router.call(request.map(|body| Limited::new(body, limit))))
    }
}

impl<B> Service<Request<B>> for Governed
where
    B: hyper::body::Body<Data = axum::body::Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Call;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Call {
        count(&self.shared.memory, Shard::begin);
        let began = Instant::now();
        Call { route: self.route(request), timeout: None, shared: Arc::clone(&self.shared), began }
    }
}

impl Call {
    fn poll_route(&mut self, cx: &mut Context<'_>) -> Poll<Response<Body>> {
        let route = match &mut self.route {
            Ok(route) => route,
            Err(status) => return Poll::Ready(status.into_response()),
        };
        match Pin::new(route).poll(cx) {
            Poll::Ready(Ok(response)) => return Poll::Ready(response),
            Poll::Ready(Err(never)) => match never {},
            Poll::Pending => {}
        }
        let timeout = self.timeout.get_or_insert_with(|| Box::pin(tokio::time::sleep(TIMEOUT)));
        timeout.as_mut().poll(cx).map(|()| StatusCode::GATEWAY_TIMEOUT.into_response())
    }
}

impl Future for Call {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_route(cx).map(|response| {
            count(&self.shared.memory, |shard| shard.answered(ROW, response.status().as_u16()));
            Ok(response)
        })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.shared.in_flight.fetch_sub(1, Ordering::Relaxed);
        let took = self.began.elapsed();
        count(&self.shared.memory, |shard| shard.end(took));
    }
}
