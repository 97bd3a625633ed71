//! What fuzz targets see of this crate: the views of a request, and an answer's way through the host's table, behind safe functions.
//!
//! Owns the bounds that make them safe: what is lent to the host lives as long as the call. Only with the feature `fuzzing`. Must not decide
//! what is right: the targets do.

use std::ffi::c_void;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hotbay_abi as abi;
use hotbay_abi::{Buf, Handle, Header, Rc, Response, Str, size_of_table};
use http::request::Parts;
use http::{HeaderMap, StatusCode};

use crate::answer::{Answer, AnswerBody};
use crate::frame::{Captures, Frame, FrameRef, InUse};
use crate::handle::{self, Body, Kind, Reply};
use crate::host;
use crate::queue::Mark;

/// A name and a value, or a parameter.
pub type Pair<'v> = (&'v [u8], &'v [u8]);

/// A call with a request, and no module.
pub struct Opened {
    handle: Handle,
    frame: Option<InUse>,
    lent: Vec<Arc<Lent>>,
}

/// A request's views, read as a module reads them.
#[allow(missing_docs, reason = "the ABI's header documents each field")]
pub struct Views<'v> {
    pub flags: u32,
    pub http: u16,
    pub method: Option<&'v [u8]>,
    pub scheme: Option<&'v [u8]>,
    pub authority: Option<&'v [u8]>,
    pub path: Option<&'v [u8]>,
    pub query: Option<&'v [u8]>,
    pub body: Option<&'v [u8]>,
    pub protocol: Option<&'v [u8]>,
    pub headers: Vec<Pair<'v>>,
    pub params: Vec<Pair<'v>>,
    pub content_length: i64,
}

/// Bytes that a module lends, and how often they were given back. They are freed by the first release.
pub struct Lent {
    bytes: Mutex<Option<Box<[u8]>>>,
    releases: AtomicU32,
}

/// An answer as a module gives it.
#[derive(Clone, Copy)]
pub struct Given<'g> {
    /// How long the module says that the struct is; it is no longer than that.
    pub size: u32,
    /// As in the header.
    pub flags: u32,
    /// As in the header.
    pub status: u16,
    /// Its headers.
    pub headers: &'g [Pair<'g>],
    /// Says that there are so many more than there are: a number that nobody may believe.
    pub false_count: bool,
}

/// How a call's answer stands.
#[derive(Debug)]
pub enum Standing {
    /// None was given.
    Open,
    /// It was given as a whole, or its head was collected just now.
    Answered(StatusCode, HeaderMap, Option<Vec<u8>>),
    /// Its head was collected before.
    Begun,
    /// It was cut.
    Aborted,
}

impl Lent {
    /// Takes a copy.
    pub fn new(bytes: &[u8]) -> Arc<Self> {
        Arc::new(Self { bytes: Mutex::new(Some(bytes.into())), releases: AtomicU32::new(0) })
    }

    /// How often they were given back.
    pub fn releases(&self) -> u32 {
        self.releases.load(Ordering::SeqCst)
    }

    fn buf(self: &Arc<Self>) -> Buf {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let view = Str::new(bytes.as_deref().unwrap_or_default());
        Buf {
            ptr: view.ptr,
            len: view.len,
            owner: Arc::as_ptr(self).cast_mut().cast(),
            release: Some(give_back),
        }
    }
}

unsafe extern "C" fn give_back(owner: *mut c_void) {
    // SAFETY: from `buf`; the call keeps what it has lent until after it has ended.
    let lent = unsafe { &*owner.cast_const().cast::<Lent>() };
    lent.releases.fetch_add(1, Ordering::SeqCst);
    drop(lent.bytes.lock().unwrap_or_else(PoisonError::into_inner).take());
}

impl Opened {
    /// `None` when a million calls are open.
    pub fn new(parts: Parts, captures: Captures, body: Option<Bytes>) -> Option<Self> {
        let frame = Frame::begin(parts, 0, captures, body, None);
        // SAFETY: the box is only read, and stays in this call until `close` has been called.
        let known = unsafe { FrameRef::new(&frame) };
        let handle = handle::open(Kind::Call, Body::Whole(Bytes::new()), Mark::default(), Some(known))?;
        Some(Self { handle, frame: Some(frame), lent: Vec::new() })
    }

    /// The request as a module has it, and whether its query lies one byte after its path.
    pub fn views(&self) -> Option<(Views<'_>, bool)> {
        // SAFETY: the frame lives as long as this, and so does what its views point to.
        let request = unsafe { &*self.frame.as_ref()?.request() };
        let follows = request.query.ptr.is_null()
            || request.query.ptr.addr() == request.path.ptr.addr() + request.path.len + 1;
        // SAFETY: as above; there are as many pairs as the request says.
        let views = unsafe {
            Views {
                flags: request.flags,
                http: request.http,
                method: request.method.get(),
                scheme: request.scheme.get(),
                authority: request.authority.get(),
                path: request.path.get(),
                query: request.query.get(),
                body: request.body.get(),
                protocol: request.protocol.get(),
                headers: pairs(request.headers, request.n_headers),
                params: pairs(request.params, request.n_params),
                content_length: request.content_length,
            }
        };
        Some((views, follows))
    }

