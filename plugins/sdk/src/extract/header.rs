//! Headers: all of them, and one by its type.

use std::convert::Infallible;
use std::str;

use hotbay_abi::Header as Raw;

use crate::request::pair;
use crate::{FromRequest, Rejection, Request};

/// All headers, names in lower case; equal names are in the order sent.
#[derive(Clone, Copy)]
pub struct Headers<'r>(&'r [Raw]);

// SAFETY: views to memory that nobody writes as long as the request lives, which is `'r`.
unsafe impl Send for Headers<'_> {}
// SAFETY: as above.
unsafe impl Sync for Headers<'_> {}

impl<'r> Headers<'r> {
    /// The first header of this name, if it is UTF-8; the case of `name` does not matter.
    pub fn get(&self, name: &str) -> Option<&'r str> {
        self.get_bytes(name).and_then(|value| str::from_utf8(value).ok())
    }

    /// The first header of this name, whatever bytes it has.
    pub fn get_bytes(&self, name: &str) -> Option<&'r [u8]> {
        self.all(name).next()
    }

    /// Every header of this name.
    pub fn all<'n>(&self, name: &'n str) -> impl Iterator<Item = &'r [u8]> + use<'r, 'n> {
        self.iter().filter(move |(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&'r str, &'r [u8])> + use<'r> {
        self.0.iter().filter_map(pair)
    }
}

impl<'r> FromRequest<'r> for Headers<'r> {
    type Rejection = Infallible;

    fn from_request(request: &Request<'r>) -> Result<Self, Infallible> {
        Ok(Self(request.raw_headers()))
    }
}

/// One header by its type. A header that is missing or does not fit is answered with 400, or as the type says.
///
/// ```
/// use hotbay_sdk::extract::{Header, TypedHeader};
/// use hotbay_sdk::{Rejection, handler, test};
///
/// struct ApiVersion(u8);
///
/// impl<'r> TypedHeader<'r> for ApiVersion {
///     const NAME: &'static str = "x-api-version";
///
///     fn parse(value: &'r str) -> Result<Self, Rejection> {
///         value.parse().map(Self).map_err(|_| Rejection::bad_request("x-api-version must be a number"))
///     }
/// }
///
/// #[handler(GET, "/version")]
/// fn version(Header(version): Header<ApiVersion>) -> String {
///     version.0.to_string()
/// }
///
/// assert_eq!(test::call(version, &test::get("/").header("x-api-version", "2")).body(), b"2");
/// assert_eq!(test::call(version, &test::get("/")).body(), b"the header x-api-version is missing\n");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<T>(pub T);

/// A header that [`Header`] can hold.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say which header it is",
    note = "implement hotbay_sdk::extract::TypedHeader for it"
)]
pub trait TypedHeader<'r>: Sized {
    /// In lower case.
    const NAME: &'static str;

    /// Reads the first header of the name.
    ///
    /// # Errors
    /// What the client is answered if it does not fit.
    fn parse(value: &'r str) -> Result<Self, Rejection>;

    /// What the client is answered if there is none.
    fn missing() -> Rejection {
        Rejection::bad_request(format!("the header {} is missing", Self::NAME))
    }
}

impl<'r, T: TypedHeader<'r>> FromRequest<'r> for Header<T> {
    type Rejection = Rejection;

    fn from_request(request: &Request<'r>) -> Result<Self, Rejection> {
        Self::optional(request)?.ok_or_else(T::missing)
    }

    fn optional(request: &Request<'r>) -> Result<Option<Self>, Rejection> {
        let Some(value) = request.header_bytes(T::NAME) else { return Ok(None) };
        let text = str::from_utf8(value)
            .map_err(|_| Rejection::bad_request(format!("the header {} is not UTF-8", T::NAME)))?;
        T::parse(text).map(|value| Some(Self(value)))
    }
}

/// The token of `authorization: Bearer …`. Who sends none is answered with 401.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Bearer<'r>(pub &'r str);

/// A token is a secret, so a log line must not have it.
impl std::fmt::Debug for Bearer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bearer(…)")
    }
}

impl<'r> TypedHeader<'r> for Bearer<'r> {
    const NAME: &'static str = "authorization";

    fn parse(value: &'r str) -> Result<Self, Rejection> {
        match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => {
                Ok(Self(token.trim()))
            }
            _ => Err(Rejection::unauthorized("Bearer", "send authorization: Bearer, and a token")),
        }
    }

    fn missing() -> Rejection {
        Rejection::unauthorized("Bearer", "send authorization: Bearer, and a token")
    }
}

/// Headers that are their text.
macro_rules! text_header {
    ($($name:ident $header:literal)*) => {
        $(
            #[doc = concat!("The text of `", $header, "`.")]
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub struct $name<'r>(pub &'r str);

            impl<'r> TypedHeader<'r> for $name<'r> {
                const NAME: &'static str = $header;

                fn parse(value: &'r str) -> Result<Self, Rejection> {
                    Ok(Self(value))
                }
            }
        )*
    };
}

text_header! {
    Accept "accept"
    ContentType "content-type"
    UserAgent "user-agent"
}
