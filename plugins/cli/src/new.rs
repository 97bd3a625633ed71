//! `hotbay new`: a project that builds, passes its tests and can be served.
//!
//! Owns the templates. Never writes into a folder that is there already.

mod package;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use clap::ValueEnum;

use crate::out;
use package::Sdk;

/// What to make.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The module's name, and the folder's: lower-case letters, digits and hyphens.
    #[arg(value_name = "NAME")]
    name: String,
    /// What to write it in.
    #[arg(long, value_enum, default_value_t = Lang::Rust)]
    lang: Lang,
    /// An axum app, instead of functions with an attribute.
    #[arg(long)]
    axum: bool,
    /// Where hotbay-sdk comes from: a git URL, a folder, or a version in a registry of your own [default: the clone that this hotbay was built from].
    #[arg(long, env = "HOTBAY_SDK", value_name = "SOURCE")]
    sdk: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Lang {
    /// With cargo and hotbay-sdk.
    Rust,
    /// C11, with make and hotbay.h.
    C,
    /// C++17, with make and hotbay.h.
    Cpp,
}

/// A kind of project.
struct Template {
    /// Names and texts; `{{name}}` stands for the module's name.
    files: &'static [(&'static str, &'static str)],
    /// What a package of cargo needs beside them; none: it is made by make.
    package: Option<package::Needs>,
    /// How its tests are run.
    test: &'static str,
}

const HEADER: &str = include_str!("../../abi/include/hotbay.h");

const RUST: Template = Template {
    files: &[
        ("src/lib.rs", include_str!("../templates/rust/lib.rs")),
        ("{{name}}-module.yaml", include_str!("../templates/rust/module.yaml")),
    ],
    package: Some(package::RUST),
    test: "cargo test",
};

const AXUM: Template = Template {
    files: &[
        ("src/lib.rs", include_str!("../templates/axum/lib.rs")),
        ("{{name}}-module.yaml", include_str!("../templates/axum/module.yaml")),
    ],
    package: Some(package::AXUM),
    test: "cargo test",
};

const C: Template = Template {
    files: &[
        ("module.c", include_str!("../templates/c/module.c")),
        ("test.c", include_str!("../templates/c/test.c")),
        ("hotbay.h", HEADER),
        ("Makefile", include_str!("../templates/c/Makefile")),
        ("README.md", include_str!("../templates/c/README.md")),
        (".gitignore", include_str!("../templates/c/gitignore")),
        ("{{name}}-module.yaml", include_str!("../templates/c/module.yaml")),
    ],
    package: None,
    test: "make test",
};

const CPP: Template = Template {
    files: &[
        ("module.cc", include_str!("../templates/cpp/module.cc")),
        ("test.cc", include_str!("../templates/cpp/test.cc")),
        ("hotbay.h", HEADER),
        ("Makefile", include_str!("../templates/cpp/Makefile")),
        ("README.md", include_str!("../templates/cpp/README.md")),
        (".gitignore", include_str!("../templates/cpp/gitignore")),
        ("{{name}}-module.yaml", include_str!("../templates/cpp/module.yaml")),
    ],
    package: None,
    test: "make test",
};

/// Room for the suffixes that Kubernetes puts behind names.
const MAX_NAME: usize = 52;

/// Makes the project and says what to do next.
///
/// # Errors
/// When the name is not one of a module and a package, the folder exists, or cargo is missing.
pub fn run(args: Args) -> anyhow::Result<()> {
    let Args { name, lang, axum, sdk } = args;
    ensure!(
        is_name(&name),
        "{name:?} is no name for a module; use at most {MAX_NAME} lower-case letters, digits and hyphens, and begin with a letter"
    );
    ensure!(!axum || lang == Lang::Rust, "axum is of Rust; leave --lang or --axum out");
    let folder = Path::new(&name);
    ensure!(!folder.exists(), "{name} exists already; choose another name, or another folder to be in");
    let template = match lang {
        Lang::Rust if axum => AXUM,
        Lang::Rust => RUST,
        Lang::C => C,
        Lang::Cpp => CPP,
    };
    let mut notice = None;
    match &template.package {
        Some(needs) => {
            let sdk = Sdk::find(sdk.as_deref())?;
            package::make(folder, needs, &sdk)?;
            notice = sdk.notice();
        }
        None => fs::create_dir(folder).with_context(|| format!("failed to make {name}"))?,
    }
    for (file, text) in template.files {
        let fill = |text: &str| text.replace("{{name}}", &name);
        write(&folder.join(fill(file)), &fill(text))?;
    }
    out::line(format_args!("made {name}/; next:\n\n  cd {name}\n  {}\n  hotbay dev\n", template.test))?;
    notice.map_or(Ok(()), out::line)
}

/// Whether Kubernetes and cargo both take it. What only cargo refuses, such as keywords, cargo says.
fn is_name(name: &str) -> bool {
    let plain = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    let begins = name.starts_with(|first: char| first.is_ascii_lowercase());
    plain && begins && !name.ends_with('-') && name.len() <= MAX_NAME
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_must_do_for_kubernetes_and_for_cargo() {
        for name in ["greet", "a", "a-1"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "Greet", "1a", "a-", "-a", "a_b", "a/b", "../a", &"a".repeat(53)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
