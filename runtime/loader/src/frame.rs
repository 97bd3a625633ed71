//! A request as the module sees it: C views over the request that hyper parsed.
//!
//! Owns both the request and the views on it, in one box that does not move, until the call is dropped. Must not copy bytes: every view points
//! into hyper's buffers.

use std::cell::RefCell;
use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use hotbay_abi::{Header, REQ_BODY_INLINE, REQ_UPGRADE_OK, Request, Str, size_of_table};
use hotbay_sys::crash::TEXT_BYTES;
use http::request::Parts;
use http::{HeaderMap, Method, Version, header};

use crate::spare;

/// Frames that a thread keeps for its next calls.
const POOL: usize = 64;

/// A path's parameters: their names, and where in the path their values lie.
#[derive(Clone, Debug, Default)]
pub struct Captures {
    /// In the template's order.
    pub names: Arc<[Box<str>]>,
    /// Byte ranges of the path, one for each name.
    pub ranges: Vec<(usize, usize)>,
}

/// Among a request's extensions: the client offers to leave HTTP, and the connection can.
#[derive(Clone, Debug)]
pub struct Offer {
    /// For which protocol, in lower case.
    pub protocol: String,
}

pub(crate) struct Frame {
    request: Request,
    headers: Vec<Header>,
    params: Vec<Header>,
    // What the views point into; never touched while `request` is in use.
    parts: Option<Parts>,
    captures: Captures,
    body: Bytes,
    /// Path and query in one block, where hyper has them in two.
    target: String,
    peer: Option<SocketAddr>,
    /// What few calls ask for, made when they do.
    asked: OnceLock<Box<Asked>>,
}

/// Texts that the host makes for `info`.
#[derive(Default)]
pub(crate) struct Asked {
    /// Where the client sent no id.
    pub request_id: OnceLock<String>,
    /// The client's address.
    pub peer: OnceLock<String>,
}

/// A frame in use. Held by a pointer, because a box that is moved claims to be the only way to what is in it, and the module and the call's slot have
/// others.
pub(crate) struct InUse(NonNull<Frame>);

// SAFETY: it owns the frame, which may cross threads.
unsafe impl Send for InUse {}

impl Deref for InUse {
    type Target = Frame;

