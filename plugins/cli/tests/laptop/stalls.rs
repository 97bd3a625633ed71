//! Handlers that hold their threads: who is named, what it costs the others, and who is never named.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hotbay_api::{EntryReport, Reason};
use hotbay_e2e::http::get;
use hotbay_e2e::laptop::{Laptop, Role, free_address, send};
use hotbay_e2e::modules;
use hotbay_e2e::wait::wait_for;
use rustix::process::Signal;
use tokio::task::JoinSet;

use crate::admin::metric;
use crate::streams::BLOCKING;
use crate::throttle::Throttle;
use crate::workshop::{HOTBAY, V1, Workshop, yaml};

const FAULTY: &str = "default/faulty";
const STALLS: &str = r#"hotbay_stalls_total{module="default/faulty"}"#;

/// `faulty` from this file, in this mode, and `hello` beside it, on two threads that serve.
async fn start(shop: &Workshop, faulty: &std::path::Path, mode: &str) -> (Laptop, SocketAddr) {
    set_mode(shop, mode);
    start_as_it_is(shop, faulty).await
}

/// With whatever `faulty.yaml` says.
async fn start_as_it_is(shop: &Workshop, faulty: &std::path::Path) -> (Laptop, SocketAddr) {
    shop.push(faulty, "faulty:1.0").await;
    shop.drop_in("libhello.so", &modules::hello("1.0"));
    let (admin, mirror) = (free_address(), format!("registry.example.com=oci:{}", shop.layout().display()));
    let folder = shop.modules();
    let args: [&OsStr; 3] = [folder.as_ref(), "--mirror".as_ref(), mirror.as_ref()];
    let laptop = Laptop::spawn_with(HOTBAY.as_ref(), &args, |command| {
        command.env("HOTBAY_WORKERS", "2").env("HOTBAY_BLOCKING_THREADS", "8");
        command.env("HOTBAY_ADMIN_LISTEN", admin.to_string())
    });
    laptop.ready().await;
    laptop.active(FAULTY).await;
    laptop.active("local/hello").await;
    (laptop, admin)
}

fn set_mode(shop: &Workshop, mode: &str) {
    let config = format!("config: {{mode: \"{mode}\"}}, timeouts: {{request: 30s}}");
    shop.save("faulty.yaml", &yaml("faulty", "faulty:1.0", &config));
}

/// So many requests to `faulty` at once. All are answered in the end.
fn at_once(laptop: &Laptop, count: usize) -> JoinSet<()> {
    let address = laptop.address;
    let mut requests = JoinSet::new();
    for _ in 0..count {
        requests.spawn(async move {
            let answer = get(address, "/faulty").await.unwrap();
            assert_eq!((answer.status, answer.text().as_str()), (200, "ok\n"));
        });
    }
    requests
}

async fn all(requests: JoinSet<()>) {
    tokio::time::timeout(Duration::from_secs(60), requests.join_all()).await.unwrap();
}

/// How long `hello` takes, of 20 requests one after the other: the median, and what nine of ten stay below.
async fn latency(laptop: &Laptop) -> (Duration, Duration) {
    let mut took = Vec::new();
    for _ in 0..20 {
        let began = Instant::now();
        assert_eq!(laptop.get("/hello").await.text(), V1);
        took.push(began.elapsed());
    }
    took.sort_unstable();
    (took[10], took[18])
}

