//! The entry: what a bay says about one module.
//!
//! Owns version 1 of the file `<namespace>.<name>.module.json`. An entry holds all that its revisions need to serve, so that a pod which
//! starts with neither operator nor registry can. Unknown fields are ignored; another version is an error, never a guess.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Digest, DurationText, EntryKey, Precedence, Route};

/// The version that this library writes and reads.
pub const ENTRY_VERSION: u32 = 1;

/// The largest entry that a bay takes, as the file that its writer makes of it. Usual entries have one or two KiB.
pub const MAX_ENTRY_BYTES: usize = 256 * 1024;

/// One module as a bay describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Always [`ENTRY_VERSION`].
    pub version: u32,
    /// Which module.
    pub id: EntryId,
    /// When the module was created (RFC 3339, UTC, whole seconds): breaks ties between routes.
    pub created: String,
    /// Grows with each change; set by who fills the bay (the agent: the ConfigMap's resourceVersion).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// The wanted revision, then the last good one if that is another.
    pub revisions: Vec<Revision>,
}

/// Which HandlerModule an entry was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryId {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID; empty for a drop-in.
    #[serde(default)]
    pub uid: String,
}

/// A build of the module together with everything that decides how it serves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// For people: `1.0@sha256:ab12cd34ef56`.
    pub revision: String,
    /// The builds, one for each platform.
    pub blobs: Vec<Blob>,
    /// The routes.
    pub routes: Vec<Route>,
    /// The module's config; `{}` if there is none.
    #[serde(default = "empty_config")]
    pub config: Value,
    /// How long things may take.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// How much a module may use.
    #[serde(default)]
    pub limits: Limits,
}

/// The module's bytes for one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// Where it runs.
    #[serde(flatten)]
    pub platform: Platform,
    /// Of the uncompressed bytes.
    pub digest: Digest,
    /// Uncompressed, in bytes.
    pub size: u64,
}

/// Where a build runs, in OCI's words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`.
    pub arch: String,
    /// `gnu` or `musl`; `None` if the artifact does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub libc: Option<String>,
}

/// How long things may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Timeouts {
    /// From the request's head to the answer's end, or to its head where it is a stream.
    pub request: DurationText,
}

/// How much a module may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// Requests at a time in one pod; the next one gets 503.
    pub max_concurrent_requests: u32,
    /// Of a request's body; a larger one gets 413.
    pub max_request_body_bytes: u64,
}

/// Why an entry cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// Not an entry at all.
    #[error("the entry is not valid JSON of version 1")]
    Malformed(#[source] serde_json::Error),
    /// Written by a newer operator.
    #[error("the entry has version {0} and this runtime reads {ENTRY_VERSION}; upgrade the runtime")]
    Version(u64),
    /// It holds no revision.
    #[error("the entry holds no revision")]
    NoRevision,
    /// It says that it is about another module than its file name.
    #[error("the entry is about {0}, which is not what its file name says")]
    OtherModule(String),
}

impl Entry {
    /// Reads an entry and checks that it is whole.
    ///
    /// # Errors
    /// When the JSON is not an entry, of another version, or without a revision.
    pub fn parse(json: &[u8]) -> Result<Self, EntryError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        // The version is read first: of another version no other field can be trusted.
        let Versioned { version } = serde_json::from_slice(json).map_err(EntryError::Malformed)?;
        if version != u64::from(ENTRY_VERSION) {
            return Err(EntryError::Version(version));
        }
        let entry: Self = serde_json::from_slice(json).map_err(EntryError::Malformed)?;
        if entry.revisions.is_empty() { Err(EntryError::NoRevision) } else { Ok(entry) }
    }

    /// Whether a bay takes it, whatever sequence it is given there.
    pub fn fits_bay(&self) -> bool {
        let longest = Self { sequence: Some(u64::MAX), ..self.clone() };
        // The bay's form: indented, for people.
        serde_json::to_vec_pretty(&longest).is_ok_and(|json| json.len() <= MAX_ENTRY_BYTES)
    }

    /// Which module it is for.
    pub fn key(&self) -> EntryKey {
        EntryKey { namespace: self.id.namespace.clone(), name: self.id.name.clone() }
    }

    /// Its place where two modules want one route.
    pub fn precedence(&self) -> Precedence {
        Precedence { created: self.created.clone(), key: self.key() }
    }

    /// The revision that the user asks for.
    pub fn wanted(&self) -> Option<&Revision> {
        self.revisions.first()
    }

    /// The revision to serve if the wanted one cannot.
    pub fn last_good(&self) -> Option<&Revision> {
        self.revisions.get(1)
    }
}

