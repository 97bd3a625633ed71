//! A real keeper with real children: every process here is this binary again, its first argument saying which.

#![allow(clippy::unwrap_used, clippy::panic)]

mod engine;
mod fixture;
mod probe;
mod scenarios;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("role=keeper") => fixture::run_keeper(&arguments[2]),
        Some("role=engine") => engine::run(&arguments[2], arguments[3].as_ref()),
        Some("role=probe") => probe::run(&arguments[2]),
        _ => {
            let trial = |&(name, test): &(&'static str, fn())| {
                Trial::test(name, move || {
                    test();
                    Ok(())
                })
            };
            let trials = scenarios::ALL.iter().map(trial).collect();
            libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
        }
    }
}