/// So many requests to `faulty`, each followed by the next, until this is dropped.
struct Flood(#[allow(dead_code, reason = "its drop ends them")] JoinSet<()>);

impl Flood {
    fn start(laptop: &Laptop, count: usize) -> Self {
        let address = laptop.address;
        let mut requests = JoinSet::new();
        for _ in 0..count {
            requests.spawn(async move {
                loop {
                    assert_eq!(get(address, "/faulty").await.unwrap().status, 200);
                }
            });
        }
        Self(requests)
    }
}

/// Waits until `hello` is as quick as it was, though `busy` blocking threads are held before and after. Others use this machine as well, so not every look
/// counts; but if the held threads were those that serve, none would.
async fn serves_as_before(laptop: &Laptop, admin: SocketAddr, busy: u64, before: Duration) {
    wait_for("hello is as quick as before", async || {
        let held = async || metric(admin, "hotbay_blocking_threads_busy").await;
        let busy_before = held().await;
        let (median, most) = latency(laptop).await;
        let busy_after = held().await;
        let harmless = median < before.max(Duration::from_millis(2)) * 5 && most < Duration::from_millis(300);
        match busy_before.min(busy_after) >= busy && harmless {
            true => Ok(()),
            false => Err(format!("{median:?}, {most:?} after {before:?}; {busy_before}, {busy_after} busy")),
        }
    })
    .await;
}

fn is_demoted(entry: &EntryReport) -> bool {
    entry.notice.as_ref().is_some_and(|notice| notice.reason == Reason::Stalled)
}

/// The lines that name a module for what it held.
fn namings(laptop: &Laptop) -> Vec<String> {
    laptop.lines().into_iter().filter(|line| line.contains("of the engine")).collect()
}

async fn engine(laptop: &Laptop, generation: u64) {
    wait_for("the next engine serves", async || match laptop.report().engine {
        engine if engine == generation => Ok(()),
        engine => Err(format!("engine {engine}")),
    })
    .await;
    laptop.entry(FAULTY, "demoted in the next engine", is_demoted).await;
}

#[tokio::test]
async fn a_handler_that_sleeps_on_its_thread_is_named_once_moved_and_harms_nobody_any_more() {
    let shop = Workshop::new();
    // Ten times what is too long, so that a machine which stalls just then does not hide it.
    let (laptop, admin) = start(&shop, &modules::faulty(), "handler-sleep-ms:5000").await;
    let (median_before, _) = latency(&laptop).await;
    assert_eq!((metric(admin, STALLS).await, metric(admin, "hotbay_demoted").await), (0, 0));
    assert_eq!(laptop.get("/faulty").await.text(), "ok\n");
    let line =
        laptop.says(&["WARN", FAULTY, "handler faulty (/faulty) held a thread of the engine for "]).await;
    assert!(line.contains("Stalled") && line.contains("`blocking`"), "{line}");
    let entry = laptop.entry(FAULTY, "demoted", is_demoted).await;
    assert!(entry.failure.is_none() && entry.serving.is_some(), "it serves: {entry:?}");
    let message = entry.notice.unwrap().message;
    assert!(message.starts_with("handler faulty (/faulty) held a thread of the engine for "), "{message}");
    assert_eq!((metric(admin, STALLS).await, metric(admin, "hotbay_demoted").await), (1, 1));

    // It is the build that is demoted, whatever its config.
    set_mode(&shop, "handler-sleep-ms:1000");
    laptop.says(&[FAULTY, "swapped"]).await;

    // On two threads these would keep everybody else waiting for six seconds.
    let flood = Flood::start(&laptop, 20);
    serves_as_before(&laptop, admin, 6, median_before).await;
    drop(flood);

    laptop.signal(Role::Keeper, Signal::HUP).await;
    engine(&laptop, 2).await;
    all(at_once(&laptop, 6)).await;
    send(laptop.pid(Role::Engine).await, Signal::KILL);
    engine(&laptop, 3).await;
    all(at_once(&laptop, 6)).await;
    assert_eq!(metric(admin, STALLS).await, 1, "nothing was held any more");
    assert_eq!(namings(&laptop).len(), 1, "it is named once: {:?}", namings(&laptop));
}

#[tokio::test]
async fn a_handler_that_is_declared_blocking_never_stalls_anybody() {
    let shop = Workshop::new();
    let (laptop, admin) = start(&shop, &modules::blocking(), "handler-sleep-ms:600").await;
    let (median_before, _) = latency(&laptop).await;
    let flood = Flood::start(&laptop, 12);
    serves_as_before(&laptop, admin, 6, median_before).await;
    wait_for("the others wait", async || match metric(admin, "hotbay_blocking_calls_waiting").await {
        6 => Ok(()),
        waiting => Err(format!("{waiting} do")),
    })
    .await;
    drop(flood);
    assert_eq!((metric(admin, STALLS).await, metric(admin, "hotbay_demoted").await), (0, 0));
    assert!(!is_demoted(&laptop.active(FAULTY).await));
    assert_eq!((namings(&laptop), laptop.report().engine), (vec![], 1));
}

/// Every test of `streams`, with the one difference that its handlers are declared blocking.
#[tokio::test]
async fn streams_trailers_and_upgrades_are_the_same_on_the_pool() {
    let tests = std::env::current_exe().unwrap();
    let mut command = tokio::process::Command::new(tests);
    // The module in Rust is declared as it is.
    command
        .args(["streams::", "--skip=streams::sdk", "--test-threads=2"])
        .env(BLOCKING, "1")
        .kill_on_drop(true);
    let output = command.output().await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !told.contains(" 0 passed"), "{told}");
}

