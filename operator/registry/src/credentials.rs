//! What we say who we are, for each registry.
//!
//! Owns the reading of Docker's configuration file and of the helpers that it names. A password is never shown: these types do not
//! implement `Debug`'s usual form.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::fault::Fault;

/// Of a configuration file, and of a helper's answer.
const MAX_BYTES: u64 = 1024 * 1024;

/// A helper may unlock a keyring, but nobody is there to type.
const HELPER_TIMEOUT: Duration = Duration::from_secs(20);

/// What Docker calls its own registry in its file.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// Where credentials come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// There are none.
    #[default]
    Anonymous,
    /// A file in the form of `~/.docker/config.json`; if it does not exist, there are none.
    DockerConfig(PathBuf),
}

/// For one registry.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Credential {
    #[serde(rename = "Username")]
    pub(crate) username: String,
    #[serde(rename = "Secret")]
    pub(crate) password: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(..)")
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DockerConfig {
    auths: BTreeMap<String, AuthEntry>,
    creds_store: Option<String>,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AuthEntry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

impl Credentials {
    /// The file that Docker itself would read: `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`.
    pub fn docker_default() -> Self {
        let folder = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
        let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".docker"));
        folder.or_else(home).map_or(Self::Anonymous, |folder| Self::DockerConfig(folder.join("config.json")))
    }

    /// For `registry`, written as in a reference. A helper goes before what is in the file, as with Docker.
    pub(crate) async fn find(&self, registry: &str) -> Result<Option<Credential>, Fault> {
        let Self::DockerConfig(path) = self else { return Ok(None) };
        let Some(config) = read_config(path).await? else { return Ok(None) };
        let keys = keys(registry);
        let helper =
            keys.iter().find_map(|key| config.cred_helpers.get(*key)).or(config.creds_store.as_ref());
        if let Some(helper) = helper
            && let Some(credential) = ask_helper(helper, keys[0]).await?
        {
            return Ok(Some(credential));
        }
        let entry = config.auths.iter().find(|(key, _)| keys.contains(&normal(key)));
        entry.map_or(Ok(None), |(_, entry)| entry.credential())
    }
}

/// What a registry may be called in the file; the first is what a helper is asked for.
fn keys(registry: &str) -> Vec<&str> {
    if registry == "docker.io" { vec![DOCKER_HUB_KEY, "index.docker.io", registry] } else { vec![registry] }
}

/// A key without the scheme and the API's version. One with another path is for a part of the registry, and stays as it is: its
/// credentials are not for the whole.
fn normal(key: &str) -> &str {
    let host = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    match host.split_once('/') {
        Some((host, "" | "v1" | "v1/" | "v2" | "v2/")) => host,
        _ => host,
    }
}

impl AuthEntry {
    fn credential(&self) -> Result<Option<Credential>, Fault> {
        if let (Some(username), Some(password)) = (&self.username, &self.password) {
            return Ok(Some(Credential { username: username.clone(), password: password.clone() }));
        }
        let Some(auth) = self.auth.as_ref().filter(|auth| !auth.is_empty()) else { return Ok(None) };
        let pair = STANDARD.decode(auth).ok().and_then(|pair| String::from_utf8(pair).ok());
        let pair = pair.as_deref().and_then(|pair| pair.split_once(':'));
        let (username, password) = pair.ok_or_else(|| {
            Fault::unreachable("an auth of the Docker configuration is not base64 of name:password")
        })?;
        Ok(Some(Credential {
            username: username.to_owned(),
            password: password.trim_end_matches('\0').to_owned(),
        }))
    }
}

async fn read_config(path: &Path) -> Result<Option<DockerConfig>, Fault> {
    let unreadable = |why: &dyn fmt::Display| {
        Fault::unreachable(format!("failed to read credentials from {}: {why}", path.display()))
    };
    let file = match tokio::fs::File::open(path).await {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(&error)),
    };
    let mut json = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut json).await.map_err(|error| unreadable(&error))?;
    // serde_json's messages name a type and a place, and may quote a value: only the place is kept.
    serde_json::from_slice(&json).map(Some).map_err(|error| {
        unreadable(&format_args!("not valid at line {} column {}", error.line(), error.column()))
    })
}

