//! A module's answer: any sequence of what a module may call, with anything in it.
//!
//! The bytes are a request's nature and then the calls, one after the other. Beside the host goes a short account of what it has taken.

use std::sync::Arc;

use bytes::Bytes;
use hotbay_abi as abi;
use hotbay_loader::fuzzing::{Given, Lent, Opened, Pair, Standing};
use hotbay_loader::{Captures, Offer};
use http::{HeaderMap, Method, Request, StatusCode, Version, header};

use crate::input::Input;

/// Calls of one run: a bound for time, since many short ones find no more than few.
const CALLS: usize = 64;

/// No sequence of calls panics; what was taken is what HTTP can carry, once, whole and in order; and every buffer that was taken is given back once.
pub fn response(bytes: &[u8]) {
    let mut input = Input(bytes);
    let mut run = Run::new(input.byte());
    for _ in 0..CALLS {
        if input.is_empty() {
            break;
        }
        match input.byte() % 8 {
            0 | 1 => run.respond(&mut input),
            2 => run.write(&mut input),
            3 => run.finish(&mut input),
            4 => run.abort(),
            5 => run.collect(),
            6 => run.take_piece(),
            _ => run.opened.turn(input.byte() & 1 != 0),
        }
    }
    run.end();
}

struct Run {
    opened: Opened,
    asked: Asked,
    /// An answer was taken.
    answered: bool,
    aborted: bool,
    /// It was finished, and may not be written to.
    finished: bool,
    is_upgrade: bool,
    promised: Option<u64>,
    /// What a stream has taken, and what its client has.
    taken: Vec<u8>,
    sent: Vec<u8>,
    /// What was lent, and how often each has to come back.
    lent: Vec<(Arc<Lent>, u32)>,
}

/// What the request makes of its answer.
#[derive(Clone, Copy)]
struct Asked {
    is_head: bool,
    is_h2: bool,
    offers: bool,
}

impl Run {
    fn new(nature: u8) -> Self {
        let asked = Asked { is_head: nature & 1 != 0, is_h2: nature & 2 != 0, offers: nature & 4 != 0 };
        let mut request = Request::new(());
        if asked.is_head {
            *request.method_mut() = Method::HEAD;
        }
        if asked.is_h2 {
            *request.version_mut() = Version::HTTP_2;
        }
        if asked.offers {
            request.extensions_mut().insert(Offer { protocol: "talk".to_owned() });
        }
        let parts = request.into_parts().0;
        let opened = Opened::new(parts, Captures::default(), Some(Bytes::new())).expect("few calls are open");
        Self {
            opened,
            asked,
            answered: false,
            aborted: false,
            finished: false,
            is_upgrade: false,
            promised: None,
            taken: Vec::new(),
            sent: Vec::new(),
            lent: Vec::new(),
        }
    }

    fn respond(&mut self, input: &mut Input<'_>) {
        let nature = input.byte();
        let (low, high) = (u32::from(input.byte()), u32::from(nature & 1));
        let odd_size = [0, 4, 55, 57, 64, 200, 4096, 56][usize::from(input.byte() % 8)];
        let status = input.number();
        let pairs = pairs(input);
        let body = input.text();
        let given = Given {
            size: if nature & 2 != 0 { odd_size } else { abi::RESPONSE_SIZE_MIN },
            flags: low | high << 16,
            // Most of all numbers are no status at all.
            status: if nature & 4 != 0 { status } else { 100 + status % 500 },
            headers: &pairs,
            false_count: nature & 24 == 24,
        };
        let lent = Lent::new(body);
        let rc = self.opened.respond(given, &lent);
        // Of a struct that is too short, not even the body is known; an owned body is taken whatever is answered.
        let is_taken = given.size >= abi::RESPONSE_SIZE_MIN && given.flags & abi::RESP_COPY == 0;
        self.lent.push((lent, u32::from(is_taken)));
        if !matches!(rc, abi::READY | abi::EOF) {
            assert!(rc < 0, "respond answered {rc}");
            return;
        }
        assert!(!self.answered && !self.aborted, "a second answer was taken");
        assert!(given.size >= abi::RESPONSE_SIZE_MIN && high == 0 && !given.false_count, "it is malformed");
        self.answered = true;
        self.is_upgrade = given.flags & abi::RESP_UPGRADE != 0;
        if given.flags & (abi::RESP_STREAM | abi::RESP_UPGRADE) != 0 && rc == abi::READY {
            self.promised = promised(&pairs);
            self.taken.extend(body);
        }
        self.is_what_http_carries(&given, body, rc);
    }

    /// Looks at the answer that was taken, and so collects its head.
    fn is_what_http_carries(&self, given: &Given<'_>, body: &[u8], rc: abi::Rc) {
        let Some(Standing::Answered(status, headers, whole)) = self.opened.collect() else {
            panic!("it was answered with {rc}, and no answer is there")
        };
        let Asked { is_head, is_h2, offers } = self.asked;
        let code = status.as_u16();
        assert!((200..600).contains(&code) || code == 101, "no final status: {code}");
        assert!(code != 101 || (self.is_upgrade && !is_h2), "101 where nothing is upgraded");
        assert!(!self.is_upgrade || (offers && whole.is_none()), "an upgrade that nobody offered");
        let has_no_body = is_head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        match &whole {
            None => assert_eq!(rc, abi::READY),
            Some(whole) if rc == abi::EOF => assert!(whole.is_empty(), "the client gets no body"),
            Some(whole) => assert_eq!(whole, body),
        }
        is_honest(&headers, given, has_no_body || rc == abi::EOF, whole.as_deref());
    }

