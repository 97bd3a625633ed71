//! Where `hotbay run` finds what was built.
//!
//! Owns a private image layout that stands for the repository which the project's YAML names, or a folder of drop-ins where no YAML asks for a
//! module. Keeps the last two builds.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use hotbay_api::Digest;
use hotbay_artifact::oci::{Annotations, Form};
use hotbay_registry::{Client, Options, PlatformBuild};

use crate::run::{self, yaml};

/// What is no build: manifests and configs.
const SMALL: u64 = 16 * 1024;

/// See the module.
pub(super) struct Shelf {
    project: PathBuf,
    folder: PathBuf,
    /// The repository that stands for the project, and where it is asked for; `None`: nowhere.
    wanted: Option<Wanted>,
    /// What lies on it: the last build and the one before.
    builds: Vec<Digest>,
}

/// How the YAML asks for the project's module.
#[derive(Debug, PartialEq)]
struct Wanted {
    /// With its registry.
    repository: String,
    tags: BTreeSet<String>,
    files: BTreeSet<PathBuf>,
}

impl Shelf {
    /// An empty one in `folder`, for the project in `project`.
    pub fn new(project: &Path, folder: PathBuf) -> Self {
        Self { project: project.to_owned(), folder, wanted: None, builds: Vec::new() }
    }

    /// What `run` is to serve.
    pub fn paths(&self) -> Vec<PathBuf> {
        match &self.wanted {
            Some(wanted) => wanted.files.iter().cloned().collect(),
            None => vec![self.folder.clone()],
        }
    }

    /// What `run` is to look for here.
    pub fn mirror(&self) -> Option<String> {
        self.wanted.as_ref().map(|wanted| format!("{}=oci:{}", wanted.repository, self.folder.display()))
    }

    /// Puts a build there, under every tag that the YAML asks for now; whether it is another than before.
    ///
    /// # Errors
    /// When it is no module, there is no room for it, or the YAML does not say which module is this one.
    pub fn put(&mut self, module: &Path) -> anyhow::Result<bool> {
        let (bytes, facts) = crate::module::read(module)?;
        let wanted = wanted(&self.project, &facts.manifest.name)?;
        let repository = |wanted: &Option<Wanted>| wanted.as_ref().map(|wanted| wanted.repository.clone());
        // `run` was told once where to look.
        ensure!(
            self.builds.is_empty() || repository(&wanted) == repository(&self.wanted),
            "the YAML asks for {} now, and for {} when this began; end it and begin again",
            repository(&wanted).as_deref().unwrap_or("no module"),
            repository(&self.wanted).as_deref().unwrap_or("no module")
        );
        let digest = Digest::of(&bytes);
        let is_new = self.builds.last() != Some(&digest);
        if !is_new && wanted == self.wanted {
            return Ok(false);
        }
        match &wanted {
            Some(wanted) => {
                self.push(wanted, &PlatformBuild { platform: facts.platform, bytes })?;
            }
            None => {
                let incoming = self.folder.join("incoming");
                let place = self.folder.join(format!("{}.so", facts.manifest.name));
                std::fs::write(&incoming, &bytes)
                    .and_then(|()| std::fs::rename(&incoming, &place))
                    .with_context(|| format!("failed to write {}", place.display()))?;
            }
        }
        self.wanted = wanted;
        if is_new {
            self.builds.push(digest);
            self.clean();
        }
        Ok(is_new)
    }

    fn push(&self, wanted: &Wanted, build: &PlatformBuild) -> anyhow::Result<()> {
        let client = Client::new(Options { layouts: true, ..Options::default() });
        run::runtime()?.block_on(async {
            for tag in &wanted.tags {
                let to = format!("oci:{}:{tag}", self.folder.display());
                client.push(&to, std::slice::from_ref(build), Form::Artifact, &Annotations::new()).await?;
            }
            Ok(())
        })
    }

    /// Removes builds before the last two: `run` may still be copying the one before.
    fn clean(&mut self) {
        let old = self.builds.len().saturating_sub(2);
        self.builds.drain(..old);
        let kept: BTreeSet<String> = self.builds.iter().map(|digest| digest.hex().to_string()).collect();
        let blobs = self.folder.join("blobs/sha256").read_dir().into_iter().flatten().flatten();
        for blob in blobs {
            let is_build = blob.metadata().is_ok_and(|about| about.len() > SMALL);
            if is_build && !blob.file_name().to_str().is_some_and(|name| kept.contains(name)) {
                // What stays costs room and nothing else.
                let _ = std::fs::remove_file(blob.path());
            }
        }
    }
}

/// How the project's YAML asks for `module`: by the repository that is called like it, or the only one that there is. YAML that is about something
/// else, or wrong, is left to `run`, which says so.
fn wanted(project: &Path, module: &str) -> anyhow::Result<Option<Wanted>> {
    let mut found: Vec<Wanted> = Vec::new();
    let entries = project.read_dir().with_context(|| format!("failed to read {}", project.display()))?;
    for file in entries.flatten().map(|entry| entry.path()).filter(|path| run::is_yaml(path)) {
        let documents = std::fs::read_to_string(&file).ok().and_then(|text| yaml::parse(&file, &text).ok());
        let modules = documents.into_iter().flat_map(|documents| documents.modules);
        let references = modules.filter_map(|module| Some(module.spec.source.oci?.reference));
        for (repository, tag) in references.filter_map(|reference| split(&reference)) {
            let known = found.iter().position(|wanted| wanted.repository == repository);
            let index = known.unwrap_or(found.len());
            if known.is_none() {
                found.push(Wanted { repository, tags: BTreeSet::new(), files: BTreeSet::new() });
            }
            found[index].tags.insert(tag);
            found[index].files.insert(file.clone());
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

/// Repository and tag of a reference; a digest names one build for ever, so that none of these can be meant.
fn split(reference: &str) -> Option<(String, String)> {
    let (repository, tag) = reference.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'))?;
    (!repository.contains('@')).then(|| (repository.to_owned(), tag.to_owned()))
}

/// A folder for this process's builds. What killed ones have left is removed.
///
/// # Errors
/// When it cannot be made.
pub(super) fn private_folder() -> anyhow::Result<PathBuf> {
    let all = run::cache_folder()?.join("hotbay/dev");
    for left in all.read_dir().into_iter().flatten().flatten() {
        let pid = left.file_name();
        if !Path::new("/proc").join(&pid).exists() {
            let _ = std::fs::remove_dir_all(left.path());
        }
    }
    let own = all.join(std::process::id().to_string());
    std::fs::create_dir_all(&own).with_context(|| format!("failed to make {}", own.display()))?;
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(project: &Path) -> anyhow::Result<Option<(String, Vec<String>)>> {
        let wanted = wanted(project, "greet")?;
        Ok(wanted.map(|wanted| (wanted.repository, wanted.tags.into_iter().collect())))
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
        assert_eq!(asked(project.path()).unwrap(), Some(("r.io:5000/team/other".into(), vec!["1".into()])));
        save("b.yml", &["r.io/team/third:1"]);
        let error = asked(project.path()).unwrap_err().to_string();
        assert!(error.contains("none of them is called greet"), "{error}");
        save("c.yaml", &["r.io/team/greet:1", "r.io/team/greet:2"]);
        let tags = vec!["1".into(), "2".into()];
        assert_eq!(asked(project.path()).unwrap(), Some(("r.io/team/greet".into(), tags)));
    }
}
