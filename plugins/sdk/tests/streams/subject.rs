//! The module under test: one handler for each thing that can be streamed.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use futures_core::Stream;
use hotbay_sdk::{
    Body, BodyError, Config, OnUpgraded, Request, RequestBody, Response, Sender, State, Trailers, Upgrade,
    Upgraded, handler, module,
};

/// Bytes of each piece of the endless stream.
pub const PIECE: usize = 5000;

/// What a test sees of an instance from inside.
#[derive(Default)]
pub struct Shared {
    pub sender: Mutex<Option<Sender>>,
    pub reader: Mutex<Option<Reader>>,
    pub upgraded: Mutex<Option<OnUpgraded>>,
    /// How many streams were dropped.
    pub dropped: AtomicUsize,
    /// Bytes that a handler has read.
    pub seen: AtomicUsize,
}

/// By the config of the instance, of which every test has its own.
pub fn shared(config: &str) -> Arc<Shared> {
    static ALL: LazyLock<Mutex<HashMap<String, Arc<Shared>>>> = LazyLock::new(Mutex::default);
    Arc::clone(ALL.lock().unwrap().entry(config.to_owned()).or_default())
}

/// What a future that waits for nothing comes to.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

/// Whether a future waits for nothing.
pub fn ready<T>(future: impl Future<Output = T>) -> bool {
    pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// A task that only counts how often it is woken.
pub struct Counter(AtomicUsize);

impl Counter {
    pub fn new() -> (Waker, Arc<Self>) {
        let counter = Arc::new(Self(AtomicUsize::new(0)));
        (Arc::clone(&counter).into(), counter)
    }

    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A body that is read outside of its call.
pub struct Reader(RequestBody);

impl Reader {
    pub fn poll(&mut self, task: &Waker) -> Poll<Option<Result<Vec<u8>, BodyError>>> {
        let piece = self.0.poll_piece(&mut Context::from_waker(task));
        piece.map(|piece| piece.map(|piece| piece.map(|bytes| bytes.to_vec())))
    }

    pub fn trailers(&self) -> Option<Trailers> {
        self.0.trailers()
    }
}

/// Large pieces for ever.
struct Endless(Arc<Shared>);

impl Stream for Endless {
    type Item = Result<Vec<u8>, Infallible>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(Some(Ok(vec![7; PIECE])))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// So many pieces, and then an end of its own.
struct Then(usize, fn() -> Option<Result<&'static str, String>>);

impl Stream for Then {
    type Item = Result<&'static str, String>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.0 == 0 {
            return Poll::Ready((self.1)());
        }
        self.0 -= 1;
        Poll::Ready(Some(Ok("a piece")))
    }
}

fn answer(body: Body) -> Response {
    Response::status(200).with_body(body)
}

#[handler(GET, "/channel")]
fn channel(State(shared): State<Arc<Shared>>) -> Response {
    let (sender, body) = Body::channel();
    *shared.sender.lock().unwrap() = Some(sender);
    answer(body)
}

#[handler(GET, "/endless")]
async fn endless(State(shared): State<'_, Arc<Shared>>) -> Response {
    answer(Body::stream(Endless(Arc::clone(shared))))
}

#[handler(GET, "/fails")]
fn fails() -> Response {
    answer(Body::stream(Then(1, || Some(Err("out of pieces".to_owned())))))
}

#[handler(GET, "/fails-at-once")]
fn fails_at_once() -> Response {
    answer(Body::stream(Then(0, || Some(Err("nothing to say".to_owned())))))
}

#[handler(GET, "/panics")]
fn panics() -> Response {
    answer(Body::stream(Then(1, || panic!("out of words"))))
}

#[handler(POST, "/counts")]
async fn counts(State(shared): State<'_, Arc<Shared>>, mut body: RequestBody) -> Response {
    let mut total = 0;
    while let Some(piece) = body.next().await {
        match piece {
            Ok(piece) => total += piece.len(),
            Err(error) => return Response::text(error.to_string()).with_status(413),
        }
        shared.seen.store(total, Ordering::Relaxed);
    }
    let trailers = body.trailers();
    Response::text(format!("{total} {:?}", trailers.as_ref().and_then(|trailers| trailers.get("x-sum"))))
}

#[handler(POST, "/echo")]
fn echo(body: RequestBody) -> Response {
    answer(Body::stream(body))
}

#[handler(POST, "/elsewhere")]
async fn elsewhere(State(shared): State<'_, Arc<Shared>>, body: RequestBody) -> Response {
    *shared.reader.lock().unwrap() = Some(Reader(body));
    std::future::pending().await
}

async fn speak(mut io: Upgraded) {
    let mut buffer = [0; 4];
    while let Ok(count @ 1..) = io.read(&mut buffer).await {
        if io.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

#[handler(GET, "/upgrades")]
fn upgrades(upgrade: Upgrade) -> Response {
    assert_eq!(upgrade.protocol(), "echo");
    upgrade.accept(speak)
}

#[handler(GET, "/upgrades-later")]
fn upgrades_later(request: Request) -> Response {
    let shared: &Arc<Shared> = request.state();
    let (response, upgraded) = Upgrade::of(&request).unwrap().accept_later();
    *shared.upgraded.lock().unwrap() = Some(upgraded);
    response
}

#[handler(GET, "/upgrade-panics")]
fn upgrade_panics(upgrade: Upgrade) -> Response {
    upgrade.accept(async |mut io: Upgraded| {
        let _one = io.read(&mut [0]).await;
        panic!("in mid-protocol");
    })
}

fn create(config: &Config) -> Result<Arc<Shared>, Infallible> {
    Ok(shared(config.json()))
}

module! {
    handlers: [
        channel, endless, fails, fails_at_once, panics, counts, echo, elsewhere, upgrades, upgrades_later, upgrade_panics,
    ],
    create: create,
}

/// Indexes of the handlers above.
pub const CHANNEL: u32 = 0;
pub const ENDLESS: u32 = 1;
pub const FAILS: u32 = 2;
pub const FAILS_AT_ONCE: u32 = 3;
pub const PANICS: u32 = 4;
pub const COUNTS: u32 = 5;
pub const ECHO: u32 = 6;
pub const ELSEWHERE: u32 = 7;
pub const UPGRADES: u32 = 8;
pub const UPGRADES_LATER: u32 = 9;
pub const UPGRADE_PANICS: u32 = 10;
