//! The headers that follow a body.

use std::borrow::Cow;

/// Headers that follow a streamed body, of a request or an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trailers(Vec<(Cow<'static, str>, Cow<'static, [u8]>)>);

impl Trailers {
    /// None yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// One more. The host leaves out names that trailers may not have.
    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, str>>) -> Self {
        let value = match value.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        self.push(name.into(), value);
        self
    }

    pub(crate) fn push(&mut self, mut name: Cow<'static, str>, value: Cow<'static, [u8]>) {
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            name.to_mut().make_ascii_lowercase();
        }
        self.0.push((name, value));
    }

    /// The first one of this name, in lower case, if it is UTF-8.
    pub fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(have, _)| *have == name)?;
        str::from_utf8(value).ok()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
