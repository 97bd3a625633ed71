//! Requests that offer to leave HTTP.
//!
//! Owns what counts as an offer, and what becomes of one: an answer that takes it, or one that does not. Must not read or write what follows: [`Tunnel`]
//! does.

use hotbay_loader::Offer;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;

use super::tunnel::Tunnel;
use super::{Cut, text};
use crate::body::{Further, Payload};

/// A request's offer.
pub(super) struct Offered {
    on: OnUpgrade,
    protocol: HeaderValue,
    /// A plain answer of success would be taken for an upgrade: CONNECT means one.
    is_connect: bool,
}

/// By which method a route is found: who wants to talk by HTTP/2 says CONNECT where HTTP/1 says GET (RFC 8441, 5).
#[cold]
pub(super) fn method_of_route<B>(request: &Request<B>) -> &Method {
    if request.extensions().get::<Protocol>().is_some() { &Method::GET } else { request.method() }
}

/// The offer in a request's head, of which the module is told.
#[cold]
pub(super) fn offer(parts: &mut Parts) -> Option<Offered> {
    let on = parts.extensions.remove::<OnUpgrade>()?;
    let is_connect = parts.method == Method::CONNECT;
    let protocol = match parts.extensions.get::<Protocol>() {
        Some(protocol) => protocol.as_str().to_ascii_lowercase(),
        None if is_connect || parts.version != Version::HTTP_11 => return None,
        None => named(parts)?,
    };
    let value = HeaderValue::from_str(&protocol).ok()?;
    parts.extensions.insert(Offer { protocol });
    Some(Offered { on, protocol: value, is_connect })
}

/// The protocol that HTTP/1's headers name first. HTTP/2 is no other protocol, though curl offers it so.
fn named(parts: &Parts) -> Option<String> {
    let tokens = |name| {
        let values = parts.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).map(|token| token.trim().to_ascii_lowercase())
    };
    let offered = tokens(header::CONNECTION).any(|token| token == "upgrade");
    let protocol = tokens(header::UPGRADE).next()?;
    (offered && !protocol.is_empty() && protocol != "h2c").then_some(protocol)
}

impl Offered {
    /// The answer to the offer.
    pub fn conclude(self, result: Result<Response<Payload>, Cut>) -> Result<Response<Payload>, Cut> {
        let response = result?;
        let (head, payload) = response.into_parts();
        let payload = match self.taken(payload) {
            Ok(tunnel) => Payload::Further(Box::new(Further::Upgrade(tunnel))),
            Err((offered, _)) if offered.is_connect && head.status.is_success() => {
                return Ok(text(StatusCode::NOT_IMPLEMENTED, "the handler does not speak this protocol\n"));
            }
            Err((_, payload)) => payload,
        };
        Ok(Response::from_parts(head, payload))
    }

    /// The way on, if the answer takes the offer.
    fn taken(self, payload: Payload) -> Result<Tunnel, (Self, Payload)> {
        let Payload::Further(further) = payload else { return Err((self, payload)) };
        match *further {
            Further::Stream(stream) if stream.stream.is_upgrade() => {
                Ok(Tunnel::new(self.on, self.protocol, stream))
            }
            further => Err((self, Payload::Further(Box::new(further)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named_by(headers: &[(&str, &str)]) -> Option<String> {
        let request =
            headers.iter().fold(Request::get("/"), |request, (name, value)| request.header(*name, *value));
        named(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn an_offer_names_a_protocol_and_says_that_it_is_one() {
        let upgrade = ("upgrade", "WebSocket");
        assert_eq!(named_by(&[upgrade, ("connection", "keep-alive, Upgrade")]).as_deref(), Some("websocket"));
        assert_eq!(named_by(&[upgrade, ("connection", "keep-alive")]), None);
        assert_eq!(named_by(&[("connection", "upgrade")]), None);
        assert_eq!(named_by(&[("upgrade", "a/1, b"), ("connection", "upgrade")]).as_deref(), Some("a/1"));
        assert_eq!(named_by(&[("upgrade", "h2c"), ("connection", "upgrade, http2-settings")]), None);
    }
}
