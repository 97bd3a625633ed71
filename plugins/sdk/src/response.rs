//! What a handler answers.

use std::borrow::Cow;

use crate::Body;

/// An answer. The host adds content-length, date, connection and transfer-encoding itself.
#[derive(Debug)]
pub struct Response {
    status: u16,
    headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    /// Beside the others, because most answers have this one alone and then need no allocation.
    content_type: Option<Cow<'static, str>>,
    body: Body,
}

impl Response {
    /// An empty answer with this status, 200 to 599; the host makes a 500 of any other.
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), content_type: None, body: Body::empty() }
    }

    /// 200 with this body.
    pub(crate) const fn ok(kind: &'static str, body: Body) -> Self {
        Self { status: 200, headers: Vec::new(), content_type: Some(Cow::Borrowed(kind)), body }
    }

    /// 200 with plain text.
    pub fn text(text: impl Into<Cow<'static, str>>) -> Self {
        let body = match text.into() {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => text.into(),
        };
        Self::ok("text/plain; charset=utf-8", body)
    }

    /// 200 with JSON. A value that JSON cannot say (a map whose keys are no text) becomes a 500, and the log says why.
    #[cfg(feature = "json")]
    pub fn json(value: &(impl serde::Serialize + ?Sized)) -> Self {
        match serde_json::to_vec(value) {
            Ok(json) => Self::ok("application/json", json.into()),
            Err(error) => {
                crate::log::error(format_args!("an answer cannot be written as JSON: {error}"));
                Self::status(500)
            }
        }
    }

    /// Another status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// One more header. The host refuses names and values that are not allowed in HTTP, and then answers 500.
    #[must_use]
    pub fn with_header(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> Self {
        let mut name = name.into();
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            name = Cow::Owned(name.to_ascii_lowercase());
        }
        match &*name {
            "content-type" => self.content_type = Some(value.into()),
            _ => self.headers.push((name, value.into())),
        }
        self
    }

    /// Another body; the headers stay.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// The status; for tests.
    pub fn status_code(&self) -> u16 {
        self.status
    }

    /// The first header of this name, in lower case; for tests.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all_headers().find(|(have, _)| *have == name).map(|(_, value)| value)
    }

    /// The body; for tests.
    ///
    /// # Panics
    /// If it is a stream: nobody has its bytes yet.
    #[allow(clippy::panic, reason = "a test's mistake")]
    pub fn body(&self) -> &[u8] {
        self.body
            .bytes()
            .unwrap_or_else(|| panic!("the answer's body is a stream; read it with test::collect"))
    }

    /// The body alone; for tests of a stream.
    pub fn into_body(self) -> Body {
        self.body
    }

    /// The content type, if there is no other header: so it is with most answers.
    #[inline(always)]
    pub(crate) fn only_content_type(&self) -> Option<&str> {
        if self.headers.is_empty() { self.content_type.as_deref() } else { None }
    }

    pub(crate) fn all_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let content_type = self.content_type.as_deref().map(|value| ("content-type", value));
        content_type.into_iter().chain(self.headers.iter().map(|(name, value)| (&**name, &**value)))
    }

    pub(crate) fn take_body(&mut self) -> Body {
        std::mem::take(&mut self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_replaces_the_one_that_the_constructor_chose() {
        let response = Response::text("<p>").with_header("Content-Type", "text/html").with_header("X-A", "1");
        let headers: Vec<_> = response.all_headers().collect();
        assert_eq!(headers, [("content-type", "text/html"), ("x-a", "1")]);
    }

    #[test]
    fn a_static_text_is_not_copied() {
        let text = "hello";
        assert_eq!(Response::text(text).body().as_ptr(), text.as_ptr());
    }

    #[cfg(feature = "json")]
    #[test]
    fn what_json_cannot_say_is_a_500() {
        let map = std::collections::BTreeMap::from([((1, 2), 3)]);
        assert_eq!(Response::json(&map).status_code(), 500);
        assert_eq!(Response::json(&[1, 2]).body(), b"[1,2]");
    }
}
