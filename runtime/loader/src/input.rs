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
    /// How often it became another source.
    epoch: u32,
    trailers: Option<Trailers>,
}

/// A source that a poll has taken out.
pub(crate) struct Taken {
    pub body: Coming,
    epoch: u32,
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
        Self { source: Source::Coming(body), ..Self::awaited() }
    }

    /// Nothing comes before [`Self::follow`].
    pub fn awaited() -> Self {
        Self { source: Source::Away, epoch: 0, trailers: None }
    }

    /// Takes the source out for a poll, or says what the read answers.
    pub fn take(&mut self) -> Result<Taken, Rc> {
        if let Source::Over(rc) = self.source {
            return Err(rc);
        }
        match std::mem::replace(&mut self.source, Source::Away) {
            Source::Coming(body) => Ok(Taken { body, epoch: self.epoch }),
            Source::Away | Source::Over(_) => Err(abi::PENDING),
        }
    }

    /// The source after a poll. If it was forsaken meanwhile it comes back, to be dropped outside every lock.
    pub fn put_back(&mut self, taken: Taken) -> Result<(), Taken> {
        if taken.epoch != self.epoch {
            return Err(taken);
        }
        self.source = Source::Coming(taken.body);
        Ok(())
    }

    /// As [`Self::put_back`], of a source that has ended for the reason that every further read gives: also then it is to be dropped outside every lock. False: it was
    /// forsaken meanwhile.
    pub fn end(&mut self, taken: &Taken, rc: Rc, trailers: Option<HeaderMap>) -> bool {
        if taken.epoch != self.epoch {
            return false;
        }
        self.source = Source::Over(rc);
        // What an upgraded connection ends with are no trailers: those of the request before stay, as views of them may be in use.
        if let Some(trailers) = trailers {
            self.trailers.get_or_insert_with(|| Trailers::new(trailers));
        }
        true
    }

    /// The connection is being upgraded: what the request's body was is not read any more. What is returned is to be dropped outside every lock.
    pub fn forsake(&mut self) -> Option<Coming> {
        self.epoch += 1;
        match std::mem::replace(&mut self.source, Source::Away) {
            Source::Coming(body) => Some(body),
            Source::Away | Source::Over(_) => None,
        }
    }

    /// What the client says from now on.
    pub fn follow(&mut self, client: Coming) {
        self.source = Source::Coming(client);
    }

    /// Whether a read has answered that nothing more comes.
    pub fn has_ended(&self) -> bool {
        self.ended().is_some()
    }

    /// What a read has answered, and each further one does, since nothing more comes.
    pub fn ended(&self) -> Option<Rc> {
        match self.source {
            Source::Over(rc) => Some(rc),
            Source::Coming(_) | Source::Away => None,
        }
    }

    /// The trailers; none before the body has ended. The views live as long as this.
    pub fn trailers(&self) -> &[Header] {
        self.trailers.as_ref().map_or(&[], |trailers| &trailers.views)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[test]
    fn the_end_of_what_follows_an_upgrade_leaves_the_requests_trailers_where_they_are() {
        let mut input = Input::new(nothing());
        let request = input.take().ok().unwrap();
        let trailers = HeaderMap::from_iter([(http::header::AGE, http::HeaderValue::from(7))]);
        assert!(input.end(&request, abi::EOF, Some(trailers)));
        // As a module has it until its call is dropped.
        let view = input.trailers()[0];
        drop(input.forsake());
        input.follow(nothing());
        let client = input.take().ok().unwrap();
        assert!(input.end(&client, abi::EOF, None));
        // SAFETY: the input is there still, and with it what the view is of.
        assert_eq!(unsafe { view.value.get() }, Some(&b"7"[..]));
        assert_eq!(input.trailers().len(), 1);
    }

    #[test]
    fn what_a_read_had_taken_before_an_upgrade_does_not_come_back() {
        let mut input = Input::new(nothing());
        let request = input.take().ok().unwrap();
        assert!(input.forsake().is_none(), "a read has it");
        assert!(!input.end(&request, abi::EOF, None));
        assert_eq!(input.take().err(), Some(abi::PENDING), "the client has not followed yet");
        input.follow(nothing());
        assert!(input.put_back(request).is_err());
        assert!(input.take().is_ok(), "what the client says now");
    }

    fn nothing() -> Coming {
        Coming::new(http_body_util::Empty::new().map_err(|never| match never {}))
    }
}