    fn write(&mut self, input: &mut Input<'_>) {
        let nature = input.byte();
        // Sometimes large, so that the queue is full after a few.
        let piece = input.text().repeat(if nature & 8 != 0 { 2048 } else { 1 });
        let lent = Lent::new(&piece);
        let flags = u32::from(nature & 7) | u32::from(nature >> 7) << 16;
        let rc = self.opened.write(&lent, flags);
        let is_taken = rc == abi::READY;
        self.lent.push((lent, u32::from(is_taken && flags & abi::WRITE_COPY == 0)));
        if is_taken {
            assert!(self.answered && !self.finished && !self.aborted, "a piece of nothing was taken");
            self.taken.extend(piece);
            let length = self.taken.len() as u64;
            assert!(self.promised.is_none_or(|promised| length <= promised), "more was taken than promised");
        }
    }

    fn finish(&mut self, input: &mut Input<'_>) {
        let trailers = pairs(input);
        if self.opened.finish(&trailers) != abi::READY {
            return;
        }
        assert!(self.answered && !self.aborted, "nothing was finished");
        let length = self.taken.len() as u64;
        assert!(self.promised.is_none_or(|promised| promised == length), "a promise was not kept");
        self.finished = true;
    }

    fn abort(&mut self) {
        if self.opened.abort() == abi::READY {
            assert!(!self.finished && !self.aborted, "what is complete stands");
            self.aborted = true;
        }
    }

    fn collect(&self) {
        match self.opened.collect().expect("the call is open") {
            Standing::Open => assert!(!self.answered && !self.aborted),
            Standing::Aborted => assert!(self.aborted),
            Standing::Answered(..) | Standing::Begun => assert!(self.answered && !self.aborted),
        }
    }

    fn take_piece(&mut self) {
        if let Some(piece) = self.opened.next_piece() {
            assert!(!piece.is_empty() && !self.aborted);
            self.sent.extend(piece);
            assert!(self.taken.starts_with(&self.sent), "the client gets what was written, in order");
        }
    }

    fn end(mut self) {
        if let Some((true, trailers)) = self.opened.ending() {
            while let Some(piece) = self.opened.next_piece() {
                self.sent.extend(piece);
            }
            assert_eq!(self.sent, self.taken, "a clean end has all of it");
            let trailers = trailers.unwrap_or_default();
            assert!(!self.is_upgrade || trailers.is_empty(), "an upgraded connection has no trailers");
            for name in [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::HOST, header::TRAILER] {
                assert!(!trailers.contains_key(&name), "{name} among the trailers");
            }
        }
        let Self { opened, lent, .. } = self;
        assert!(opened.close());
        for (nth, (lent, expected)) in lent.iter().enumerate() {
            assert_eq!(lent.releases(), *expected, "how often buffer {nth} was given back");
        }
    }
}

fn pairs<'d>(input: &mut Input<'d>) -> Vec<Pair<'d>> {
    const NAMES: [&[u8]; 12] = [
        b"content-length",
        b"content-type",
        b"transfer-encoding",
        b"connection",
        b"trailer",
        b"x-a",
        b"set-cookie",
        b"upgrade",
        b"date",
        b"te",
        b"keep-alive",
        b"host",
    ];
    let count = input.byte() % 8;
    let pair = |_| {
        let known = usize::from(input.byte());
        let name = NAMES.get(known).copied().unwrap_or_else(|| input.text());
        (name, input.text())
    };
    (0..count).map(pair).collect()
}

/// The content-length that an answer was taken with.
fn promised(pairs: &[Pair<'_>]) -> Option<u64> {
    let mut lengths = pairs.iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"content-length"));
    let (_, value) = lengths.next()?;
    assert!(lengths.next().is_none(), "two lengths were taken");
    Some(std::str::from_utf8(value).expect("a length is digits").parse().expect("a length is a number"))
}

/// Headers that end themselves early, or say how the message is framed, are not there.
fn is_honest(headers: &HeaderMap, given: &Given<'_>, may_name_length: bool, whole: Option<&[u8]>) {
    for (name, value) in headers {
        assert!(!value.as_bytes().iter().any(|byte| b"\r\n\0".contains(byte)), "{name}: {value:?}");
    }
    let ours = [header::CONNECTION, header::TRANSFER_ENCODING, header::TE, header::UPGRADE, header::DATE];
    for name in ours {
        assert!(!headers.contains_key(&name), "{name} is the host's to set");
    }
    let may_announce = given.flags & abi::RESP_STREAM != 0;
    assert!(may_announce || !headers.contains_key(header::TRAILER), "trailers of a whole answer");
    let has_length = headers.contains_key(header::CONTENT_LENGTH);
    let is_empty = whole.is_some_and(<[u8]>::is_empty);
    assert!(!has_length || (may_name_length && is_empty), "a length beside a body");
}