    fn deref(&self) -> &Frame {
        // SAFETY: it points to a frame until `recycle` or `drop`, and nobody writes to that before.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        // SAFETY: from `Frame::begin`'s box, which nobody else frees: `recycle` does not come here.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// A frame as the slot of its call knows it.
#[derive(Clone, Copy)]
pub(crate) struct FrameRef(NonNull<Frame>);

// SAFETY: a frame may be read from any thread: its parts are plain data, and what is made later is behind `OnceLock`.
unsafe impl Send for FrameRef {}

impl FrameRef {
    /// # Safety
    /// The frame must stay where it is and be only read from until the handle that this is given to is closed.
    pub unsafe fn new(frame: &InUse) -> Self {
        Self(frame.0)
    }

    /// # Safety
    /// The handle must not be closed during `'f`: its slot's lock must be held.
    pub unsafe fn get<'f>(self) -> &'f Frame {
        // SAFETY: the frame is there until the handle is closed, by the promise to `new`.
        unsafe { self.0.as_ref() }
    }
}

// SAFETY: the pointers in a frame point into what the frame itself owns, and all of that may cross threads.
unsafe impl Send for Frame {}

thread_local! {
    #[allow(clippy::vec_box, reason = "a frame must not move while a module looks at it, and lends its box to the next")]
    static FRAMES: RefCell<Vec<Box<Frame>>> = const { RefCell::new(Vec::new()) };
}

impl Frame {
    /// A frame for `parts`; `body` is the whole body, or `None` if the module has to read it.
    #[inline(always)]
    pub fn begin(
        parts: Parts,
        handler: u32,
        captures: Captures,
        body: Option<Bytes>,
        peer: Option<SocketAddr>,
    ) -> InUse {
        let in_use =
            InUse(NonNull::from(Box::leak(FRAMES.with_borrow_mut(Vec::pop).unwrap_or_else(Self::empty))));
        // SAFETY: it was made just now, and what points into it is made from here.
        let frame = unsafe { &mut *in_use.0.as_ptr() };
        (frame.captures, frame.peer) = (captures, peer);
        let inline = body.is_some();
        frame.body = body.unwrap_or_default();
        // The frame does not move any more, so the parts may be pointed into (a method may hold its text inline).
        let parts = frame.parts.insert(parts);
        let host = fill_headers(&mut frame.headers, &parts.headers);
        let (path, query) = target(&parts.uri, &mut frame.target);
        if !frame.captures.ranges.is_empty() {
            fill_params(&mut frame.params, &frame.captures, path);
        }
        let authority = match parts.uri.authority() {
            Some(authority) => Str::new(authority.as_str().as_bytes()),
            None => host,
        };
        frame.request = Request {
            size: size_of_table::<Request>(),
            flags: if inline { REQ_BODY_INLINE } else { 0 },
            handler,
            http: match parts.version {
                Version::HTTP_2 => 20,
                Version::HTTP_10 => 10,
                _ => 11,
            },
            pad: 0,
            n_headers: frame.headers.len() as u32,
            n_params: frame.params.len() as u32,
            method: Str::new(parts.method.as_str().as_bytes()),
            scheme: parts.uri.scheme_str().map_or(Str::ABSENT, |scheme| Str::new(scheme.as_bytes())),
            authority,
            path: Str::new(path.as_bytes()),
            query: query.map_or(Str::ABSENT, |query| Str::new(query.as_bytes())),
            body: if inline { Str::new(&frame.body) } else { Str::ABSENT },
            protocol: Str::ABSENT,
            headers: first(&frame.headers),
            params: first(&frame.params),
            content_length: content_length(&parts.headers, inline, frame.body.len()),
            deadline_ns: 0,
            request_id: [0, 0],
        };
        if !parts.extensions.is_empty()
            && let Some(offer) = parts.extensions.get::<Offer>()
        {
            frame.request.protocol = Str::new(offer.protocol.as_bytes());
            frame.request.flags |= REQ_UPGRADE_OK;
        }
        in_use
    }

    /// Whether an answer may be an upgrade.
    pub fn offers_upgrade(&self) -> bool {
        self.request.flags & REQ_UPGRADE_OK != 0
    }

    /// Whether the client wants only the answer's head.
    pub fn is_head(&self) -> bool {
        self.parts.as_ref().is_some_and(|parts| parts.method == Method::HEAD)
    }

    /// Whether it came by HTTP/2.
    pub fn is_h2(&self) -> bool {
        self.request.http == 20
    }

    /// The request's headers.
    pub fn headers(&self) -> Option<&HeaderMap> {
        self.parts.as_ref().map(|parts| &parts.headers)
    }

    /// Who is at the other end of the connection.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// What lives as long as the request, made for it. Costs an allocation.
    pub fn asked(&self) -> &Asked {
        self.asked.get_or_init(Box::default)
    }

    /// Which handler answers.
    pub fn handler(&self) -> u32 {
        self.request.handler
    }

    /// What a module's `start` gets. Valid until the frame is recycled.
    pub fn request(&self) -> *const Request {
        &raw const self.request
    }

    /// Writes a frame's request as `GET /path`, without its query, which may hold secrets. Runs inside a fault: copies only.
    ///
    /// # Safety
    /// `frame` points to a frame in use, as `in_module` has it.
    pub unsafe fn describe(frame: *const c_void, text: &mut [u8; TEXT_BYTES]) -> usize {
        // SAFETY: the caller's promise; views of a frame in use point into what it owns.
        let (method, path) = unsafe {
            let request = &(*frame.cast::<Self>()).request;
            (request.method.get(), request.path.get())
        };
        let mut length = 0;
        for part in [method.unwrap_or_default(), b" ", path.unwrap_or_default()] {
            let room = &mut text[length..];
            let count = part.len().min(room.len());
            room[..count].copy_from_slice(&part[..count]);
            length += count;
        }
        length
    }

    fn empty() -> Box<Self> {
        Box::new(Self {
            request: Request::EMPTY,
            headers: Vec::new(),
            params: Vec::new(),
            parts: None,
            captures: Captures::default(),
            body: Bytes::new(),
            target: String::new(),
            peer: None,
            asked: OnceLock::new(),
        })
    }
}

impl InUse {
    /// Ends the views and keeps the memory for the next call of this thread.
    pub fn recycle(self) {
        let this = ManuallyDrop::new(self);
        // SAFETY: from `Frame::begin`'s box, and `this` is not dropped.
        let mut frame = unsafe { Box::from_raw(this.0.as_ptr()) };
        frame.headers.clear();
        frame.params.clear();
        if let Some(Parts { headers, .. }) = frame.parts.take() {
            spare::keep(headers);
        }
        frame.captures = Captures::default();
        frame.body = Bytes::new();
        // Seldom there, and a look costs less than to take nothing.
        if frame.asked.get().is_some() {
            frame.asked = OnceLock::new();
        }
        FRAMES.with_borrow_mut(|frames| {
            if frames.len() < POOL {
                frames.push(frame);
            }
        });
    }
}

/// NULL if there are none: an empty `Vec` has an address that leads nowhere.
#[inline(always)]
fn first(views: &[Header]) -> *const Header {
    if views.is_empty() { ptr::null() } else { views.as_ptr() }
}

/// Path and query, the query one byte after the path as the ABI promises. `http://host?x=1` has no path of its own: http lends a static one.
fn target<'u>(uri: &'u http::Uri, owned: &'u mut String) -> (&'u str, Option<&'u str>) {
    let (path, query) = (uri.path(), uri.query());
    let Some(text) = query else { return (path, None) };
    if text.as_ptr() as usize == path.as_ptr() as usize + path.len() + 1 {
        return (path, query);
    }
    owned.clear();
    owned.extend([path, "?", text]);
    (&owned[..path.len()], Some(&owned[path.len() + 1..]))
}

/// Returns the first Host, which is met on the way.
fn fill_headers(views: &mut Vec<Header>, headers: &HeaderMap) -> Str {
    let mut host = Str::ABSENT;
    views.reserve(headers.len());
    for (name, value) in headers {
        let value = Str::new(value.as_bytes());
        if host.ptr.is_null() && *name == header::HOST {
            host = value;
        }
        views.push(Header { name: Str::new(name.as_str().as_bytes()), value });
    }
    host
}

fn fill_params(views: &mut Vec<Header>, captures: &Captures, path: &str) {
    let values = captures.ranges.iter().map(|&(from, to)| path.as_bytes().get(from..to).unwrap_or_default());
    views.extend(
        captures
            .names
            .iter()
            .zip(values)
            .map(|(name, value)| Header { name: Str::new(name.as_bytes()), value: Str::new(value) }),
    );
}

fn content_length(headers: &HeaderMap, inline: bool, length: usize) -> i64 {
    if inline {
        return i64::try_from(length).unwrap_or(i64::MAX);
    }
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    // Negative ones hyper refuses before; a module may rely on there being none.
    declared.filter(|length| *length >= 0).unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_follows_the_path_even_where_the_path_is_not_the_clients() {
        let (parts, ()) = http::Request::get("http://example.com?x=1").body(()).unwrap().into_parts();
        let frame = Frame::begin(parts, 0, Captures::default(), Some(Bytes::new()), None);
        let view = &frame.request;
        assert_eq!(view.query.ptr as usize, view.path.ptr as usize + view.path.len + 1);
        // SAFETY: the frame lives.
        assert_eq!(unsafe { (view.path.get(), view.query.get()) }, (Some(&b"/"[..]), Some(&b"x=1"[..])));
        frame.recycle();
    }

    #[test]
    fn where_there_are_no_headers_or_parameters_there_is_null_also_in_a_frame_that_had_some() {
        let frame = |request: http::request::Builder, captures| {
            let (parts, ()) = request.body(()).unwrap().into_parts();
            Frame::begin(parts, 0, captures, Some(Bytes::new()), None)
        };
        let captures = Captures { names: ["id".into()].into(), ranges: vec![(7, 8)] };
        let full = frame(http::Request::get("/users/7").header("x-a", "b"), captures);
        assert!(!full.request.headers.is_null() && !full.request.params.is_null());
        full.recycle();
        let bare = frame(http::Request::get("/users/7"), Captures::default());
        assert_eq!((bare.request.n_headers, bare.request.n_params), (0, 0));
        assert!(bare.request.headers.is_null() && bare.request.params.is_null());
        bare.recycle();
    }

    #[test]
    fn a_crash_names_method_and_path_and_no_query() {
        let describe = |uri: &str| {
            let (parts, ()) = http::Request::get(uri).body(()).unwrap().into_parts();
            let frame = Frame::begin(parts, 0, Captures::default(), Some(Bytes::new()), None);
            let mut text = [0; TEXT_BYTES];
            // SAFETY: the frame is in use.
            let length = unsafe { Frame::describe((&raw const *frame).cast(), &mut text) };
            frame.recycle();
            String::from_utf8(text[..length].to_vec()).unwrap()
        };
        assert_eq!(describe("http://example.com/users/7?token=x"), "GET /users/7");
        let long = format!("/{}", "x".repeat(500));
        assert_eq!(describe(&long), format!("GET {long}")[..TEXT_BYTES]);
    }

    #[test]
    fn the_views_say_what_the_request_says() {
        let request =
            http::Request::get("http://example.com/users/7?x=1").header("x-a", "b").body(()).unwrap();
        let (parts, ()) = request.into_parts();
        let captures = Captures { names: ["id".into()].into(), ranges: vec![(7, 8)] };
        let frame = Frame::begin(parts, 3, captures, Some(Bytes::from_static(b"body")), None);
        let view = &frame.request;
        // SAFETY: the frame lives.
        let text = |view: Str| unsafe { view.get() }.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        assert_eq!(text(view.method).as_deref(), Some("GET"));
        assert_eq!(text(view.authority).as_deref(), Some("example.com"));
        assert_eq!(text(view.path).as_deref(), Some("/users/7"));
        assert_eq!(text(view.query).as_deref(), Some("x=1"));
        assert_eq!(text(view.body).as_deref(), Some("body"));
        assert_eq!(view.query.ptr as usize, view.path.ptr as usize + view.path.len + 1, "one block");
        assert_eq!(text(frame.params[0].name).as_deref(), Some("id"));
        assert_eq!(text(frame.params[0].value).as_deref(), Some("7"));
        assert_eq!((view.handler, view.n_headers, view.content_length), (3, 1, 4));
        frame.recycle();
    }
}
