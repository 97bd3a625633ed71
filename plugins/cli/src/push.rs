//! `hotbay push`: from a file to a registry.
//!
//! Owns what is checked before anything travels. A file that no runtime can load is refused, where its author sees it; there is no switch
//! to push it all the same. What some runtime may load is pushed, and a warning says which would not.

mod origin;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use hotbay_api::{Platform, PoolLimits, Reason};
use hotbay_artifact::oci::{Annotations, Form, annotation};
use hotbay_artifact::{ModuleFacts, host};
use hotbay_registry::PlatformBuild;

use crate::reference::RegistryArgs;
use crate::{module, out};

/// What to push, and where.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The modules, one for each platform, or the folder of them that `hotbay build --platform` made; several become an index.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where to, with a tag: `registry.example.com/hello:1.0`, or `oci:DIR:NAME` for an image layout.
    #[arg(value_name = "REFERENCE")]
    to: String,
    /// The form of the artifact.
    #[arg(long, value_enum, default_value_t = FormArg::Artifact)]
    form: FormArg,
    /// An annotation of the artifact, instead of what git and the module say; without a value: none. May be given several times.
    #[arg(long = "annotation", value_name = "KEY=VALUE")]
    annotations: Vec<String>,
    /// Speak plain HTTP with the reference's registry.
    #[arg(long)]
    plain_http: bool,
    #[command(flatten)]
    registry: RegistryArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormArg {
    /// One raw layer, as `oras push` makes.
    Artifact,
    /// One tar+gzip layer with /module.so, as `FROM scratch` makes.
    Image,
}

/// Pushes and prints the reference by digest.
///
/// # Errors
/// When a file is no module, or the registry refuses.
pub fn run(args: Args) -> anyhow::Result<()> {
    let Args { files, to, form, annotations: asked, plain_http, registry } = args;
    let files = modules_in(&files)?;
    let mut builds: Vec<PlatformBuild> = Vec::with_capacity(files.len());
    let mut annotations =
        match files.first().and_then(|file| file.canonicalize().ok()?.parent().map(Path::to_owned)) {
            Some(folder) => origin::annotations(&folder)?,
            None => Annotations::new(),
        };
    for file in &files {
        let (bytes, facts) = module::read_servable(file)?;
        let build = PlatformBuild { platform: facts.platform.clone(), bytes };
        for warning in warnings(&facts, build.bytes.len() as u64) {
            out::say(format_args!("warning: {}: {warning}", file.display()));
        }
        annotations.insert(annotation::TITLE.to_owned(), format!("{}.so", facts.manifest.name));
        annotations.insert(annotation::VERSION.to_owned(), facts.manifest.version);
        ensure!(
            builds.iter().all(|other| other.platform != build.platform),
            "{} is a second build for {}; push one for each platform",
            file.display(),
            build.platform
        );
        builds.push(build);
    }
    // In one order, so that the order in which they are named changes no digest.
    builds.sort_by_key(|build| build.platform.to_string());
    annotate(&mut annotations, &asked)?;
    let form = match form {
        FormArg::Artifact => Form::Artifact,
        FormArg::Image => Form::Image,
    };
    let client = registry.client(plain_http.then(|| host_of(&to).to_owned()))?;
    let pushed = crate::run::runtime()?.block_on(client.push(&to, &builds, form, &annotations));
    let digest = pushed.with_context(|| format!("failed to push {to}"))?;
    out::line(format_args!("{to}@{digest}"))
}

/// The files; for a folder the modules in it and in the folders there, one for each platform.
fn modules_in(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut found = objects(path)?;
        for folder in children(path)?.into_iter().filter(|child| child.is_dir()) {
            found.extend(objects(&folder)?);
        }
        ensure!(
            !found.is_empty(),
            "there is no .so in {}; `hotbay build --platform …` makes them",
            path.display()
        );
        files.extend(found);
    }
    Ok(files)
}

fn objects(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let is_object =
        |path: &PathBuf| path.is_file() && path.extension().is_some_and(|extension| extension == "so");
    Ok(children(folder)?.into_iter().filter(is_object).collect())
}

fn children(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let read = std::fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))?;
    let mut paths: Vec<PathBuf> = read.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

/// What is asked for goes before what was found out.
fn annotate(annotations: &mut Annotations, asked: &[String]) -> anyhow::Result<()> {
    for text in asked {
        let (key, value) = text
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .with_context(|| format!("--annotation {text:?} is not KEY=VALUE"))?;
        if value.is_empty() {
            annotations.remove(key);
        } else {
            annotations.insert(key.to_owned(), value.to_owned());
        }
    }
    Ok(())
}

/// What the runtimes of our images, or pools with default limits, would refuse.
fn warnings(facts: &ModuleFacts, bytes: u64) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(needed) = facts.min_glibc.filter(|needed| *needed > host::IMAGE_GLIBC) {
        warnings.push(format!(
            "{}: it needs glibc {needed} and Hotbay's images have {image}; build it on a system with glibc {image} or older",
            Reason::LibcTooOld,
            image = host::IMAGE_GLIBC
        ));
    }
    let missing: Vec<&str> =
        facts.needed.iter().map(String::as_str).filter(|name| !host::library_exists(name)).collect();
    // Of another machine's libraries nothing is known here.
    if facts.platform == Platform::current() && !missing.is_empty() {
        warnings.push(format!(
            "{}: it needs {}, which this machine does not have; link statically what is not libc",
            Reason::DependencyMissing,
            missing.join(", ")
        ));
    }
    warnings.extend(too_large(bytes).map(|words| format!("{}: {words}", Reason::TooLarge)));
    warnings
}

/// What is said of a build that is larger than pools take by default.
pub(crate) fn too_large(bytes: u64) -> Option<String> {
    let limit = PoolLimits::default().max_artifact_size;
    let words = format!(
        "it has {bytes} bytes and a pool takes {limit} by default (spec.limits.maxArtifactSize); strip it, or build it for size"
    );
    (bytes > limit.0).then_some(words)
}

/// The registry's host in a reference.
pub(crate) fn host_of(reference: &str) -> &str {
    reference.split('/').next().unwrap_or_default()
}
