//! The manifest that every module carries in an ELF note.
//!
//! Owns its JSON form and what makes it valid. A newer SDK may add fields, so unknown ones are ignored; another version of the whole is an
//! error. Must not know where the bytes lie in the file: `elf` does.

use std::collections::BTreeSet;

use hotbay_abi::MAX_MANIFEST_BYTES;
use hotbay_api::{MAX_ROUTES, PathTemplate, Route, RouteError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version that this library reads.
pub const MANIFEST_VERSION: u32 = 1;

/// The JSON Schema of a manifest, for whoever writes an SDK. It says what [`Manifest::parse`] takes.
pub const SCHEMA: &str = include_str!("../manifest.schema.json");

/// The longest name or version, in bytes: they stand in status columns and log fields.
const MAX_NAME_BYTES: usize = 64;

/// What a module says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always [`MANIFEST_VERSION`].
    pub manifest: u32,
    /// The module's name, for people.
    pub name: String,
    /// The module's own version, for people.
    pub version: String,
    /// Which SDK made it, such as `rust/0.1.0`; empty if it does not say.
    #[serde(default)]
    pub sdk: String,
    /// Its handlers, in the order of the indexes that the ABI calls them by.
    pub handlers: Vec<Handler>,
    /// JSON Schema of its config; without one every config is handed over unchecked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_schema: Option<Value>,
}

/// A handler, and the route that it has if the HandlerModule names none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handler {
    /// Unique in the module.
    pub name: String,
    /// Methods that it answers; empty means every method.
    #[serde(default)]
    pub methods: Vec<String>,
    /// The path template.
    pub path: PathTemplate,
    /// It may hold its thread: its calls run on the runtime's pool for such handlers, not on the threads that serve all modules.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub blocking: bool,
}

/// Why a manifest is refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Too long to read.
    #[error("the manifest has {0} bytes and {MAX_MANIFEST_BYTES} are allowed; shorten the config schema")]
    TooLong(usize),
    /// No manifest at all.
    #[error("the manifest is not valid JSON of version 1")]
    Malformed(#[source] serde_json::Error),
    /// Made by a newer SDK.
    #[error(
        "the manifest has version {0} and version {MANIFEST_VERSION} is read here; upgrade Hotbay, or build with an older SDK"
    )]
    Version(u64),
    /// A name or version that cannot stand in a column.
    #[error(
        "the manifest's {field} {value:?} is not 1 to {MAX_NAME_BYTES} printable ASCII characters without spaces"
    )]
    Name {
        /// Which field.
        field: &'static str,
        /// What it holds, shortened.
        value: String,
    },
    /// None, or too many.
    #[error("the manifest has {0} handlers; a module has 1 to {MAX_ROUTES}")]
    Handlers(usize),
    /// A route could not tell the two apart.
    #[error("the manifest has two handlers called {0:?}; rename one")]
    Twice(String),
    /// Its methods are not methods.
    #[error("the manifest's handler {handler:?} cannot be routed")]
    Route {
        /// Which handler.
        handler: String,
        /// What is wrong with it.
        source: RouteError,
    },
    /// JSON Schema is an object or a boolean.
    #[error("the manifest's configSchema is not a JSON Schema; it must be an object or a boolean")]
    Schema,
}

impl Manifest {
    /// Reads a manifest and checks that it is whole.
    ///
    /// # Errors
    /// Names the first thing that is wrong.
    pub fn parse(json: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Versioned {
            manifest: u64,
        }
        if json.len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLong(json.len()));
        }
        // The version is read first: of another version no other field can be trusted.
        let Versioned { manifest } = serde_json::from_slice(json).map_err(ManifestError::Malformed)?;
        if manifest != u64::from(MANIFEST_VERSION) {
            return Err(ManifestError::Version(manifest));
        }
        let manifest: Self = serde_json::from_slice(json).map_err(ManifestError::Malformed)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The routes that it has by itself, one for each handler.
    pub fn routes(&self) -> Vec<Route> {
        self.handlers.iter().map(Handler::route).collect()
    }

    fn check(&self) -> Result<(), ManifestError> {
        check_name("name", &self.name)?;
        check_name("version", &self.version)?;
        if self.handlers.is_empty() || self.handlers.len() > MAX_ROUTES {
            return Err(ManifestError::Handlers(self.handlers.len()));
        }
        let mut names = BTreeSet::new();
        for handler in &self.handlers {
            check_name("handler name", &handler.name)?;
            if !names.insert(&handler.name) {
                return Err(ManifestError::Twice(handler.name.clone()));
            }
            let refuse = |source| ManifestError::Route { handler: handler.name.clone(), source };
            handler.route().check().map_err(refuse)?;
        }
        match &self.config_schema {
            None | Some(Value::Object(_) | Value::Bool(_)) => Ok(()),
            Some(_) => Err(ManifestError::Schema),
        }
    }
}

