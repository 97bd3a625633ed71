//! The admin port of a laptop: metrics, status and page, with real engines behind them.

use std::ffi::OsStr;
use std::net::{SocketAddr, TcpListener};

use hotbay_api::Reason;
use hotbay_e2e::http::{Connection, Protocol, get, request, whole};
use hotbay_e2e::laptop::{Laptop, Role, free_address, send};
use hotbay_e2e::load::Load;
use hotbay_e2e::modules;
use hotbay_e2e::wait::wait_for;
use http::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::workshop::{HOTBAY, V1, V2, Workshop, yaml};

/// A laptop whose admin port is at an address of its own.
async fn start(shop: &Workshop) -> (Laptop, SocketAddr) {
    let (address, mirror) = (free_address(), format!("registry.example.com=oci:{}", shop.layout().display()));
    let (modules, listen) = (shop.modules(), address.to_string());
    let args: [&OsStr; 5] =
        [modules.as_ref(), "--mirror".as_ref(), mirror.as_ref(), "--admin-listen".as_ref(), listen.as_ref()];
    (Laptop::start(HOTBAY.as_ref(), &args).await, address)
}

async fn status(admin: SocketAddr) -> Value {
    get(admin, "/status.json").await.unwrap().json()
}

/// The value of a sample; 0 if there is none.
pub async fn metric(admin: SocketAddr, sample: &str) -> u64 {
    let text = get(admin, "/metrics").await.unwrap().text();
    let value = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or(0)
}

const ANSWERS: &str = r#"hotbay_requests_total{module="local/hello",code="200"}"#;

