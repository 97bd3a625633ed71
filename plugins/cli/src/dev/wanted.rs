//! How a project's YAML asks for its module.
//!
//! Owns the guess which of the repositories that the YAML names stands for what is built here. Must not judge what
//! it asks for: `run` does.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::run::build::{called, repository};
use crate::run::{self, yaml};

/// What is in every HandlerModule, also in one with a typo.
const GROUP: &str = "hotbay.dev/";

/// What stands for the project. Nothing does where no YAML asks for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Wanted {
    /// With its registry.
    pub repository: Option<String>,
    /// Where it is asked for.
    pub files: BTreeSet<PathBuf>,
}

/// What there is to see in a project's YAML.
#[derive(Debug)]
pub(super) struct Look {
    pub wanted: Wanted,
    /// Files that cannot be taken, and why.
    pub wrong: BTreeMap<PathBuf, String>,
}

/// How the project's YAML asks for `module`: by the repository that is called like it, or the only one that there is. A file that is wrong asks for what it
/// asked for `before`. YAML that is about something else is passed over.
///
/// # Errors
/// When it does not say which module is this one, or when there is no before, and a file that is wrong may be the one that asks for it.
pub(super) fn wanted(project: &Path, module: &str, before: Option<&Wanted>) -> anyhow::Result<Look> {
    let mut found: BTreeMap<String, BTreeSet<PathBuf>> = BTreeMap::new();
    let mut wrong = BTreeMap::new();
    let entries = project.read_dir().with_context(|| format!("failed to read {}", project.display()))?;
    for file in entries.flatten().map(|entry| entry.path()).filter(|path| run::is_yaml(path)) {
        let known = before.filter(|before| before.files.contains(&file));
        let names = repositories(&file, known.is_some()).unwrap_or_else(|error| {
            wrong.insert(file.clone(), format!("{error:#}"));
            known.and_then(|known| known.repository.clone()).into_iter().collect()
        });
        for name in names {
            found.entry(name).or_default().insert(file.clone());
        }
    }
    if before.is_none() && !wrong.is_empty() && !found.keys().any(|name| called(name) == module) {
        let words: Vec<String> = wrong.into_values().collect();
        bail!("{}", words.join("\n"));
    }
    Ok(Look { wanted: choose(found, module)?, wrong })
}

/// The repositories that a file names. `is_known`: it has named the module's before, so that it is about that whatever is in it now.
fn repositories(file: &Path, is_known: bool) -> anyhow::Result<Vec<String>> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if is_known && error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("failed to read {}", file.display()));
        }
        Err(_) => return Ok(Vec::new()),
    };
    let documents = match yaml::parse(file, &text) {
        Ok(documents) => documents,
        Err(error) if is_known || text.contains(GROUP) => return Err(error.into()),
        // A template of something, perhaps.
        Err(_) => return Ok(Vec::new()),
    };
    let references =
        documents.modules.into_iter().filter_map(|module| Some(module.spec.source.oci?.reference));
    Ok(references.filter_map(|reference| repository(&reference).map(str::to_owned)).collect())
}

