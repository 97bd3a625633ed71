//! Where a module's source is, as its annotations say it.
//!
//! Owns the asking of git, and what of it may be told: never credentials. A folder without version control has nothing to tell.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use hotbay_artifact::oci::Annotations;

const SOURCE: &str = "org.opencontainers.image.source";
const REVISION: &str = "org.opencontainers.image.revision";
const CREATED: &str = "org.opencontainers.image.created";
/// Marks a revision that does not have all that was built.
const DIRTY: &str = "-dirty";
/// Names the time of everything that is built (reproducible-builds.org).
const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// What git says of a folder.
struct Git {
    source: Option<String>,
    commit: String,
    committed: u64,
    is_dirty: bool,
}

/// The annotations of what was built in `folder`. The same commit gives the same ones, unless something is changed that is not committed.
///
/// # Errors
/// When SOURCE_DATE_EPOCH is no number.
pub(super) fn annotations(folder: &Path) -> anyhow::Result<Annotations> {
    let git = Git::ask(folder);
    let epoch = std::env::var(EPOCH).ok().filter(|epoch| !epoch.is_empty());
    let named =
        epoch.map(|epoch| epoch.parse().with_context(|| format!("{EPOCH} is {epoch:?}, which is no number")));
    let committed = git.as_ref().filter(|git| !git.is_dirty).map(|git| git.committed);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let created = named.transpose()?.or(committed).unwrap_or_else(now);
    let mut annotations = Annotations::from([(CREATED.to_owned(), rfc3339(created))]);
    if let Some(Git { source, commit, is_dirty, .. }) = git {
        annotations.extend(source.map(|source| (SOURCE.to_owned(), source)));
        annotations.insert(REVISION.to_owned(), format!("{commit}{}", if is_dirty { DIRTY } else { "" }));
    }
    Ok(annotations)
}

impl Git {
    /// `None` without git, without a repository, or before its first commit.
    fn ask(folder: &Path) -> Option<Self> {
        let last = git(folder, &["log", "-1", "--format=%H %ct"])?;
        let (commit, committed) = last.split_once(' ')?;
        let remote = git(folder, &["remote", "get-url", "origin"]);
        Some(Self {
            source: remote.and_then(|url| public(&url)),
            commit: commit.to_owned(),
            committed: committed.parse().ok()?,
            is_dirty: git(folder, &["status", "--porcelain"]).is_none_or(|changes| !changes.is_empty()),
        })
    }
}

/// What git prints, if it succeeds.
fn git(folder: &Path, args: &[&str]) -> Option<String> {
    // Asking must not make anything: `status` would write the index.
    let output =
        Command::new("git").arg("--no-optional-locks").arg("-C").arg(folder).args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A remote's address as others may see it: without user, password and query. A folder on this machine means nothing to others.
fn public(remote: &str) -> Option<String> {
    if let Some((scheme, rest)) = remote.split_once("://") {
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = authority.rsplit('@').next().unwrap_or_default();
        return (scheme != "file" && !host.is_empty()).then(|| format!("{scheme}://{host}/{path}"));
    }
    // As scp writes it: user@host:path.
    let (host, path) = remote.split_once(':').filter(|(host, _)| !host.contains('/'))?;
    let host = host.rsplit('@').next().unwrap_or_default();
    Some(format!("ssh://{host}/{}", path.trim_start_matches('/')))
}

/// Seconds since 1970 as a time in UTC.
fn rfc3339(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Counted in years that begin in March, so that the day of a leap year is the last one: Howard Hinnant's `civil_from_days`.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_is_told_without_credentials() {
        for (remote, told) in [
            ("https://ada:token@git.example.com/team/m.git", Some("https://git.example.com/team/m.git")),
            ("https://git.example.com:8443/m?token=x", Some("https://git.example.com:8443/m")),
            ("ssh://git@git.example.com/m.git", Some("ssh://git.example.com/m.git")),
            ("git@git.example.com:team/m.git", Some("ssh://git.example.com/team/m.git")),
            ("/srv/git/m.git", None),
            ("../m", None),
            ("file:///srv/git/m.git", None),
        ] {
            assert_eq!(public(remote).as_deref(), told, "{remote}");
        }
    }

    #[test]
    fn times_are_told_in_utc() {
        for (seconds, told) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), told);
        }
    }
}
