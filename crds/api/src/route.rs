//! Routes: what a path template is, and who wins when two modules want the same requests.
//!
//! Owns the syntax (axum's: `/users/{id}`, `/files/{*rest}`) and the order of precedence, because operator and engine must
//! decide alike. Must not match requests: the engine does.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::EntryKey;

/// The most routes that one module may have.
pub const MAX_ROUTES: usize = 64;

/// The most hostnames that one route may have.
pub(crate) const MAX_HOSTNAMES: usize = 16;

/// The longest path template, in bytes. Gateway API's limit for a path match.
const MAX_PATH: usize = 1024;

/// The methods that a route may name: those of RFC 9110 and PATCH. CONNECT is not routed.
pub(crate) const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"];

/// A route in force: every field is settled.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// Hosts that it answers for, exact or `*.example.com`; empty means every host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// The path template.
    pub path: PathTemplate,
    /// Methods that it answers; empty means every method. HEAD follows GET.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// The name of the module's handler.
    pub handler: String,
}

/// A parsed path template. Displays as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathTemplate {
    text: String,
    segments: Vec<Segment>,
}

/// A part of a path between slashes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// These bytes, raw: percent-encoding is not undone.
    Static(String),
    /// `{name}`: one segment, not empty.
    Parameter(String),
    /// `{*name}`: all that is left, not empty. Last only.
    Wildcard(String),
}

/// Who wins a route that two modules want: the lesser, that is the older object, then by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Precedence {
    /// Creation time as Kubernetes writes it (RFC 3339, UTC, whole seconds), which sorts as text.
    pub created: String,
    /// The module.
    pub key: EntryKey,
}

/// Why a route is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The path is not a template.
    #[error("path {path:?} is not valid: {why}")]
    Path {
        /// What was written, shortened.
        path: String,
        /// What to change.
        why: &'static str,
    },
    /// The hostname is neither exact nor `*.` and a name.
    #[error("hostname {0:?} is not valid; write example.com or *.example.com, in lower case, without a port")]
    Hostname(String),
    /// The method is none that can be routed.
    #[error("method {0:?} cannot be routed; use one of GET HEAD POST PUT DELETE OPTIONS TRACE PATCH")]
    Method(String),
    /// More than the API takes.
    #[error("it has {count} hostnames and {MAX_HOSTNAMES} are allowed; split the route")]
    Hostnames {
        /// How many.
        count: usize,
    },
    /// The same hostname or method again.
    #[error("{0:?} stands there twice; remove one")]
    Twice(String),
}

impl Route {
    /// Checks what the types do not: hostnames and methods.
    ///
    /// # Errors
    /// Names the first part that is not valid.
    pub fn check(&self) -> Result<(), RouteError> {
        let count = self.hostnames.len();
        if count > MAX_HOSTNAMES {
            return Err(RouteError::Hostnames { count });
        }
        for hostname in &self.hostnames {
            check_hostname(hostname)?;
        }
        if let Some(method) = self.methods.iter().find(|method| !METHODS.contains(&method.as_str())) {
            return Err(RouteError::Method(method.chars().take(40).collect()));
        }
        // Without repetition there are no more methods than there are.
        once(&self.hostnames)?;
        once(&self.methods)
    }

    /// What two routes must share to be in conflict: one text for each pair of hostname and method. `*` stands for "every".
    /// An "every method" route conflicts only with another such: a route that names its methods is the more specific.
    pub fn claims(&self) -> BTreeSet<String> {
        let every = ["*".to_owned()];
        let hostnames = if self.hostnames.is_empty() { &every[..] } else { &self.hostnames };
        let methods = if self.methods.is_empty() { &every[..] } else { &self.methods };
        let shape = self.path.shape();
        hostnames
            .iter()
            .flat_map(|hostname| methods.iter().map(move |method| (hostname, method)))
            .map(|(hostname, method)| format!("{method} {hostname}{shape}"))
            .collect()
    }
}

fn once(items: &[String]) -> Result<(), RouteError> {
    let mut seen = BTreeSet::new();
    match items.iter().find(|item| !seen.insert(*item)) {
        Some(item) => Err(RouteError::Twice(item.clone())),
        None => Ok(()),
    }
}

fn check_hostname(hostname: &str) -> Result<(), RouteError> {
    let name = hostname.strip_prefix("*.").unwrap_or(hostname);
    let valid = hostname.len() <= 253 && !name.is_empty() && name.split('.').all(crate::names::is_dns_label);
    if valid { Ok(()) } else { Err(RouteError::Hostname(hostname.chars().take(80).collect())) }
}

impl PathTemplate {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its parts, in order. `/` has none; a trailing slash is a last, empty static part.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The names of its parameters, in order.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Static(_) => None,
            Segment::Parameter(name) | Segment::Wildcard(name) => Some(name.as_str()),
        })
    }

    /// The template without the names of its parameters: two templates of one shape match the same paths.
    pub fn shape(&self) -> String {
        if self.segments.is_empty() {
            return "/".to_owned();
        }
        self.segments.iter().fold(String::new(), |shape, segment| match segment {
            Segment::Static(text) => shape + "/" + text,
            Segment::Parameter(_) => shape + "/{}",
            Segment::Wildcard(_) => shape + "/{*}",
        })
    }
}

impl FromStr for PathTemplate {
    type Err = RouteError;

