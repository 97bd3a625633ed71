//! The manifests around a package, found without cargo: it says nothing at all while one of them is wrong.
//!
//! Owns the guess, which may be too many. Must not judge them: cargo does, and says which it is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::cargo::MANIFEST;
use super::settings;

/// What is there of manifests and settings in the folders from `package` upwards, and of settings in cargo's own, with all that a manifest among them
/// leads to: by a `path`, or as a member of a workspace.
pub(super) fn around(package: &Path) -> BTreeSet<PathBuf> {
    let above = package.ancestors().map(|folder| folder.join(MANIFEST));
    let mut next: Vec<PathBuf> = above.filter(|manifest| manifest.is_file()).collect();
    let mut found: BTreeSet<PathBuf> =
        settings::files(package).into_iter().filter(|settings| settings.is_file()).collect();
    while let Some(manifest) = next.pop() {
        let led = led_to(&manifest);
        if found.insert(manifest) {
            next.extend(led);
        }
    }
    found
}

/// The manifests that one leads to, one step on.
fn led_to(manifest: &Path) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(manifest).unwrap_or_default();
    // One that is wrong leads nowhere.
    let (Some(folder), Ok(table)) = (manifest.parent(), text.parse::<Table>()) else { return Vec::new() };
    let mut folders = members(&table, folder);
    let mut next = vec![&table];
    while let Some(table) = next.pop() {
        let path = table.get("path").and_then(Value::as_str);
        folders.extend(path.map(|path| folder.join(path)));
        next.extend(table.values().flat_map(tables));
    }
    let manifests = folders.into_iter().filter_map(|folder| folder.join(MANIFEST).canonicalize().ok());
    manifests.collect()
}

/// The tables directly in a value.
fn tables(value: &Value) -> Vec<&Table> {
    match value {
        Value::Table(table) => vec![table],
        Value::Array(values) => values.iter().filter_map(Value::as_table).collect(),
        _ => Vec::new(),
    }
}

/// The members' folders; of patterns the usual one alone, all that is in a folder.
fn members(table: &Table, folder: &Path) -> Vec<PathBuf> {
    let named =
        table.get("workspace").and_then(|workspace| workspace.get("members")).and_then(Value::as_array);
    let mut folders = Vec::new();
    for member in named.into_iter().flatten().filter_map(Value::as_str) {
        match member.strip_suffix("/*") {
            Some(all) => {
                let entries = folder.join(all).read_dir().into_iter().flatten().flatten();
                folders.extend(entries.map(|entry| entry.path()));
            }
            None => folders.push(folder.join(member)),
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_may_keep_cargo_from_speaking_is_found_without_it() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        let save = |name: &str, text: &str| {
            let file = home.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        };
        save("ws/Cargo.toml", "[workspace]\nmembers = [\"m\", \"crates/*\", \"gone\"]\n");
        save("ws/.cargo/config.toml", "[build");
        save("ws/m/.cargo/config", "[build");
        save(
            "ws/m/Cargo.toml",
            "[lib]\npath = \"src/lib.rs\"\n[dependencies]\na = { path = \"../../a\" }\n\
             [target.'cfg(unix)'.build-dependencies.b]\npath = \"../../b\"\n",
        );
        save("ws/m/src/lib.rs", "");
        save("ws/crates/one/Cargo.toml", "");
        // Round again, and on.
        save("a/Cargo.toml", "[dependencies]\nm = { path = \"../ws/m\" }\nc = { path = \"../c\" }\n");
        save("b/Cargo.toml", "[package");
        save("c/Cargo.toml", "");
        save("beside/Cargo.toml", "");
        let found = around(&home.join("ws/m"));
        let own: BTreeSet<&Path> = found.iter().filter_map(|path| path.strip_prefix(&home).ok()).collect();
        let expected = [
            "ws/Cargo.toml",
            "ws/.cargo/config.toml",
            "ws/m/.cargo/config",
            "ws/m/Cargo.toml",
            "ws/crates/one/Cargo.toml",
            "a/Cargo.toml",
            "b/Cargo.toml",
            "c/Cargo.toml",
        ];
        assert_eq!(own, expected.map(Path::new).into());
    }
}