impl Handler {
    /// The route that leads to it if nobody says otherwise.
    pub fn route(&self) -> Route {
        Route {
            hostnames: Vec::new(),
            path: self.path.clone(),
            methods: self.methods.clone(),
            handler: self.name.clone(),
        }
    }
}

fn check_name(field: &'static str, value: &str) -> Result<(), ManifestError> {
    let printable = value.bytes().all(|byte| byte.is_ascii_graphic());
    if !value.is_empty() && value.len() <= MAX_NAME_BYTES && printable {
        return Ok(());
    }
    Err(ManifestError::Name { field, value: value.chars().take(MAX_NAME_BYTES).collect() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn whole() -> Value {
        json!({
            "manifest": 1, "name": "hello", "version": "1.0", "sdk": "rust/0.1.0",
            "handlers": [
                {"name": "greet", "methods": ["GET"], "path": "/hello/{name}"},
                {"name": "any", "path": "/", "blocking": true},
            ],
            "configSchema": {"type": "object"}, "fromTheFuture": {"x": 1},
        })
    }

    fn refuses(break_it: fn(&mut Value), words: &str) {
        let mut json = whole();
        break_it(&mut json);
        let error = Manifest::parse(json.to_string().as_bytes()).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(format!("{error}: {source}").contains(words), "{error}: {source} must say {words:?}");
    }

    #[test]
    fn a_whole_manifest_is_read_and_gives_routes() {
        let manifest = Manifest::parse(whole().to_string().as_bytes()).unwrap();
        assert_eq!(manifest.config_schema, Some(json!({"type": "object"})));
        let routes = manifest.routes();
        assert_eq!((routes[0].path.as_str(), routes[0].handler.as_str()), ("/hello/{name}", "greet"));
        assert_eq!(routes[1].methods, Vec::<String>::new());
        assert_eq!([0, 1].map(|index: usize| manifest.handlers[index].blocking), [false, true]);
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        refuses(|json| json["manifest"] = 2.into(), "version 2");
        refuses(|json| json["manifest"] = "1".into(), "not valid JSON");
        refuses(|json| json["name"] = "".into(), "name \"\"");
        refuses(|json| json["name"] = "a b".into(), "printable");
        refuses(|json| json["version"] = "1\n".into(), "version");
        refuses(|json| json["version"] = "1".repeat(65).into(), "64");
        refuses(|json| json["handlers"] = json!([]), "0 handlers");
        refuses(|json| json["handlers"] = vec![json!({"name": "a", "path": "/"}); 65].into(), "65 handlers");
        refuses(|json| json["handlers"][1]["name"] = "greet".into(), "two handlers");
        refuses(|json| json["handlers"][0]["path"] = "hello".into(), "begin with a slash");
        refuses(|json| json["handlers"][0]["methods"][0] = "get".into(), "\"get\"");
        refuses(|json| json["handlers"][0]["methods"] = json!(["GET", "GET"]), "\"GET\" stands there twice");
        refuses(|json| json["configSchema"] = 5.into(), "configSchema");
    }

    #[test]
    fn a_manifest_that_is_too_long_is_not_even_parsed() {
        let error = Manifest::parse(&vec![b'['; MAX_MANIFEST_BYTES + 1]).unwrap_err();
        assert!(matches!(error, ManifestError::TooLong(_)), "{error}");
    }
}
