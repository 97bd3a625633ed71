//! Build tools that do not come to an end of their own.

use std::path::Path;

use hotbay_e2e::laptop::Laptop;

use super::{Terminal, pages};
use crate::workshop::HOTBAY;

/// A project whose make runs the script `during` with its own process id.
async fn project(terminal: &Terminal, during: &Path) {
    let (success, text) = terminal.hotbay("", &["new", "greet", "--lang", "c"]).await;
    assert!(success, "{text}");
    let makefile = terminal.path("greet/Makefile");
    let rules = std::fs::read_to_string(&makefile).unwrap();
    let runs = format!("RUN := $(shell test ! -e {0} || sh {0} $$PPID)\n", during.display());
    std::fs::write(&makefile, format!("{runs}{rules}")).unwrap();
}

fn save(terminal: &Terminal, from: &str, to: &str) {
    let source = terminal.path("greet/module.c");
    let text = std::fs::read_to_string(&source).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(&source, text.replacen(from, to, 1)).unwrap();
}

#[tokio::test]
async fn a_tool_that_was_ended_is_no_code_that_does_not_compile() {
    let terminal = Terminal::new();
    let during = terminal.path("during");
    project(&terminal, &during).await;
    std::fs::write(&during, "kill -KILL $1\n").unwrap();
    let laptop = Laptop::develop(HOTBAY.as_ref(), &terminal.path("greet"));
    let page = pages::shows(&laptop, "/greet/ada", "It cannot be built").await;
    assert!(page.text().contains("make was ended by SIGKILL"), "{}", page.text());
    laptop.says(&["failed: make was ended by SIGKILL"]).await;
    std::fs::remove_file(&during).unwrap();
    save(&terminal, "\"%s, ", "\"%s; ");
    pages::is_the_modules(&laptop, "/greet/ada", "Hello; ada!\n").await;
}

#[tokio::test]
async fn who_ends_it_during_a_build_hears_nothing_of_the_build() {
    let terminal = Terminal::new();
    let during = terminal.path("during");
    project(&terminal, &during).await;
    let mut laptop = Laptop::develop(HOTBAY.as_ref(), &terminal.path("greet"));
    laptop.serves("/greet/ada", "Hello, ada!\n").await;
    // As a terminal does it: who started make, and make.
    std::fs::write(&during, "kill -TERM $(cut -d' ' -f4 /proc/$1/stat) $1\n").unwrap();
    save(&terminal, "\"%s, ", "\"%s; ");
    assert!(laptop.ended().await.success());
    let lines = laptop.lines();
    assert!(lines.iter().all(|line| !line.contains("failed:")), "{lines:?}");
}
