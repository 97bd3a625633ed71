//! The linker that an author has chosen for a platform.
//!
//! Owns what is a choice: a variable, or a word in cargo's settings. What holds for several platforms (`cfg(…)`) is no choice for one of them. Must not
//! judge the choice: cargo does when it links.

use std::path::Path;

use super::settings;

/// Whether there is one for the package in `folder`.
pub(super) fn is_chosen(triple: &str, folder: &Path) -> bool {
    std::env::var_os(variable(triple)).is_some()
        || settings::files(folder).iter().any(|file| names_linker(file, triple))
}

/// The variable by which one is chosen.
pub(super) fn variable(triple: &str) -> String {
    format!("CARGO_TARGET_{}_LINKER", triple.to_uppercase().replace('-', "_"))
}

/// Whether settings name one. Of what cannot be read cargo tells.
fn names_linker(file: &Path, triple: &str) -> bool {
    let Ok(text) = std::fs::read_to_string(file) else { return false };
    let settings: toml::Table = toml::from_str(&text).unwrap_or_default();
    settings.get("target").and_then(|targets| targets.get(triple)?.get("linker")).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARM: &str = "aarch64-unknown-linux-gnu";

    #[test]
    fn settings_of_the_package_of_folders_above_and_of_cargo_itself_choose() {
        let home = tempfile::tempdir().unwrap();
        let (package, own) = (home.path().join("workspace/m"), home.path().join("cargo"));
        let chooses =
            || settings::beside(&package, Some(own.clone())).iter().any(|file| names_linker(file, ARM));
        assert!(!chooses());
        for file in ["workspace/m/.cargo/config.toml", "workspace/.cargo/config", "cargo/config.toml"] {
            let file = home.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            for (text, is_choice) in [
                (format!("[target.{ARM}]\nlinker = \"clang\"\n"), true),
                (format!("target.'{ARM}'.linker = \"clang\"\n"), true),
                (format!("[target.{ARM}]\nrunner = \"qemu\"\n"), false),
                ("[target.x86_64-unknown-linux-gnu]\nlinker = \"clang\"\n".to_owned(), false),
                ("[target.'cfg(unix)']\nlinker = \"clang\"\n".to_owned(), false),
                ("[target".to_owned(), false),
            ] {
                std::fs::write(&file, &text).unwrap();
                assert_eq!(chooses(), is_choice, "{} with {text}", file.display());
            }
            std::fs::remove_file(&file).unwrap();
        }
        assert_eq!(variable(ARM), "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER");
    }
}
