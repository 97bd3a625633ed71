//! How a registry asks who we are, and what we answer.
//!
//! Owns challenges and tokens. The realm is chosen by the registry, so it may be anyone: it gets the credentials of that one registry and
//! no others, only over TLS (unless the registry itself is plain), and at no address that a registry may not name.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use url::Url;

use crate::credentials::Credential;
use crate::fault::Fault;
use crate::transport::{Ask, Transport, fault_of};

/// Tokens are a few kilobytes.
const MAX_TOKEN_BYTES: u64 = 256 * 1024;

/// What a registry wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// Name and password with each request.
    Basic,
    /// A token from elsewhere.
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

impl Challenge {
    /// The first challenge that we can meet, Bearer before Basic.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let mut challenges: Vec<_> = texts.filter_map(Self::parse).collect();
        challenges.sort_by_key(|challenge| *challenge == Self::Basic);
        challenges.into_iter().next()
    }

    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let parameters = parameters(rest);
        let find =
            |key: &str| parameters.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
        Some(Self::Bearer { realm: find("realm")?, service: find("service"), scope: find("scope") })
    }
}

/// `key="value",key=value`: a comma inside quotes parts nothing.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((key, after)) = rest.split_once('=') {
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        found.push((key.trim_matches([',', ' ']).to_ascii_lowercase(), value.to_owned()));
        rest = next;
    }
    found
}

/// Meets a challenge: what to put into `Authorization`, and nothing if there is nothing to say.
pub(crate) async fn answer(
    transport: &Transport,
    registry: &Url,
    challenge: &Challenge,
    credential: Option<&Credential>,
) -> Result<Option<HeaderValue>, Fault> {
    match challenge {
        Challenge::Basic => credential.map(basic).transpose(),
        Challenge::Bearer { realm, service, scope } => {
            let url = token_url(registry, realm, service.as_deref(), scope.as_deref())?;
            let named = registry.host_str().unwrap_or_default();
            token(transport, named, url, credential).await.map(Some)
        }
    }
}

fn basic(credential: &Credential) -> Result<HeaderValue, Fault> {
    let pair = format!("{}:{}", credential.username, credential.password);
    secret_header(&format!("Basic {}", STANDARD.encode(pair)))
}

fn secret_header(text: &str) -> Result<HeaderValue, Fault> {
    let mut value =
        HeaderValue::from_str(text).map_err(|_| Fault::unreachable("it gave a token that is no text"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn token_url(registry: &Url, realm: &str, service: Option<&str>, scope: Option<&str>) -> Result<Url, Fault> {
    let mut url: Url =
        realm.parse().map_err(|_| Fault::unreachable("it names a token server that is no URL"))?;
    let allowed = url.scheme() == "https" || (url.scheme() == "http" && registry.scheme() == "http");
    if !allowed || !url.username().is_empty() || url.password().is_some() {
        return Err(Fault::unreachable("it names a token server that is not plain https"));
    }
    for (key, value) in [("service", service), ("scope", scope)] {
        if let Some(value) = value {
            url.query_pairs_mut().append_pair(key, value);
        }
    }
    Ok(url)
}

async fn token(
    transport: &Transport,
    named: &str,
    url: Url,
    credential: Option<&Credential>,
) -> Result<HeaderValue, Fault> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
    }
    let authorization = credential.map(basic).transpose()?;
    let response = transport.send(named, &Ask::new(Method::GET, url), authorization.as_ref()).await?;
    match response.status() {
        StatusCode::OK => {}
        // A token server says 400 or 404 to what it does not know; in no case would the artifact be what is missing.
        status if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
            return Err(Fault::Unauthorized);
        }
        status => return Err(fault_of(status)),
    }
    let body = transport.read_body(response, "the token", MAX_TOKEN_BYTES).await?;
    let answer: Answer = serde_json::from_slice(&body)
        .map_err(|_| Fault::unreachable("its token server's answer is not JSON"))?;
    let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| Fault::unreachable("its token server's answer holds no token"))?;
    secret_header(&format!("Bearer {token}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(texts: &[&'static str]) -> Option<Challenge> {
        let pairs = texts.iter().map(|text| (WWW_AUTHENTICATE, HeaderValue::from_static(text)));
        Challenge::of(&pairs.collect())
    }

    #[test]
    fn challenges_are_read() {
        let text =
            r#"Bearer realm="https://auth.example.com/token",service="r",scope="repository:a:pull,push""#;
        let bearer = Challenge::Bearer {
            realm: "https://auth.example.com/token".into(),
            service: Some("r".into()),
            scope: Some("repository:a:pull,push".into()),
        };
        assert_eq!(challenge(&["Basic realm=x", text]), Some(bearer));
        assert_eq!(challenge(&["basic realm=\"x\""]), Some(Challenge::Basic));
        for other in ["", "Negotiate", "Bearer", "Bearer service=\"x\"", "Bearer realm"] {
            assert_eq!(challenge(&[other]), None, "{other:?}");
        }
    }

    #[test]
    fn credentials_go_to_no_plain_token_server_of_a_tls_registry() {
        let url = |registry: &str, realm| token_url(&registry.parse().unwrap(), realm, Some("a b"), None);
        assert_eq!(
            url("https://r.io", "https://a.io/t?x=1").unwrap().as_str(),
            "https://a.io/t?x=1&service=a+b"
        );
        assert!(url("http://r.io", "http://a.io/t").is_ok());
        for realm in ["http://a.io/t", "file:///etc/passwd", "https://u:p@a.io/", "//a.io", "x"] {
            assert!(url("https://r.io", realm).is_err(), "{realm}");
        }
    }
}
