//! A project that make builds: C, C++, or what the author likes.
//!
//! Owns the contract with the Makefile: its first target builds the module, into the project's folder or `build/` in it, with the compilers `CC` and
//! `CXX`. Of the `.so` files there the newest module is what was built.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context as _, anyhow};

use super::target::Target;
use super::{BuildError, Fault, Profile, Said, tool, unlinked};
use crate::{ansi, module};

/// The names by which make finds its file.
const MAKEFILES: [&str; 3] = ["GNUmakefile", "makefile", "Makefile"];
/// Make's variables for the compilers of C and C++.
const COMPILERS: [(&str, &str); 2] = [("CC", "gcc"), ("CXX", "g++")];
const MISSING: &str = "on Debian run `apt install make gcc g++`";
/// Where Makefiles build into, beside the project's folder itself.
const BUILD: &str = "build";

/// See the module.
#[derive(Debug)]
pub(crate) struct Makefile {
    folder: PathBuf,
}

impl Makefile {
    /// The one in `folder`, a path without symbolic links.
    pub fn find(folder: &Path) -> Option<Self> {
        let is_there = MAKEFILES.iter().any(|name| folder.join(name).is_file());
        is_there.then(|| Self { folder: folder.to_owned() })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The compilers that it asks for, as gcc names them.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn compilers(&self) -> anyhow::Result<Vec<&'static str>> {
        let file = MAKEFILES.iter().map(|name| self.folder.join(name)).find(|path| path.is_file());
        let file = file.context("the Makefile is gone")?;
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))?;
        let asks = |variable: &str| {
            text.contains(&format!("$({variable})")) || text.contains(&format!("${{{variable}}}"))
        };
        Ok(COMPILERS.iter().filter(|(variable, _)| asks(variable)).map(|(_, compiler)| *compiler).collect())
    }

    /// See [`super::Project::build`].
    ///
    /// # Errors
    /// When it does not build, or builds no module.
    pub fn build(&self, profile: Profile, built: &mut dyn FnMut(&Path)) -> Result<(), BuildError> {
        let target = match profile {
            Profile::Release(target) => target,
            Profile::Dev => None,
        };
        let mut command = Command::new(std::env::var_os("MAKE").unwrap_or_else(|| OsString::from("make")));
        command.arg("--no-print-directory").current_dir(&self.folder);
        if matches!(profile, Profile::Release(_)) {
            // What lies there may be of another machine, or of other flags.
            command.arg("--always-make");
        }
        for (variable, compiler) in COMPILERS {
            let tool = target.and_then(|target| target.tool(compiler));
            command.args(tool.map(|tool| format!("{variable}={tool}")));
        }
        // A make that runs us has its own jobs and flags.
        command.env_remove("MAKEFLAGS").env_remove("MAKELEVEL").env_remove("MFLAGS");
        let begin = SystemTime::now();
        // The lines that make runs are for people.
        let ended = tool::run(command, MISSING, &mut |line| tool::show(&format!("{line}\n")))?;
        let folders = [&*self.folder, &self.folder.join(BUILD)];
        if matches!(profile, Profile::Dev) {
            date_back(&folders, begin);
        }
        if !ended.success {
            return Err(BuildError::Refused {
                folder: self.folder.clone(),
                tool: "make",
                said: said(&ended.said),
            });
        }
        let module = newest_module(&folders)?;
        built(&module);
        if target.is_some_and(Target::is_foreign) {
            // The next `make` would take it for this machine's.
            std::fs::remove_file(&module)
                .with_context(|| format!("failed to remove {}", module.display()))?;
        }
        Ok(())
    }
}

/// Dates what was built since `begin` as of then, as cargo does: a source that was saved while it was compiled is newer then, and the next make sees it.
fn date_back(folders: &[&Path], begin: SystemTime) {
    let is_built = |path: &PathBuf| {
        path.extension().is_some_and(|end| ["so", "o", "a", "d"].iter().any(|built| end == *built))
    };
    let entries = folders.iter().filter_map(|folder| folder.read_dir().ok()).flatten().flatten();
    for path in entries.map(|entry| entry.path()).filter(is_built) {
        let is_new = path.metadata().and_then(|about| about.modified()).is_ok_and(|time| time > begin);
        // What cannot be dated is dated as make did it.
        let file = is_new.then(|| File::options().write(true).open(&path).ok()).flatten();
        let _ = file.map(|file| file.set_modified(begin));
    }
}