#[tokio::test]
async fn calls_that_burn_a_little_again_and_again_are_found_out_too() {
    let shop = Workshop::new();
    let (laptop, _admin) = start(&shop, &modules::faulty(), "handler-burn-ms:300").await;
    for _ in 0..3 {
        assert!(!is_demoted(&laptop.active(FAULTY).await));
        assert_eq!(laptop.get("/faulty").await.text(), "ok\n");
    }
    let entry = laptop.entry(FAULTY, "demoted", is_demoted).await;
    let message = entry.notice.unwrap().message;
    assert!(message.contains("3 times in a minute"), "{message}");
}

#[tokio::test]
async fn one_thread_that_is_held_for_ever_keeps_nobody_from_the_sockets() {
    let shop = Workshop::new();
    let (laptop, admin) = start(&shop, &modules::faulty(), "handler-hang").await;
    let (median_before, _) = latency(&laptop).await;
    let address = laptop.address;
    let hanging = tokio::spawn(async move { get(address, "/faulty").await.map(|answer| answer.status) });
    laptop.says(&["WARN", FAULTY, "held a thread of the engine for "]).await;
    serves_as_before(&laptop, admin, 0, median_before).await;
    assert!(!hanging.is_finished(), "it hangs");
    assert_eq!(laptop.report().engine, 1, "there are others");
}

#[tokio::test]
async fn calls_that_all_hang_are_answered_503_and_reported_and_an_engine_that_has_no_thread_left_is_replaced()
{
    let shop = Workshop::new();
    let hangs = "config: {mode: \"handler-hang\"}, timeouts: {request: 1s}";
    shop.save("faulty.yaml", &yaml("faulty", "faulty:1.0", hangs));
    let (laptop, admin) = start_as_it_is(&shop, &modules::blocking()).await;
    let second = format!("{hangs}, routes: [{{path: /second, handler: faulty}}]");
    shop.save("second.yaml", &yaml("second", "faulty:1.0", &second));
    laptop.active("default/second").await;
    let hang = async |path: &str, count: usize| {
        let address = laptop.address;
        let asked = (0..count).map(|_| {
            let path = path.to_owned();
            async move { get(address, &path).await.unwrap().status }
        });
        let statuses = asked.collect::<JoinSet<_>>().join_all();
        assert_eq!(tokio::time::timeout(Duration::from_secs(60), statuses).await.unwrap(), vec![504; count]);
    };
    // All the threads that one module gets.
    hang("/faulty", 6).await;
    // Together more than may wait: nobody of those is left in the queue.
    hang("/faulty", 60).await;
    hang("/faulty", 60).await;
    assert_eq!(metric(admin, "hotbay_blocking_calls_waiting").await, 0);
    assert_eq!(metric(admin, "hotbay_blocking_threads_abandoned").await, 6);
    let hopeless = |entry: &EntryReport| {
        entry.notice.as_ref().is_some_and(|notice| notice.message.contains("nobody waits for"))
    };
    laptop.entry(FAULTY, "hopeless", hopeless).await;
    laptop.says(&["WARN", FAULTY, "Stalled", "answered 503 until"]).await;
    for _ in 0..20 {
        let answer = laptop.get("/faulty").await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (503, "the calls before this one do not return\n")
        );
    }
    assert_eq!((laptop.get("/hello").await.text(), laptop.report().engine), (V1.to_owned(), 1));
    hang("/second", 2).await;
    laptop.says(&["WARN", "replaced", "nobody waits for any more hold all its blocking threads"]).await;
    wait_for("the next engine serves", async || match laptop.report().engine {
        2 => Ok(()),
        engine => Err(format!("engine {engine}")),
    })
    .await;
    laptop.entry(FAULTY, "as it was", |entry| entry.serving.is_some() && !hopeless(entry)).await;
    hang("/faulty", 1).await;
}

