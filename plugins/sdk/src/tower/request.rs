//! A host's request as `http` has it.
//!
//! Owns what is copied: target, header values and a body that is there, into one block that all of them share. Must not check what the host has
//! checked already.

use bytes::{Bytes, BytesMut};
use http::{Extensions, HeaderName, HeaderValue, Method, Uri, Version};

use super::{Options, spare};
use crate::{Peer, Request, RequestBody};

/// Builds the request; `None` if `http` has no words for it.
pub(super) fn build(request: &Request<'_>, options: Options) -> Option<http::Request<RequestBody>> {
    let (mut block, target) = block(request, options);
    let uri = Uri::from_maybe_shared(block.split_to(target)).ok()?;
    let mut headers = spare::take(request.headers.len());
    for (name, value) in pairs(request) {
        let name = HeaderName::from_bytes(name).ok()?;
        // SAFETY: the host has checked the value: it is one that HTTP allows.
        let value = unsafe { HeaderValue::from_maybe_shared_unchecked(block.split_to(value.len())) };
        headers.append(name, value);
    }
    let body = if request.whole { RequestBody::whole(block) } else { RequestBody::of(request) };
    let mut built = http::Request::new(body);
    *built.method_mut() = Method::from_bytes(request.method.as_bytes()).ok()?;
    *built.uri_mut() = uri;
    *built.headers_mut() = headers;
    *built.version_mut() = match request.http {
        20 => Version::HTTP_2,
        10 => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    if options.connect_info {
        add_peer(request, built.extensions_mut());
    }
    Some(built)
}

/// Target, header values and body, one after the other, and how long the target is.
fn block(request: &Request<'_>, options: Options) -> (Bytes, usize) {
    let target = target(request, options);
    let values: usize = pairs(request).map(|(_, value)| value.len()).sum();
    let mut block = BytesMut::with_capacity(
        target.iter().map(|part| part.len()).sum::<usize>() + values + request.body.len(),
    );
    target.iter().for_each(|part| block.extend_from_slice(part.as_bytes()));
    let length = block.len();
    pairs(request).for_each(|(_, value)| block.extend_from_slice(value));
    block.extend_from_slice(request.body);
    (block.freeze(), length)
}

fn pairs<'r>(request: &Request<'r>) -> impl Iterator<Item = (&'r [u8], &'r [u8])> {
    request.headers.iter().map(|header| {
        // SAFETY: whoever made the request promised that its views are valid for `'r`.
        unsafe { (header.name.get().unwrap_or_default(), header.value.get().unwrap_or_default()) }
    })
}

/// HTTP/2 has its authority nowhere else.
fn target<'r>(request: &Request<'r>, options: Options) -> [&'r str; 6] {
    let path = below(request.path, options.at);
    let (mark, query) = request.query.map_or(("", ""), |query| ("?", query));
    let absolute = if request.http == 20 { request.authority } else { None };
    let (scheme, authority) = absolute.map_or(("", ""), |authority| ("http://", authority));
    let slash = if path.starts_with('/') { "" } else { "/" };
    [scheme, authority, slash, path, mark, query]
}

/// The path as the service sees it. A HandlerModule may route other paths than the manifest's to it: those stay as they are.
fn below<'p>(path: &'p str, at: &str) -> &'p str {
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
        let request = test::get(target);
        build(&request.view(), Options { at, connect_info: false }).unwrap().uri().to_string()
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
    fn headers_keep_their_order_and_their_bytes() {
        let request =
            test::request("PATCH", "/").header("x-a", "1").header("x-raw", b"\xff").header("x-a", "2");
        let request = request.body("hi");
        let built = build(&request.view(), Options { at: "", connect_info: false }).unwrap();
        let values: Vec<_> = built.headers().get_all("x-a").iter().collect();
        assert_eq!(values, ["1", "2"]);
        assert_eq!(built.headers()["x-raw"].as_bytes(), b"\xff");
        assert_eq!((built.method().as_str(), built.version()), ("PATCH", Version::HTTP_11));
        assert_eq!(built.body().remaining(), Some(2));
    }
}
