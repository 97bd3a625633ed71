//! Builds that write among their own sources.

use hotbay_e2e::laptop::Laptop;
use hotbay_e2e::wait::wait_for;

use super::Terminal;
use crate::workshop::HOTBAY;

#[tokio::test]
async fn a_makefile_that_writes_the_time_into_a_header_does_not_build_for_ever() {
    let terminal = Terminal::new();
    let (success, text) = terminal.hotbay("", &["new", "greet", "--lang", "c"]).await;
    assert!(success, "{text}");
    let (makefile, source) = (terminal.path("greet/Makefile"), terminal.path("greet/module.c"));
    let rules = std::fs::read_to_string(&makefile).unwrap();
    // Each run of make is a line in a file that nobody watches, and a folder that is made anew.
    let makes = "MADE := $(shell rm -rf gen && mkdir gen && date +%s.%N > gen/time.h && echo >> ../makes)\n";
    std::fs::write(&makefile, format!("{makes}{rules}")).unwrap();
    let runs = || std::fs::read_to_string(terminal.path("makes")).unwrap().lines().count();

    let laptop = Laptop::develop(HOTBAY.as_ref(), &terminal.path("greet"));
    laptop.says(&["every build changes", "gen/time.h"]).await;
    let before = runs();
    let text = std::fs::read_to_string(&source).unwrap();
    std::fs::write(&source, text.replacen("\"%s, ", "\"%s; ", 1)).unwrap();
    laptop.serves("/greet/ada", "Hello; ada!\n").await;
    // What would have begun a build has been seen before this one is built.
    std::fs::write(&source, &text).unwrap();
    laptop.serves("/greet/ada", "Hello, ada!\n").await;
    wait_for("one build a save", async || match runs() - before {
        2 => Ok(()),
        other => Err(format!("{other} builds")),
    })
    .await;
}
