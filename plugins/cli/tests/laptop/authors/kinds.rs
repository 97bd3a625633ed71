//! Every kind of project that `hotbay new` makes: its own tests pass, `build` and `check` take it, `dev` serves it, swaps it, and keeps the last good
//! version of what does not compile.

use hotbay_e2e::laptop::{Laptop, Role};
use rustix::process::Signal;

use super::{Terminal, pages};
use crate::workshop::HOTBAY;

/// A kind of project, and how an author works on it.
struct Kind {
    options: &'static [&'static str],
    /// The tool that tests it, and what it says then.
    test: (&'static str, &'static str),
    source: &'static str,
    /// A greeting in the source, and what it is edited to.
    edit: (&'static str, &'static str),
    /// What breaks the source, and what the compiler calls it.
    mistake: (&'static str, &'static str),
    /// The answers before and after the edit.
    answers: (&'static str, &'static str),
}

#[tokio::test]
async fn a_project_in_c_lives_its_life() {
    lives(&Kind {
        options: &["--lang", "c"],
        test: ("make", "it greets who is named"),
        source: "module.c",
        edit: ("\"Hello\");", "\"Ahoy\");"),
        mistake: ("#include \"hotbay.h\"", "#include \"hotbay.h\"\nint missing(void) { return 1 }"),
        answers: ("Hello, ada!\n", "Ahoy, ada!\n"),
    })
    .await;
}

#[tokio::test]
async fn a_project_in_cpp_lives_its_life() {
    lives(&Kind {
        options: &["--lang", "cpp"],
        test: ("make", "it greets who is named"),
        source: "module.cc",
        edit: ("\"Hello\"", "\"Ahoy\""),
        mistake: ("#include \"hotbay.h\"", "#include \"hotbay.h\"\nint missing() { return 1 }"),
        answers: ("Hello, ada!\n", "Ahoy, ada!\n"),
    })
    .await;
}

#[tokio::test]
async fn an_axum_app_lives_its_life() {
    lives(&Kind {
        options: &["--axum"],
        test: ("cargo", "2 passed"),
        source: "src/lib.rs",
        edit: ("\"Hello, {who}!\\n\")\n}", "\"Ahoy, {who}!\\n\")\n}"),
        mistake: ("async fn greet(", "async fn greet(,"),
        answers: ("Hello, ada!\n", "Ahoy, ada!\n"),
    })
    .await;
}

async fn lives(kind: &Kind) {
    let terminal = Terminal::new();
    let (success, text) = terminal.hotbay("", &[&["new", "greet"], kind.options].concat()).await;
    assert!(success && text.contains("hotbay dev"), "{text}");
    let (tool, words) = kind.test;
    let (success, text) = terminal.types("greet", tool, &["test"], &[]).await;
    assert!(success && text.contains(words), "{text}");

    let (success, text) = terminal.hotbay("greet", &["build"]).await;
    let built = text.lines().find(|line| line.ends_with(" bytes")).unwrap_or_default();
    assert!(success && built.contains(".so  linux/"), "{text}");
    let module = built.split("  ").next().unwrap();
    let (success, text) = terminal.hotbay("greet", &["check", module, "--for", "greet-module.yaml"]).await;
    assert!(success && text.contains("ok      stop") && !text.contains("warning"), "{text}");

    // The config's greeting would hide the source's.
    let yaml = terminal.path("greet/greet-module.yaml");
    let without = std::fs::read_to_string(&yaml).unwrap().replace("  config:\n    greeting: Hello\n", "");
    std::fs::write(&yaml, without).unwrap();
    let source = terminal.path("greet").join(kind.source);
    let text = std::fs::read_to_string(&source).unwrap();
    let edited = |(from, to): (&str, &str)| {
        assert!(text.contains(from), "{} holds {from:?}", kind.source);
        std::fs::write(&source, text.replacen(from, to, 1)).unwrap();
    };
    let mut laptop = Laptop::develop(HOTBAY.as_ref(), &terminal.path("greet"));
    laptop.serves("/greet/ada", kind.answers.0).await;
    edited(kind.edit);
    laptop.serves("/greet/ada", kind.answers.1).await;
    laptop.says(&["served", "ms after the save"]).await;
    edited(kind.mistake);
    let page = pages::shows(&laptop, "/greet/ada", "It does not compile").await;
    assert_eq!(page.status, 500);
    assert!(page.text().contains(&format!("<p class=\"mark\">{}:", kind.source)), "{}", page.text());
    assert_eq!(laptop.get("/greet/ada").await.text(), kind.answers.1, "programs get the last good version");
    std::fs::write(&source, &text).unwrap();
    laptop.serves("/greet/ada", kind.answers.0).await;
    pages::is_the_modules(&laptop, "/greet/ada", kind.answers.0).await;
    laptop.signal(Role::Run, Signal::INT).await;
    assert!(laptop.ended().await.success());
}