    /// What the host tells of the request.
    pub fn info(&self, what: u32) -> Result<Option<&[u8]>, Rc> {
        let mut out = Str::ABSENT;
        // SAFETY: `out` is ours, and the text lives as long as the request.
        match unsafe { (host::table().info)(self.handle, what, &raw mut out) } {
            // SAFETY: as above.
            abi::READY => Ok(unsafe { out.get() }),
            rc => Err(rc),
        }
    }

    /// Answers.
    pub fn respond(&mut self, given: Given<'_>, body: &Arc<Lent>) -> Rc {
        self.lent.push(Arc::clone(body));
        let headers = headers(given.headers);
        let count = headers.len() as u32;
        let response = Response {
            size: given.size,
            flags: given.flags,
            status: given.status,
            pad: 0,
            n_headers: if given.false_count { u32::MAX - count } else { count },
            headers: if headers.is_empty() { std::ptr::null() } else { headers.as_ptr() },
            body: body.buf(),
        };
        // Of the promised length, so that a read beyond it is seen by who watches memory.
        let mut block = vec![u64::MAX; (given.size as usize).div_ceil(8).max(1)].into_boxed_slice();
        let length = size_of_val(&*block).min(size_of_table::<Response>() as usize);
        // SAFETY: `length` bytes are within both; the block's alignment is that of a response, which has nothing that a copy would break.
        unsafe {
            let block = block.as_mut_ptr().cast::<u8>();
            std::ptr::copy_nonoverlapping((&raw const response).cast::<u8>(), block, length);
            (host::table().respond)(self.handle, block.cast::<Response>().cast_const())
        }
    }

    /// Writes a piece.
    pub fn write(&mut self, piece: &Arc<Lent>, flags: u32) -> Rc {
        self.lent.push(Arc::clone(piece));
        let piece = piece.buf();
        // SAFETY: the piece lives until it is released, or until the call has ended.
        unsafe { (host::table().write)(self.handle, &raw const piece, flags) }
    }

    /// Ends the stream.
    pub fn finish(&self, trailers: &[Pair<'_>]) -> Rc {
        let trailers = headers(trailers);
        // SAFETY: the trailers live for this call.
        unsafe { (host::table().finish)(self.handle, trailers.as_ptr(), trailers.len() as u32) }
    }

    /// Cuts the call.
    pub fn abort(&self) -> Rc {
        // SAFETY: any handle may be given.
        unsafe { (host::table().abort)(self.handle) }
    }

    /// The module's turn begins, or is over.
    pub fn turn(&self, runs: bool) {
        handle::with(self.handle, |state| if runs { state.begin_poll() } else { state.turn.end() });
    }

    /// Collects the head of an answer that is a stream, as the call's task does, and says how the answer stands.
    pub fn collect(&self) -> Option<Standing> {
        handle::with(self.handle, |state| match &mut state.reply {
            Reply::Open => Standing::Open,
            Reply::Begun(_) => Standing::Begun,
            Reply::Aborted => Standing::Aborted,
            Reply::Answered(Answer { status, headers, body }) => {
                let (status, headers) = (*status, headers.clone());
                let (whole, left) = match body {
                    AnswerBody::Whole(bytes) => (Some(bytes.to_vec()), None),
                    AnswerBody::Stream(stream) => (None, stream.take_left()),
                };
                if let Some(left) = left {
                    // The head goes on its way: this drops a stream that is empty now, and no foreign bytes.
                    state.reply = Reply::Begun(left);
                }
                Standing::Answered(status, headers, whole)
            }
        })
    }

    /// The next piece for the client. A copy: who kept the piece itself could outlive what was lent.
    pub fn next_piece(&self) -> Option<Vec<u8>> {
        let piece = handle::with(self.handle, |state| match &mut state.reply {
            Reply::Begun(outgoing) => outgoing.next(),
            Reply::Open | Reply::Answered(_) | Reply::Aborted => None,
        });
        piece.flatten().map(|piece| piece.to_vec())
    }

    /// Whether the stream has ended well, and its trailers.
    pub fn ending(&self) -> Option<(bool, Option<HeaderMap>)> {
        handle::with(self.handle, |state| match &mut state.reply {
            Reply::Begun(outgoing) => Some((outgoing.is_finished(), outgoing.take_trailers())),
            Reply::Open | Reply::Answered(_) | Reply::Aborted => None,
        })
        .flatten()
    }

    /// Ends the call. Whatever was lent and taken has been given back then.
    pub fn close(mut self) -> bool {
        self.end()
    }

    fn end(&mut self) -> bool {
        let Some(frame) = self.frame.take() else { return false };
        let closed = handle::close(self.handle);
        frame.recycle();
        closed.is_some()
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.end();
    }
}

fn headers(pairs: &[Pair<'_>]) -> Vec<Header> {
    pairs.iter().map(|(name, value)| Header { name: Str::new(name), value: Str::new(value) }).collect()
}

/// # Safety
/// There must be `count` headers, valid for `'v`.
unsafe fn pairs<'v>(headers: *const Header, count: u32) -> Vec<Pair<'v>> {
    let pair = |index| {
        // SAFETY: the caller's promise.
        unsafe {
            let Header { name, value } = *headers.add(index);
            (name.get().unwrap_or_default(), value.get().unwrap_or_default())
        }
    };
    (0..count as usize).map(pair).collect()
}
