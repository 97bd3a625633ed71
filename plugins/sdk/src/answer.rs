//! Hands a [`Response`] over to the host.
//!
//! Owns which body is copied, which is given away and how it is freed. Must not decide what is answered.

use std::ffi::c_void;
use std::ptr;

use hotbay_abi::{Buf, ERR, Handle, Header, LIMIT, RESP_COPY, Rc, Str, size_of_table};

use crate::host;
use crate::response::{Body, Response};

/// Up to here the host's copy is cheaper than a boxed owner and its release.
const COPY_MAX: usize = 4096;

/// So many headers are handed over from the stack.
const FEW_HEADERS: usize = 8;

const NO_HEADER: Header = Header { name: Str::ABSENT, value: Str::ABSENT };

/// Answers the call; a refusal is told to the host in words, because it makes a 500 of it.
pub(crate) fn send(call: Handle, mut response: Response) -> Rc {
    let body = response.take_body();
    let mut few = [NO_HEADER; FEW_HEADERS];
    let mut many = Vec::new();
    let headers = header_views(&response, &mut few, &mut many);
    let mut table = hotbay_abi::Response {
        size: size_of_table::<hotbay_abi::Response>(),
        flags: 0,
        status: response.status_code(),
        pad: 0,
        n_headers: u32::try_from(headers.len()).unwrap_or(u32::MAX),
        headers: headers.as_ptr(),
        body: lent(&[]),
    };
    let rc = match body {
        Body::Static(bytes) => respond(call, &mut table, 0, lent(bytes)),
        Body::Owned(bytes) if bytes.len() <= COPY_MAX => respond(call, &mut table, RESP_COPY, lent(&bytes)),
        Body::Owned(bytes) => respond(call, &mut table, 0, given(bytes)),
    };
    if rc == ERR || rc == LIMIT {
        let why = if rc == LIMIT { "too many or too large headers" } else { "malformed" };
        let (status, count) = (response.status_code(), headers.len());
        host::fail(call, &format!("the host refused the answer ({why}): status {status}, {count} headers"));
    }
    rc
}

fn respond(call: Handle, table: &mut hotbay_abi::Response, flags: u32, body: Buf) -> Rc {
    table.flags = flags;
    table.body = body;
    host::respond(call, table)
}

fn header_views<'v>(
    response: &Response,
    few: &'v mut [Header; FEW_HEADERS],
    many: &'v mut Vec<Header>,
) -> &'v [Header] {
    let mut count = 0;
    for (name, value) in response.all_headers() {
        let header = Header { name: Str::new(name.as_bytes()), value: Str::new(value.as_bytes()) };
        match few.get_mut(count) {
            Some(slot) => *slot = header,
            None if many.is_empty() => many.extend(few.iter().copied().chain([header])),
            None => many.push(header),
        }
        count += 1;
    }
    if many.is_empty() { &few[..count] } else { many }
}

/// Bytes that nobody releases: they live for ever, or the host copies them.
fn lent(bytes: &[u8]) -> Buf {
    Buf { ptr: bytes.as_ptr(), len: bytes.len(), owner: ptr::null_mut(), release: None }
}

/// Bytes that the host releases.
fn given(bytes: Vec<u8>) -> Buf {
    let (ptr, len) = (bytes.as_ptr(), bytes.len());
    Buf { ptr, len, owner: Box::into_raw(Box::new(bytes)).cast(), release: Some(release) }
}

/// Runs on any thread, perhaps long after the module was stopped. Freeing bytes runs no code of the author's, so it needs no guard.
unsafe extern "C" fn release(owner: *mut c_void) {
    // SAFETY: `given` made the pointer from such a box, and the receiver releases it exactly once.
    drop(unsafe { Box::from_raw(owner.cast::<Vec<u8>>()) });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_headers_stay_on_the_stack_and_many_keep_their_order() {
        for count in [0, 7, 8, 9, 40] {
            let response = (0..count).fold(Response::status(200), |response, index| {
                response.with_header(format!("x-{index}"), index.to_string())
            });
            let (mut few, mut many) = ([NO_HEADER; FEW_HEADERS], Vec::new());
            let views = header_views(&response, &mut few, &mut many);
            // SAFETY: `response` lives as long as the views.
            let read = |view: Str| String::from_utf8(unsafe { view.get() }.unwrap().to_vec()).unwrap();
            let pairs: Vec<_> = views.iter().map(|view| (read(view.name), read(view.value))).collect();
            let expected: Vec<_> =
                (0..count).map(|index| (format!("x-{index}"), index.to_string())).collect();
            assert_eq!(pairs, expected);
            assert_eq!(many.is_empty(), count <= FEW_HEADERS);
        }
    }
}
