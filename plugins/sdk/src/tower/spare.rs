//! A map of headers that the last answer of a thread left: the next request need not make one.

use std::cell::Cell;

use http::HeaderMap;

/// Larger ones are not worth keeping: a map takes some 100 bytes a header, for each thread.
const MAX_HEADERS: usize = 64;

thread_local! {
    static SPARE: Cell<Option<HeaderMap>> = const { Cell::new(None) };
}

/// An empty map with room for so many.
pub(super) fn take(headers: usize) -> HeaderMap {
    // A thread that ends has none any more.
    match SPARE.try_with(Cell::take) {
        Ok(Some(mut spare)) => {
            // At once, and not each time that it is full.
            spare.reserve(headers);
            spare
        }
        _ => HeaderMap::with_capacity(headers),
    }
}

/// Keeps what an answer does not need any more.
pub(super) fn keep(mut headers: HeaderMap) {
    if headers.capacity() <= MAX_HEADERS {
        headers.clear();
        let _kept = SPARE.try_with(|spare| spare.set(Some(headers)));
    }
}
