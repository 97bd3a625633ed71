//! How a project's YAML asks for its module.
//!
//! Owns the guess which of the repositories that the YAML names stands for what is built here. Must not judge the YAML: `run` does.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::run::build::repository;
use crate::run::{self, yaml};

/// What stands for the project.
#[derive(Debug, PartialEq)]
pub(super) struct Wanted {
    /// With its registry.
    pub repository: String,
    /// Where it is asked for.
    pub files: BTreeSet<PathBuf>,
}

/// How the project's YAML asks for `module`; `None` where it does not. By the repository that is called like it, or the only one that there is.
/// YAML that is about something else, or wrong, is left to `run`, which says so.
///
/// # Errors
/// When it does not say which module is this one.
pub(super) fn wanted(project: &Path, module: &str) -> anyhow::Result<Option<Wanted>> {
    let mut found: Vec<Wanted> = Vec::new();
    let entries = project.read_dir().with_context(|| format!("failed to read {}", project.display()))?;
    for file in entries.flatten().map(|entry| entry.path()).filter(|path| run::is_yaml(path)) {
        let documents = std::fs::read_to_string(&file).ok().and_then(|text| yaml::parse(&file, &text).ok());
        let modules = documents.into_iter().flat_map(|documents| documents.modules);
        let references = modules.filter_map(|module| Some(module.spec.source.oci?.reference));
        for repository in references.filter_map(|reference| repository(&reference).map(str::to_owned)) {
            match found.iter_mut().find(|wanted| wanted.repository == repository) {
                Some(known) => known.files.insert(file.clone()),
                None => {
                    found.push(Wanted { repository, files: BTreeSet::from([file.clone()]) });
                    true
                }
            };
        }
    }
    let named = found.iter().position(|wanted| wanted.repository.rsplit('/').next() == Some(module));
    match (named, found.len()) {
        (_, 0) => Ok(None),
        (Some(index), _) => Ok(Some(found.swap_remove(index))),
        (None, 1) => Ok(found.pop()),
        (None, _) => {
            let all: Vec<&str> = found.iter().map(|wanted| &*wanted.repository).collect();
            bail!(
                "the YAML asks for {}, and none of them is called {module}; name this one's repository so",
                all.join(", ")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(project: &Path) -> anyhow::Result<Option<(String, usize)>> {
        let wanted = wanted(project, "greet")?;
        Ok(wanted.map(|wanted| (wanted.repository, wanted.files.len())))
    }

    #[test]
    fn the_yaml_says_what_the_project_stands_for() {
        let project = tempfile::tempdir().unwrap();
        let save = |name: &str, references: &[&str]| {
            let module = |reference: &&str| {
                format!(
                    "apiVersion: hotbay.dev/v1alpha1\nkind: HandlerModule\nmetadata: {{name: a}}\n\
                     spec: {{source: {{oci: {{reference: \"{reference}\"}}}}}}\n---\n"
                )
            };
            let text: String = references.iter().map(module).collect();
            std::fs::write(project.path().join(name), text).unwrap();
        };
        assert_eq!(asked(project.path()).unwrap(), None);
        std::fs::write(project.path().join("values.yaml"), "{{ .Values }}: [").unwrap();
        assert_eq!(asked(project.path()).unwrap(), None, "what is no YAML of ours is passed over");
        save("a.yaml", &["r.io:5000/team/other:1", "r.io/x@sha256:00"]);
        assert_eq!(asked(project.path()).unwrap(), Some(("r.io:5000/team/other".into(), 1)));
        save("b.yml", &["r.io/team/third:1"]);
        let error = asked(project.path()).unwrap_err().to_string();
        assert!(error.contains("none of them is called greet"), "{error}");
        save("c.yaml", &["r.io/team/greet:1", "r.io/team/greet:2"]);
        save("d.yaml", &["r.io/team/greet:3"]);
        assert_eq!(asked(project.path()).unwrap(), Some(("r.io/team/greet".into(), 2)));
    }
}
