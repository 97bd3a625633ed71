//! What a module's author types: `new`, `cargo test`, `build`, `check`, `run`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use hotbay_e2e::cargo::on_its_own;
use hotbay_e2e::laptop::{Laptop, Role};
use hotbay_e2e::wait::wait_for;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::process::Command;

use crate::workshop::HOTBAY;

mod checks;
mod ends;
mod kinds;
mod links;
mod loops;
mod pages;
mod platforms;
mod releases;

/// An author's terminal.
struct Terminal {
    home: TempDir,
}

impl Terminal {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Types a command in a folder below home; whether it succeeds, and all that it prints.
    async fn types(
        &self,
        folder: &str,
        program: &str,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> (bool, String) {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.path(folder)).envs(env.iter().copied()).stdin(Stdio::null());
        // Of the test's own build; an author has none of it.
        on_its_own(command.as_std_mut());
        let output = command.output().await.unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.success(), format!("{out}{err}"))
    }

    async fn hotbay(&self, folder: &str, args: &[&str]) -> (bool, String) {
        self.types(folder, HOTBAY, args, &[]).await
    }
}

#[tokio::test]
async fn a_new_project_passes_its_tests_is_built_checked_and_served() {
    let terminal = Terminal::new();
    let (success, text) = terminal.hotbay("", &["new", "greet"]).await;
    assert!(success && text.contains("hotbay dev"), "{text}");
    let (success, text) = terminal.types("greet", "cargo", &["test", "--quiet"], &[]).await;
    assert!(success && text.contains("test result: ok. 1 passed"), "{text}");

    let (success, text) = terminal.hotbay("greet", &["build"]).await;
    let built = text.lines().find(|line| line.contains("libgreet.so  linux/")).unwrap_or_default();
    assert!(success && built.ends_with(" bytes"), "{text}");
    let module = PathBuf::from(built.split("  ").next().unwrap());
    assert!(module.starts_with(terminal.path("greet").canonicalize().unwrap()), "{built}");
    let small = module.metadata().unwrap().len();
    assert!(small < 600_000, "a release is one piece and stripped, and this has {small} bytes");

    let arguments = ["check", module.to_str().unwrap(), "--for", "greet-module.yaml"];
    let (success, text) = terminal.hotbay("greet", &arguments).await;
    assert!(success && text.contains("ok      greet      routes and config fit: /greet/{who}"), "{text}");
    let laptop = Laptop::start(HOTBAY.as_ref(), &[module.as_ref()]).await;
    laptop.serves("/greet/ada", "Hello, ada!\n").await;

    drop(laptop);

    is_developed(&terminal.path("greet")).await;

    // What does not compile is said by cargo, and what was built stays.
    std::fs::write(terminal.path("greet/src/lib.rs"), "fn broken( {}\n").unwrap();
    let (success, text) = terminal.hotbay("", &["build", "greet"]).await;
    assert!(!success && text.contains("error") && text.contains("does not build"), "{text}");
    assert!(module.is_file());
}

