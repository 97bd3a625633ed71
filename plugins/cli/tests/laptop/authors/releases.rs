//! What `hotbay build` makes of a package, whatever its own profile says.

use std::os::unix::fs::PermissionsExt as _;

use super::Terminal;
use crate::workshop::HOTBAY;

/// The opposite of what a module is released as.
const OWN: &str = "\n[lib]\ncrate-type = [\"cdylib\"]\n\n\
                   [profile.release]\nlto = false\ncodegen-units = 16\ndebug = true\nstrip = false\n";

#[tokio::test]
async fn a_release_is_optimized_as_one_piece_and_stripped() {
    let terminal = Terminal::new();
    // No module, which is found out when it is built: of what decides here, the SDK in it would change nothing but the time.
    let (success, text) = terminal.types("", "cargo", &["new", "--quiet", "--lib", "tiny"], &[]).await;
    assert!(success, "{text}");
    let manifest = terminal.path("tiny/Cargo.toml");
    let package = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, format!("{package}{OWN}")).unwrap();
    // Cargo runs this before each compiler, with the compiler's whole command line.
    let (wrapper, lines) = (terminal.path("wrapper"), terminal.path("lines"));
    std::fs::write(&wrapper, format!("#!/bin/sh\necho \"$*\" >> '{}'\nexec \"$@\"\n", lines.display()))
        .unwrap();
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).unwrap();

    let (_, sections) = released(&terminal, "cargo", &["build", "--release"], &[]).await;
    assert!(sections.contains(" .symtab ") && sections.contains(" .debug_info "), "its own: {sections}");
    let environment = [("RUSTC_WRAPPER", wrapper.to_str().unwrap())];
    let (said, sections) = released(&terminal, HOTBAY, &["build"], &environment).await;
    assert!(said.contains("no Hotbay manifest"), "{said}");
    assert!(sections.contains(" .dynsym "), "{sections}");
    assert!(!sections.contains(" .symtab ") && !sections.contains(" .debug_"), "{sections}");
    let lines = std::fs::read_to_string(lines).unwrap();
    let line = lines.lines().find(|line| line.contains("--crate-name tiny ")).unwrap_or(&lines);
    for option in ["-C opt-level=3", "-C lto=fat", "-C codegen-units=1", "-C strip=symbols"] {
        assert!(line.contains(&format!(" {option} ")), "{option} should be in {line}");
    }
}

/// Builds `tiny`; what is said, and the sections of what comes out.
async fn released(
    terminal: &Terminal,
    program: &str,
    args: &[&str],
    environment: &[(&str, &str)],
) -> (String, String) {
    let (_, said) = terminal.types("tiny", program, args, environment).await;
    let look = ["--section-headers", "--wide", "target/release/libtiny.so"];
    let (success, sections) = terminal.types("tiny", "readelf", &look, &[]).await;
    assert!(success, "{said}{sections}");
    (said, sections)
}
