//! A request and a config as the module sees them: on pages that are gone when they are over.
//!
//! Owns their contents. Must not know scripts beyond what a request shows of them.

use std::io;

use hotbay_abi::{self as abi, Config, Header, Request, Str};
use hotbay_artifact::Handler;

use crate::arena::{Room, What};
use crate::scenario::Script;

/// What a newer host appends to a struct.
const NEWS: [u8; 64] = [0xAA; 64];

/// What belongs to a call beside its request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Views {
    /// In the order of `HB_INFO_*`.
    pub info: [Str; 3],
    /// For behind the body's end.
    pub trailers: (*const Header, u32),
    /// What the client sends.
    pub body: Str,
}

// SAFETY: plain views, used under a lock while their room is readable.
unsafe impl Send for Views {}

/// What a request is made of.
pub(crate) struct Shape<'a> {
    /// What it is for.
    pub handler: &'a Handler,
    /// Its place in the manifest.
    pub index: u32,
    /// What the client sends.
    pub body: &'a [u8],
    /// Values of path parameters, as `NAME=VALUE`; others are made up.
    pub params: &'a [String],
    /// What of it the module is to see.
    pub script: &'a Script,
}

/// A request on its pages.
pub(crate) struct Frame {
    /// All that the module may look at.
    pub room: Room,
    /// In it.
    pub request: *const Request,
    /// In it.
    pub views: Views,
}

impl Frame {
    pub fn new(shape: &Shape<'_>) -> io::Result<Self> {
        let &Shape { handler, index, body, params, script } = shape;
        let mut room = Room::new(What::Views, 16 * 1024 + body.len())?;
        let (path, params) = example(handler.path.as_str(), params);
        let target = if script.bare { path.clone() } else { format!("{path}?a=b&c=%20") };
        let target = room.text(target.as_bytes());
        let (path, query) = split(target, path.len());
        let mut pair = |name: &str, value: &str| Header {
            name: room.text(name.as_bytes()),
            value: room.text(value.as_bytes()),
        };
        let params: Vec<Header> = params.iter().map(|(name, value)| pair(name, value)).collect();
        let headers: Vec<Header> = headers(script).iter().map(|(name, value)| pair(name, value)).collect();
        let trailers = [pair("x-checked", "yes")];
        let sent = room.text(if script.bare { b"" } else { body });
        let mut text = |text: &str| room.text(text.as_bytes());
        let views = Views {
            info: [text("127.0.0.1:5000"), text("0123456789abcdef"), Str::ABSENT],
            trailers: (std::ptr::null(), 1),
            body: sent,
        };
        let inline = script.body.is_none();
        let request = Request {
            size: size_of_struct::<Request>(script.newer),
            flags: flags(script),
            handler: index,
            http: match script {
                Script { newer: true, .. } => 30,
                Script { bare: true, .. } => 10,
                _ => 11,
            },
            pad: 0,
            n_headers: headers.len() as u32,
            n_params: params.len() as u32,
            method: text(method(handler, script)),
            scheme: text("http"),
            authority: text("conformance.example"),
            path,
            query,
            body: if inline { sent } else { Str::ABSENT },
            protocol: if script.upgrade { text("websocket") } else { Str::ABSENT },
            headers: put_or_null(&mut room, &headers),
            params: put_or_null(&mut room, &params),
            content_length: if inline { sent.len as i64 } else { -1 },
            deadline_ns: 0,
            request_id: [1, 2],
        };
        let views = Views { trailers: (room.put(&trailers), 1), ..views };
        let request = put_with_news(&mut room, request);
        room.freeze()?;
        Ok(Self { room, request, views })
    }
}

fn flags(script: &Script) -> u32 {
    let inline = if script.body.is_none() { abi::REQ_BODY_INLINE } else { 0 };
    let upgrade = if script.upgrade { abi::REQ_UPGRADE_OK } else { 0 };
    // Of the low half: to be ignored by who does not know it.
    let newer = if script.newer { 0x8000 } else { 0 };
    // Of the high half: not to be ignored.
    let demands = if script.demands { 1 << 31 } else { 0 };
    inline | upgrade | newer | demands
}

fn method<'a>(handler: &'a Handler, script: &Script) -> &'a str {
    let first = handler.methods.first().map_or("GET", String::as_str);
    if script.head && first == "GET" { "HEAD" } else { first }
}

fn headers(script: &Script) -> Vec<(&'static str, &'static str)> {
    match script {
        Script { bare: true, .. } => Vec::new(),
        Script { upgrade: true, .. } => {
            vec![
                ("connection", "upgrade"),
                ("upgrade", "websocket"),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ]
        }
        _ => vec![("content-type", "text/plain"), ("x-a", "1"), ("x-a", "2"), ("x-empty", "")],
    }
}

/// A path that fits the template, and its parameters.
fn example<'a>(template: &'a str, given: &'a [String]) -> (String, Vec<(&'a str, &'a str)>) {
    let mut params = Vec::new();
    let segment = |segment| {
        let Some(name) = name_of(segment) else { return segment };
        let (name, value) = name.strip_prefix('*').map_or((name, "a%20b"), |rest| (rest, "a/b%20c"));
        let value =
            given.iter().find_map(|given| given.strip_prefix(name)?.strip_prefix('=')).unwrap_or(value);
        params.push((name, value));
        value
    };
    let path: Vec<&str> = template.split('/').map(segment).collect();
    (path.join("/"), params)
}

fn name_of(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

/// Path and query out of one block, as the header promises it.
fn split(target: Str, path: usize) -> (Str, Str) {
    let query = if target.len > path {
        Str { ptr: target.ptr.wrapping_add(path + 1), len: target.len - path - 1 }
    } else {
        Str::ABSENT
    };
    (Str { ptr: target.ptr, len: path }, query)
}

/// As the header has it: NULL if there are none.
fn put_or_null(room: &mut Room, headers: &[Header]) -> *const Header {
    if headers.is_empty() { std::ptr::null() } else { room.put(headers) }
}

/// What a newer host has behind a struct is there, whether its size says so or not.
fn put_with_news<T>(room: &mut Room, known: T) -> *const T {
    #[repr(C)]
    struct Newer<T> {
        known: T,
        news: [u8; NEWS.len()],
    }
    room.put_one(Newer { known, news: NEWS }).cast()
}

/// The size of a struct, as this host or a newer one has it.
fn size_of_struct<T>(newer: bool) -> u32 {
    abi::size_of_table::<T>() + if newer { NEWS.len() as u32 } else { 0 }
}

/// A config on its pages.
pub(crate) fn config(name: &str, json: &str, newer: bool) -> io::Result<(Room, *const Config)> {
    let mut room = Room::new(What::Views, 4096 + json.len())?;
    let config = Config {
        size: size_of_struct::<Config>(newer),
        flags: if newer { 0x8000 } else { 0 },
        name: room.text(name.as_bytes()),
        config_json: room.text(json.as_bytes()),
        digest: room.text(format!("sha256:{}", "0".repeat(64)).as_bytes()),
    };
    let pointer = put_with_news(&mut room, config);
    room.freeze()?;
    Ok((room, pointer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_filled_with_values_that_a_client_might_send() {
        let (path, params) = example("/users/{id}/files/{*rest}", &[]);
        assert_eq!(path, "/users/a%20b/files/a/b%20c");
        assert_eq!(params, [("id", "a%20b"), ("rest", "a/b%20c")]);
        let given = ["id=7".to_owned(), "i=8".to_owned()];
        assert_eq!(example("/users/{id}", &given), ("/users/7".to_owned(), vec![("id", "7")]));
    }
}
