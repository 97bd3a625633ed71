//! What the compiler of Rust says.
//!
//! Owns what of it is shown, what is kept of a mistake, and in which files it is. Must not run it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cargo_metadata::diagnostic::{Diagnostic, DiagnosticLevel, DiagnosticSpan};

use super::{Fault, Said, tool, unlinked};
use crate::ansi;

/// Shows what the compiler says of the crate whose first file is `root`, and keeps the mistakes.
pub(super) fn tell(diagnostic: &Diagnostic, root: &Path, said: &mut Said) {
    let Some(rendered) = &diagnostic.rendered else { return };
    let unlinked = unlinked::of_rustc(diagnostic);
    let text = unlinked.as_ref().map_or(rendered, |unlinked| &unlinked.text);
    if tool::has_colours() {
        tool::show(text);
    } else {
        tool::show(&ansi::plain(text));
    }
    // The summary at the end says nothing new.
    let counts = matches!(diagnostic.level, DiagnosticLevel::Error | DiagnosticLevel::Ice)
        && !diagnostic.message.starts_with("aborting due to");
    if !counts {
        return;
    }
    let span = diagnostic.spans.iter().find(|span| span.is_primary);
    let place = span.map(|span| format!("{}:{}:{}", span.file_name, span.line_start, span.column_start));
    let missed = unlinked.as_ref().and_then(|unlinked| unlinked.first.clone());
    match (place, missed) {
        (Some(place), _) => said.add(text, Fault::Code, Some(place)),
        (None, Some(missed)) => said.add(text, Fault::Linking, Some(missed)),
        (None, None) => said.add(text, Fault::Tool, None),
    }
    said.files.extend(files(diagnostic, root));
}

/// The files that a mistake is in, those of the macros around it, too, and those that it is about, which may not be there yet.
fn files(diagnostic: &Diagnostic, root: &Path) -> BTreeSet<PathBuf> {
    fn outer<'a>(span: &&'a DiagnosticSpan) -> Option<&'a DiagnosticSpan> {
        span.expansion.as_ref().map(|macros| &macros.span)
    }
    let spans = diagnostic.spans.iter().flat_map(|span| std::iter::successors(Some(span), outer));
    // Named from where cargo runs the compiler: the package's folder, or the workspace's above it.
    let find = |name: &str| root.ancestors().skip(1).find(|from| from.join(name).is_file());
    let found: Vec<(&Path, &str)> =
        spans.filter_map(|span| Some((find(&span.file_name)?, &*span.file_name))).collect();
    // What is not there cannot be looked for: it is named from the same folder.
    let from = found.first().map(|(from, _)| *from);
    let wanted = from.into_iter().flat_map(|from| wanted(diagnostic).map(move |name| from.join(name)));
    found.iter().map(|(from, name)| from.join(name)).chain(wanted).filter_map(plain).collect()
}

/// The files that are included or declared and cannot be read, by the mistake's words.
fn wanted(diagnostic: &Diagnostic) -> impl Iterator<Item = &str> {
    let included = diagnostic.message.strip_prefix("couldn't read ");
    let included = included.and_then(|rest| rest.rsplit_once(": ")).map(|(name, _)| name.trim_matches('`'));
    let helps = diagnostic.children.iter().map(|help| help.message.as_str());
    let modules = helps.filter(|help| help.starts_with("to create the module "));
    // `create file "src/z.rs" or "src/z/mod.rs"`
    included.into_iter().chain(modules.flat_map(|help| help.split('"').skip(1).step_by(2)))
}

