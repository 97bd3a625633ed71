//! The functions that make a service.

use std::convert::Infallible;
use std::error::Error;
use std::fmt::Display;

use http_body::Body;
use tower_service::Service;

use crate::{Config, RequestBody};

/// A function that `service!` takes. It is there for every `fn() -> S`, `fn(Config) -> S` and `fn(&Config) -> S`, whether it returns the
/// service or a `Result` of it, and whether it is `async` or not. `M` tells them apart.
#[diagnostic::on_unimplemented(
    message = "service! cannot make a module of `{Self}`",
    label = "not a function that makes a service",
    note = "it takes nothing, the config or a reference to it, and returns a tower::Service<http::Request<RequestBody>> that is Clone, Send \
            and Sync, or a Result of it; it may be async"
)]
pub trait Make<M>: Send + 'static {
    /// What is served.
    type Service: Service<
            http::Request<RequestBody>,
            Response = http::Response<Self::Body>,
            Error: Into<Box<dyn Error + Send + Sync>>,
            Future: Send + 'static,
        > + Clone
        + Send
        + Sync
        + 'static;
    /// What it answers with.
    type Body: Body<Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static;
    /// Why there is no service.
    type Error: Display + 'static;

    /// Calls it.
    fn make(self, config: Config) -> impl Future<Output = Result<Self::Service, Self::Error>> + Send;
}

/// What a function returns: a service, a result, or a future of either.
#[doc(hidden)]
pub trait Made<M>: Send {
    type Service;
    type Error;
    fn made(self) -> impl Future<Output = Result<Self::Service, Self::Error>> + Send;
}

#[doc(hidden)]
pub struct Plain;
#[doc(hidden)]
pub struct Failing;
#[doc(hidden)]
pub struct Later<M>(M);

impl<S: Service<http::Request<RequestBody>> + Send> Made<Plain> for S {
    type Service = S;
    type Error = Infallible;

    async fn made(self) -> Result<S, Infallible> {
        Ok(self)
    }
}

impl<S: Service<http::Request<RequestBody>> + Send, E: Send> Made<Failing> for Result<S, E> {
    type Service = S;
    type Error = E;

    async fn made(self) -> Self {
        self
    }
}

impl<M, R: Future<Output: Made<M>> + Send> Made<Later<M>> for R {
    type Service = <R::Output as Made<M>>::Service;
    type Error = <R::Output as Made<M>>::Error;

    async fn made(self) -> Result<Self::Service, Self::Error> {
        self.await.made().await
    }
}

macro_rules! make {
    ($marker:ident, ($($argument:ty)?), |$config:ident| ($($pass:expr)?)) => {
        #[doc(hidden)]
        pub struct $marker<M>(M);

        impl<F, M, R, S, B> Make<$marker<(M, R)>> for F
        where
            F: FnOnce($($argument)?) -> R + Send + 'static,
            R: Made<M, Service = S, Error: Display + 'static>,
            S: Service<
                    http::Request<RequestBody>,
                    Response = http::Response<B>,
                    Error: Into<Box<dyn Error + Send + Sync>>,
                    Future: Send + 'static,
                > + Clone
                + Send
                + Sync
                + 'static,
            B: Body<Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
        {
            type Service = S;
            type Body = B;
            type Error = R::Error;

            fn make(self, $config: Config) -> impl Future<Output = Result<S, R::Error>> + Send {
                let _config = &$config;
                self($($pass)?).made()
            }
        }
    };
}

make!(OfNothing, (), |config| ());
make!(OfConfig, (Config), |config| (config.clone()));
make!(OfBorrowed, (&Config), |config| (&config));
