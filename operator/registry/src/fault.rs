//! What can go wrong on the way, before it is known to the caller by name.
//!
//! Owns the step from a fault of one answer to the pipeline's `SourceError`. No message may hold a credential, a token or a signed URL.

use hotbay_api::Digest;
use hotbay_artifact::oci::OciError;
use hotbay_pipeline::SourceError;

/// A failure that does not know yet what was asked for.
#[derive(Debug)]
pub(crate) enum Fault {
    /// No usable answer.
    Unreachable(Box<dyn std::error::Error + Send + Sync>),
    /// 401 or 403.
    Unauthorized,
    /// 404.
    NotFound,
    /// More bytes than allowed.
    TooLarge { what: &'static str, limit: u64 },
    /// Other bytes than promised.
    Mismatch { what: &'static str, expected: Digest },
    /// Something else than a module.
    NotAModule(String),
    /// The reference itself.
    Invalid(String),
}

impl Fault {
    /// No usable answer, in words.
    pub(crate) fn unreachable(why: impl Into<String>) -> Self {
        Self::Unreachable(why.into().into())
    }

    /// A client's error without its URL, whose query may hold a signature.
    pub(crate) fn from_client(error: reqwest::Error) -> Self {
        Self::Unreachable(Box::new(error.without_url()))
    }

    /// Names what was asked for, and whom.
    pub(crate) fn of(self, registry: &str, reference: &str) -> SourceError {
        let reference = reference.to_owned();
        match self {
            Self::Unreachable(source) => {
                SourceError::Unreachable { registry: registry.to_owned(), reference, source }
            }
            Self::Unauthorized => SourceError::Unauthorized { registry: registry.to_owned(), reference },
            Self::NotFound => SourceError::NotFound { reference },
            Self::TooLarge { what, limit } => {
                SourceError::TooLarge { reference, what: what.to_owned(), limit }
            }
            Self::Mismatch { what, expected } => {
                SourceError::DigestMismatch { reference, what: what.to_owned(), expected }
            }
            Self::NotAModule(why) => SourceError::NotAModule { reference, why },
            Self::Invalid(why) => SourceError::Invalid { reference, why },
        }
    }
}

impl From<OciError> for Fault {
    fn from(error: OciError) -> Self {
        match error {
            OciError::TooLarge(limit) => Self::TooLarge { what: "the module", limit },
            // This variant's message carries no source, so the chain is written out.
            other => Self::NotAModule(match std::error::Error::source(&other) {
                Some(source) => format!("{other}: {source}"),
                None => other.to_string(),
            }),
        }
    }
}
