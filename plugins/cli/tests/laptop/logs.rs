//! What a run's processes log: one form, and as much as they are told.

use std::ffi::OsStr;
use std::time::Instant;

use hotbay_e2e::laptop::{Laptop, Role};
use hotbay_e2e::wait::{DEADLINE, wait_for};
use hotbay_e2e::{laptop, modules};
use rustix::process::{Pid, Signal, kill_process};

use crate::workshop::{HOTBAY, V1, Workshop};

/// The processes, by the beginnings of their targets. The CLI's and the keeper's crates have a common one.
const PROCESSES: [&str; 3] = ["hotbay::run", "hotbay_keeper::", "hotbay_engine::"];

/// A run that logs JSON and is ready.
async fn run(shop: &Workshop) -> Laptop {
    let laptop = begin(shop);
    laptop.ready().await;
    laptop
}

/// One that has just begun.
fn begin(shop: &Workshop) -> Laptop {
    let admin = laptop::free_address().to_string();
    let folder = shop.modules();
    let args: [&OsStr; 1] = [folder.as_ref()];
    Laptop::spawn_with(HOTBAY.as_ref(), &args, |command| {
        command.env("HOTBAY_ADMIN_LISTEN", admin).env("HOTBAY_LOG_FORMAT", "json")
    })
}

fn lines(laptop: &Laptop) -> Vec<serde_json::Value> {
    laptop.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits until so many processes, or more, have said that their filter is `filter` now.
async fn changed(laptop: &Laptop, filter: &str, processes: usize) {
    wait_for(&format!("{processes} processes log {filter}"), async || {
        let is = |line: &&serde_json::Value| {
            line["message"] == "what is logged changes" && line["filter"] == filter
        };
        let found = lines(laptop).iter().filter(is).count();
        if found >= processes { Ok(()) } else { Err(format!("{found} lines say so")) }
    })
    .await;
}

#[tokio::test]
async fn every_process_logs_in_one_form_and_follows_the_signals_of_the_run() {
    let shop = Workshop::new();
    shop.drop_in("libhello.so", &modules::hello("1.0"));
    let mut laptop = run(&shop).await;
    laptop.serves("/hello", V1).await;
    laptop.signal(Role::Run, Signal::USR1).await;
    changed(&laptop, "hotbay=debug,info", 3).await;
    // An engine that follows logs as much.
    laptop.signal(Role::Keeper, Signal::HUP).await;
    changed(&laptop, "hotbay=debug,info", 4).await;
    laptop.signal(Role::Run, Signal::USR2).await;
    changed(&laptop, "info", 3).await;
    // It is the keeper that is to be told, but a signal to the engine ends nothing.
    let engine = laptop.pid(Role::Engine).await;
    laptop.signal(Role::Engine, Signal::USR1).await;
    laptop.serves("/hello", V1).await;
    assert_eq!(laptop.pid(Role::Engine).await, engine);
    for line in lines(&laptop) {
        for field in ["timestamp", "level", "message", "target"] {
            assert!(line[field].is_string(), "{field} of {line}");
        }
    }
    for process in PROCESSES {
        let said =
            |line: &serde_json::Value| line["target"].as_str().is_some_and(|at| at.starts_with(process));
        assert!(lines(&laptop).iter().any(said), "{process} has said something");
    }
    laptop.signal(Role::Run, Signal::TERM).await;
    assert_eq!(laptop.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_signal_that_comes_before_the_keeper_listens_waits_for_it() {
    let shop = Workshop::new();
    let mut laptop = begin(&shop);
    let run = laptop.pid(Role::Run).await;
    let deadline = Instant::now() + DEADLINE;
    // Without a pause: the run listens as soon as the keeper's program has begun.
    while !catches(run, Signal::USR1) {
        assert!(Instant::now() < deadline, "the run does not listen");
        tokio::task::yield_now().await;
    }
    kill_process(Pid::from_raw(run).unwrap(), Signal::USR1).unwrap();
    changed(&laptop, "hotbay=debug,info", 3).await;
    laptop.ready().await;
    laptop.signal(Role::Run, Signal::TERM).await;
    assert_eq!(laptop.ended().await.code(), Some(0));
}

/// Whether a process has a handler for a signal, by the kernel's word.
fn catches(pid: i32, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim();
    u64::from_str_radix(mask, 16).unwrap() & (1 << (signal.as_raw() - 1)) != 0
}

#[tokio::test]
async fn what_modules_log_follows_too() {
    let shop = Workshop::new();
    shop.drop_in("libecho.so", &modules::echo());
    let mut laptop = run(&shop).await;
    laptop.active("local/echo").await;
    laptop.answers("/echo/set", 200).await;
    laptop.signal(Role::Run, Signal::USR1).await;
    changed(&laptop, "hotbay=debug,info", 3).await;
    // Of Hotbay's own crates only.
    laptop.answers("/echo/ours", 200).await;
    laptop.signal(Role::Run, Signal::USR1).await;
    changed(&laptop, "debug", 3).await;
    wait_for("the module's line is logged", async || {
        laptop.answers("/echo/all", 200).await;
        let said = lines(&laptop).iter().any(|line| line["target"] == "module");
        if said { Ok(()) } else { Err("no line of it is there".to_owned()) }
    })
    .await;
    let lines = lines(&laptop);
    let first = lines.iter().position(|line| line["target"] == "module").unwrap();
    assert_eq!(
        (&lines[first]["level"], &lines[first]["module"], &lines[first]["message"]),
        (&"DEBUG".into(), &"local/echo".into(), &"echo of 0 bytes".into())
    );
    let told =
        |line: &serde_json::Value| line["message"] == "what is logged changes" && line["filter"] == "debug";
    assert!(lines[..first].iter().any(told), "nothing of it is logged before");
    laptop.signal(Role::Run, Signal::TERM).await;
    assert_eq!(laptop.ended().await.code(), Some(0));
}
