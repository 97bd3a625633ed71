//! What a user writes to name an artifact.
//!
//! Owns the grammar of `registry/repository:tag@digest` and of `oci:DIR:name`. Nothing is guessed: `hello` is not
//! `docker.io/library/hello`, because a name that two people read differently is how a wrong module is run.

use std::path::PathBuf;
use std::str::FromStr;

use hotbay_api::Digest;

/// A parsed reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// In a registry.
    Registry {
        /// Host, and port if it is written.
        registry: String,
        /// The repository's name.
        repository: String,
        /// Which artifact.
        selector: Selector,
    },
    /// In an image layout on disk.
    Layout {
        /// The folder.
        folder: PathBuf,
        /// Which artifact; `None` if there is only one.
        selector: Option<Selector>,
    },
}

/// Which artifact of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// A name that may move.
    Tag(String),
    /// These very bytes; a tag written beside it is for people.
    Digest(Digest),
}

/// Why a text is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReferenceError(&'static str);

impl ReferenceError {
    /// The same for who may name a folder, too.
    pub(crate) fn with_layouts(&self) -> String {
        if self.0 == NO_REGISTRY {
            format!("{self}, or oci:DIR:NAME for an image layout")
        } else {
            self.to_string()
        }
    }
}

const NO_REGISTRY: &str = "it does not begin with a registry; write registry.example.com/hello:1.0, or docker.io/library/hello:1.0 for \
     Docker Hub";
const BAD_REGISTRY: &str = "the registry is not a host name or address with an optional port";
const BAD_REPOSITORY: &str =
    "the repository must be lower-case letters and digits, parted by single . _ - or /, at most 255 of them";
const BAD_TAG: &str = "the tag must be 1 to 128 letters, digits, _ . or -, and begin with neither . nor -";
const BAD_DIGEST: &str = "the digest must be sha256: and 64 lower-case hex digits";
const BAD_FOLDER: &str = "oci: must be followed by a folder, as in oci:./layout:hello";
const BAD_NAME: &str = "the name in the layout must be printable, without spaces, at most 255 characters";

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => (named, Some(digest.parse().map_err(|_| ReferenceError(BAD_DIGEST))?)),
            None => (text, None),
        };
        match named.strip_prefix("oci:") {
            Some(layout) => parse_layout(layout, digest),
            None => parse_registry(named, digest),
        }
    }
}

fn parse_layout(text: &str, digest: Option<Digest>) -> Result<Reference, ReferenceError> {
    let (folder, name) = text.split_once(':').map_or((text, None), |(folder, name)| (folder, Some(name)));
    if folder.is_empty() {
        return Err(ReferenceError(BAD_FOLDER));
    }
    let valid =
        |name: &str| (1..=255).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
    if !name.is_none_or(valid) {
        return Err(ReferenceError(BAD_NAME));
    }
    let tag = name.map(|name| Selector::Tag(name.to_owned()));
    Ok(Reference::Layout { folder: folder.into(), selector: digest.map(Selector::Digest).or(tag) })
}

fn parse_registry(text: &str, digest: Option<Digest>) -> Result<Reference, ReferenceError> {
    let (registry, rest) = text.split_once('/').ok_or(ReferenceError(NO_REGISTRY))?;
    if registry != "localhost" && !registry.contains(['.', ':']) {
        return Err(ReferenceError(NO_REGISTRY));
    }
    if !is_registry(registry) {
        return Err(ReferenceError(BAD_REGISTRY));
    }
    let (repository, tag) = rest.split_once(':').map_or((rest, None), |(name, tag)| (name, Some(tag)));
    if !is_repository(repository) {
        return Err(ReferenceError(BAD_REPOSITORY));
    }
    if !tag.is_none_or(is_tag) {
        return Err(ReferenceError(BAD_TAG));
    }
    // What every other tool reads into a reference without a tag.
    let tag = || Selector::Tag(tag.unwrap_or("latest").to_owned());
    Ok(Reference::Registry {
        registry: registry.to_owned(),
        repository: repository.to_owned(),
        selector: digest.map_or_else(tag, Selector::Digest),
    })
}

