//! Modules that fail, each in its own way, beside one that must not suffer; and engines that are killed.

use hotbay_api::{EntryReport, EntryState, Reason};
use hotbay_e2e::http::{Protocol, get};
use hotbay_e2e::laptop::{Laptop, Role, send};
use hotbay_e2e::load::Load;
use hotbay_e2e::modules;
use hotbay_e2e::wait::{in_time, wait_for};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::workshop::{V1, Workshop, yaml};

const FAULTY: &str = "default/faulty";

/// `faulty` that works, and `hello` beside it.
async fn start(shop: &Workshop) -> Laptop {
    shop.push(&modules::faulty(), "faulty:1.0").await;
    shop.drop_in("libhello.so", &modules::hello("1.0"));
    set_mode(shop, "none");
    let laptop = shop.run().await;
    laptop.active(FAULTY).await;
    laptop.active("local/hello").await;
    assert_eq!(laptop.get("/faulty").await.text(), "none\n");
    laptop
}

/// The answer says which mode serves.
fn set_mode(shop: &Workshop, mode: &str) {
    let config = format!("config: {{mode: \"{mode}\", text: \"{mode}\"}}, timeouts: {{request: 2s}}");
    shop.save("faulty.yaml", &yaml("faulty", "faulty:1.0", &config));
}

/// What every failure in `create` has to leave behind: the old one serves, and a cure is taken.
async fn the_old_serves_until_it_is_cured(shop: &Workshop, laptop: &Laptop) {
    laptop.serves("/faulty", "none\n").await;
    laptop.serves("/hello", V1).await;
    set_mode(shop, "answer-500");
    laptop.answers("/faulty", 500).await;
    laptop.active(FAULTY).await;
}

#[tokio::test]
async fn an_engine_that_is_killed_under_load_refuses_no_connection() {
    const KILLS: u64 = 5;
    let shop = Workshop::new();
    shop.drop_in("libhello.so", &modules::hello("1.0"));
    let laptop = shop.run_shipped().await;
    laptop.serves("/hello", V1).await;
    let load = Load::start(laptop.address, Protocol::H1, 8, "/hello");
    load.answered(50).await;
    for kill in 1..=KILLS {
        send(laptop.pid(Role::Engine).await, Signal::KILL);
        wait_for("the next engine serves", async || {
            let generation = laptop.report().engine;
            if generation > kill { Ok(()) } else { Err(format!("engine {generation}")) }
        })
        .await;
        load.answered(50).await;
    }
    let tally = load.stop().await;
    assert_eq!((tally.connect_errors, tally.timeouts), (0, 0), "{tally:?}");
    assert!(tally.other.is_empty(), "{tally:?}");
    assert!(tally.socket_errors <= 8 * KILLS, "only what was in flight is lost: {tally:?}");
    assert_eq!(laptop.get("/hello").await.text(), V1);
}

#[tokio::test]
async fn an_abort_in_create_cannot_loop_the_engine() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    set_mode(&shop, "create-abort");
    let entry = laptop.failed(FAULTY, Reason::Quarantined).await;
    assert!(entry.serving.is_some(), "{entry:?}");
    let engine = laptop.report().engine;
    the_old_serves_until_it_is_cured(&shop, &laptop).await;
    assert_eq!(laptop.report().engine, engine, "after the quarantine no engine dies");
    // One that had served, one that aborted at its start, one that serves.
    assert!(engine <= 3, "{engine} engines");
}

#[tokio::test]
async fn an_abort_in_create_of_the_first_revision_spares_the_others() {
    let shop = Workshop::new();
    shop.push(&modules::faulty(), "faulty:1.0").await;
    shop.drop_in("libhello.so", &modules::hello("1.0"));
    set_mode(&shop, "create-abort");
    let laptop = shop.run().await;
    laptop.serves("/hello", V1).await;
    let entry = laptop.failed(FAULTY, Reason::Quarantined).await;
    assert_eq!(entry.serving, None);
    assert_eq!(laptop.get("/faulty").await.status, 404);
    set_mode(&shop, "none");
    laptop.serves("/faulty", "none\n").await;
}

#[tokio::test]
async fn a_panic_or_an_error_in_create_is_said_and_the_old_serves() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    for (mode, words) in [("create-panic", "asked create to panic"), ("create-error", "asked create to fail")]
    {
        set_mode(&shop, mode);
        let entry = laptop.failed(FAULTY, Reason::StartFailed).await;
        let message = entry.failure.unwrap().message;
        assert!(message.contains(words), "{mode}: {message}");
        assert_eq!(laptop.get("/faulty").await.text(), "none\n");
        set_mode(&shop, "none");
        laptop.active(FAULTY).await;
    }
    set_mode(&shop, "create-panic");
    laptop.failed(FAULTY, Reason::StartFailed).await;
    the_old_serves_until_it_is_cured(&shop, &laptop).await;
    assert_eq!(laptop.report().engine, 1);
}

