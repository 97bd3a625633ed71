//! Header maps that a thread keeps for its next answers.
//!
//! Owns them, empty. A request's map would be freed when its call is over, and the answer to the next one allocated anew, with the same two blocks; so
//! the one becomes the other. Must not keep large ones: a client chooses how many headers it sends.

use std::cell::RefCell;

use http::HeaderMap;

/// Maps that a thread keeps. A call borrows one at a time, so a few are enough however many are in flight.
const MAPS: usize = 16;
/// Of headers: what browsers and proxies send has room.
const LARGEST: usize = 64;

thread_local! {
    static SPARE: RefCell<Vec<HeaderMap>> = const { RefCell::new(Vec::new()) };
}

/// An empty map with room for `headers`.
pub(crate) fn take(headers: usize) -> HeaderMap {
    // A module's thread that is ending may answer too, and has no spare ones any more.
    let spare = SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten();
    spare.filter(|map| map.capacity() >= headers).unwrap_or_else(|| HeaderMap::with_capacity(headers))
}

/// Keeps a map's memory, and drops what is in it.
pub(crate) fn keep(mut map: HeaderMap) {
    if map.capacity() == 0 || map.capacity() > LARGEST {
        return;
    }
    map.clear();
    // As above: then it is simply freed.
    let _kept = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() < MAPS {
            spare.push(map);
        }
    });
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header};

    use super::*;

    #[test]
    fn what_is_kept_comes_back_empty_and_large_ones_do_not() {
        let mut map = HeaderMap::with_capacity(8);
        map.append(header::COOKIE, HeaderValue::from_static("secret"));
        map.append(header::COOKIE, HeaderValue::from_static("another"));
        keep(map);
        keep(HeaderMap::with_capacity(1000));
        keep(HeaderMap::new());
        let (first, second) = (take(3), take(3));
        assert!(first.is_empty() && first.capacity() >= 3 && first.get(header::COOKIE).is_none());
        assert!(second.is_empty() && second.capacity() < 1000);
        keep(first);
        assert!(take(40).capacity() >= 40, "too small a one is not given out");
    }
}
