//! A request, as a module sees it.
//!
//! The bytes are a request as it is on the wire, line by line. What http's own types refuse never comes to the loader, so it ends here too.

use bytes::Bytes;
use hotbay_abi as abi;
use hotbay_loader::Captures;
use hotbay_loader::fuzzing::{Opened, Pair, Views};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};

/// Every view says what the request says, header values hold no CR, LF or NUL, and a query lies one byte after its path.
pub fn request(bytes: &[u8]) {
    let Some((parts, body)) = read(bytes) else { return };
    let captures = captures(parts.uri.path(), body);
    // A body that begins with an odd byte has still to come.
    let inline = body.first().is_none_or(|first| first % 2 == 0).then(|| Bytes::copy_from_slice(body));
    let opened = Opened::new(parts.clone(), captures.clone(), inline.clone()).expect("few calls are open");
    let (views, follows) = opened.views().expect("the call is open");
    assert!(follows, "the query of {} lies elsewhere", parts.uri);
    head_is_what_came(&views, &parts);
    headers_are_what_came(&views, &parts);
    params_lie_in_the_path(&views, &captures);
    assert_eq!(views.body, inline.as_deref());
    assert_eq!(views.flags & abi::REQ_BODY_INLINE != 0, inline.is_some());
    assert!(views.content_length >= -1, "a length of {}", views.content_length);
    if let Some(body) = &inline {
        assert_eq!(usize::try_from(views.content_length), Ok(body.len()));
    }
    for what in 0..8 {
        if let Ok(Some(told)) = opened.info(what) {
            assert!(told.iter().all(u8::is_ascii_graphic), "{told:?} can stand in no log");
        }
    }
    assert!(opened.close());
}

fn read(bytes: &[u8]) -> Option<(Parts, &[u8])> {
    let (head, body) = match bytes.windows(4).position(|four| four == b"\r\n\r\n") {
        Some(end) => (&bytes[..end], &bytes[end + 4..]),
        None => (bytes, &[][..]),
    };
    let mut lines = head.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut words = lines.next()?.split(|&byte| byte == b' ');
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(words.next()?).ok()?;
    *request.uri_mut() = Uri::from_maybe_shared(Bytes::copy_from_slice(words.next()?)).ok()?;
    *request.version_mut() = match words.next() {
        Some(b"HTTP/1.0") => Version::HTTP_10,
        Some(b"HTTP/2") => Version::HTTP_2,
        _ => Version::HTTP_11,
    };
    for line in lines {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        request.headers_mut().try_append(name, value).ok()?;
    }
    Some((request.into_parts().0, body))
}

/// The path's segments, and a range that a broken router might give.
fn captures(path: &str, body: &[u8]) -> Captures {
    let mut ranges = Vec::new();
    let mut from = 0;
    for segment in path.split('/') {
        ranges.push((from, from + segment.len()));
        from += segment.len() + 1;
    }
    ranges.push((body.len(), path.len() + usize::from(body.first().copied().unwrap_or(0))));
    Captures { names: (0..ranges.len()).map(|index| format!("p{index}").into()).collect(), ranges }
}

fn head_is_what_came(views: &Views<'_>, parts: &Parts) {
    let text = |text: Option<&str>| text.map(|text| text.as_bytes().to_vec());
    let seen = |view: Option<&[u8]>| view.map(<[u8]>::to_vec);
    assert_eq!(seen(views.method), text(Some(parts.method.as_str())));
    assert_eq!(seen(views.path), text(Some(parts.uri.path())));
    assert_eq!(seen(views.query), text(parts.uri.query()));
    assert_eq!(seen(views.scheme), text(parts.uri.scheme_str()));
    let host = parts.headers.get(http::header::HOST).map(|host| host.as_bytes().to_vec());
    assert_eq!(seen(views.authority), text(parts.uri.authority().map(|all| all.as_str())).or(host));
    assert_eq!(views.protocol, None, "nobody offered an upgrade");
    let path = views.path.expect("a request has a path");
    assert!(!path.iter().any(|byte| b"\r\n\0? ".contains(byte)), "{path:?} is more than a path");
}

fn headers_are_what_came(views: &Views<'_>, parts: &Parts) {
    let came: Vec<Pair<'_>> =
        parts.headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())).collect();
    assert_eq!(views.headers, came);
    for (name, value) in &views.headers {
        assert!(!value.iter().any(|byte| b"\r\n\0".contains(byte)), "{value:?} can end a header");
        assert!(
            !name.is_empty() && !name.iter().any(u8::is_ascii_uppercase),
            "{name:?} is not in lower case"
        );
    }
}

fn params_lie_in_the_path(views: &Views<'_>, captures: &Captures) {
    let path = views.path.unwrap_or_default();
    assert_eq!(views.params.len(), captures.ranges.len());
    for ((_, value), &(from, to)) in views.params.iter().zip(&captures.ranges) {
        assert_eq!(*value, path.get(from..to).unwrap_or_default());
    }
}
