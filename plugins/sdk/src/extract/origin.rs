//! The first line of a request, and where it comes from.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Deref;

use crate::{FromRequest, Rejection, Request};

/// The method, in capitals as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Method<'r>(pub &'r str);

impl Deref for Method<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.0
    }
}

impl fmt::Display for Method<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl<'r> FromRequest<'r> for Method<'r> {
    type Rejection = Infallible;

    fn from_request(request: &Request<'r>) -> Result<Self, Infallible> {
        Ok(Self(request.method()))
    }
}

/// What was asked for, in its parts as they were sent, with their percent-encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Uri<'r> {
    /// The host, and the port if there is one.
    pub authority: Option<&'r str>,
    /// Begins with a slash.
    pub path: &'r str,
    /// What follows the `?`; `None` if there is no `?`.
    pub query: Option<&'r str>,
}

impl fmt::Display for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path)?;
        self.query.map_or(Ok(()), |query| write!(f, "?{query}"))
    }
}

impl<'r> FromRequest<'r> for Uri<'r> {
    type Rejection = Infallible;

    fn from_request(request: &Request<'r>) -> Result<Self, Infallible> {
        Ok(Self { authority: request.authority(), path: request.path(), query: request.query() })
    }
}

/// The address that the request comes from: the client's, or that of a proxy before the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer(pub SocketAddr);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'r> FromRequest<'r> for Peer {
    type Rejection = Rejection;

    fn from_request(request: &Request<'r>) -> Result<Self, Rejection> {
        Self::optional(request)?.ok_or_else(|| Rejection::internal("the host does not know who asks"))
    }

    fn optional(request: &Request<'r>) -> Result<Option<Self>, Rejection> {
        Ok(request.peer().map(Self))
    }
}

/// The request's id as it stands in the logs: what the client sent as `x-request-id`, or what the host made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId<'r>(pub &'r str);

impl fmt::Display for RequestId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl<'r> FromRequest<'r> for RequestId<'r> {
    type Rejection = Rejection;

    fn from_request(request: &Request<'r>) -> Result<Self, Rejection> {
        Self::optional(request)?.ok_or_else(|| Rejection::internal("the host gives requests no ids"))
    }

    fn optional(request: &Request<'r>) -> Result<Option<Self>, Rejection> {
        Ok(request.request_id().map(Self))
    }
}

/// The trace that the request belongs to, as W3C Trace Context writes it. Who sends none is answered with 400, so take
/// `Option<TraceParent>` unless you need one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent<'r>(&'r str);

impl<'r> TraceParent<'r> {
    /// All of it: `00-<trace id>-<parent id>-<flags>`.
    pub fn as_str(&self) -> &'r str {
        self.0
    }

    /// 32 hexadecimal digits.
    pub fn trace_id(&self) -> &'r str {
        self.part(1)
    }

    /// The caller's span, 16 hexadecimal digits.
    pub fn parent_id(&self) -> &'r str {
        self.part(2)
    }

    /// Whether the caller may have recorded it.
    pub fn is_sampled(&self) -> bool {
        u8::from_str_radix(self.part(3), 16).is_ok_and(|flags| flags & 1 != 0)
    }

    fn part(&self, index: usize) -> &'r str {
        self.0.split('-').nth(index).unwrap_or_default()
    }
}

impl fmt::Display for TraceParent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl<'r> FromRequest<'r> for TraceParent<'r> {
    type Rejection = Rejection;

    fn from_request(request: &Request<'r>) -> Result<Self, Rejection> {
        Self::optional(request)?
            .ok_or_else(|| Rejection::bad_request("the header traceparent is missing or malformed"))
    }

    fn optional(request: &Request<'r>) -> Result<Option<Self>, Rejection> {
        Ok(request.traceparent().map(Self))
    }
}
