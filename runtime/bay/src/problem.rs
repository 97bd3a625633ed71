//! What is wrong with a file, in words for reports and people.
//!
//! Owns which [`Reason`] each kind of unreadable entry has. Decides nothing else.

use hotbay_api::{EntryError, EntryKey, Reason};

use crate::folder::ReadError;

/// A file that could not be taken as it is. If an entry was read from it before, that one is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The module that the file is about, if its name says.
    pub key: Option<EntryKey>,
    /// The file's name, or its path for a drop-in.
    pub file: String,
    /// In one word.
    pub reason: Reason,
    /// What is wrong with it and what to do.
    pub message: String,
}

impl Problem {
    /// A problem whose message is `what` and all its sources.
    pub(crate) fn new(
        key: Option<&EntryKey>,
        file: &str,
        reason: Reason,
        what: &dyn std::error::Error,
    ) -> Self {
        let mut message = format!("{file}: {what}");
        let mut source = what.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self { key: key.cloned(), file: file.to_owned(), reason, message }
    }
}

/// A file that changes or is gone comes (back) by itself, so it is [`Reason::Incomplete`].
pub(crate) fn reason_of_read(error: &ReadError) -> Reason {
    match error {
        ReadError::TooLarge { .. } => Reason::TooLarge,
        ReadError::NotAFile(_) => Reason::ManifestInvalid,
        ReadError::Gone | ReadError::Changing | ReadError::Io(_) => Reason::Incomplete,
    }
}

/// JSON that does not parse is most often half of what will.
pub(crate) fn reason_of_entry(error: &EntryError) -> Reason {
    match error {
        EntryError::Malformed(_) => Reason::Incomplete,
        EntryError::Version(_) => Reason::EntryVersion,
        EntryError::NoRevision | EntryError::OtherModule(_) => Reason::ManifestInvalid,
    }
}
