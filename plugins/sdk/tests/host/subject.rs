//! The module under test: one handler for each thing that a handler can do.

use std::collections::HashMap;
use std::panic::panic_any;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll, Waker};

use hotbay_sdk::__private::{BodyMode, Call, Handler};
use hotbay_sdk::{Config, ConfigError, Request, Response, handler, log, module};

/// What a test sees of an instance from inside.
#[derive(Default)]
pub struct Shared {
    /// How many futures were dropped.
    pub dropped: AtomicUsize,
    /// How many states of instances were.
    pub destroyed: AtomicUsize,
    /// The waker of the last call that waited.
    pub waker: Mutex<Option<Waker>>,
    /// Whether a call that waits may go on when it is polled.
    pub open: AtomicBool,
}

/// By the config of the instance, of which every test has its own.
pub fn shared(config: &str) -> Arc<Shared> {
    static ALL: LazyLock<Mutex<HashMap<String, Arc<Shared>>>> = LazyLock::new(Mutex::default);
    Arc::clone(ALL.lock().unwrap().entry(config.to_owned()).or_default())
}

/// The state of an instance.
struct Kept {
    shared: Arc<Shared>,
    config: String,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.shared.destroyed.fetch_add(1, Ordering::Relaxed);
        assert_ne!(self.config, DESTROY_PANICS, "the state's destructor panics");
    }
}

struct OnDrop<'a>(&'a Shared, bool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Ordering::Relaxed);
        assert!(!self.1, "a destructor panics");
    }
}

/// Ready when the test opened it.
async fn opened(shared: &Shared) {
    std::future::poll_fn(|context| {
        *shared.waker.lock().unwrap() = Some(context.waker().clone());
        if shared.open.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[handler(GET | POST, "/plain/{id}")]
fn plain(request: Request) -> Response {
    log::info(format_args!("asked for {}", request.path()));
    log::debug("nobody reads this");
    let seen = format!(
        "{} {} {:?} {:?} {:?} {}",
        request.method(),
        request.path(),
        request.query(),
        request.param("id"),
        request.header("X-A"),
        String::from_utf8_lossy(request.body()),
    );
    Response::text(seen).with_header("x-b", "1")
}

#[handler(ANY, "/body")]
async fn body(request: Request<'_>) -> Response {
    Response::status(201).with_body(request.body().to_vec())
}

#[handler(GET, "/waits")]
async fn waits(request: Request<'_>) -> Response {
    let shared = &request.state::<Arc<Kept>>().shared;
    let _on_drop = OnDrop(shared, false);
    opened(shared).await;
    Response::text(request.path().to_owned())
}

#[handler(GET, "/panics")]
fn panics(_request: Request) -> Response {
    panic!("the plain one");
}

#[handler(GET, "/panics-late")]
async fn panics_late(request: Request<'_>) -> Response {
    let shared = &request.state::<Arc<Kept>>().shared;
    let _on_drop = OnDrop(shared, false);
    opened(shared).await;
    panic!("the late one");
}

/// A payload that must not be dropped.
struct Vicious;

impl Drop for Vicious {
    fn drop(&mut self) {
        std::process::abort();
    }
}

#[handler(GET, "/panics-viciously")]
fn panics_viciously(_request: Request) -> Response {
    panic_any(Vicious);
}

#[handler(GET, "/drop-panics")]
async fn drop_panics(request: Request<'_>) -> Response {
    let shared = &request.state::<Arc<Kept>>().shared;
    let _on_drop = OnDrop(shared, true);
    opened(shared).await;
    Response::status(204)
}

#[handler(GET, "/static")]
fn constant(_request: Request) -> Response {
    Response::text("static")
}

#[handler(GET, "/large")]
fn large(_request: Request) -> Response {
    Response::status(200).with_body(vec![7; 4097])
}

/// A future as an author may write it by hand: it panics, and so does its destructor.
struct Furious<'a>(&'a Shared);

impl Future for Furious<'_> {
    type Output = Response;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Response> {
        panic!("the furious one, {} dropped", self.0.dropped.load(Ordering::Relaxed));
    }
}

impl Drop for Furious<'_> {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Ordering::Relaxed);
        panic!("and its destructor");
    }
}

fn furious() {}

hotbay_sdk::__handler! { __hotbay_handler_furious = Handler {
    name: "furious",
    methods: &[],
    path: "/furious",
    call: Call::Future(|request| Box::pin(Furious(&request.state::<Arc<Kept>>().shared))),
    body: BodyMode::Stream,
    blocking: false,
    arguments: &[],
} }

/// Why there is no state.
#[derive(Debug, thiserror::Error)]
enum Unmade {
    #[error("not for {0} of {1}")]
    Name(String, String),
    #[error("the shop cannot open")]
    Shut(#[source] ConfigError),
}

/// `create` does as the config says.
async fn create(config: Config) -> Result<Arc<Kept>, Unmade> {
    match config.json() {
        r#""pending""# => opened(&shared(config.json())).await,
        r#""panic""# => panic!("create panics for {}", config.name()),
        r#""error""# => return Err(Unmade::Name(config.name().to_owned(), config.digest().to_owned())),
        r#""denied""# => return Err(Unmade::Shut(ConfigError::at("hours", "has no day"))),
        _ => {}
    }
    Ok(Arc::new(Kept { shared: shared(config.json()), config: config.json().to_owned() }))
}

/// So does `stop`.
async fn stop(kept: Arc<Kept>) {
    match &*kept.config {
        STOP_PANICS => panic!("stop panics"),
        STOP_PANICS_LATE => {
            opened(&kept.shared).await;
            panic!("stop panics late");
        }
        _ => {}
    }
}

/// Configs for what comes when no call is left.
pub const STOP_PANICS: &str = r#""stop panics""#;
pub const STOP_PANICS_LATE: &str = r#""stop panics late""#;
pub const DESTROY_PANICS: &str = r#""destroy panics""#;

module! {
    handlers: [plain, body, waits, panics, panics_late, panics_viciously, drop_panics, constant, large, furious],
    config_schema: r#"{"type":"object"}"#,
    create: async create,
    stop: async stop,
}

/// Indexes of the handlers above.
pub const PLAIN: u32 = 0;
pub const BODY: u32 = 1;
pub const WAITS: u32 = 2;
pub const PANICS: u32 = 3;
pub const PANICS_LATE: u32 = 4;
pub const PANICS_VICIOUSLY: u32 = 5;
pub const DROP_PANICS: u32 = 6;
pub const CONSTANT: u32 = 7;
pub const LARGE: u32 = 8;
pub const FURIOUS: u32 = 9;
