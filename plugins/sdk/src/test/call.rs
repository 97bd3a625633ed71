//! Calls a handler as the host would have it called, whatever it takes and returns.
//!
//! Owns the shapes: up to twelve arguments, plain and async. `#[handler]` knows the shape of its function and needs none of this.

use super::TestRequest;
use super::wait::{block_on, inside};
use crate::{FromRequest, IntoResponse, Request, Response};

/// Calls a handler: makes its arguments of the request, answers with the rejection of one that does not fit, waits for its future, and makes
/// its result a response. A panic is the test's.
///
/// ```
/// use hotbay_sdk::{Path, handler, test};
///
/// #[handler(GET, "/double/{n}")]
/// async fn double(Path(n): Path<u32>) -> String {
///     (n * 2).to_string()
/// }
///
/// assert_eq!(test::call(double, &test::get("/double/4").param("n", "4")).body(), b"8");
/// assert_eq!(test::call(double, &test::get("/double/x").param("n", "x")).status_code(), 400);
/// ```
pub fn call<'r, Shape>(handler: impl Callable<'r, Shape>, request: &'r TestRequest) -> Response {
    handler.call(request.view())
}

/// A function that can be a handler. `Shape` tells plain from async, and what it takes.
#[diagnostic::on_unimplemented(
    message = "this is no handler",
    label = "takes what cannot be made of a request, or returns what cannot be an answer",
    note = "put #[handler(GET, \"/\")] on the function: it says which argument is wrong"
)]
pub trait Callable<'r, Shape> {
    /// From the request to the answer.
    fn call(self, request: Request<'r>) -> Response;
}

/// The shape of a plain function.
#[derive(Debug)]
pub struct Plain;

/// The shape of an async function.
#[derive(Debug)]
pub struct Async;

macro_rules! callable {
    ($($argument:ident)*) => {
        impl<'r, Function, Answer, $($argument,)*> Callable<'r, (Plain, $($argument,)*)> for Function
        where
            Function: FnOnce($($argument),*) -> Answer,
            Answer: IntoResponse,
            $($argument: FromRequest<'r>,)*
        {
            #[allow(non_snake_case, unused_variables, reason = "the variables are called as their types")]
            fn call(self, request: Request<'r>) -> Response {
                inside(|| {
                    $(let $argument = match $argument::from_request(&request) {
                        Ok(argument) => argument,
                        Err(rejection) => return rejection.into_response(),
                    };)*
                    self($($argument),*).into_response()
                })
            }
        }

        impl<'r, Function, Answering, $($argument,)*> Callable<'r, (Async, $($argument,)*)> for Function
        where
            Function: FnOnce($($argument),*) -> Answering,
            Answering: Future,
            Answering::Output: IntoResponse,
            $($argument: FromRequest<'r>,)*
        {
            #[allow(non_snake_case, unused_variables, reason = "the variables are called as their types")]
            fn call(self, request: Request<'r>) -> Response {
                block_on(async {
                    $(let $argument = match $argument::from_request(&request) {
                        Ok(argument) => argument,
                        Err(rejection) => return rejection.into_response(),
                    };)*
                    self($($argument),*).await.into_response()
                })
            }
        }
    };
}

callable! {}
callable! { A1 }
callable! { A1 A2 }
callable! { A1 A2 A3 }
callable! { A1 A2 A3 A4 }
callable! { A1 A2 A3 A4 A5 }
callable! { A1 A2 A3 A4 A5 A6 }
callable! { A1 A2 A3 A4 A5 A6 A7 }
callable! { A1 A2 A3 A4 A5 A6 A7 A8 }
callable! { A1 A2 A3 A4 A5 A6 A7 A8 A9 }
callable! { A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 }
callable! { A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 }
callable! { A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 }
