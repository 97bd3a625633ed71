//! What compiles and does not link: what the linker misses is told, and the command that ran it is not.

use std::path::Path;

use hotbay_e2e::laptop::Laptop;

use super::{Terminal, pages};
use crate::workshop::HOTBAY;

/// Of the linker's command, and of nothing that it says.
const COMMAND: &str = "-nodefaultlibs";

/// A project of Rust that `hotbay dev` serves names what nobody has, and is as it was in the end.
pub async fn are_told_in_rust(laptop: &Laptop, project: &Path) {
    let (source, script) = (project.join("src/lib.rs"), project.join("build.rs"));
    let text = std::fs::read_to_string(&source).unwrap();
    let good = laptop.get("/greet/ada").await.text().to_owned();
    let declared = "unsafe extern \"C\" {\n    safe fn nowhere();\n}\n\n/// Greets.";
    let broken = text.replacen("/// Greets.", declared, 1).replacen(
        "    let Config",
        "    nowhere();\n    let Config",
        1,
    );
    std::fs::write(&source, &broken).unwrap();
    let line = 1 + broken.lines().position(|line| line == "    nowhere();").unwrap();
    let page = pages::shows(laptop, "/greet/ada", "It does not link").await;
    let mark = format!("src/lib.rs:{line}: undefined symbol: nowhere</p>");
    assert!(page.text().contains(&mark) && !page.text().contains(COMMAND), "{}", page.text());
    laptop.says(&["undefined symbol: nowhere"]).await;
    assert_eq!(laptop.get("/greet/ada").await.text(), good, "programs get the last good version");
    std::fs::write(&source, &text).unwrap();
    pages::is_the_modules(laptop, "/greet/ada", &good).await;

    std::fs::write(&script, "fn main() { println!(\"cargo::rustc-link-lib=not_there\"); }\n").unwrap();
    let page = pages::shows(laptop, "/greet/ada", "not_there</p>").await;
    assert!(page.text().contains("It does not link") && !page.text().contains(COMMAND), "{}", page.text());
    laptop.says(&["-lnot_there"]).await;
    std::fs::remove_file(&script).unwrap();
    pages::is_the_modules(laptop, "/greet/ada", &good).await;
    let lines = laptop.lines();
    assert!(lines.iter().all(|line| !line.contains(COMMAND)), "{lines:?}");
}

#[tokio::test]
async fn what_the_linker_misses_is_told_in_c() {
    are_told("c", "module.c", "undefined reference to `nowhere&#39;").await;
}

#[tokio::test]
async fn what_the_linker_misses_is_told_in_cpp() {
    are_told("cpp", "module.cc", "undefined reference to `nowhere()&#39;").await;
}

async fn are_told(language: &str, source: &str, missed: &str) {
    let terminal = Terminal::new();
    let (success, text) = terminal.hotbay("", &["new", "greet", "--lang", language]).await;
    assert!(success, "{text}");
    let (source, makefile) = (terminal.path("greet").join(source), terminal.path("greet/Makefile"));
    let text = std::fs::read_to_string(&source).unwrap();
    // What nobody calls is left out before the linker looks for what it calls.
    let calls = "int nowhere(void);\n__attribute__((visibility(\"default\"))) int calls(void);\n\
                 int calls(void) { return nowhere(); }\n";
    std::fs::write(&source, format!("{text}{calls}")).unwrap();
    let laptop = Laptop::develop(HOTBAY.as_ref(), &terminal.path("greet"));
    let page = pages::shows(&laptop, "/greet/ada", "It does not link").await;
    assert!(page.text().contains(&format!("{missed}</p>")), "{}", page.text());
    laptop.says(&["undefined reference to"]).await;
    std::fs::write(&source, &text).unwrap();
    pages::is_the_modules(&laptop, "/greet/ada", "Hello, ada!\n").await;

    let rules = std::fs::read_to_string(&makefile).unwrap();
    std::fs::write(&makefile, rules.replacen("-shared", "-shared -lnot_there", 1)).unwrap();
    // Make does not know that what it has built is of other rules.
    std::fs::write(&source, format!("{text}\n")).unwrap();
    let page = pages::shows(&laptop, "/greet/ada", "-lnot_there").await;
    assert!(page.text().contains("It does not link") && page.status == 500, "{}", page.text());
    std::fs::write(&makefile, &rules).unwrap();
    pages::is_the_modules(&laptop, "/greet/ada", "Hello, ada!\n").await;
}
