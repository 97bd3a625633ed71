//! `hotbay push`: from a file to a registry.
//!
//! Owns what is checked before anything travels: a file that no runtime would load is refused here, where its author sees it.

use std::path::PathBuf;

use anyhow::Context as _;
use bytes::Bytes;
use clap::ValueEnum;
use hotbay_artifact::oci::{Annotations, Form, annotation};
use hotbay_artifact::{ModuleFacts, check_abi};
use hotbay_registry::PlatformBuild;

use crate::reference::RegistryArgs;

/// What to push, and where.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The modules, one for each platform; several become an index.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where to, with a tag: `registry.example.com/hello:1.0`, or `oci:DIR:NAME` for an image layout.
    #[arg(value_name = "REFERENCE")]
    to: String,
    /// The form of the artifact.
    #[arg(long, value_enum, default_value_t = FormArg::Artifact)]
    form: FormArg,
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
    let Args { files, to, form, plain_http, registry } = args;
    let mut builds = Vec::with_capacity(files.len());
    let mut annotations = Annotations::new();
    for file in &files {
        let (build, facts) = read(file)?;
        annotations.insert(annotation::TITLE.to_owned(), format!("{}.so", facts.manifest.name));
        annotations.insert(annotation::VERSION.to_owned(), facts.manifest.version);
        builds.push(build);
    }
    let form = match form {
        FormArg::Artifact => Form::Artifact,
        FormArg::Image => Form::Image,
    };
    let client = registry.client(plain_http.then(|| host_of(&to).to_owned()))?;
    let pushed = crate::run::runtime()?.block_on(client.push(&to, &builds, form, &annotations));
    let digest = pushed.with_context(|| format!("failed to push {to}"))?;
    println!("{to}@{digest}");
    Ok(())
}

fn read(file: &PathBuf) -> anyhow::Result<(PlatformBuild, ModuleFacts)> {
    let bytes =
        Bytes::from(std::fs::read(file).with_context(|| format!("failed to read {}", file.display()))?);
    let facts = ModuleFacts::read(&bytes).with_context(|| format!("{} is no module", file.display()))?;
    check_abi(facts.abi).with_context(|| format!("{} cannot be served", file.display()))?;
    Ok((PlatformBuild { platform: facts.platform.clone(), bytes }, facts))
}

/// The registry's host in a reference.
pub(crate) fn host_of(reference: &str) -> &str {
    reference.split('/').next().unwrap_or_default()
}
