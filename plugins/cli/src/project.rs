//! A module's project: what it is built with, and what came of that.
//!
//! Owns the choice between cargo and make, and what a build that failed leaves to be told. Must not touch the author's files, nor know what is done with
//! a build.

pub(crate) mod cargo;
mod make;
pub(crate) mod target;
mod tool;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use cargo::Package;
use make::Makefile;
use target::Target;

/// A module's project.
#[derive(Debug)]
pub(crate) enum Project {
    /// A cargo package.
    Cargo(Package),
    /// A folder with a Makefile: C, C++, or anything that make builds.
    Make(Makefile),
}

/// How to build.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Profile {
    /// As the author's own `cargo build` or `make` does it, but for what a debugger reads.
    Dev,
    /// For others; for another machine if one is named.
    Release(Option<&'static Target>),
}

/// What the compiler says of code that it does not take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// As in a terminal, with its colours.
    pub text: String,
    /// The first mistake's `file:line:column`.
    pub place: Option<String>,
}

/// Why there is no build.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    /// The code is at fault.
    #[error("{} does not build; {tool} says above why", folder.display())]
    Refused {
        /// The project's.
        folder: PathBuf,
        /// Which said so.
        tool: &'static str,
        /// For who does not see the terminal.
        said: Said,
    },
    /// Anything else.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

impl Project {
    /// The project in `folder`. A Cargo.toml goes before a Makefile, which many packages have beside it.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let folder =
            folder.canonicalize().with_context(|| format!("there is no folder {}", folder.display()))?;
        if folder.join(cargo::MANIFEST).is_file() {
            return Ok(Self::Cargo(Package::new(folder)));
        }
        let makefile = Makefile::find(&folder).with_context(|| {
            format!(
                "there is no Cargo.toml and no Makefile in {}; name a module's folder, or make one with `hotbay new NAME`",
                folder.display()
            )
        })?;
        Ok(Self::Make(makefile))
    }

    /// Where it is, without symbolic links.
    pub fn folder(&self) -> &Path {
        match self {
            Self::Cargo(package) => package.folder(),
            Self::Make(makefile) => makefile.folder(),
        }
    }

    /// Builds it, and calls `built` with the module's file as soon as that is whole: the tool may go on for a while with its own business. What the
    /// tools say goes to standard error.
    ///
    /// # Errors
    /// When it does not build, or no module comes out.
    pub fn build(&self, profile: Profile, built: &mut dyn FnMut(&Path)) -> Result<(), BuildError> {
        match self {
            Self::Cargo(package) => package.build(profile, built),
            Self::Make(makefile) => makefile.build(profile, built),
        }
    }

    /// The folders that it is built from, on this disk.
    ///
    /// # Errors
    /// When the tool cannot say, as cargo cannot while a Cargo.toml is wrong.
    pub fn sources(&self) -> anyhow::Result<BTreeSet<PathBuf>> {
        match self {
            Self::Cargo(package) => package.sources(),
            Self::Make(makefile) => Ok(BTreeSet::from([makefile.folder().to_owned()])),
        }
    }
}
