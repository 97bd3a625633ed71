//! What becomes of an upgrade that a request offers to a service.

use hotbay_abi::{ERR, Handle, Rc};
use http::StatusCode;
use http::response::Parts;
use http_body::Body;

use crate::upgrade::Running;
use crate::{Request, RequestBody, host};

#[cfg(feature = "ws")]
mod with_hyper {
    use std::sync::Arc;

    use hotbay_abi::READY;
    use hyper::ext::Protocol;

    use super::*;
    use crate::Upgraded;
    use crate::link::Link;
    use crate::tower::answer;
    use crate::tower::upgrade::Offer;

    /// Nothing, for most requests.
    #[derive(Default)]
    pub(in crate::tower) struct Offered(Option<(Offer, Arc<Link>)>);

    impl Offered {
        /// Gives the request hyper's `OnUpgrade`, if it offers an upgrade, and by HTTP/2 hyper's name for the protocol, too.
        pub fn make(&mut self, asked: &Request<'_>, request: &mut http::Request<RequestBody>) {
            let Some(protocol) = asked.protocol() else { return };
            // SAFETY: the request's call holds the link, and the request lives no longer than the call.
            let Some(link) = (unsafe { Link::of(asked.link) }) else { return };
            if let Some((offer, on_upgrade)) = Offer::make() {
                let extensions = request.extensions_mut();
                extensions.insert(on_upgrade);
                if link.http >= 20 {
                    extensions.insert(Protocol::from(protocol));
                }
                self.0 = Some((offer, link));
            }
        }

        /// Whether an answer takes the offer: by HTTP/2 also a success that has no body of its own does (RFC 8441, 5). One that has a body is no
        /// upgrade, and the host tells the client that the service does not speak the protocol.
        pub fn is_taken(&self, status: StatusCode, body: &impl Body) -> bool {
            let is_h2 = self.0.as_ref().is_some_and(|(_, link)| link.http >= 20);
            takes(is_h2, status, body)
        }

        /// The service has taken the offer: what is to be driven from now on, or what the host is told.
        pub fn accept(&mut self, call: Handle, head: &Parts) -> Result<Running, Rc> {
            let Some((offer, link)) = self.0.take() else { return Err(refuse(call)) };
            match answer::send_upgrade(call, head) {
                READY => Ok(offer.accept(Upgraded::new(Arc::clone(&link)), link)),
                rc => Err(rc.min(READY)),
            }
        }
    }

    /// 101 does by either protocol: a service may know only that, and the host says it by HTTP/2 as that wants it.
    fn takes(is_h2: bool, status: StatusCode, body: &impl Body) -> bool {
        status == StatusCode::SWITCHING_PROTOCOLS || is_h2 && status.is_success() && body.is_end_stream()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn an_offer_is_taken_by_101_and_by_http_2_also_by_a_success_without_a_body() {
            let takes = |is_h2, status, body: &'static str| {
                takes(is_h2, StatusCode::from_u16(status).unwrap(), &crate::Body::from(body))
            };
            assert_eq!([101, 200, 426].map(|status| takes(false, status, "")), [true, false, false]);
            assert_eq!([101, 200, 426].map(|status| takes(true, status, "")), [true, true, false]);
            assert!(!takes(true, 200, "hello"), "that is an answer of its own");
        }
    }
}

#[cfg(not(feature = "ws"))]
mod without {
    use super::*;

    /// Nothing: the module is built without the feature `ws`.
    #[derive(Default)]
    pub(in crate::tower) struct Offered;

    impl Offered {
        pub fn make(&mut self, _asked: &Request<'_>, _request: &mut http::Request<RequestBody>) {}

        pub fn is_taken(&self, status: StatusCode, _body: &impl Body) -> bool {
            status == StatusCode::SWITCHING_PROTOCOLS
        }

        pub fn accept(&mut self, call: Handle, _head: &Parts) -> Result<Running, Rc> {
            Err(refuse(call))
        }
    }
}

#[cfg(feature = "ws")]
pub(super) use with_hyper::Offered;
#[cfg(not(feature = "ws"))]
pub(super) use without::Offered;

fn refuse(call: Handle) -> Rc {
    host::fail(
        call,
        "the service answered 101 to a request that offers no upgrade, or without hotbay-sdk's feature ws",
    );
    ERR
}