/// `hotbay dev` on a project whose dependencies are built: what is saved is served, with the project's own YAML.
async fn is_developed(project: &Path) {
    let (source, yaml) = (project.join("src/lib.rs"), project.join("greet-module.yaml"));
    let text = std::fs::read_to_string(&source).unwrap();
    let edit = |from: &str, to: &str| std::fs::write(&source, text.replace(from, to)).unwrap();
    // It begins with what does not build, and waits for what does.
    edit("fn greet(", "fn greet(,");
    let mut laptop = Laptop::develop(HOTBAY.as_ref(), project);
    laptop.says(&["does not build"]).await;
    edit("", "");
    laptop.serves("/greet/ada", "Hello, ada!\n").await;
    edit("{who}!", "{who}?");
    laptop.serves("/greet/ada", "Hello, ada?\n").await;
    let failures = |lines: Vec<String>| lines.iter().filter(|line| line.contains("does not build")).count();
    edit("fn greet(", "fn greet(,");
    wait_for("the error is told", async || match failures(laptop.lines()) {
        2.. => Ok(()),
        _ => Err(format!("{:?}", laptop.lines())),
    })
    .await;
    assert_eq!(laptop.get("/greet/ada").await.text(), "Hello, ada?\n", "the last build serves on");
    std::fs::write(&yaml, std::fs::read_to_string(&yaml).unwrap().replace("Hello", "Ahoy")).unwrap();
    laptop.serves("/greet/ada", "Ahoy, ada?\n").await;
    // A file that is new, in a folder that is new.
    std::fs::create_dir(project.join("src/words")).unwrap();
    std::fs::write(project.join("src/words/mod.rs"), "pub const END: &str = \" and all\";\n").unwrap();
    let with_words =
        text.replace("{who}!\\n\"", "{who}{}\\n\", words::END").replace("use serde", "mod words;\nuse serde");
    std::fs::write(&source, with_words).unwrap();
    laptop.serves("/greet/ada", "Ahoy, ada and all\n").await;
    std::fs::write(project.join("src/words/mod.rs"), "pub const END: &str = \" alone\";\n").unwrap();
    laptop.serves("/greet/ada", "Ahoy, ada alone\n").await;
    links::are_told_in_rust(&laptop, project).await;
    // A file outside of the package, which is not there when it is missed first.
    let outside = project.join("../end.txt");
    let with_end = text.replace("{who}!\\n\"", "{who}{}\\n\", include_str!(\"../../end.txt\")");
    std::fs::write(&source, with_end).unwrap();
    pages::shows(&laptop, "/greet/ada", "end.txt`: No such file").await;
    std::fs::write(&outside, " outside").unwrap();
    laptop.serves("/greet/ada", "Ahoy, ada outside\n").await;
    std::fs::write(&outside, " elsewhere").unwrap();
    laptop.serves("/greet/ada", "Ahoy, ada elsewhere\n").await;
    // Under another tag, too.
    let tagged = std::fs::read_to_string(&yaml).unwrap().replace("greet:0.1.0", "greet:0.2.0");
    std::fs::write(&yaml, tagged).unwrap();
    std::fs::write(&source, &text).unwrap();
    laptop.serves("/greet/ada", "Ahoy, ada!\n").await;
    laptop.signal(Role::Run, Signal::INT).await;
    assert!(laptop.ended().await.success());
}

#[tokio::test]
async fn new_takes_no_name_that_could_not_serve_and_no_folder_that_is_there() {
    let terminal = Terminal::new();
    std::fs::create_dir(terminal.path("there")).unwrap();
    let cases = [
        ("Greet", "lower-case"),
        ("../greet", "lower-case"),
        ("there", "exists already"),
        ("fn", "cargo made no package"),
    ];
    for (name, words) in cases {
        let (success, text) = terminal.hotbay("", &["new", name]).await;
        assert!(!success && text.contains(words), "{name}: {text}");
    }
    let left: Vec<_> = std::fs::read_dir(terminal.home.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing is made: {left:?}");
    let (success, text) = terminal.hotbay("", &["new", "greet", "--sdk", "/nowhere"]).await;
    assert!(!success && text.contains("there is no SDK in /nowhere"), "{text}");
    assert!(!Path::new(&terminal.path("greet")).exists());
}

#[tokio::test]
async fn build_says_what_is_missing_before_it_compiles() {
    let terminal = Terminal::new();
    let (success, text) = terminal.hotbay("", &["build"]).await;
    assert!(!success && text.contains("hotbay new NAME"), "{text}");
    let (success, text) = terminal.hotbay("", &["build", "--platform", "linux/riscv64"]).await;
    assert!(!success && text.contains("there are linux/amd64 and linux/arm64"), "{text}");

    // A package that is no shared object.
    let (success, text) = terminal.types("", "cargo", &["new", "--quiet", "--lib", "plain"], &[]).await;
    assert!(success, "{text}");
    let arguments = ["build", "plain", "--platform", "linux/arm64"];
    let (success, text) = terminal.types("", HOTBAY, &arguments, &[("RUSTC", "false")]).await;
    assert!(!success && text.contains("`rustup target add aarch64-unknown-linux-gnu`"), "{text}");
    // Which toolchain it is may be said in the package's folder.
    let (rustc, asked) = (terminal.path("rustc"), terminal.path("asked"));
    std::fs::write(&rustc, format!("#!/bin/sh\npwd -P > {}\nexit 1\n", asked.display())).unwrap();
    std::fs::set_permissions(&rustc, std::fs::Permissions::from_mode(0o755)).unwrap();
    let environment = [("RUSTC", rustc.to_str().unwrap())];
    let (success, _) = terminal.types("", HOTBAY, &arguments, &environment).await;
    assert!(!success, "there is no library");
    let folder = terminal.path("plain").canonicalize().unwrap();
    assert_eq!(std::fs::read_to_string(&asked).unwrap().trim_end(), folder.to_str().unwrap());
    let (success, text) = terminal.hotbay("", &["build", "plain"]).await;
    assert!(!success && text.contains("crate-type = [\"cdylib\"]"), "{text}");
}