/// A file's path without links and `..`, of which cargo's `src/../../words.txt` has one. The file may be gone, or not there yet, and so may its folder.
pub(super) fn plain(file: PathBuf) -> Option<PathBuf> {
    let (folder, name) = (file.parent()?, file.file_name()?);
    let folder = folder.canonicalize().ok().or_else(|| plain(folder.to_owned()))?;
    Some(folder.join(name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::cargo::Package;
    use super::super::{BuildError, Fault, Profile, Said};
    use super::*;

    /// A package with this code, `ws/m` below a home, that is linked with what its build script says.
    struct Home {
        folder: tempfile::TempDir,
    }

    impl Home {
        fn new(code: &str) -> Self {
            let home = Self { folder: tempfile::tempdir().unwrap() };
            home.save("ws/Cargo.toml", "[workspace]\nmembers = [\"m\"]\nresolver = \"3\"\n");
            let manifest = "[package]\nname = \"m\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[lib]\n\
                            crate-type = [\"cdylib\"]\n";
            home.save("ws/m/Cargo.toml", manifest);
            home.save("ws/m/src/lib.rs", code);
            home
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().canonicalize().unwrap().join(name)
        }

        fn save(&self, name: &str, text: &str) {
            let file = self.path(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }

        fn refused(&self, profile: Profile) -> Said {
            let built = Package::new(self.path("ws/m")).build(profile, &mut |_| {});
            let Err(BuildError::Refused { said, .. }) = built else { panic!("{built:?}") };
            said
        }
    }

    #[test]
    fn a_mistake_in_a_file_outside_the_package_names_that_file() {
        let home = Home::new("#[path = \"../../../common.rs\"]\nmod common;\n");
        home.save("common.rs", "fn broken() -> u8 { \"\" }\n");
        let said = home.refused(Profile::Dev);
        assert_eq!(said.files, BTreeSet::from([home.path("common.rs")]), "{}", said.text);
        assert_eq!(said.fault, Fault::Code);
    }

    #[test]
    fn what_is_included_and_is_not_there_is_named_where_it_will_be() {
        let home = Home::new("");
        let whole = home.path("whole.txt");
        let own = "ws/m/src/lib.rs";
        let module = "#[path = \"../../../common.rs\"]\nmod common;\n";
        home.save("common.rs", "mod deep;\n");
        for (code, expected) in [
            ("include!(\"../../../words.rs\");".to_owned(), vec![own, "words.rs"]),
            (
                "pub static A: &str = include_str!(\"../../../no/words.txt\");".to_owned(),
                vec![own, "no/words.txt"],
            ),
            (
                format!("pub static A: &[u8] = include_bytes!({:?});", whole.display().to_string()),
                vec![own, "whole.txt"],
            ),
            ("#[path = \"../../b.rs\"]\nmod b;\n".to_owned(), vec![own, "ws/b.rs"]),
            (module.to_owned(), vec!["common.rs", "deep.rs", "deep/mod.rs"]),
        ] {
            home.save(own, &code);
            let said = home.refused(Profile::Dev);
            let expected = expected.into_iter().map(|name| home.path(name)).collect();
            assert_eq!(said.files, expected, "{}", said.text);
        }
    }

    #[test]
    fn a_symbol_that_nobody_has_is_the_linkers_word_and_its_command_is_none() {
        let home = Home::new(
            "unsafe extern \"C\" { fn nowhere(); }\n#[unsafe(no_mangle)]\nextern \"C\" fn f() {\n    \
             unsafe { nowhere() }\n}\n",
        );
        for profile in [Profile::Dev, Profile::Release(None)] {
            let Said { text, first, fault, .. } = home.refused(profile);
            assert_eq!(fault, Fault::Linking, "{text}");
            let first = first.unwrap();
            assert!(first.contains("nowhere") && first.contains("undefined"), "{first}");
            // A release has no lines.
            assert!(matches!(profile, Profile::Release(_)) || first.contains("lib.rs:4"), "{first}");
            assert!(text.contains("linking with") && text.contains("nowhere"), "{text}");
            assert!(!text.contains("-nodefaultlibs") && !text.contains("arguments are omitted"), "{text}");
        }
    }

    #[test]
    fn a_library_that_is_missing_is_the_linkers_word() {
        let home = Home::new("");
        for kind in ["", "static="] {
            let script = format!("fn main() {{ println!(\"cargo::rustc-link-lib={kind}not_there\"); }}\n");
            home.save("ws/m/build.rs", &script);
            let Said { text, first, fault, .. } = home.refused(Profile::Dev);
            assert_eq!(fault, Fault::Linking, "{text}");
            assert!(first.unwrap().contains("not_there"), "{text}");
            assert!(!text.contains("-nodefaultlibs"), "{text}");
        }
    }
}
