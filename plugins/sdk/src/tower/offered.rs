//! What becomes of an upgrade that a request offers to a service.

use hotbay_abi::{ERR, Handle, Rc};
use http::response::Parts;

use crate::upgrade::Running;
use crate::{Request, RequestBody, host};

#[cfg(feature = "ws")]
mod with_hyper {
    use std::sync::Arc;

    use hotbay_abi::READY;

    use super::*;
    use crate::Upgraded;
    use crate::link::Link;
    use crate::tower::answer;
    use crate::tower::upgrade::Offer;

    /// Nothing, for most requests.
    #[derive(Default)]
    pub(in crate::tower) struct Offered(Option<(Offer, Arc<Link>)>);

    impl Offered {
        /// Gives the request hyper's `OnUpgrade`, if it offers an upgrade.
        pub fn make(&mut self, asked: &Request<'_>, request: &mut http::Request<RequestBody>) {
            // axum wants other things of HTTP/2, which hyper does not need.
            if asked.protocol.is_none() || asked.http == 20 {
                return;
            }
            // SAFETY: the request's call holds the link, and the request lives no longer than the call.
            let Some(link) = (unsafe { Link::of(asked.link) }) else { return };
            if let Some((offer, on_upgrade)) = Offer::make() {
                request.extensions_mut().insert(on_upgrade);
                self.0 = Some((offer, link));
            }
        }

        /// The service has answered 101: what is to be driven from now on, or what the host is told.
        pub fn accept(&mut self, call: Handle, head: &Parts) -> Result<Running, Rc> {
            let Some((offer, link)) = self.0.take() else { return Err(refuse(call)) };
            match answer::send_upgrade(call, head) {
                READY => Ok(offer.accept(Upgraded::new(Arc::clone(&link)), link)),
                rc => Err(rc.min(READY)),
            }
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
