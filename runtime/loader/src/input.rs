//! What a call reads: the rest of its request's body and its trailers, or the bytes of the protocol that it was upgraded to.
//!
//! Owns where that comes from. Must not be polled under a slot's lock: who reads takes the source out, and puts it back or its end.

use bytes::Bytes;
use hotbay_abi as abi;
use hotbay_abi::{Header, Rc, Str};
use http::HeaderMap;
use http_body_util::combinators::UnsyncBoxBody;

/// A body that is still coming.
pub(crate) type Coming = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// Kept until the call's state is dropped, as views of its trailers are.
pub(crate) struct Input {
    source: Source,
    trailers: Option<Trailers>,
}

enum Source {
    Coming(Coming),
    /// A read is under way, or the connection is still being upgraded.
    Away,
    /// Every further read says this.
    Over(Rc),
}

/// A request's trailers, and the views on them.
pub(crate) struct Trailers {
    views: Vec<Header>,
    // What the views point into.
    _map: HeaderMap,
}

// SAFETY: the views point into the map beside them, which is not changed any more.
unsafe impl Send for Trailers {}

impl Trailers {
    pub fn new(map: HeaderMap) -> Self {
        let view = |text: &[u8]| Str::new(text);
        let views = map
            .iter()
            .map(|(name, value)| Header {
                name: view(name.as_str().as_bytes()),
                value: view(value.as_bytes()),
            })
            .collect();
        Self { views, _map: map }
    }
}

impl Input {
    pub fn new(body: Coming) -> Self {
        Self { source: Source::Coming(body), trailers: None }
    }

    /// Nothing comes before [`Self::put_back`].
    pub fn awaited() -> Self {
        Self { source: Source::Away, trailers: None }
    }

    /// Takes the source out for a poll, or says what the read answers.
    pub fn take(&mut self) -> Result<Coming, Rc> {
        if let Source::Over(rc) = self.source {
            return Err(rc);
        }
        match std::mem::replace(&mut self.source, Source::Away) {
            Source::Coming(body) => Ok(body),
            Source::Away | Source::Over(_) => Err(abi::PENDING),
        }
    }

    /// The source after a poll.
    pub fn put_back(&mut self, body: Coming) {
        self.source = Source::Coming(body);
    }

    /// The source has ended, for the reason that every further read gives.
    pub fn end(&mut self, rc: Rc, trailers: Option<HeaderMap>) {
        self.source = Source::Over(rc);
        self.trailers = trailers.map(Trailers::new);
    }

    /// The connection is being upgraded: what the request's body was is not read any more. What is returned is to be dropped outside every lock.
    pub fn forsake(&mut self) -> Option<Coming> {
        match std::mem::replace(&mut self.source, Source::Away) {
            Source::Coming(body) => Some(body),
            Source::Away | Source::Over(_) => None,
        }
    }

    /// Whether a read has answered that nothing more comes.
    pub fn has_ended(&self) -> bool {
        matches!(self.source, Source::Over(_))
    }

    /// The trailers; none before the body has ended. The views live as long as this.
    pub fn trailers(&self) -> &[Header] {
        self.trailers.as_ref().map_or(&[], |trailers| &trailers.views)
    }
}
