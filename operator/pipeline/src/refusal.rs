//! A refusal: why a module cannot be as its spec asks.
//!
//! Owns what every refusal carries, so that status, logs and the CLI say the same. A refusal is data about a module, never a failure of the program.

use std::error::Error;

use hotbay_api::{Digest, Reason, condition};

use crate::Class;

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
    /// The pool does not take the module as it is.
    Accepted,
    /// The artifact cannot be had, or does not fit the spec.
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
    /// A refusal of the artifact that only an edit mends.
    pub fn of_artifact(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            class: Class::Stalled,
            aspect: Aspect::ArtifactReady,
            digest: None,
        }
    }

    /// A refusal by the pool.
    pub fn of_pool(reason: Reason, class: Class, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), class, aspect: Aspect::Accepted, digest: None }
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

/// An error and its causes on one line. A cause that the text before it already tells is left out.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        next = cause.source();
    }
    text
}