    fn from_str(text: &str) -> Result<Self, RouteError> {
        let refuse = |why| RouteError::Path { path: text.chars().take(80).collect(), why };
        let rest = text.strip_prefix('/').ok_or_else(|| refuse("it must begin with a slash"))?;
        if text.len() > MAX_PATH {
            return Err(refuse("it is longer than 1,024 bytes"));
        }
        // The characters that RFC 3986 keeps out of a path, but for braces, which are ours.
        if text.bytes().any(|byte| !byte.is_ascii_graphic() || b"?#\"<>\\^`|".contains(&byte)) {
            return Err(refuse("it has a character that cannot stand in a URL path; percent-encode it"));
        }
        if rest.is_empty() {
            return Ok(Self { text: text.to_owned(), segments: Vec::new() });
        }
        let parts: Vec<&str> = rest.split('/').collect();
        let mut segments = Vec::with_capacity(parts.len());
        let mut names = BTreeSet::new();
        for (index, part) in parts.iter().enumerate() {
            let segment = segment(part, index + 1 == parts.len()).map_err(refuse)?;
            if let Segment::Parameter(name) | Segment::Wildcard(name) = &segment
                && !names.insert(name.clone())
            {
                return Err(refuse("two parameters have the same name"));
            }
            segments.push(segment);
        }
        Ok(Self { text: text.to_owned(), segments })
    }
}

fn segment(part: &str, last: bool) -> Result<Segment, &'static str> {
    let Some(inner) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else {
        return match part {
            "" if !last => Err("it has an empty segment (two slashes in a row)"),
            "." | ".." => Err("it has a dot segment; write the path that is meant"),
            _ if part.contains(['{', '}']) => Err("a parameter must be a whole segment, as in /users/{id}"),
            _ => Ok(Segment::Static(part.to_owned())),
        };
    };
    let (name, wildcard) = match inner.strip_prefix('*') {
        Some(name) => (name, true),
        None => (inner, false),
    };
    let mut letters = name.bytes();
    let named = letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && letters.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match (named, wildcard) {
        (false, _) => Err("a parameter's name is letters, digits and underscores, as in {user_id}"),
        (true, true) if !last => Err("a wildcard parameter must be the last segment"),
        (true, true) => Ok(Segment::Wildcard(name.to_owned())),
        (true, false) => Ok(Segment::Parameter(name.to_owned())),
    }
}

impl fmt::Display for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for PathTemplate {
    type Error = RouteError;

    fn try_from(text: String) -> Result<Self, RouteError> {
        text.parse()
    }
}

impl From<PathTemplate> for String {
    fn from(path: PathTemplate) -> Self {
        path.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str, hostnames: &[&str], methods: &[&str]) -> Route {
        Route {
            hostnames: hostnames.iter().map(|&name| name.to_owned()).collect(),
            path: path.parse().unwrap(),
            methods: methods.iter().map(|&name| name.to_owned()).collect(),
            handler: "h".to_owned(),
        }
    }

    #[test]
    fn templates_have_segments_and_a_shape() {
        let path: PathTemplate = "/users/{id}/files/{*rest}".parse().unwrap();
        assert_eq!(path.shape(), "/users/{}/files/{*}");
        assert_eq!(path.parameters().collect::<Vec<_>>(), ["id", "rest"]);
        assert_eq!("/".parse::<PathTemplate>().unwrap().shape(), "/");
        assert_eq!("/tree/".parse::<PathTemplate>().unwrap().shape(), "/tree/");
    }

    #[test]
    fn bad_templates_are_refused() {
        for path in [
            "",
            "hello",
            "/a//b",
            "/a?b",
            "/a b",
            "/a/../b",
            "/{}",
            "/{1}",
            "/x{id}",
            "/{id}x",
            "/{*rest}/x",
            "/{id}/{id}",
            "/é",
            "/{{id}}",
        ] {
            assert!(path.parse::<PathTemplate>().is_err(), "{path:?} must be refused");
        }
    }

    #[test]
    fn hostnames_and_methods_are_checked() {
        assert_eq!(route("/", &["example.com", "*.example.com"], &["GET", "PATCH"]).check(), Ok(()));
        for hostname in ["", "*", "*.", "Example.com", "a.*.b", "example.com:80", "a..b"] {
            assert!(route("/", &[hostname], &[]).check().is_err(), "{hostname:?} must be refused");
        }
        assert!(route("/", &[], &["get"]).check().is_err());
        assert!(route("/", &[], &["CONNECT"]).check().is_err());
    }

    #[test]
    fn what_the_api_server_would_refuse_is_refused_here_too() {
        let error =
            |hostnames: &[&str], methods: &[&str]| route("/", hostnames, methods).check().unwrap_err();
        assert_eq!(error(&[], &["GET", "GET"]), RouteError::Twice("GET".into()));
        assert_eq!(error(&["a.b", "c.d", "a.b"], &[]), RouteError::Twice("a.b".into()));
        assert_eq!(error(&["a.b"; 17], &[]), RouteError::Hostnames { count: 17 });
        assert_eq!(error(&[], &["GET"; 1000]), RouteError::Twice("GET".into()));
    }

    #[test]
    fn claims_ignore_the_names_of_parameters() {
        assert_eq!(route("/u/{id}", &[], &["GET"]).claims(), route("/u/{name}", &[], &["GET"]).claims());
        assert!(route("/u", &[], &["GET"]).claims().is_disjoint(&route("/u", &[], &["POST"]).claims()));
        assert!(route("/u", &["a.b"], &[]).claims().is_disjoint(&route("/u", &[], &[]).claims()));
    }

    #[test]
    fn the_older_module_goes_first() {
        let at = |created: &str, name| Precedence {
            created: created.into(),
            key: EntryKey::new("ns", name).unwrap(),
        };
        assert!(at("2026-01-01T00:00:00Z", "z") < at("2026-01-02T00:00:00Z", "a"));
        assert!(at("2026-01-01T00:00:00Z", "a") < at("2026-01-01T00:00:00Z", "b"));
    }
}