#[tokio::test]
async fn an_engine_whose_threads_are_all_held_for_ever_is_replaced_once() {
    let shop = Workshop::new();
    let (laptop, admin) = start(&shop, &modules::faulty(), "handler-hang").await;
    let address = laptop.address;
    let (median_before, _) = latency(&laptop).await;
    let mut hanging = JoinSet::new();
    for _ in 0..8 {
        hanging.spawn(async move { get(address, "/faulty").await.map(|answer| answer.status) });
    }
    laptop.says(&["replaced", "modules hold all its threads"]).await;
    engine(&laptop, 2).await;
    serves_as_before(&laptop, admin, 0, median_before).await;
    assert_eq!(metric(admin, r#"hotbay_handovers_total{why="wanted"}"#).await, 1);
    // The next ones hang on the pool, where they harm nobody.
    for _ in 0..4 {
        hanging.spawn(async move { get(address, "/faulty").await.map(|answer| answer.status) });
    }
    serves_as_before(&laptop, admin, 4, median_before).await;
    assert_eq!((laptop.report().engine, namings(&laptop).len()), (2, 1), "{:?}", namings(&laptop));
}

#[tokio::test]
async fn a_pod_that_is_not_let_run_blames_nobody() {
    let shop = Workshop::new();
    // A short handler: it burns less than makes a stall, and where it has little CPU it takes long.
    let (laptop, admin) = start(&shop, &modules::faulty(), "handler-burn-ms:30").await;
    all(at_once(&laptop, 1)).await;
    let pid = laptop.pid(Role::Engine).await;
    for engage in [Throttle::engage, Throttle::neighbours] {
        let throttle = engage(pid);
        for _ in 0..3 {
            let began = Instant::now();
            all(at_once(&laptop, 4)).await;
            let took = began.elapsed();
            assert!(took > Duration::from_millis(300), "{} is to hold it up: {took:?}", throttle.how());
        }
    }
    // Stopped as a whole, in the middle of calls that sleep less than makes a stall.
    set_mode(&shop, "handler-sleep-ms:30");
    laptop.says(&[FAULTY, "swapped"]).await;
    for _ in 0..5 {
        let requests = at_once(&laptop, 4);
        send(pid, Signal::STOP);
        // Nothing can be waited for: that nothing happens for so long is what counts.
        tokio::time::sleep(Duration::from_millis(700)).await;
        send(pid, Signal::CONT);
        all(requests).await;
    }
    assert_eq!((metric(admin, STALLS).await, namings(&laptop)), (0, vec![]));
    assert!(!is_demoted(&laptop.active(FAULTY).await));
    assert_eq!(laptop.report().engine, 1);
}
