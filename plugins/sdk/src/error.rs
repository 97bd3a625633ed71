//! Errors that are not the client's.
//!
//! Owns what becomes of an error that a handler gives up with: a 500 that says nothing, and a line in the log that says everything.

use std::error::Error as StdError;
use std::fmt;
use std::panic::Location;

use crate::rejection::INTERNAL;
use crate::{BodyError, IntoResponse, Rejection, Response, log};

/// Whatever went wrong, for handlers that use `?`: every error becomes one.
///
/// The client gets a 500 without details; the error and its sources go to the log. An error that is a [`Rejection`] is answered as such, and so is one that
/// has a [`BodyError`] among its sources: what a client sends is no failure of the module.
///
/// ```
/// use hotbay_sdk::{Result, handler, test};
///
/// #[handler(GET, "/motd")]
/// fn motd() -> Result<String> {
///     Ok(std::fs::read_to_string("/nonexistent/motd")?)
/// }
///
/// let response = test::call(motd, &test::get("/motd"));
/// assert_eq!((response.status_code(), response.body()), (500, &b"internal server error\n"[..]));
/// ```
pub struct Error {
    error: Box<dyn StdError + Send + Sync>,
    /// Where it became one: the author's `?`.
    place: &'static Location<'static>,
}

/// What a handler returns that uses `?`.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Of words, or of an error that is boxed already, such as `anyhow`'s.
    #[track_caller]
    pub fn new(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { error: error.into(), place: Location::caller() }
    }
}

impl AsRef<dyn StdError + Send + Sync> for Error {
    /// What it was made of.
    fn as_ref(&self) -> &(dyn StdError + Send + Sync + 'static) {
        &*self.error
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    #[track_caller]
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.error)?;
        let mut source = self.error.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let Self { error, place } = self;
        let error = match error.downcast::<Rejection>() {
            Ok(rejection) => return rejection.into_response(),
            Err(error) => error,
        };
        if let Some(error) = BodyError::among(&*error) {
            return error.into_response();
        }
        let (file, line, error) = (place.file(), place.line(), Self { error, place });
        log::error(format_args!("a handler failed at {file}:{line}: {error}"));
        Response::text(format!("{INTERNAL}\n")).with_status(500)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An error with a source.
    #[derive(Debug, thiserror::Error)]
    #[error("the outer one")]
    struct Outer(#[source] std::num::ParseIntError);

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the order")]
    struct Reading(#[source] BodyError);

    fn answer(error: impl Into<Error>) -> (u16, String) {
        let response = error.into().into_response();
        (response.status_code(), String::from_utf8_lossy(response.body()).into_owned())
    }

    #[test]
    fn what_is_the_clients_is_told_and_what_is_not_is_not() {
        assert_eq!(answer(Rejection::new(404, "no such thing")), (404, "no such thing\n".to_owned()));
        assert_eq!((answer(BodyError::TooLarge).0, answer(BodyError::Gone).0), (413, 400));
        assert_eq!(answer(std::io::Error::other(Reading(BodyError::Gone))).0, 400, "however deep");
        let secret = Error::new("the password is hunter2");
        assert_eq!(answer(secret), (500, "internal server error\n".to_owned()));
    }

    #[test]
    fn the_words_for_the_log_hold_the_sources_and_the_place_is_the_authors() {
        fn fails() -> Result<()> {
            "x".parse::<u8>().map_err(Outer)?;
            Ok(())
        }
        let error = fails().unwrap_err();
        assert_eq!(error.to_string(), "the outer one: invalid digit found in string");
        assert!(error.place.file().ends_with("error.rs") && error.place.line() > 100, "{}", error.place);
    }
}