fn choose(mut found: BTreeMap<String, BTreeSet<PathBuf>>, module: &str) -> anyhow::Result<Wanted> {
    let named = found.keys().find(|repository| called(repository) == module).cloned();
    let only = || found.keys().next().filter(|_| found.len() == 1).cloned();
    let Some(repository) = named.or_else(only) else {
        if found.is_empty() {
            return Ok(Wanted::default());
        }
        let all: Vec<String> = found.into_keys().collect();
        bail!(
            "the YAML asks for {}, and none of them is called {module}; name this one's repository so",
            all.join(", ")
        )
    };
    let files = found.remove(&repository).unwrap_or_default();
    Ok(Wanted { repository: Some(repository), files })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREET: &str = "apiVersion: hotbay.dev/v1alpha1\nkind: HandlerModule\nmetadata: {name: greet}\n\
                         spec: {source: {oci: {reference: \"r.io/team/greet:1\"}}}\n";

    fn asked(project: &Path) -> anyhow::Result<Option<(String, usize)>> {
        let Wanted { repository, files } = wanted(project, "greet", None)?.wanted;
        Ok(repository.map(|repository| (repository, files.len())))
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

    #[test]
    fn yaml_that_is_wrong_from_the_beginning_is_not_passed_over() {
        let project = tempfile::tempdir().unwrap();
        let save = |text: String| std::fs::write(project.path().join("greet-module.yaml"), text).unwrap();
        save(format!("{GREET}a: [\n"));
        let error = asked(project.path()).unwrap_err().to_string();
        assert!(error.contains("greet-module.yaml is not valid YAML: "), "{error}");
        save(GREET.replace("spec: {", "spec: {rutes: [], "));
        let error = asked(project.path()).unwrap_err().to_string();
        assert!(error.contains("unknown field spec.rutes"), "{error}");
        for metadata in ["{name: my_module}", "{}"] {
            save(GREET.replace("{name: greet}", metadata));
            let error = asked(project.path()).unwrap_err().to_string();
            assert!(error.contains("is not a name"), "{metadata}: {error}");
        }
    }

    #[test]
    fn a_neighbour_that_is_wrong_from_the_beginning_is_told_and_holds_nothing_up() {
        let project = tempfile::tempdir().unwrap();
        let save = |name: &str, text: &str| std::fs::write(project.path().join(name), text).unwrap();
        save("chart.yaml", "{{ range .Modules }}\napiVersion: hotbay.dev/v1alpha1\n");
        let error = asked(project.path()).unwrap_err().to_string();
        assert!(error.contains("chart.yaml is not valid YAML: "), "it may be the one: {error}");
        save("other.yaml", &GREET.replace("team/greet", "team/other"));
        assert!(asked(project.path()).is_err(), "the only one that can be read need not be this one's");
        save("greet.yaml", GREET);
        let Look { wanted, wrong } = wanted(project.path(), "greet", None).unwrap();
        assert_eq!(wanted.repository.as_deref(), Some("r.io/team/greet"));
        assert_eq!(wanted.files, BTreeSet::from([project.path().join("greet.yaml")]));
        assert_eq!(wrong.keys().collect::<Vec<_>>(), [&project.path().join("chart.yaml")]);
    }

    #[test]
    fn yaml_that_is_wrong_now_asks_for_what_it_asked_for_before() {
        let project = tempfile::tempdir().unwrap();
        let file = |name: &str| project.path().join(name);
        let other = GREET.replace("team/greet", "team/other");
        std::fs::write(file("greet.yaml"), GREET).unwrap();
        std::fs::write(file("other.yaml"), &other).unwrap();
        let before = wanted(project.path(), "greet", None).unwrap();
        assert_eq!(before.wanted.repository.as_deref(), Some("r.io/team/greet"));
        assert!(before.wrong.is_empty());
        for text in [format!("{GREET}a: ["), "a: [".to_owned(), GREET.replace("hotbay.dev/", "hotbay.de/")] {
            std::fs::write(file("greet.yaml"), &text).unwrap();
            let now = wanted(project.path(), "greet", Some(&before.wanted)).unwrap();
            assert_eq!(now.wanted, before.wanted, "{text}");
            assert_eq!(now.wrong.keys().collect::<Vec<_>>(), [&file("greet.yaml")], "{text}");
        }
        // What never asked for it is named, and asks for nothing.
        std::fs::write(file("greet.yaml"), GREET).unwrap();
        std::fs::write(file("other.yaml"), format!("{other}a: [")).unwrap();
        let now = wanted(project.path(), "greet", Some(&before.wanted)).unwrap();
        assert_eq!(now.wanted, before.wanted);
        assert_eq!(now.wrong.keys().collect::<Vec<_>>(), [&file("other.yaml")]);
    }
}