/// Asks `docker-credential-<helper> get`. `None` if it knows nothing of the registry.
async fn ask_helper(helper: &str, registry: &str) -> Result<Option<Credential>, Fault> {
    let plain = helper.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if helper.is_empty() || !plain {
        return Err(Fault::unreachable(format!("{helper:?} is not the name of a credential helper")));
    }
    let program = format!("docker-credential-{helper}");
    let failed = |why: String| Fault::unreachable(format!("{program} failed: {why}"));
    let asked = tokio::time::timeout(HELPER_TIMEOUT, run_helper(&program, registry)).await;
    let (success, output) = asked
        .map_err(|_| failed(format!("no answer in {} s", HELPER_TIMEOUT.as_secs())))?
        .map_err(|error| failed(error.to_string()))?;
    if !success {
        // The protocol has this one sentence for "there is none"; the output of another failure may hold anything.
        let none = String::from_utf8_lossy(&output).contains("credentials not found");
        return if none { Ok(None) } else { Err(failed("it ended with an error".to_owned())) };
    }
    serde_json::from_slice(&output).map(Some).map_err(|_| failed("its answer is not a credential".to_owned()))
}

async fn run_helper(program: &str, registry: &str) -> std::io::Result<(bool, Vec<u8>)> {
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(registry.as_bytes()).await?;
    }
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MAX_BYTES).read_to_end(&mut output).await?;
    }
    Ok((child.wait().await?.success(), output))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    async fn find(json: &str, registry: &str) -> Result<Option<(String, String)>, Fault> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, json).unwrap();
        let found = Credentials::DockerConfig(path).find(registry).await?;
        Ok(found.map(|credential| (credential.username, credential.password)))
    }

    #[tokio::test]
    async fn auths_are_found_under_each_spelling_of_their_registry_and_no_other() {
        let pair = Some(("me".to_owned(), "a:b".to_owned()));
        let auth = STANDARD.encode("me:a:b");
        for key in ["r.io:5000", "https://r.io:5000", "http://r.io:5000/v1/", "https://r.io:5000/v2/"] {
            let json = format!(
                r#"{{"auths": {{"{key}": {{"auth": "{auth}"}}, "z.io": {{}}}}, "HttpHeaders": {{}}}}"#
            );
            assert_eq!(find(&json, "r.io:5000").await.unwrap(), pair, "{key}");
            assert_eq!(find(&json, "r.io").await.unwrap(), None);
            assert_eq!(find(&json, "z.io").await.unwrap(), None);
        }
        let part = format!(r#"{{"auths": {{"r.io/team": {{"auth": "{auth}"}}}}}}"#);
        assert_eq!(find(&part, "r.io").await.unwrap(), None, "credentials of a part are not for the whole");
        let hub = format!(r#"{{"auths": {{"{DOCKER_HUB_KEY}": {{"auth": "{auth}"}}}}}}"#);
        assert_eq!(find(&hub, "docker.io").await.unwrap(), pair);
    }

    #[tokio::test]
    async fn no_file_is_no_credentials_and_a_broken_one_is_an_error_that_quotes_nothing() {
        let none = Credentials::DockerConfig("/nonexistent/config.json".into());
        assert_eq!(none.find("r.io").await.unwrap(), None);
        for json in ["{", r#"{"auths": "hunter2"}"#, r#"{"auths": {"r.io": {"auth": "hunter2!"}}}"#] {
            let Err(Fault::Unreachable(error)) = find(json, "r.io").await else {
                panic!("{json} must be refused")
            };
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        let helper = find(r#"{"credsStore": "../../bin/sh"}"#, "r.io").await;
        assert!(matches!(helper, Err(Fault::Unreachable(_))), "a helper's name is no path");
    }

    #[tokio::test]
    async fn a_helper_is_asked_and_may_know_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("docker-credential-test");
        let script = "#!/bin/sh\nread registry\n[ \"$1 $registry\" = 'get r.io' ] || { echo credentials not found in native keychain; exit 1; }\n\
            echo '{\"ServerURL\": \"r.io\", \"Username\": \"u\", \"Secret\": \"s\"}'\n";
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let program = program.to_str().unwrap();
        let (success, output) = run_helper(program, "r.io\n").await.unwrap();
        let credential: Credential = serde_json::from_slice(&output).unwrap();
        assert_eq!((success, credential.username.as_str(), credential.password.as_str()), (true, "u", "s"));
        let (success, output) = run_helper(program, "other.io\n").await.unwrap();
        assert!(!success && String::from_utf8(output).unwrap().contains("credentials not found"));
    }
}