fn is_registry(text: &str) -> bool {
    let host_is = |host: &str| match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.len() <= 253
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        }
    };
    match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => {
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            host_is(host) && digits && port.parse::<u16>().is_ok_and(|port| port > 0)
        }
        _ => host_is(text),
    }
}

/// OCI's grammar: components of letters and digits, parted inside by one `.`, one or two `_`, or any number of `-`.
pub(crate) fn is_repository(text: &str) -> bool {
    let separator = |run: &str| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|byte| byte == b'-');
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let component = |part: &str| {
        let edges = part.bytes().next().zip(part.bytes().last());
        edges.is_some_and(|(first, last)| alphanumeric(first) && alphanumeric(last))
            && part
                .split(|letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit())
                .all(separator)
    };
    text.len() <= 255 && text.split('/').all(component)
}

fn is_tag(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= 128
        && bytes.next().is_some_and(|first| first.is_ascii_alphanumeric() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(registry: &str, repository: &str, selector: Selector) -> Reference {
        Reference::Registry { registry: registry.into(), repository: repository.into(), selector }
    }

    #[test]
    fn whole_references_are_read() {
        let tag = |tag: &str| Selector::Tag(tag.into());
        let digest = Digest::of(b"x");
        for (text, expected) in [
            ("registry.example.com/hello:1.0", registry("registry.example.com", "hello", tag("1.0"))),
            ("localhost/a/b-c__d", registry("localhost", "a/b-c__d", tag("latest"))),
            ("localhost:5000/a:x", registry("localhost:5000", "a", tag("x"))),
            ("[::1]:5000/a:x", registry("[::1]:5000", "a", tag("x"))),
            (&format!("h.io/a:1@{digest}"), registry("h.io", "a", Selector::Digest(digest))),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn layouts_are_read() {
        let layout = |selector| Reference::Layout { folder: "./dir".into(), selector };
        assert_eq!("oci:./dir".parse(), Ok(layout(None)));
        assert_eq!("oci:./dir:hello:1.0".parse(), Ok(layout(Some(Selector::Tag("hello:1.0".into())))));
        let digest = Digest::of(b"x");
        assert_eq!(format!("oci:./dir@{digest}").parse(), Ok(layout(Some(Selector::Digest(digest)))));
        for text in ["oci:", "oci::x", "oci:dir:", "oci:dir:a b"] {
            assert!(text.parse::<Reference>().is_err(), "{text:?} must be refused");
        }
    }

    #[test]
    fn what_could_mean_two_things_is_refused_with_words() {
        for (text, why) in [
            ("hello", NO_REGISTRY),
            ("hello:1.0", NO_REGISTRY),
            ("library/hello:1.0", NO_REGISTRY),
            ("https://h.io/a", BAD_REGISTRY),
            ("h.io:0/a", BAD_REGISTRY),
            ("h.io:99999/a", BAD_REGISTRY),
            ("user@h.io/a", BAD_DIGEST),
            ("h.io/A", BAD_REPOSITORY),
            ("h.io/a//b", BAD_REPOSITORY),
            ("h.io/../a", BAD_REPOSITORY),
            ("h.io/a..b", BAD_REPOSITORY),
            ("h.io/a/", BAD_REPOSITORY),
            ("h.io/a?b", BAD_REPOSITORY),
            ("h.io/a:-x", BAD_TAG),
            ("h.io/a:", BAD_TAG),
            ("h.io/a:1/2", BAD_TAG),
            ("h.io/a@sha256:12", BAD_DIGEST),
        ] {
            assert_eq!(text.parse::<Reference>(), Err(ReferenceError(why)), "{text:?}");
        }
    }
}