#[tokio::test]
async fn a_create_that_does_not_return_holds_up_nobody_else() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    set_mode(&shop, "create-hang");
    laptop.failed(FAULTY, Reason::StartTimeout).await;
    laptop.says(&[FAULTY, "create did not return within 3s", "Another loader thread goes on"]).await;
    shop.drop_in("libecho.so", &modules::echo());
    laptop.answers("/echo/x", 200).await;
    the_old_serves_until_it_is_cured(&shop, &laptop).await;
    assert_eq!(laptop.report().engine, 1);
}

#[tokio::test]
async fn a_create_that_stays_pending_is_given_up() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    set_mode(&shop, "create-pending");
    laptop.entry(FAULTY, "pending", |entry| entry.state == EntryState::Pending).await;
    // Others are loaded meanwhile.
    shop.drop_in("libecho.so", &modules::echo());
    laptop.answers("/echo/x", 200).await;
    assert_eq!(laptop.get("/faulty").await.text(), "none\n");
    laptop.failed(FAULTY, Reason::StartTimeout).await;
    the_old_serves_until_it_is_cured(&shop, &laptop).await;
}

/// The engine's threads on which a module's own tokio runs.
async fn runtimes(laptop: &Laptop) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", laptop.pid(Role::Engine).await)).unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim() == "hotbay-tokio").count()
}

#[tokio::test]
async fn a_start_that_was_given_up_leaves_no_thread_and_no_connection() {
    // A database that takes connections and never says a word.
    let database = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let shop = Workshop::new();
    shop.push(&modules::bookmarks(), "bookmarks:1.0").await;
    let url = format!("postgres://user:secret@{}/shop", database.local_addr().unwrap());
    let config = format!("config: {{database: \"{url}\", connections: 1, patience: 10m}}");
    shop.save("bookmarks.yaml", &yaml("bookmarks", "bookmarks:1.0", &config));
    let laptop = shop.run().await;
    for _try in 0..2 {
        let (mut connection, _) = in_time("the connection", database.accept()).await.unwrap();
        wait_for("the module's tokio is the only one", async || match runtimes(&laptop).await {
            1 => Ok(()),
            count => Err(format!("{count} of them run")),
        })
        .await;
        let mut said = Vec::new();
        in_time("the end", connection.read_to_end(&mut said)).await.unwrap();
        assert!(!said.is_empty(), "it was the module");
        laptop.failed("default/bookmarks", Reason::StartTimeout).await;
    }
}

#[tokio::test]
async fn a_create_that_wakes_itself_for_ever_is_given_up() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    set_mode(&shop, "create-spin");
    laptop.failed(FAULTY, Reason::StartTimeout).await;
    the_old_serves_until_it_is_cured(&shop, &laptop).await;
}

#[tokio::test]
async fn an_engine_comes_up_although_a_module_never_settles() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    set_mode(&shop, "create-pending");
    laptop.entry(FAULTY, "pending", |entry| entry.state == EntryState::Pending).await;
    send(laptop.pid(Role::Engine).await, Signal::KILL);
    wait_for("the next engine serves", async || match laptop.report().engine {
        2 => Ok(()),
        other => Err(format!("engine {other}")),
    })
    .await;
    laptop.serves("/hello", V1).await;
    // Its last good one serves, too.
    laptop.serves("/faulty", "none\n").await;
}

#[tokio::test]
async fn a_panic_in_a_handler_is_a_500() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    set_mode(&shop, "handler-panic");
    laptop.answers("/faulty", 500).await;
    for _ in 0..100 {
        assert_eq!(laptop.get("/faulty").await.status, 500);
    }
    laptop.says(&[FAULTY, "the config asked the handler to panic"]).await;
    assert_eq!(laptop.get("/hello").await.text(), V1);
    assert_eq!(laptop.report().engine, 1, "no engine was replaced");
}

#[tokio::test]
async fn a_panic_when_a_call_is_dropped_is_said_and_costs_nothing() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    let panics =
        || laptop.lines().iter().filter(|line| line.contains("asked the call's state to panic")).count();
    set_mode(&shop, "handler-drop-panic");
    laptop.answers("/faulty", 504).await;
    wait_for("the call that took too long has panicked", async || {
        (panics() > 0).then_some(()).ok_or("no".into())
    })
    .await;
    // The other way in which a call ends early: its client leaves.
    let config = "config: {mode: handler-drop-panic}, timeouts: {request: 10m}";
    swap(&shop, &laptop, |shop| shop.save("faulty.yaml", &yaml("faulty", "faulty:1.0", config))).await;
    let said = panics();
    let mut leaves = TcpStream::connect(laptop.address).await.unwrap();
    leaves.write_all(b"GET /faulty HTTP/1.1\r\nhost: x\r\nx-request-id: who-leaves\r\n\r\n").await.unwrap();
    laptop.says(&[FAULTY, "the call begins to wait", "who-leaves"]).await;
    drop(leaves);
    wait_for("its call has panicked", async || (panics() > said).then_some(()).ok_or("no".into())).await;
    assert_eq!(laptop.get("/hello").await.text(), V1);
    swap(&shop, &laptop, |shop| set_mode(shop, "none")).await;
    assert_eq!(laptop.get("/faulty").await.text(), "none\n");
    assert_eq!(laptop.report().engine, 1, "no engine was replaced");
}

