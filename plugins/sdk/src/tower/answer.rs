//! A service's answer, as the host wants it.
//!
//! Owns the views of its head. Must not decide how a body is sent: `outgoing` does.

use std::error::Error;
use std::pin::Pin;

use hotbay_abi::{Handle, Header, Rc, Str};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http::response::Parts;
use http_body::Body;

use super::spare;
use crate::answer::Head;
use crate::body::http_body::FromHttp;
use crate::outgoing::{First, Outgoing};
use crate::{Response, answer, host};

/// So many headers are handed over from the stack.
const FEW_HEADERS: usize = 16;
const NO_HEADER: Header = Header { name: Str::ABSENT, value: Str::ABSENT };

/// Sends the head of an answer that accepts an upgrade.
#[cfg(feature = "ws")]
pub(super) fn send_upgrade(call: Handle, head: &Parts) -> Rc {
    // A router sets a length, as of every answer; hyper takes it away here, and the host calls it malformed.
    let views: Vec<Header> = views(&head.headers).filter(|header| !is_length(header)).collect();
    Head::new(call, head.status.as_u16(), &views).respond_upgrade()
}

fn is_length(header: &Header) -> bool {
    // SAFETY: `views` made it of a name that is still there.
    let name = unsafe { header.name.get() };
    name.is_some_and(|name| name == CONTENT_LENGTH.as_str().as_bytes())
}

fn views(headers: &HeaderMap) -> impl Iterator<Item = Header> {
    headers.iter().map(|(name, value)| Header {
        name: Str::new(name.as_str().as_bytes()),
        value: Str::new(value.as_bytes()),
    })
}

/// Sends the head, and the body with it if that is there. What is left to send, or what the host is told if nothing is.
pub(super) fn send<B>(
    call: Handle,
    head: Parts,
    body: Pin<&mut FromHttp<B>>,
    is_head: bool,
) -> Result<Outgoing, Rc>
where
    B: Body<Error: Into<Box<dyn Error + Send + Sync>>> + Send,
{
    let length = body.0.size_hint().exact();
    let declared = head.headers.contains_key(CONTENT_LENGTH);
    let first = match First::of(call, body) {
        // What HEAD would have had as a body has a length, which a host takes from streams alone.
        First::Whole(bytes) if is_head && declared => First::Part(bytes, Outgoing::default()),
        first => first,
    };
    let mut digits = Digits::default();
    let length = match first {
        First::Part(..) if !declared => length.map(|length| digits.write(length)),
        _ => None,
    };
    let length = length.map(|length| Header { name: Str::new(b"content-length"), value: Str::new(length) });
    // The host gives a whole body its length.
    let is_whole = matches!(first, First::Whole(_));
    let own = views(&head.headers).filter(|header| !(is_whole && is_length(header)));
    let (mut few, mut many) = ([NO_HEADER; FEW_HEADERS], Vec::new());
    let views = if head.headers.len() < FEW_HEADERS {
        let mut count = 0;
        for (place, header) in few.iter_mut().zip(own.chain(length)) {
            *place = header;
            count += 1;
        }
        &few[..count]
    } else {
        many.extend(own.chain(length));
        &many[..]
    };
    let left = Head::new(call, head.status.as_u16(), views).respond_stream(first);
    spare::keep(head.headers);
    left
}

/// The target is one that `http` refuses.
pub(super) fn refuse(call: Handle) -> Rc {
    let response = Response::text("the request's target is malformed\n").with_status(400);
    match answer::send(call, response) {
        answer::Sent::Over(rc) => rc,
        // A text is no stream.
        _ => host::abort(call),
    }
}

/// A number in decimal, on the stack.
#[derive(Default)]
struct Digits([u8; 20]);

impl Digits {
    fn write(&mut self, mut number: u64) -> &[u8] {
        let mut from = self.0.len();
        while from == self.0.len() || number > 0 {
            from -= 1;
            // Below ten.
            self.0[from] = b'0' + (number % 10) as u8;
            number /= 10;
        }
        &self.0[from..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_in_decimal() {
        for number in [0, 9, 10, 12_345, u64::MAX] {
            assert_eq!(Digits::default().write(number), number.to_string().as_bytes());
        }
    }
}
