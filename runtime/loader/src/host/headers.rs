//! Headers and trailers, as they come from the module.
//!
//! Owns the checks on their names, values, number and size. Must not decide which of them are the module's to set: who reads them does.

use hotbay_abi as abi;
use hotbay_abi::{Header, Rc};
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Most headers of an answer, and most bytes of their names and values.
const MAX_HEADERS: u32 = 256;
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// The headers that a module passes.
///
/// # Safety
/// `headers` must be NULL or point to `count` headers that live for `'a`.
pub(super) unsafe fn views<'a>(headers: *const Header, count: u32) -> Result<&'a [Header], Rc> {
    if count > MAX_HEADERS {
        return Err(abi::LIMIT);
    }
    if count == 0 {
        return Ok(&[]);
    }
    if headers.is_null() {
        return Err(abi::ERR);
    }
    // SAFETY: the caller promises that many headers.
    Ok(unsafe { std::slice::from_raw_parts(headers, count as usize) })
}

/// Adds what is well-formed and not left out. A name or value that is not, e.g. with CR or LF in it, refuses all of them.
///
/// # Safety
/// Names and values must be valid for this call.
#[inline(always)]
pub(super) unsafe fn append(
    headers: &mut HeaderMap,
    views: &[Header],
    mut is_left_out: impl FnMut(&HeaderName, &HeaderValue) -> Result<bool, Rc>,
) -> Result<(), Rc> {
    let mut total = 0;
    for view in views {
        // SAFETY: the caller promises it.
        let (name, value) =
            unsafe { (view.name.get().unwrap_or_default(), view.value.get().unwrap_or_default()) };
        total += name.len() + value.len();
        if total > MAX_HEADER_BYTES {
            return Err(abi::LIMIT);
        }
        if let Some(value) = usual_type(name, value) {
            headers.append(header::CONTENT_TYPE, value);
            continue;
        }
        let name = HeaderName::from_bytes(name).map_err(|_| abi::ERR)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| abi::ERR)?;
        if !is_left_out(&name, &value)? {
            headers.append(name, value);
        }
    }
    Ok(())
}

static TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
static HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
static JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The header that most answers have alone, with the values that most of them have: known by its bytes, so that it is neither parsed nor copied.
fn usual_type(name: &[u8], value: &[u8]) -> Option<HeaderValue> {
    let usual = [&TEXT, &JSON, &HTML];
    if name != b"content-type" {
        return None;
    }
    usual.into_iter().find(|usual| value == usual.as_bytes()).cloned()
}