impl Revision {
    /// The build for `platform`; one that names no libc fits every libc.
    pub fn blob_for(&self, platform: &Platform) -> Option<&Blob> {
        let fits = |blob: &&Blob| {
            blob.platform.os == platform.os
                && blob.platform.arch == platform.arch
                && (blob.platform.libc.is_none() || blob.platform.libc == platform.libc)
        };
        self.blobs.iter().find(fits)
    }

    /// Names what an *instance* is made of: blobs and config. Two revisions with one fingerprint differ at most in routes, time-outs and
    /// limits, which change without a new instance. 16 hex digits of a SHA-256; serde_json sorts an object's keys.
    pub fn fingerprint(&self) -> String {
        let digests: Vec<String> = self.blobs.iter().map(|blob| blob.digest.to_string()).collect();
        let mut hex = Digest::of(format!("{}\n{}", digests.join(","), self.config).as_bytes()).hex();
        hex.truncate(16);
        hex
    }
}

impl Platform {
    /// The platform that this program was built for.
    pub fn current() -> Self {
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let libc = if cfg!(target_env = "musl") { "musl" } else { "gnu" };
        Self { os: std::env::consts::OS.to_owned(), arch: arch.to_owned(), libc: Some(libc.to_owned()) }
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.arch)?;
        self.libc.as_ref().map_or(Ok(()), |libc| write!(f, " ({libc})"))
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { request: DurationText::from_secs(10) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_concurrent_requests: 256, max_request_body_bytes: 1024 * 1024 }
    }
}

fn empty_config() -> Value {
    Value::Object(serde_json::Map::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        let blob = Blob { platform: Platform::current(), digest: Digest::of(b"module"), size: 6 };
        let revision = Revision {
            revision: "1.0@sha256:0123456789ab".into(),
            blobs: vec![blob],
            routes: vec![],
            config: empty_config(),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
        };
        Entry {
            version: 1,
            id: EntryId { namespace: "shop".into(), name: "hello".into(), uid: "u".into() },
            created: "2026-01-01T00:00:00Z".into(),
            sequence: Some(7),
            revisions: vec![revision],
        }
    }

    #[test]
    fn an_entry_survives_its_text_and_unknown_fields_are_ignored() {
        let mut json = serde_json::to_value(entry()).unwrap();
        json["podPercent"] = 50.into();
        assert_eq!(Entry::parse(json.to_string().as_bytes()).unwrap(), entry());
    }

    #[test]
    fn another_version_is_told_from_nonsense() {
        assert!(matches!(Entry::parse(br#"{"version": 2, "id": 5}"#), Err(EntryError::Version(2))));
        assert!(matches!(Entry::parse(b"{"), Err(EntryError::Malformed(_))));
        let mut empty = serde_json::to_value(entry()).unwrap();
        empty["revisions"] = Value::Array(vec![]);
        assert!(matches!(Entry::parse(empty.to_string().as_bytes()), Err(EntryError::NoRevision)));
    }

    #[test]
    fn the_fingerprint_follows_blobs_and_config_only() {
        let revision = entry().revisions.remove(0);
        let same = |change: fn(&mut Revision)| {
            let mut other = revision.clone();
            change(&mut other);
            other.fingerprint() == revision.fingerprint()
        };
        assert!(same(|other| other.revision = "2.0".into()));
        assert!(same(|other| other.timeouts.request = DurationText::from_secs(1)));
        assert!(!same(|other| other.config = serde_json::json!({"a": 1})));
        assert!(!same(|other| other.blobs[0].digest = Digest::of(b"other")));
    }

    #[test]
    fn a_blob_without_libc_fits_every_libc() {
        let mut revision = entry().revisions.remove(0);
        let musl = Platform { libc: Some("musl".into()), ..Platform::current() };
        assert_eq!(revision.blob_for(&musl), None);
        revision.blobs[0].platform.libc = None;
        assert!(revision.blob_for(&musl).is_some());
    }
}
