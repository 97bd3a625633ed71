//! Output that nobody reads to its end: `hotbay check m.so | head -1`.

use std::io::{BufRead as _, BufReader, PipeWriter, pipe};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Stdio;

use hotbay_e2e::cargo::on_its_own;
use hotbay_e2e::laptop::free_address;
use hotbay_e2e::modules;
use hotbay_e2e::wait::wait_for;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use tokio::process::{Child, Command};

use crate::workshop::{HOTBAY, Workshop};

/// As shells tell of a program that SIGPIPE has ended.
const CLOSED: Option<i32> = Some(141);

fn hotbay(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(HOTBAY);
    command.args(args).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    // Of the test's own build; an author has none of it.
    on_its_own(command.as_std_mut());
    command
}

/// The end of a pipe that nobody reads.
async fn unread() -> PipeWriter {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    // A child that another test begins has a copy of everything until it is a program of its own.
    wait_for("nobody can read it", async || {
        let mut end = [PollFd::new(&writer, PollFlags::empty())];
        let seen = poll(&mut end, Some(&Timespec::default()));
        if end[0].revents().contains(PollFlags::ERR) { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
    writer
}

#[tokio::test]
async fn every_command_ends_without_a_word_when_nobody_reads_it() {
    let shop = Workshop::new();
    let folder = shop.modules();
    shop.drop_in("libhello.so", &modules::hello("1.0"));
    let to = format!("oci:{}:hello:1.0", shop.layout().display());
    for args in [
        &["explain"][..],
        &["explain", "Stalled"],
        &["inspect", "libhello.so"],
        &["check", "libhello.so"],
        &["check", "libhello.so", "--json"],
        &["push", "libhello.so", &to],
        &["inspect", &to],
        &["new", "greet", "--lang", "c"],
        &["build", "greet"],
        &["build", "greet", "--platform", "linux/amd64"],
    ] {
        let writer = unread().await;
        let child = hotbay(&folder, args).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let output = child.wait_with_output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        // What make says is make's.
        let own: Vec<&str> = said.lines().filter(|line| !line.starts_with("cc ")).collect();
        assert_eq!((output.status.code(), &own[..]), (CLOSED, &[][..]), "{args:?}: {said}");
    }
}

#[tokio::test]
async fn an_error_that_nobody_reads_is_an_error_all_the_same() {
    let shop = Workshop::new();
    for args in [&["inspect", "none.so"][..], &["build"], &["run", "none.so"]] {
        let writer = unread().await;
        let status = hotbay(&shop.modules(), args).stderr(writer).status().await.unwrap();
        let is_error = status.code() == Some(1);
        // What serves is told by SIGTERM that its reader has left, and that may come first.
        let is_ended = args[0] == "run" && status.signal() == Some(Signal::TERM.as_raw());
        assert!(is_error || is_ended, "{args:?}: {status}");
    }
}

/// Reads standard error until a line holds `words`, then leaves.
async fn read_until(mut command: Command, words: &'static str) -> Child {
    let (reader, writer) = pipe().unwrap();
    let child = command.stdout(Stdio::null()).stderr(writer).spawn().unwrap();
    // Its end of the pipe would be a second one.
    drop(command);
    let read = move || BufReader::new(reader).lines().map_while(Result::ok).any(|line| line.contains(words));
    assert!(tokio::task::spawn_blocking(read).await.unwrap(), "it should say {words:?}");
    child
}

async fn ends(child: &mut Child) {
    wait_for("the command ends", async || match child.try_wait() {
        Ok(Some(_)) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

#[tokio::test]
async fn what_serves_ends_when_who_looked_at_it_has_left() {
    let shop = Workshop::new();
    let folder = shop.modules();
    shop.drop_in("libhello.so", &modules::hello("1.0"));
    let (listen, state) = (free_address().to_string(), shop.file("state").display().to_string());
    let at = ["--listen", &listen, "--state", &state];
    let mut run =
        read_until(hotbay(&folder, &[&["run", "libhello.so"], &at[..]].concat()), "serving at").await;
    ends(&mut run).await;

    // Before there is anything to serve, too.
    let made =
        hotbay(&folder, &["new", "greet", "--lang", "c"]).stdout(Stdio::null()).status().await.unwrap();
    assert!(made.success());
    std::fs::write(folder.join("greet/module.c"), "broken\n").unwrap();
    let mut dev = read_until(hotbay(&folder, &[&["dev", "greet"], &at[..]].concat()), "does not build").await;
    ends(&mut dev).await;
}