#[tokio::test]
async fn counters_only_rise_under_load_kills_and_handovers() {
    let shop = Workshop::new();
    shop.drop_in("libhello.so", &modules::hello("1.0"));
    let (laptop, admin) = start(&shop).await;
    laptop.serves("/hello", V1).await;
    let load = Load::start(laptop.address, Protocol::H1, 4, "/hello");
    let mut seen = 0;
    for engine in 2..=5 {
        load.answered(50).await;
        match engine % 2 {
            0 => send(laptop.pid(Role::Engine).await, Signal::KILL),
            _ => laptop.signal(Role::Keeper, Signal::HUP).await,
        }
        wait_for("the next engine serves", async || {
            let now = metric(admin, ANSWERS).await;
            assert!(now >= seen, "{now} after {seen}");
            seen = now;
            if laptop.report().engine >= engine { Ok(()) } else { Err(format!("{:?}", laptop.report())) }
        })
        .await;
    }
    load.answered(50).await;
    let tally = load.stop().await;
    let answered = tally.ok;
    wait_for("every answer is counted", async || match metric(admin, ANSWERS).await {
        // A client may have missed an answer that was on its way when the engine was killed.
        counted if counted >= answered && counted <= answered + 4 * 2 + 1 => Ok(()),
        counted => Err(format!("{counted} counted, {answered} answered")),
    })
    .await;
    // An answer is counted a moment before its request is over.
    wait_for("no request is in flight", async || match metric(admin, "hotbay_requests_in_flight").await {
        0 => Ok(()),
        more => Err(format!("{more} are")),
    })
    .await;
    assert_eq!(metric(admin, r#"hotbay_engine_crashes_total{module=""}"#).await, 2, "a kill blames nobody");
    assert_eq!(metric(admin, r#"hotbay_handovers_total{why="reload"}"#).await, 2);
    assert!(metric(admin, r#"hotbay_loads_total{reason="Succeeded"}"#).await >= 5);
}

#[tokio::test]
async fn the_status_says_what_each_module_is_and_does() {
    let shop = Workshop::new();
    shop.drop_in("libhello.so", &modules::hello("1.0"));
    let (laptop, admin) = start(&shop).await;
    laptop.serves("/hello", V1).await;
    laptop.answers("/nothing", 404).await;
    let status = wait_for("the requests are counted", async || {
        let status = status(admin).await;
        if status["totals"]["requests"].as_u64() >= Some(2) { Ok(status) } else { Err(status.to_string()) }
    })
    .await;
    let module = &status["modules"][0];
    assert_eq!(
        [&module["name"], &module["state"], &module["failure"]],
        [&json!("hello"), &json!("Active"), &Value::Null]
    );
    assert_eq!(module["routes"], json!(["GET /hello"]));
    assert!(module["serving"]["digest"].as_str().unwrap().starts_with("sha256:"), "{module}");
    let engine = &status["engines"][0];
    assert_eq!(
        [&engine["stage"], &engine["pid"]],
        [&json!("active"), &json!(laptop.pid(Role::Engine).await)]
    );
    assert!(engine["memoryBytes"].as_u64() > Some(1 << 20) && engine["images"] == 1, "{engine}");
    assert_eq!(status["version"], 1);
}

#[tokio::test]
async fn the_admin_port_reads_only_and_answers_to_no_strange_name() {
    let shop = Workshop::new();
    let (_laptop, admin) = start(&shop).await;
    let ask = async |method, host: &str, path: &str| {
        let mut connection = Connection::open(admin, Protocol::H1).await.unwrap();
        connection.send(request(Protocol::H1, method, host, path, whole(""))).await.unwrap()
    };
    assert_eq!(ask(Method::GET, "localhost:8881", "/").await.status, 200);
    let stranger = ask(Method::GET, "rebound.example:8881", "/status.json").await;
    assert_eq!(stranger.status, 403);
    assert!(stranger.text().contains("--admin-host"), "{}", stranger.text());
    assert_eq!(ask(Method::GET, "localhost", "/other").await.status, 404);
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let refused = ask(method, "localhost", "/status.json").await;
        assert_eq!((refused.status, refused.header("allow")), (405, "GET, HEAD"));
    }
    let page = ask(Method::HEAD, "localhost", "/").await;
    assert!(page.header("content-security-policy").contains("default-src 'none'") && page.body.is_empty());
}

#[tokio::test]
async fn slow_admin_clients_cost_requests_nothing() {
    let shop = Workshop::new();
    shop.drop_in("libhello.so", &modules::hello("1.0"));
    let (laptop, admin) = start(&shop).await;
    laptop.serves("/hello", V1).await;
    // More than there is room for, and none of them asks for anything.
    let silent: Vec<_> = (0..40).map(|_| std::net::TcpStream::connect(admin).unwrap()).collect();
    for _ in 0..100 {
        assert_eq!(laptop.get("/hello").await.text(), V1);
    }
    assert_eq!(get(laptop.health, "/readyz").await.unwrap().status, 200);
    // A place becomes free when the first of them are given up.
    assert_eq!(get(admin, "/metrics").await.unwrap().status, 200);
    drop(silent);
}

#[tokio::test]
async fn an_admin_port_that_is_taken_stops_nobody_who_did_not_ask_for_it() {
    // Another run may have it already, which is just as well.
    let _taken = TcpListener::bind("127.0.0.1:8881");
    let shop = Workshop::new();
    shop.drop_in("libhello.so", &modules::hello("1.0"));
    let modules = shop.modules();
    let laptop = Laptop::spawn_with(HOTBAY.as_ref(), &[modules.as_ref()], |command| command);
    laptop.serves("/hello", V1).await;
    laptop.says(&["no admin page", "--admin-listen"]).await;
    // Who asks for an address gets it, or is told.
    let taken = TcpListener::bind(free_address()).unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let mut refused =
        Laptop::spawn(HOTBAY.as_ref(), &[modules.as_ref(), "--admin-listen".as_ref(), listen.as_ref()]);
    refused.says(&["cannot listen on", &listen]).await;
    assert!(!refused.ended().await.success());
}

/// The page's card of a module.
fn card(module: &str, look: &str) -> String {
    format!(
        "const card = document.querySelector('[data-module=\"{module}\"]'); return card !== null && ({look});"
    )
}

#[tokio::test]
async fn the_page_shows_a_module_live_a_swap_and_a_failure() {
    let shop = Workshop::new();
    shop.push(&modules::faulty(), "faulty:1.0").await;
    shop.save("faulty.yaml", &yaml("faulty", "faulty:1.0", "config: {mode: none}"));
    shop.drop_in("libecho.so", &modules::echo());
    let (laptop, admin) = start(&shop).await;
    laptop.active("default/faulty").await;
    let browser = Browser::start(1100, 1000).await;
    browser.open(&format!("http://{admin}/")).await;
    let active = |module: &str| card(module, "card.dataset.state === 'Active'");
    browser.until("faulty is active", &active("default/faulty")).await;
    let styled = "return getComputedStyle(document.querySelector('.card')).borderRadius !== '0px'";
    browser.until("the policy lets the style in", styled).await;

    // The page stays open: what follows must appear by itself.
    shop.drop_in("libhello.so", &modules::hello("1.0"));
    browser.until("a new module appears", &active("local/hello")).await;
    let load = Load::start(laptop.address, Protocol::H1, 2, "/hello");
    let rate = "parseFloat(card.querySelector('.rates').textContent.replaceAll(',', '')) > 0";
    browser.until("its requests are seen", &card("local/hello", rate)).await;
    let old = laptop.active("local/hello").await.serving.unwrap().digest.short();
    shop.drop_in("libhello.so", &modules::hello("2.0"));
    laptop.serves("/hello", V2).await;
    let swapped = format!("card.dataset.state === 'Active' && !card.innerText.includes('{old}')");
    browser.until("the swap is seen", &card("local/hello", &swapped)).await;

    shop.save("faulty.yaml", &yaml("faulty", "faulty:1.0", "config: {mode: create-error}"));
    laptop.failed("default/faulty", Reason::StartFailed).await;
    let first = "card === document.querySelector('#modules').firstElementChild && card.dataset.state === 'Failed' \
                 && card.innerText.includes('StartFailed') && card.innerText.includes('asked create to fail') \
                 && card.querySelector('a').href.endsWith('reasons.md#startfailed')";
    browser.until("the failing module is first, with reason and link", &card("default/faulty", first)).await;
    send(laptop.pid(Role::Engine).await, Signal::KILL);
    browser
        .until("a crash is told", "return document.querySelector('#crashes').innerText.includes('SIGKILL')")
        .await;
    browser.until("and the modules serve again", &active("local/hello")).await;
    browser.until("under load", &card("local/hello", rate)).await;
    if let Some(path) = std::env::var_os("HOTBAY_SCREENSHOT") {
        std::fs::write(path, browser.screenshot().await).unwrap();
    }
    load.stop().await;
}

#[tokio::test]
async fn the_page_takes_words_of_modules_for_text_and_fits_a_phone() {
    let shop = Workshop::new();
    let (_laptop, admin) = start(&shop).await;
    let browser = Browser::start(500, 800).await;
    browser.open(&format!("http://{admin}/")).await;
    let mut hostile = status(admin).await;
    let script = "<img src=x onerror=document.title='taken'><script>document.title='taken'</script>";
    hostile["modules"] = json!([{
        "namespace": script, "name": "x".repeat(300), "state": "Failed", "wanted": script, "serving": null,
        "failure": {"reason": script, "message": script, "remedy": script, "waiting": "", "link": "javascript:alert(1)"},
        "routes": [script], "moreRoutes": 0, "requests": 1, "errors": 1, "crashes": 1,
    }]);
    hostile["crashes"] = json!([{"engine": 1, "secondsAgo": 1, "module": script, "story": script}]);
    browser.run(&format!("window.fetch = async () => new Response(JSON.stringify({hostile}));")).await;
    browser.until("it is shown", "return document.querySelector('.card .why') !== null").await;
    assert_eq!(browser.run("return document.images.length").await, 0);
    assert_ne!(browser.run("return document.title").await, "taken");
    let text = browser.run("return document.querySelector('.why').innerText").await;
    assert!(text.as_str().unwrap().contains("onerror="), "{text}");
    assert_eq!(browser.run("return document.querySelector('.why a').getAttribute('href')").await, "#");
    let fits = browser.run("return document.documentElement.scrollWidth <= window.innerWidth").await;
    assert_eq!(fits, true, "nothing is wider than a phone");
    // With the keyboard alone: a slash leads to the filter.
    browser.run("document.dispatchEvent(new KeyboardEvent('keydown', {key: '/'}))").await;
    assert_eq!(browser.run("return document.activeElement.id").await, "filter");
}
