//! A refusal: why a module cannot be as its spec asks.
//!
//! Owns what every refusal carries, so that status, logs and the CLI say the same. A refusal is data about a module, never a failure of the program.

use hotbay_api::{Digest, Reason, condition};

use crate::Class;

/// The longest message. What is quoted may be a module author's or a user's, and of any length; with what still serves behind it, it must
/// fit into a condition.
pub(crate) const MAX_MESSAGE_BYTES: usize = 768;

/// Why a module cannot be as its spec asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why, in one word.
    pub reason: Reason,
    /// What, where, and what to do.
    pub message: String,
    /// Whether waiting helps.
    pub class: Class,
    /// Which condition it makes False.
    pub aspect: Aspect,
    /// The artifact that was refused; `None` if it did not come so far.
    pub digest: Option<Digest>,
}

/// The condition that a refusal belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aspect {
    /// The artifact is no module, does not fit the spec, or the pool does not take it.
    Accepted,
    /// The artifact cannot be had.
    ArtifactReady,
}

impl Aspect {
    /// The condition's type.
    pub fn condition(self) -> &'static str {
        match self {
            Self::Accepted => condition::ACCEPTED,
            Self::ArtifactReady => condition::ARTIFACT_READY,
        }
    }
}

impl Refusal {
    /// An artifact that cannot be had, and that only an edit mends.
    pub fn of_artifact(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(Aspect::ArtifactReady, reason, Class::Stalled, message)
    }

    /// An artifact that is there and is not what the spec asks for, which only an edit or another push mends.
    pub fn of_module(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(Aspect::Accepted, reason, Class::Stalled, message)
    }

    /// A refusal by the pool.
    pub fn of_pool(reason: Reason, class: Class, message: impl Into<String>) -> Self {
        Self::new(Aspect::Accepted, reason, class, message)
    }

    fn new(aspect: Aspect, reason: Reason, class: Class, message: impl Into<String>) -> Self {
        let message = shortened(&message.into(), MAX_MESSAGE_BYTES);
        Self { reason, message, class, aspect, digest: None }
    }

    /// The same, about this artifact.
    pub fn about(self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

/// The beginning of `text`, in at most `max_bytes`; what was cut off leaves an ellipsis.
pub(crate) fn shortened(text: &str, max_bytes: usize) -> String {
    const ELLIPSIS: char = '…';
    if text.len() <= max_bytes {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(max_bytes.saturating_sub(ELLIPSIS.len_utf8()));
    format!("{}{ELLIPSIS}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_characters() {
        assert_eq!(shortened("abc", 3), "abc");
        assert_eq!(shortened("ééé", 5), "é…");
        let refusal = Refusal::of_artifact(Reason::ConfigRejected, "é".repeat(10_000));
        assert!(refusal.message.len() <= MAX_MESSAGE_BYTES && refusal.message.ends_with('…'));
    }
}
