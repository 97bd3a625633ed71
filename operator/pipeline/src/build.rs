//! Step four: the revision and the entry that say it all.
//!
//! Owns how an entry is composed, and which revision is the last good one. Cannot fail: `validate` refused first.

use hotbay_api::{
    ArtifactStatus, ENTRY_VERSION, Entry, EntryId, EntryKey, HandlerModule, MAX_ENTRY_BYTES, PlatformStatus,
    Reason, Revision,
};

use crate::{Refusal, Validated};

/// When a module without a creation time was made: it is older than every other, and ties go by name.
const NO_TIME: &str = "1970-01-01T00:00:00Z";

/// The key of the module's entry; a module without a namespace is in `default`, as kubectl would have it.
///
/// # Errors
/// When namespace or name could not be part of other names.
pub fn key_of(module: &HandlerModule) -> Result<EntryKey, Refusal> {
    let namespace = module.metadata.namespace.as_deref().unwrap_or("default");
    EntryKey::new(namespace, module.metadata.name.as_deref().unwrap_or_default())
        .map_err(|error| Refusal::of_module(Reason::ManifestInvalid, format!("metadata: {error}")))
}

/// The entry of `module` that wants `wanted`. A last good revision that would make it larger than a bay takes is left out.
///
/// # Errors
/// As [`key_of`], and when the wanted revision alone is larger than a bay takes.
pub fn entry(
    module: &HandlerModule,
    wanted: Revision,
    last_good: Option<Revision>,
) -> Result<Entry, Refusal> {
    let EntryKey { namespace, name } = key_of(module)?;
    let created =
        module.metadata.creation_timestamp.as_ref().and_then(|time| serde_json::to_value(time).ok());
    let with_last_good = Entry {
        version: ENTRY_VERSION,
        id: EntryId { namespace, name, uid: module.metadata.uid.clone().unwrap_or_default() },
        created: created.as_ref().and_then(|time| time.as_str()).unwrap_or(NO_TIME).to_owned(),
        sequence: None,
        revisions: [wanted].into_iter().chain(last_good).collect(),
    };
    if with_last_good.fits_bay() {
        return Ok(with_last_good);
    }
    let mut entry = with_last_good;
    entry.revisions.truncate(1);
    if entry.fits_bay() {
        return Ok(entry);
    }
    let message = format!(
        "routes and config make an entry of more than {} KiB, which is the most that a pod reads; shorten spec.routes or spec.config",
        MAX_ENTRY_BYTES / 1024
    );
    Err(Refusal::of_artifact(Reason::TooLarge, message))
}

/// The last good revision to put beside `wanted`, from the entry that is in force and whether its wanted revision was Ready.
pub fn last_good(in_force: Option<&Entry>, was_ready: bool, wanted: &Revision) -> Option<Revision> {
    let entry = in_force?;
    let kept = entry.last_good();
    let good = match entry.wanted() {
        Some(same) if same == wanted => kept,
        Some(replaced) if was_ready => Some(replaced),
        // Never Ready, so it is no place to go back to; what was good before it still is.
        _ => kept,
    };
    good.filter(|good| *good != wanted).cloned()
}

/// The revision of a validated module.
pub(crate) fn revision(validated: &Validated) -> Revision {
    Revision {
        revision: revision_name(validated),
        blobs: validated.blobs.clone(),
        routes: validated.routes.clone(),
        config: validated.config.clone(),
        timeouts: validated.timeouts.clone(),
        limits: validated.limits.clone(),
    }
}

/// The artifact of a validated module, for its status.
pub(crate) fn artifact_status(validated: &Validated) -> ArtifactStatus {
    let platform = |blob: &hotbay_api::Blob| PlatformStatus {
        os: blob.platform.os.clone(),
        architecture: blob.platform.arch.clone(),
        libc: blob.platform.libc.clone(),
        blob: blob.digest,
        size: blob.size,
    };
    ArtifactStatus {
        reference: validated.reference.clone(),
        digest: validated.digest,
        version: validated.version.clone(),
        abi: format!("{}.{}", validated.abi.major, validated.abi.minor),
        platforms: validated.blobs.iter().map(platform).collect(),
    }
}

/// `1.0@sha256:ab12cd34ef56`: the tag that the user wrote, else the manifest's version, and the artifact's digest.
fn revision_name(validated: &Validated) -> String {
    let name = validated.reference.split('@').next().unwrap_or_default();
    let last = name.rsplit('/').next().unwrap_or_default();
    let tag = last.split_once(':').map_or(validated.version.as_str(), |(_, tag)| tag);
    format!("{tag}@sha256:{}", validated.digest.short())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{module, revision, validated};

    #[test]
    fn an_entry_that_no_bay_takes_loses_its_last_good_revision_or_is_refused() {
        let sized = |bytes: usize| Revision {
            config: serde_json::json!({ "text": "x".repeat(bytes) }),
            ..revision("a")
        };
        let made = |wanted, good| entry(&module("shop", "hello"), wanted, Some(good));
        assert_eq!(made(sized(100_000), sized(100_000)).unwrap().revisions.len(), 2);
        assert_eq!(made(sized(100_000), sized(200_000)).unwrap().revisions, [sized(100_000)]);
        let refusal = made(sized(300_000), revision("b")).unwrap_err();
        assert_eq!((refusal.reason, refusal.class), (Reason::TooLarge, crate::Class::Stalled));
    }

    #[test]
    fn a_revision_is_named_by_tag_or_version() {
        let named = |reference: &str| {
            let mut validated = validated();
            validated.reference = reference.into();
            revision_name(&validated)
        };
        let digest = validated().digest.short();
        assert_eq!(named("reg:5000/a/hello:1.0"), format!("1.0@sha256:{digest}"));
        assert_eq!(named("reg:5000/hello:1.0@sha256:aa"), format!("1.0@sha256:{digest}"));
        assert_eq!(named("reg:5000/hello@sha256:aa"), format!("0.3.0@sha256:{digest}"));
    }

    #[test]
    fn an_entry_tells_its_module_and_both_revisions() {
        let entry = entry(&module("shop", "hello"), revision("b"), Some(revision("a"))).unwrap();
        assert_eq!(entry.key().to_string(), "shop/hello");
        assert_eq!(entry.id.uid, "uid-shop-hello");
        assert_eq!(entry.created, "2026-01-01T00:00:00Z");
        assert_eq!((entry.wanted(), entry.last_good()), (Some(&revision("b")), Some(&revision("a"))));
        assert_eq!(Entry::parse(serde_json::to_string(&entry).unwrap().as_bytes()).unwrap(), entry);
    }

    #[test]
    fn only_what_was_ready_becomes_the_last_good() {
        let entry = |wanted, good: Option<&str>| {
            entry(&module("shop", "hello"), revision(wanted), good.map(revision)).unwrap()
        };
        let after = |entry: &Entry, ready, wanted| {
            last_good(Some(entry), ready, &revision(wanted)).map(|good| good.revision)
        };
        let name = |name| Some(revision(name).revision);
        assert_eq!(last_good(None, true, &revision("a")), None);
        assert_eq!(after(&entry("a", None), true, "b"), name("a"));
        assert_eq!(after(&entry("b", Some("a")), false, "c"), name("a"), "b was never Ready");
        assert_eq!(after(&entry("b", Some("a")), true, "c"), name("b"));
        assert_eq!(after(&entry("b", Some("a")), true, "b"), name("a"), "nothing changed");
        assert_eq!(after(&entry("b", Some("a")), false, "a"), None, "back to the good one");
    }
}
