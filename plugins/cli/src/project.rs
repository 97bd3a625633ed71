//! A module's project: what it is built with, and what came of that.
//!
//! Owns the choice between cargo and make, and what a build that failed leaves to be told. Must not touch the author's files, nor know what is done with
//! a build.

pub(crate) mod cargo;
mod compiler;
mod linker;
mod make;
mod manifests;
mod settings;
pub(crate) mod target;
mod tool;
mod unlinked;

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

/// What the tools say of what they do not build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// As in a terminal, with its colours.
    pub text: String,
    /// The first mistake's `file:line:column`, or what the linker misses first.
    pub first: Option<String>,
    /// What is at fault.
    pub fault: Fault,
    /// The files that mistakes are in or about, as far as the tool names them; they may lie anywhere, and be missing.
    pub files: BTreeSet<PathBuf>,
}

/// What keeps a project from being built, as far as the tools' words tell; the last one says most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// A tool is missing, or was killed; or a setting of the package is wrong.
    #[default]
    Tool,
    /// The code compiles, and something that it names is in no library.
    Linking,
    /// The code does not compile.
    Code,
}

impl Said {
    /// Adds `text`. Of what is most at fault the `first` mistake is kept.
    fn add(&mut self, text: &str, fault: Fault, first: Option<String>) {
        self.text.push_str(text);
        if fault > self.fault {
            (self.fault, self.first) = (fault, first);
        }
    }
}

/// What a project is built from, on this disk.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Inputs {
    /// Folders that hold sources.
    pub folders: BTreeSet<PathBuf>,
    /// The files that say which folders these are.
    pub manifests: BTreeSet<PathBuf>,
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
    /// The tool did not come to an end of its own.
    #[error("{tool} was ended by {signal}")]
    Ended {
        /// The program.
        tool: String,
        /// By name.
        signal: String,
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

    /// What it is built from.
    ///
    /// # Errors
    /// When the tool cannot say, as cargo cannot while a Cargo.toml is wrong.
    pub fn sources(&self) -> anyhow::Result<Inputs> {
        match self {
            Self::Cargo(package) => package.sources(),
            Self::Make(makefile) => {
                let folders = BTreeSet::from([makefile.folder().to_owned()]);
                Ok(Inputs { folders, manifests: BTreeSet::new() })
            }
        }
    }

    /// The files that may be what keeps the tool from saying what it is built from.
    pub fn doubtful(&self) -> BTreeSet<PathBuf> {
        match self {
            Self::Cargo(package) => manifests::around(package.folder()),
            Self::Make(_) => BTreeSet::new(),
        }
    }

    /// The files that were read for `module`, as far as the tool says; they may lie anywhere.
    pub fn read_for(&self, module: &Path) -> BTreeSet<PathBuf> {
        match self {
            Self::Cargo(package) => package.read_for(module),
            Self::Make(_) => BTreeSet::new(),
        }
    }
}