/// The newest shared object in these folders that is a module.
fn newest_module(folders: &[&Path]) -> anyhow::Result<PathBuf> {
    let entries = folders.iter().filter_map(|folder| folder.read_dir().ok()).flatten().flatten();
    let files = entries.map(|entry| entry.path());
    let mut objects: Vec<(SystemTime, PathBuf)> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "so"))
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .collect();
    objects.sort();
    let newest = objects.iter().rev().find(|(_, path)| module::read(path).is_ok()).or(objects.last());
    newest.map(|(_, path)| path.clone()).ok_or_else(|| {
        anyhow!(
            "make built no shared object in {}; let the Makefile's first target build NAME.so there",
            folders[0].display()
        )
    })
}

/// What is kept of what make and its tools `said`.
fn said(text: &str) -> Said {
    let mut said = Said::default();
    match (place(text), unlinked::of_make(text)) {
        (Some(place), _) => said.add(text, Fault::Code, Some(place)),
        (None, Some(unlinked)) => said.add(&unlinked.text, Fault::Linking, unlinked.first),
        (None, None) => said.add(text, Fault::Tool, None),
    }
    said
}

/// `file:line:column` of the first mistake, as gcc and clang write it.
fn place(said: &str) -> Option<String> {
    let plain = ansi::plain(said);
    let mistake = |line: &str| {
        let at = line.find(": error:").or_else(|| line.find(": fatal error:"))?;
        line[..at].rsplit(':').next()?.parse::<u32>().ok().map(|_| line[..at].to_owned())
    };
    plain.lines().find_map(mistake)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_while_make_builds_is_built_by_the_next() {
        let project = tempfile::tempdir().unwrap();
        let save = |name: &str, text: &str| std::fs::write(project.path().join(name), text).unwrap();
        save("m.c", "1");
        // A compiler that reads its source, takes its time, and writes; a second of the future stands for that time.
        save(
            "Makefile",
            "m.so: m.c\n\tcp m.c m.so; echo 2 > m.c; touch -d '+1 second' m.c; touch -d '+2 seconds' m.so\n",
        );
        let makefile = Makefile::find(project.path()).unwrap();
        let mut seen = Vec::new();
        for _ in 0..2 {
            makefile
                .build(Profile::Dev, &mut |module| seen.push(std::fs::read_to_string(module).unwrap()))
                .unwrap();
        }
        assert_eq!(seen, ["1", "2\n"]);
    }

    #[test]
    fn what_the_linker_misses_is_told_without_what_the_compiler_warned_of() {
        let project = tempfile::tempdir().unwrap();
        let save = |name: &str, text: &str| std::fs::write(project.path().join(name), text).unwrap();
        save("m.c", "int nowhere(void);\nstatic int unused;\nint f(void) { return nowhere(); }\n");
        for (flags, missed) in [("", "nowhere"), ("-lnot_there", "not_there")] {
            let rule = format!("m.so: m.c\n\t$(CC) -Wall -fPIC -shared -Wl,-z,defs -o $@ $< {flags}\n");
            save("Makefile", &rule);
            let built = Makefile::find(project.path()).unwrap().build(Profile::Dev, &mut |_| {});
            let Err(BuildError::Refused { said, .. }) = built else { panic!("{built:?}") };
            assert_eq!(said.fault, Fault::Linking, "{}", said.text);
            assert!(said.first.unwrap().contains(missed), "{}", said.text);
            assert!(said.text.contains(missed) && !said.text.contains("unused"), "{}", said.text);
        }
    }

    #[test]
    fn the_first_mistake_of_gcc_and_clang_has_a_place() {
        let said = "cc -c a.c\na.c: In function 'f':\nsrc/a.c:3:7: error: expected ';'\nb.c:1:1: error: no\n";
        assert_eq!(place(said).as_deref(), Some("src/a.c:3:7"));
        assert_eq!(place("a.c:1:10: fatal error: x.h: No such file\n").as_deref(), Some("a.c:1:10"));
        assert_eq!(place("make: *** [Makefile:4: all] Error 1\ncc: error: no input files\n"), None);
    }
}