/// Waits until what `save` asks for serves: until then a request may reach the one before, which never answers.
async fn swap(shop: &Workshop, laptop: &Laptop, save: impl FnOnce(&Workshop)) {
    let before = laptop.active(FAULTY).await;
    save(shop);
    laptop.entry(FAULTY, "the next one serves", |entry| entry.serving != before.serving).await;
}

#[tokio::test]
async fn a_panic_when_an_instance_ends_is_said_and_costs_nothing() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    for (mode, words) in
        [("stop-panic", "asked stop to panic"), ("destroy-panic", "asked the destructor to panic")]
    {
        set_mode(&shop, mode);
        laptop.serves("/faulty", &format!("{mode}\n")).await;
        set_mode(&shop, "none");
        laptop.serves("/faulty", "none\n").await;
        laptop.says(&[FAULTY, words]).await;
    }
    laptop.active(FAULTY).await;
    assert_eq!(laptop.get("/hello").await.text(), V1);
    assert_eq!(laptop.report().engine, 1, "no engine was replaced");
}

#[tokio::test]
async fn an_answer_that_http_forbids_is_a_500() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    set_mode(&shop, "answer-illegal");
    let answer = laptop.answers("/faulty", 500).await;
    assert!(answer.headers.get("b").is_none() && answer.headers.get("x-bad").is_none(), "{answer:?}");
    assert_eq!(laptop.get("/hello").await.text(), V1);
}

/// One death: the last good one goes first for a while, and the deed is told. A second one within a minute: quarantine.
async fn a_handler_that_ends_the_engine(mode: &str, deed: &str) {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    set_mode(&shop, mode);
    laptop.active(FAULTY).await;
    // The request that ends an engine has no answer.
    wait_for("a request ends the engine", async || match get(laptop.address, "/faulty").await {
        Err(_) => Ok(()),
        Ok(answer) => Err(answer.text()),
    })
    .await;
    let entry = laptop.failed(FAULTY, Reason::Crashed).await;
    let (digest, message) = (entry.serving.unwrap().digest, entry.failure.unwrap().message);
    let told = format!("{deed} (build sha256:{}); the last good revision serves", digest.short());
    assert!(message.starts_with(&told), "{message}");
    laptop.serves("/faulty", "none\n").await;
    // After the pause it serves again, and the next request ends the next engine.
    let entry = wait_for("a second request ends an engine", async || {
        let _lost = get(laptop.address, "/faulty").await;
        let entry = laptop.report().entries.into_iter().find(|entry| entry.key.to_string() == FAULTY);
        let quarantined = |entry: &EntryReport| {
            entry.failure.as_ref().is_some_and(|failure| failure.reason == Reason::Quarantined)
        };
        entry.clone().filter(quarantined).ok_or(format!("{entry:?}"))
    })
    .await;
    assert!(entry.serving.is_some(), "{entry:?}");
    let message = entry.failure.unwrap().message;
    assert!(message.starts_with(deed) && message.contains("ended two engines within a minute"), "{message}");
    laptop.serves("/hello", V1).await;
    laptop.serves("/faulty", "none\n").await;
    assert_eq!(laptop.report().engine, 3);
    set_mode(&shop, "answer-500");
    laptop.answers("/faulty", 500).await;
}

#[tokio::test]
async fn a_handler_that_aborts_twice_is_quarantined() {
    a_handler_that_ends_the_engine("handler-abort", "SIGABRT during GET /faulty").await;
}

#[tokio::test]
async fn a_handler_with_a_wild_read_is_quarantined() {
    a_handler_that_ends_the_engine("handler-segv", "SIGSEGV at 0x8 during GET /faulty").await;
}

#[tokio::test]
async fn a_module_whose_own_thread_aborts_twice_is_quarantined() {
    a_handler_that_ends_the_engine("thread-abort", "SIGABRT on a thread that it has made").await;
}

#[tokio::test]
async fn a_handler_that_exits_is_quarantined() {
    a_handler_that_ends_the_engine("handler-exit", "exit with code 3").await;
}

#[tokio::test]
async fn what_no_engine_may_load_is_refused_before_it_could() {
    let shop = Workshop::new();
    shop.drop_in("libfaulty.so", &modules::faulty());
    let laptop = shop.run().await;
    laptop.serves("/faulty", "ok\n").await;
    shop.drop_in("libfaulty.so", &modules::newer_abi());
    laptop.says(&["local/faulty", "AbiMismatch"]).await;
    assert_eq!(laptop.get("/faulty").await.text(), "ok\n");
    shop.drop_in("libfaulty.so", &modules::constructor_abort());
    laptop.failed("local/faulty", Reason::ProbeCrashed).await;
    assert_eq!(laptop.get("/faulty").await.text(), "ok\n");
    // A pass is more than exit code 0: this one would end every engine.
    shop.drop_in("libfaulty.so", &modules::constructor_exit());
    laptop.says(&["local/faulty", "ProbeCrashed", "exit code 0"]).await;
    assert_eq!(laptop.get("/faulty").await.text(), "ok\n");
    assert_eq!(laptop.report().engine, 1, "only probes have died");
}
