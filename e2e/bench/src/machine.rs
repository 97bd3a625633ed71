//! What was measured on, and with which programs.
//!
//! Owns the words at the top of RESULTS.md. What cannot be found out is left out.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Some lines: machine, system, programs, commit, date.
pub fn describe(repo: &Path) -> String {
    let cpu = first_line_after("/proc/cpuinfo", "model name");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = first_line_after("/proc/meminfo", "MemTotal");
    let system = first_line_after("/etc/os-release", "PRETTY_NAME").replace('"', "");
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let commit =
        said(Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).current_dir(repo));
    let date = said(Command::new("date").args(["--utc", "+%F %H:%M UTC"]));
    let mut lines = vec![
        format!("- {date}, commit {commit}"),
        format!("- {cpu}, {cores} cores, {memory} of memory; {system}, Linux {}", kernel.trim()),
    ];
    let programs: [&[&str]; 5] = [
        &["rustc", "--version"],
        &["nginx", "-v"],
        &["wrk", "-v"],
        &["valgrind", "--version"],
        &["ldd", "--version"],
    ];
    let versions = programs.iter().map(|words| said(Command::new(words[0]).args(&words[1..])));
    lines.push(format!("- {}", versions.collect::<Vec<_>>().join("; ")));
    lines.join("\n")
}

/// The value of the first line that begins with `name`.
fn first_line_after(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_once([':', '=']).map_or("", |(_, value)| value).trim().to_owned()
}

/// The first line that a program says. Some say their version on standard error, and some with a failing exit code.
fn said(command: &mut Command) -> String {
    let Ok(output) = command.output() else { return String::new() };
    let said = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    let text = String::from_utf8_lossy(&said).into_owned();
    // wrk adds who wrote it.
    text.lines().next().unwrap_or_default().split(" Copyright").next().unwrap_or_default().trim().to_owned()
}
