//! Which HandlerModules of a file are for the module that is checked.
//!
//! Owns the rule, which is that of `hotbay dev`: a file may hold a module's neighbours, and what is asked of them says nothing about this one. Must not
//! judge what is asked.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use hotbay_api::HandlerModule;

use crate::run::build::{self, called};
use crate::run::yaml;

/// A file's HandlerModules.
#[derive(Debug, PartialEq)]
pub(super) struct Wanted {
    /// Those that the checked module has to fit.
    pub own: Vec<HandlerModule>,
    /// The others.
    pub others: Vec<HandlerModule>,
}

/// Reads a file.
///
/// # Errors
/// When it cannot be read, is not valid, or holds no HandlerModule.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<HandlerModule>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    let modules = yaml::parse(path, &text)?.modules;
    ensure!(!modules.is_empty(), "{} holds no HandlerModule", path.display());
    Ok(modules)
}

/// Tells apart what is for `module`: the HandlerModules whose repository is called like it, or all if their repositories have one name, in whatever registry.
///
/// # Errors
/// When repositories of several names are asked for, and none of them is called so.
pub(super) fn tell_apart(modules: Vec<HandlerModule>, module: &str) -> anyhow::Result<Wanted> {
    let is_named = |wanted: &HandlerModule| called(repository(wanted)) == module;
    let (own, others): (Vec<_>, Vec<_>) = modules.into_iter().partition(is_named);
    if !own.is_empty() {
        return Ok(Wanted { own, others });
    }
    let asked: BTreeSet<&str> = others.iter().map(repository).collect();
    let names: BTreeSet<&str> = asked.iter().copied().map(called).collect();
    if names.len() > 1 {
        let asked: Vec<&str> = asked.into_iter().collect();
        bail!(
            "--for asks for {}, and none of them is called {module}; name this one's repository so",
            asked.join(", ")
        );
    }
    Ok(Wanted { own: others, others: own })
}

/// The repository that a HandlerModule's module comes from, with its registry; empty where it does not say.
pub(super) fn repository(wanted: &HandlerModule) -> &str {
    let Some(oci) = &wanted.spec.source.oci else { return "" };
    let named = oci.reference.split('@').next().unwrap_or_default();
    // Without a tag, too.
    build::repository(named).unwrap_or(named)
}

#[cfg(test)]
mod tests {
    use hotbay_api::{HandlerModuleSpec, ModuleSource, OciSource};

    use super::*;

    fn asks(reference: &str) -> HandlerModule {
        let source = ModuleSource { oci: Some(OciSource { reference: reference.to_owned() }) };
        HandlerModule::new("m", HandlerModuleSpec { source, ..HandlerModuleSpec::default() })
    }

    fn told(references: &[&str]) -> Result<(Vec<String>, Vec<String>), String> {
        let modules = references.iter().map(|reference| asks(reference)).collect();
        let Wanted { own, others } = tell_apart(modules, "greet").map_err(|error| error.to_string())?;
        let names = |modules: Vec<HandlerModule>| modules.iter().map(|m| repository(m).to_owned()).collect();
        Ok((names(own), names(others)))
    }

    #[test]
    fn a_repository_is_named_with_a_tag_a_digest_a_port_or_none_of_them() {
        for reference in [
            "r.io:5000/greet",
            "r.io:5000/greet:1",
            "r.io:5000/greet@sha256:00",
            "r.io:5000/greet:1@sha256:00",
        ] {
            assert_eq!(repository(&asks(reference)), "r.io:5000/greet", "{reference}");
        }
    }

    #[test]
    fn what_is_called_like_the_module_is_for_it() {
        let both = told(&["r.io/greet:1", "r.io/other:1", "stage.io/team/greet@sha256:00"]).unwrap();
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(both, (owned(&["r.io/greet", "stage.io/team/greet"]), owned(&["r.io/other"])));
    }

    #[test]
    fn a_repository_that_is_alone_is_for_the_module_whatever_it_is_called() {
        assert_eq!(told(&["r.io/other:1", "r.io/other:2"]).unwrap().0.len(), 2);
        assert_eq!(told(&["stage.io/team/other:1", "prod.io/other:1"]).unwrap().0.len(), 2);
        let error = told(&["r.io/other:1", "r.io/third:1"]).unwrap_err();
        assert!(error.contains("r.io/other, r.io/third") && error.contains("is called greet"), "{error}");
    }
}
