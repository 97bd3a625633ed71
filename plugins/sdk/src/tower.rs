//! Any `tower::Service` as a module: an `axum::Router` is one line.
//!
//! ```no_run
//! use axum::{Router, routing::get};
//!
//! fn app() -> Router {
//!     Router::new().route("/", get(async || "hello"))
//! }
//!
//! hotbay_sdk::service!(app);
//! # fn main() {}
//! ```
//!
//! `app` is a function, `async` or not, that takes nothing or the config (a [`Config`] or a type with `#[derive(ModuleConfig)]`), and returns the
//! service or a `Result` of it. It is called once for each instance, the service is cloned for each request, and both live inside the
//! instance's own tokio runtime: timers, sockets, `tokio::spawn` and what is built on them work as in a server. What does not, because a request is
//! polled on a thread of the engine and in no task of tokio's: `block_in_place`, `spawn_local`, `Handle::block_on`.
//!
//! More can be said: `service!(app, at: "/shop", config: Settings, connect_info: true)`.
//! - `at`: the path below which the service serves. It sees paths without it, as with axum's `nest_service`.
//! - `config`: the type whose JSON Schema goes into the manifest.
//! - `connect_info`: every request carries a [`Peer`](crate::Peer) among its extensions, and with the feature `axum` also `ConnectInfo<SocketAddr>`. Behind a proxy that is the proxy.
//!
//! With the feature `ws`, a request that offers an upgrade carries hyper's `OnUpgrade`, and so axum's `WebSocketUpgrade` works: by HTTP/1.1, and by HTTP/2,
//! where the method is CONNECT (route it with `any`) and hyper's `Protocol` is there, too. Without it, or outside of a service, there is
//! [`Upgrade`](crate::Upgrade).
//!
//! An answer that fails, be it the service's error or its body's, is a 500 before the head was sent, and afterwards cuts the connection. If a request's body that
//! is malformed, breaks off or is too large is behind it, that is the client's failure: 400 or 413, and no warning in the log.
//!
//! Owns the way from `service!` to a handler. Must not know axum, but for the one type that its own extractor wants.

use crate::call::{BodyMode, Call, Handler, Stepping};
use crate::{Config, Request};

mod answer;
mod make;
mod offered;
mod request;
mod spare;
mod steps;
#[cfg(feature = "ws")]
mod upgrade;

pub use make::Make;

/// How `service!` was told to serve.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Empty for the root.
    pub at: &'static str,
    /// Whether requests carry their peer.
    pub connect_info: bool,
}

/// An instance's state.
struct Served<S> {
    service: S,
    options: Options,
}

/// One of the handlers that `service!` makes.
#[doc(hidden)]
pub const fn handler<M, F: Make<M>>(_app: &F, name: &'static str, path: &'static str) -> Handler {
    let call = Call::Steps(begin::<M, F>);
    Handler { name, methods: &[], path, call, body: BodyMode::Stream, blocking: false, arguments: &[] }
}

/// What `service!` gives to `module!` for `create`.
///
/// # Errors
/// The author's.
#[doc(hidden)]
pub async fn create<M, F: Make<M>>(
    app: F,
    config: Config,
    options: Options,
) -> Result<impl Send + Sync + 'static, F::Error> {
    Ok(Served { service: app.make(config).await?, options })
}

fn begin<M, F: Make<M>>(request: Request<'_>) -> Stepping {
    steps::begin(request.state::<Served<F::Service>>(), &request)
}

/// Makes a service the module: `service!(app)`. See [`tower`](crate::tower) for what can follow, in this order: `at`, `config`,
/// `connect_info`.
#[macro_export]
macro_rules! service {
    ($app:expr $(, config: $config:ty)? $(, connect_info: $peer:literal)? $(,)?) => {
        $crate::service!(@ $app, "", ($($config)?), ($($peer)?), root: "/", rest: "/{*path}");
    };
    ($app:expr, at: $at:literal $(, config: $config:ty)? $(, connect_info: $peer:literal)? $(,)?) => {
        $crate::service!(
            @ $app, $at, ($($config)?), ($($peer)?),
            root: $at, slash: ::core::concat!($at, "/"), rest: ::core::concat!($at, "/{*path}")
        );
    };
    (@ $app:expr, $at:expr, ($($config:ty)?), ($($peer:literal)?), $($name:ident: $path:expr),+) => {
        // A block, in which the author's names are, wherever the macro stands.
        const _: () = {
            $crate::service!(@handlers $app, $($name: $path),+);

            async fn __hotbay_create(
                config: $crate::Config,
            ) -> ::core::result::Result<
                impl ::core::marker::Send + ::core::marker::Sync + 'static,
                $crate::__private::Unmade,
            > {
                #[allow(unused_imports)]
                use $crate::__private::{AsChained as _, AsError as _, AsLocal as _, AsShared as _};
                #[allow(unused_mut, unused_assignments, reason = "what is not said is false")]
                let mut connect_info = false;
                $(connect_info = $peer;)?
                let options = $crate::tower::Options { at: $at, connect_info };
                $crate::tower::create($app, config, options).await.map_err(|error| {
                    // As `module!` does, where the type of the error is known.
                    let cause = (&&&&$crate::__private::ErrorOf::at(&error)).cause();
                    $crate::__private::unmade(&error, cause)
                })
            }

            $crate::module! { handlers: [$($name),+], $(config: $config,)? create: async __hotbay_create }
        };
    };
    (@handlers $app:expr, root: $root:expr, $(slash: $slash:expr,)? rest: $rest:expr) => {
        $crate::service!(@handler $app, root, __hotbay_handler_root, $root);
        $($crate::service!(@handler $app, slash, __hotbay_handler_slash, $slash);)?
        $crate::service!(@handler $app, rest, __hotbay_handler_rest, $rest);
    };
    (@handler $app:expr, $name:ident, $beside:ident, $path:expr) => {
        // What `module!` is told; nobody calls it.
        fn $name() {}
        $crate::__handler! { $beside = $crate::tower::handler(&$app, ::core::stringify!($name), $path) }
    };
}
