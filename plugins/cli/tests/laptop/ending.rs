//! How a run ends: asked to, hurried, or killed. No process may be left.

use hotbay_api::EntryState;
use hotbay_e2e::laptop::{Laptop, Role};
use hotbay_e2e::modules;
use hotbay_e2e::wait::wait_for;
use hotbay_e2e::{http, laptop};
use rustix::process::Signal;

use crate::workshop::{HOTBAY, V1, Workshop, yaml};

/// `faulty` that answers after so many milliseconds.
async fn slow(shop: &Workshop, millis: u32) -> Laptop {
    shop.push(&modules::faulty(), "faulty:1.0").await;
    let config = format!("config: {{mode: \"handler-slow-ms:{millis}\"}}, timeouts: {{request: 50s}}");
    shop.save("faulty.yaml", &yaml("faulty", "faulty:1.0", &config));
    let laptop = shop.run().await;
    laptop.active("default/faulty").await;
    laptop
}

async fn unready(laptop: &Laptop) {
    wait_for("the keeper is not ready any more", async || match http::get(laptop.health, "/readyz").await {
        Ok(answer) if answer.status != 200 => Ok(()),
        Err(_) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

#[tokio::test]
async fn ctrl_c_lets_a_slow_request_finish() {
    let shop = Workshop::new();
    // Long enough to be seen in flight, and shorter than the 10 s that a laptop drains.
    let mut laptop = slow(&shop, 8000).await;
    let address = laptop.address;
    let slow = tokio::spawn(async move { http::get(address, "/faulty").await });
    // The request is in the engine's hands before it is told to end.
    in_flight(&laptop, 1).await;
    laptop.signal(Role::Run, Signal::INT).await;
    unready(&laptop).await;
    let answer = slow.await.unwrap().unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok\n"));
    assert_eq!(laptop.ended().await.code(), Some(0));
    assert!(http::get(address, "/faulty").await.is_err(), "nobody serves any more");
}

/// Waits until the engine runs so many threads on which `faulty` sleeps: one a request.
pub async fn in_flight(laptop: &Laptop, requests: usize) {
    let engine = laptop.pid(Role::Engine).await;
    wait_for(&format!("{requests} handlers have begun"), async || {
        let tasks = std::fs::read_dir(format!("/proc/{engine}/task")).into_iter().flatten().flatten();
        // Where each thread sleeps in the kernel. The engine's own wait by futex, poll and epoll, but for the one that looks for stalls.
        let read = |task: &std::fs::DirEntry, file| {
            std::fs::read_to_string(task.path().join(file)).unwrap_or_default()
        };
        let others = tasks.filter(|task| read(task, "comm").trim() != "stalls");
        let waits = others.map(|task| read(&task, "wchan"));
        let waits: Vec<String> = waits.collect();
        let sleeping = waits.iter().filter(|place| place.contains("nanosleep")).count();
        if sleeping >= requests { Ok(()) } else { Err(format!("{waits:?}")) }
    })
    .await;
}

#[tokio::test]
async fn sigterm_ends_an_idle_run_at_once() {
    let shop = Workshop::new();
    shop.drop_in("libhello.so", &modules::hello("1.0"));
    let mut laptop = shop.run().await;
    laptop.serves("/hello", V1).await;
    laptop.signal(Role::Run, Signal::TERM).await;
    assert_eq!(laptop.ended().await.code(), Some(0));
}

#[tokio::test]
async fn modules_stop_before_their_engine_ends() {
    for (mode, words) in
        [("stop-panic", "asked stop to panic"), ("destroy-panic", "asked the destructor to panic")]
    {
        let shop = Workshop::new();
        shop.push(&modules::faulty(), "faulty:1.0").await;
        shop.save("faulty.yaml", &yaml("faulty", "faulty:1.0", &format!("config: {{mode: {mode}}}")));
        let mut laptop = shop.run().await;
        laptop.active("default/faulty").await;
        laptop.signal(Role::Run, Signal::INT).await;
        assert_eq!(laptop.ended().await.code(), Some(0));
        laptop.says(&["default/faulty", words]).await;
    }
}

#[tokio::test]
async fn what_is_still_starting_keeps_no_engine_and_what_serves_stops() {
    let shop = Workshop::new();
    shop.push(&modules::faulty(), "faulty:1.0").await;
    shop.save("faulty.yaml", &yaml("faulty", "faulty:1.0", "config: {mode: stop-panic}"));
    let mut laptop = shop.run().await;
    laptop.active("default/faulty").await;
    shop.save("faulty.yaml", &yaml("faulty", "faulty:1.0", "config: {mode: create-pending}"));
    wait_for("the next instance is being made", async || {
        let entry = laptop.report().entries.into_iter().find(|entry| entry.state == EntryState::Pending);
        entry.map(drop).ok_or_else(|| format!("{:?}", laptop.report()))
    })
    .await;
    laptop.signal(Role::Run, Signal::INT).await;
    assert_eq!(laptop.ended().await.code(), Some(0));
    laptop.says(&["default/faulty", "asked stop to panic"]).await;
}

#[tokio::test]
async fn a_stop_that_hangs_does_not_keep_an_engine() {
    let shop = Workshop::new();
    shop.push(&modules::faulty(), "faulty:1.0").await;
    shop.save("faulty.yaml", &yaml("faulty", "faulty:1.0", "config: {mode: stop-hang}"));
    let mut laptop = shop.run().await;
    laptop.active("default/faulty").await;
    laptop.signal(Role::Run, Signal::INT).await;
    assert_eq!(laptop.ended().await.code(), Some(0));
    laptop
        .says(&[
            "default/faulty",
            "stop did not return within 3s; make it async (HB_PENDING), then it has 10s",
        ])
        .await;
}

#[tokio::test]
async fn a_second_ctrl_c_hurries() {
    let shop = Workshop::new();
    let mut laptop = slow(&shop, 45_000).await;
    let address = laptop.address;
    let slow = tokio::spawn(async move { http::get(address, "/faulty").await });
    in_flight(&laptop, 1).await;
    let began = std::time::Instant::now();
    laptop.signal(Role::Run, Signal::INT).await;
    unready(&laptop).await;
    laptop.signal(Role::Run, Signal::INT).await;
    assert_eq!(laptop.ended().await.code(), Some(0));
    assert!(slow.await.unwrap().is_err(), "it was cut");
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_run_that_is_killed_leaves_no_process() {
    let shop = Workshop::new();
    shop.drop_in("libhello.so", &modules::hello("1.0"));
    let mut laptop = shop.run().await;
    laptop.serves("/hello", V1).await;
    laptop.signal(Role::Run, Signal::KILL).await;
    assert_eq!(laptop.ended().await.code(), None);
}

#[tokio::test]
async fn a_keeper_that_is_killed_ends_the_run_with_an_error() {
    let shop = Workshop::new();
    shop.drop_in("libhello.so", &modules::hello("1.0"));
    let mut laptop = shop.run().await;
    laptop.serves("/hello", V1).await;
    laptop.signal(Role::Keeper, Signal::KILL).await;
    let code = laptop.ended().await.code();
    assert!(code.is_some_and(|code| code != 0), "{code:?}");
    laptop.says(&["the keeper was killed"]).await;
}

#[tokio::test]
async fn an_address_in_use_and_a_path_that_is_not_there_are_errors() {
    let shop = Workshop::new();
    let taken = std::net::TcpListener::bind(laptop::free_address()).unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let state = shop.file("state");
    let modules = shop.modules();
    let output = laptop::command(
        HOTBAY,
        &[
            "run".as_ref(),
            modules.as_ref(),
            "--listen".as_ref(),
            listen.as_ref(),
            "--state".as_ref(),
            state.as_ref(),
        ],
    )
    .await;
    assert!(!output.status.success());
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains(&format!("cannot listen on {listen}; is it in use")), "{words}");

    let output = laptop::command(HOTBAY, &["run".as_ref(), "/nowhere/x.so".as_ref()]).await;
    assert!(!output.status.success());
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("/nowhere/x.so does not exist; name a YAML file"), "{words}");
}
