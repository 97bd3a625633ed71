//! Hands a [`Response`] over to the host.
//!
//! Owns which body is copied, which is given away and how it is freed. Must not decide what is answered.

use std::ffi::c_void;
use std::pin::Pin;
use std::ptr;

use bytes::Bytes;
use hotbay_abi::{
    Buf, DENIED, EOF, ERR, Handle, Header, LIMIT, READY, RESP_COPY, RESP_STREAM, RESP_UPGRADE, Rc, Str,
    WRITE_COPY, size_of_table,
};

use crate::body::{Kind, Source};
use crate::outgoing::{First, Outgoing};
use crate::upgrade::{Running, Upgraded};
use crate::{BodyError, Response, host};

/// Up to here the host's copy is cheaper than a boxed owner and its release.
const COPY_MAX: usize = 4096;

/// So many headers are handed over from the stack.
const FEW_HEADERS: usize = 8;

const NO_HEADER: Header = Header { name: Str::ABSENT, value: Str::ABSENT };

/// How far an answer is.
pub(crate) enum Sent {
    /// As far as it will ever be: what the host is told.
    Over(Rc),
    /// Its head is sent, and perhaps a first piece.
    Stream(Pin<Box<dyn Source>>, Outgoing),
    /// Its head is sent, and something else follows.
    Upgrade(Running),
}

/// Answers the call; a refusal is told to the host in words, because it makes a 500 of it.
#[inline]
pub(crate) fn send(call: Handle, mut response: Response) -> Sent {
    let body = response.take_body().into_kind();
    // Filled where they are needed: few answers need room for many.
    let (one, mut few, mut many);
    let headers = match response.only_content_type() {
        Some(value) => {
            one = [Header { name: Str::new(b"content-type"), value: Str::new(value.as_bytes()) }];
            &one[..]
        }
        None => {
            (few, many) = ([NO_HEADER; FEW_HEADERS], Vec::new());
            header_views(&response, &mut few, &mut many)
        }
    };
    let mut head = Head::new(call, response.status_code(), headers);
    match body {
        Kind::Static(bytes) => Sent::Over(head.respond(0, lent(bytes))),
        Kind::Owned(bytes) if bytes.len() <= COPY_MAX => Sent::Over(head.respond(RESP_COPY, lent(&bytes))),
        Kind::Owned(bytes) => Sent::Over(head.respond(0, given(bytes))),
        Kind::Shared(bytes) => Sent::Over(head.respond_bytes(0, bytes)),
        Kind::Stream(mut source) => match head.respond_stream(First::of(call, source.as_mut())) {
            Ok(outgoing) => Sent::Stream(source, outgoing),
            Err(rc) => Sent::Over(rc),
        },
        Kind::Upgrade(accepted) => match head.respond_upgrade() {
            READY => Sent::Upgrade((accepted.run)(Upgraded::new(accepted.link))),
            rc => Sent::Over(rc),
        },
    }
}

/// The head of an answer, ready to go.
pub(crate) struct Head {
    call: Handle,
    table: hotbay_abi::Response,
}

impl Head {
    /// `headers` must live until one of the others was called, which is what they take `self` for.
    #[inline]
    pub fn new(call: Handle, status: u16, headers: &[Header]) -> Self {
        let table = hotbay_abi::Response {
            size: size_of_table::<hotbay_abi::Response>(),
            flags: 0,
            status,
            pad: 0,
            n_headers: u32::try_from(headers.len()).unwrap_or(u32::MAX),
            headers: headers.as_ptr(),
            body: lent(b""),
        };
        Self { call, table }
    }

    /// The answer is whole, or a stream begins with these bytes.
    pub fn respond_bytes(&mut self, flags: u32, bytes: Bytes) -> Rc {
        if bytes.len() <= COPY_MAX {
            return self.respond(flags | RESP_COPY, lent(&bytes));
        }
        let body = share(bytes);
        self.respond(flags, body)
    }

    /// What is left to send of a stream that began like this, or what the host is told if nothing is.
    pub fn respond_stream(&mut self, first: First) -> Result<Outgoing, Rc> {
        match first {
            First::Failed(error) => {
                host::fail(self.call, &format!("the answer's body failed before it began: {error}"));
                Err(BodyError::code(&*error))
            }
            First::Whole(bytes) => Err(self.respond_bytes(0, bytes)),
            First::Part(bytes, outgoing) => match self.respond_bytes(RESP_STREAM, bytes) {
                READY => Ok(outgoing),
                EOF => Err(Outgoing::unwanted(self.call)),
                rc => Err(rc),
            },
        }
    }

    /// What follows is no HTTP.
    pub fn respond_upgrade(&mut self) -> Rc {
        self.respond(RESP_UPGRADE, lent(b""))
    }

    #[inline]
    fn respond(&mut self, flags: u32, body: Buf) -> Rc {
        self.table.flags = flags;
        self.table.body = body;
        let rc = host::respond(self.call, &self.table);
        if rc < 0 {
            self.refused(rc);
        }
        rc
    }

    #[cold]
    fn refused(&self, rc: Rc) {
        let why = match rc {
            LIMIT => "too many or too large headers",
            DENIED => "an upgrade that the request did not offer",
            ERR => "malformed",
            // Nobody is there, or nothing can be said about it.
            _ => return,
        };
        let (status, count) = (self.table.status, self.table.n_headers);
        host::fail(
            self.call,
            &format!("the host refused the answer ({why}): status {status}, {count} headers"),
        );
    }
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

/// Bytes that the host releases, and that others may hold too.
fn share(bytes: Bytes) -> Buf {
    let (ptr, len) = (bytes.as_ptr(), bytes.len());
    Buf { ptr, len, owner: Box::into_raw(Box::new(bytes)).cast(), release: Some(release_shared) }
}

/// Hands over the next piece of a streamed answer. If it was not taken, it comes back.
pub(crate) fn write(call: Handle, piece: Bytes) -> (Rc, Option<Bytes>) {
    if piece.len() <= COPY_MAX {
        let rc = write_copy(call, &piece);
        return (rc, (rc != READY).then_some(piece));
    }
    let shared = share(piece);
    let rc = host::write(call, &shared, 0);
    // SAFETY: `share` made the owner from such a box, and what was not taken is still ours.
    let back = (rc != READY).then(|| *unsafe { Box::from_raw(shared.owner.cast::<Bytes>()) });
    (rc, back)
}

/// Hands over a copy of the next piece.
pub(crate) fn write_copy(call: Handle, piece: &[u8]) -> Rc {
    host::write(call, &lent(piece), WRITE_COPY)
}

/// Runs on any thread, perhaps long after the module was stopped. Freeing bytes runs no code of the author's, so it needs no guard.
unsafe extern "C" fn release(owner: *mut c_void) {
    // SAFETY: `given` made the pointer from such a box, and the receiver releases it exactly once.
    drop(unsafe { Box::from_raw(owner.cast::<Vec<u8>>()) });
}

/// As [`release`], for bytes whose owner may be of the author's making, and so may panic.
unsafe extern "C" fn release_shared(owner: *mut c_void) {
    // SAFETY: `share` made the pointer from such a box, and the receiver releases it exactly once.
    let bytes = unsafe { Box::from_raw(owner.cast::<Bytes>()) };
    host::quietly(|| drop(bytes));
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
