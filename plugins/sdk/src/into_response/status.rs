//! The status of an answer.

use std::fmt;

/// A status, 200 to 599; the host makes a 500 of any other. A number of one's own: `StatusCode(418)`.
// A number is all that crosses the ABI, so there is no need for another crate's type; `http`'s converts, with that feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusCode(pub u16);

macro_rules! codes {
    ($($number:literal $name:ident $words:literal)*) => {
        impl StatusCode {
            $(
                #[doc = concat!(stringify!($number), " ", $words)]
                pub const $name: Self = Self($number);
            )*
        }
    };
}

codes! {
    200 OK "OK"
    201 CREATED "Created"
    202 ACCEPTED "Accepted"
    204 NO_CONTENT "No Content"
    206 PARTIAL_CONTENT "Partial Content"
    301 MOVED_PERMANENTLY "Moved Permanently"
    302 FOUND "Found"
    303 SEE_OTHER "See Other"
    304 NOT_MODIFIED "Not Modified"
    307 TEMPORARY_REDIRECT "Temporary Redirect"
    308 PERMANENT_REDIRECT "Permanent Redirect"
    400 BAD_REQUEST "Bad Request"
    401 UNAUTHORIZED "Unauthorized"
    402 PAYMENT_REQUIRED "Payment Required"
    403 FORBIDDEN "Forbidden"
    404 NOT_FOUND "Not Found"
    405 METHOD_NOT_ALLOWED "Method Not Allowed"
    406 NOT_ACCEPTABLE "Not Acceptable"
    408 REQUEST_TIMEOUT "Request Timeout"
    409 CONFLICT "Conflict"
    410 GONE "Gone"
    411 LENGTH_REQUIRED "Length Required"
    412 PRECONDITION_FAILED "Precondition Failed"
    413 PAYLOAD_TOO_LARGE "Payload Too Large"
    415 UNSUPPORTED_MEDIA_TYPE "Unsupported Media Type"
    416 RANGE_NOT_SATISFIABLE "Range Not Satisfiable"
    422 UNPROCESSABLE_ENTITY "Unprocessable Entity"
    423 LOCKED "Locked"
    428 PRECONDITION_REQUIRED "Precondition Required"
    429 TOO_MANY_REQUESTS "Too Many Requests"
    500 INTERNAL_SERVER_ERROR "Internal Server Error"
    501 NOT_IMPLEMENTED "Not Implemented"
    502 BAD_GATEWAY "Bad Gateway"
    503 SERVICE_UNAVAILABLE "Service Unavailable"
    504 GATEWAY_TIMEOUT "Gateway Timeout"
}

impl StatusCode {
    /// The number.
    pub const fn as_u16(self) -> u16 {
        self.0
    }
}

impl From<u16> for StatusCode {
    fn from(number: u16) -> Self {
        Self(number)
    }
}

#[cfg(feature = "http")]
impl From<http::StatusCode> for StatusCode {
    fn from(status: http::StatusCode) -> Self {
        Self(status.as_u16())
    }
}

impl fmt::Display for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(all(test, feature = "http"))]
mod tests {
    use super::*;

    #[test]
    fn the_http_crates_status_is_one_of_ours() {
        assert_eq!(StatusCode::from(http::StatusCode::IM_A_TEAPOT), StatusCode(418));
    }
}
