//! A host's request as `http` has it.
//!
//! Owns what is copied: target, header values and a body that is there, into one block that all of them share. Must not check what the host has
//! checked already.

use bytes::{Bytes, BytesMut};
use http::{Extensions, HeaderName, HeaderValue, Method, Uri, Version};

use super::{Options, spare};
use crate::{Peer, Request, RequestBody};

/// Makes `built`, a new one, the request that was asked. False if `http` has no words for it.
// In the caller's place: a request is large, and every move copies it.
#[inline(always)]
pub(super) fn build(request: &Request<'_>, options: Options, built: &mut http::Request<RequestBody>) -> bool {
    let (mut block, target) = block(request, options);
    let Ok(uri) = Uri::from_maybe_shared(block.split_to(target)) else { return false };
    let Ok(method) = Method::from_bytes(request.method().as_bytes()) else { return false };
    let mut headers = spare::take(request.raw_headers().len());
    for (name, value) in pairs(request) {
        let Ok(name) = HeaderName::from_bytes(name) else { return false };
        // SAFETY: the host has checked the value: it is one that HTTP allows.
        let value = unsafe { HeaderValue::from_maybe_shared_unchecked(block.split_to(value.len())) };
        headers.append(name, value);
    }
    *built.body_mut() =
        if request.whole().is_some() { RequestBody::whole(block) } else { RequestBody::of(request) };
    *built.method_mut() = method;
    *built.uri_mut() = uri;
    *built.headers_mut() = headers;
    *built.version_mut() = match request.http() {
        20.. => Version::HTTP_2,
        10 => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    if options.connect_info {
        add_peer(request, built.extensions_mut());
    }
    true
}

/// Target, header values and body, one after the other, and how long the target is.
fn block(request: &Request<'_>, options: Options) -> (Bytes, usize) {
    let (before, path) = target(request, options);
    let query = request.query();
    let values: usize = pairs(request).map(|(_, value)| value.len()).sum();
    let before_length: usize = before.iter().map(|part| part.len()).sum();
    let target = before_length + path.len() + query.map_or(0, |query| 1 + query.len());
    let mut block = BytesMut::with_capacity(target + values + request.body().len());
    if before_length > 0 {
        before.iter().for_each(|part| block.extend_from_slice(part.as_bytes()));
    }
    block.extend_from_slice(path.as_bytes());
    if let Some(query) = query {
        block.extend_from_slice(b"?");
        block.extend_from_slice(query.as_bytes());
    }
    pairs(request).for_each(|(_, value)| block.extend_from_slice(value));
    if !request.body().is_empty() {
        block.extend_from_slice(request.body());
    }
    (block.freeze(), target)
}

fn pairs<'r>(request: &Request<'r>) -> impl Iterator<Item = (&'r [u8], &'r [u8])> {
    request.raw_headers().iter().map(|header| {
        // SAFETY: whoever made the request promised that its views are valid for `'r`.
        unsafe { (header.name.get().unwrap_or_default(), header.value.get().unwrap_or_default()) }
    })
}

/// What comes before the path, which for most requests is nothing, and the path. HTTP/2 has its authority nowhere else.
fn target<'r>(request: &Request<'r>, options: Options) -> ([&'r str; 3], &'r str) {
    let path = below(request.path(), options.at);
    let absolute = if request.http() >= 20 { request.authority() } else { None };
    let (scheme, authority) = absolute.map_or(("", ""), |authority| ("http://", authority));
    let slash = if path.starts_with('/') { "" } else { "/" };
    ([scheme, authority, slash], path)
}

/// The path as the service sees it. A HandlerModule may route other paths than the manifest's to it: those stay as they are.
fn below<'p>(path: &'p str, at: &str) -> &'p str {
    if at.is_empty() {
        return path;
    }
    match path.strip_prefix(at) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => path,
    }
}

fn add_peer(request: &Request<'_>, extensions: &mut Extensions) {
    if let Some(peer) = request.peer() {
        extensions.insert(Peer(peer));
        #[cfg(feature = "axum")]
        extensions.insert(axum::extract::ConnectInfo(peer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test;

    fn uri(target: &str, at: &'static str) -> String {
        built(&test::get(target), at).uri().to_string()
    }

    fn built(request: &test::TestRequest, at: &'static str) -> http::Request<RequestBody> {
        let mut built = http::Request::new(RequestBody::whole(""));
        assert!(build(&request.view(), Options { at, connect_info: false }, &mut built));
        built
    }

    #[test]
    fn a_service_sees_paths_without_where_it_is() {
        assert_eq!(uri("/shop/cart?x=1", "/shop"), "/cart?x=1");
        assert_eq!((uri("/shop", "/shop"), uri("/shop/", "/shop")), ("/".into(), "/".into()));
        assert_eq!(
            (uri("/shopping", "/shop"), uri("/other", "/shop")),
            ("/shopping".into(), "/other".into())
        );
        assert_eq!(uri("/a%2Fb?", ""), "/a%2Fb?");
    }

    #[test]
    fn a_version_that_nobody_knows_yet_is_taken_for_http_2() {
        let asked = |http| {
            let mut request = test::get("/a").authority("example.com");
            request.raw.http = http;
            let built = built(&request, "");
            (built.version(), built.uri().to_string())
        };
        assert_eq!(asked(10), (Version::HTTP_10, "/a".to_owned()));
        assert_eq!(asked(11), (Version::HTTP_11, "/a".to_owned()));
        for http in [20, 21, 30] {
            assert_eq!(asked(http), (Version::HTTP_2, "http://example.com/a".to_owned()), "{http}");
        }
    }

    #[test]
    fn headers_keep_their_order_and_their_bytes() {
        let request =
            test::request("PATCH", "/").header("x-a", "1").header("x-raw", b"\xff").header("x-a", "2");
        let request = request.body("hi");
        let built = built(&request, "");
        let values: Vec<_> = built.headers().get_all("x-a").iter().collect();
        assert_eq!(values, ["1", "2"]);
        assert_eq!(built.headers()["x-raw"].as_bytes(), b"\xff");
        assert_eq!((built.method().as_str(), built.version()), ("PATCH", Version::HTTP_11));
        assert_eq!(built.body().remaining(), Some(2));
    }
}
