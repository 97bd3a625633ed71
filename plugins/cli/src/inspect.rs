//! `hotbay inspect`: what a module is, read from its bytes and never run.
//!
//! Owns the text that people read. Must not load anything.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use hotbay_api::{Digest, Reason};
use hotbay_artifact::{Host, ModuleFacts, check, host};
use hotbay_pipeline::Source as _;

use crate::push::{host_of, too_large};
use crate::reference::RegistryArgs;
use crate::{module, out};

/// Which module.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A file, or a reference such as registry.example.com/hello:1.0 or oci:DIR:NAME.
    #[arg(value_name = "FILE-or-REFERENCE")]
    what: String,
    /// Speak plain HTTP with the reference's registry.
    #[arg(long)]
    plain_http: bool,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// The largest build that is fetched to be looked at: a pool's default limit.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Prints what the module says of itself, for each platform.
///
/// # Errors
/// When there is no such module, or it is none.
pub fn run(args: Args) -> anyhow::Result<()> {
    let Args { what, plain_http, registry } = args;
    if Path::new(&what).is_file() {
        let (bytes, facts) = module::read(Path::new(&what))?;
        return out::text_as_it_is(describe(&bytes, &facts));
    }
    anyhow::ensure!(
        !looks_like_a_file(&what),
        "there is no file {what}; name one, or a reference such as registry.example.com/hello:1.0"
    );
    let client = registry.client(plain_http.then(|| host_of(&what).to_owned()))?;
    let artifact = crate::run::runtime()?.block_on(async {
        let digest = client.resolve(&what).await?;
        client.fetch(&what, &digest, MAX_BYTES).await
    });
    let artifact = artifact.with_context(|| format!("failed to inspect {what}"))?;
    out::line(format_args!("reference:  {}\nartifact:   {}", artifact.reference, artifact.digest))?;
    for build in &artifact.builds {
        let facts = ModuleFacts::read(&build.bytes).with_context(|| format!("{what} holds no module"))?;
        out::text_as_it_is(format_args!("\n{}", describe(&build.bytes, &facts)))?;
    }
    Ok(())
}

/// Whether a name was meant as a file's: no registry begins or ends like that.
fn looks_like_a_file(what: &str) -> bool {
    what.starts_with(['/', '.']) || what.ends_with(".so")
}

fn describe(bytes: &[u8], facts: &ModuleFacts) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:<12}{value}", format!("{name}:"));
    };
    line("module", format!("{} {}", facts.manifest.name, facts.manifest.version));
    line("digest", Digest::of(bytes).to_string());
    line("size", format!("{} bytes", bytes.len()));
    line("platform", facts.platform.to_string());
    line("abi", format!("{}.{}", facts.abi.major, facts.abi.minor));
    line("sdk", facts.manifest.sdk.clone());
    line("needs", facts.needed.join(", "));
    line("glibc", facts.min_glibc.map_or_else(|| "any".to_owned(), |version| format!("{version} or newer")));
    for handler in &facts.manifest.handlers {
        let methods = if handler.methods.is_empty() { "*".to_owned() } else { handler.methods.join("|") };
        let kind = if handler.blocking { " (blocking)" } else { "" };
        line("handler", format!("{} {methods} {}{kind}", handler.name, handler.path));
    }
    if let Some(schema) = &facts.manifest.config_schema {
        line("config", schema.to_string());
    }
    if let Some(words) = too_large(bytes.len() as u64) {
        line("pool", format!("{}: {words}", Reason::TooLarge));
    }
    line(
        "here",
        match check(facts, &Host::current(), &host::library_exists) {
            Ok(()) => "loads on this machine".to_owned(),
            Err(error) => format!("{}: {error}", error.reason()),
        },
    );
    text
}
