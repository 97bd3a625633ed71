//! A service's answer, as the host wants it.
//!
//! Owns the views of its head. Must not decide how a body is sent: `outgoing` does.

use std::error::Error;
use std::pin::Pin;

use hotbay_abi::{Handle, Header, Rc, Str};
use http::header::CONTENT_LENGTH;
use http::response::Parts;
use http_body::Body;

use super::spare;
use crate::answer::Head;
use crate::body::http_body::FromHttp;
use crate::outgoing::{First, Outgoing};
use crate::{Response, answer, host};

/// So many headers are handed over from the stack.
const FEW_HEADERS: usize = 8;
const NO_HEADER: Header = Header { name: Str::ABSENT, value: Str::ABSENT };

/// Sends the head of an answer that accepts an upgrade.
#[cfg(feature = "ws")]
pub(super) fn send_upgrade(call: Handle, head: &Parts) -> Rc {
    let mut views = Views::default();
    for (name, value) in &head.headers {
        views.push(name == CONTENT_LENGTH, view(name.as_str(), value.as_bytes()));
    }
    // A router sets a length, as of every answer; hyper takes it away here, and the host calls it malformed.
    views.drop_length();
    Head::new(call, head.status.as_u16(), views.all()).respond_upgrade()
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
    let mut views = Views::default();
    for (name, value) in &head.headers {
        views.push(name == CONTENT_LENGTH, view(name.as_str(), value.as_bytes()));
    }
    let first = match First::of(call, body) {
        // What HEAD would have had as a body has a length, which a host takes from streams alone.
        First::Whole(bytes) if is_head && views.length.is_some() => First::Part(bytes, Outgoing::default()),
        first => first,
    };
    let mut digits = Digits::default();
    match (&first, length) {
        // The host gives a whole body its length.
        (First::Whole(_), _) => views.drop_length(),
        (First::Part(..), Some(length)) if views.length.is_none() => {
            views.push(true, view(CONTENT_LENGTH.as_str(), digits.write(length)));
        }
        _ => {}
    }
    let left = Head::new(call, head.status.as_u16(), views.all()).respond_stream(first);
    spare::keep(head.headers);
    left
}

/// The host's views of headers, on the stack if they are few.
struct Views {
    few: [Header; FEW_HEADERS],
    count: usize,
    /// All, if they are more.
    many: Vec<Header>,
    /// Where a `content-length` is.
    length: Option<usize>,
}

impl Default for Views {
    #[inline(always)]
    fn default() -> Self {
        Self { few: [NO_HEADER; FEW_HEADERS], count: 0, many: Vec::new(), length: None }
    }
}

impl Views {
    #[inline(always)]
    fn push(&mut self, is_length: bool, header: Header) {
        if is_length {
            self.length = Some(self.count);
        }
        match self.few.get_mut(self.count) {
            Some(place) => *place = header,
            None => self.push_many(header),
        }
        self.count += 1;
    }

    #[cold]
    fn push_many(&mut self, header: Header) {
        if self.many.is_empty() {
            self.many.extend(self.few);
        }
        self.many.push(header);
    }

    /// The order of headers of different names means nothing.
    fn drop_length(&mut self) {
        let Some(at) = self.length.take() else { return };
        self.count -= 1;
        if self.many.is_empty() {
            self.few.swap(at, self.count);
        } else {
            self.many.swap_remove(at);
        }
    }

    fn all(&self) -> &[Header] {
        if self.many.is_empty() { &self.few[..self.count] } else { &self.many }
    }
}

fn view(name: &str, value: &[u8]) -> Header {
    Header { name: Str::new(name.as_bytes()), value: Str::new(value) }
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
    fn few_headers_or_many_lose_their_length_alone() {
        for count in [1, FEW_HEADERS - 1, FEW_HEADERS, FEW_HEADERS + 1, 50] {
            for length_at in [0, count / 2, count - 1] {
                let names: Vec<String> = (0..count).map(|index| format!("x-{index}")).collect();
                let mut views = Views::default();
                for (index, name) in names.iter().enumerate() {
                    views.push(index == length_at, view(name, b""));
                }
                assert_eq!(views.all().len(), count);
                views.drop_length();
                // SAFETY: the names live.
                let left = views.all().iter().map(|header| unsafe { header.name.get() }.unwrap_or_default());
                let mut left: Vec<&[u8]> = left.collect();
                let without = names.iter().enumerate().filter(|(index, _)| *index != length_at);
                let mut wanted: Vec<&[u8]> = without.map(|(_, name)| name.as_bytes()).collect();
                left.sort_unstable();
                wanted.sort_unstable();
                assert_eq!(left, wanted);
            }
        }
    }

    #[test]
    fn lengths_are_written_in_decimal() {
        for number in [0, 9, 10, 12_345, u64::MAX] {
            assert_eq!(Digits::default().write(number), number.to_string().as_bytes());
        }
    }
}
