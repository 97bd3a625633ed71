//! What people in browsers see while a module is developed, and what everybody else gets.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;

use hotbay_e2e::http::{Answer, Connection, Protocol, request, whole};
use hotbay_e2e::laptop::Laptop;
use hotbay_e2e::wait::wait_for;
use http::{HeaderValue, Method, header};
use rustix::fs::{Mode, OFlags};

use super::Terminal;
use crate::browser::Browser;
use crate::workshop::HOTBAY;

/// What a browser that opens a page gets.
async fn opened(laptop: &Laptop, path: &str) -> Result<Answer, String> {
    let host = laptop.address.to_string();
    let mut asked = request(Protocol::H1, Method::GET, &host, path, whole(""));
    let headers = asked.headers_mut();
    headers.insert(header::ACCEPT, HeaderValue::from_static("text/html,application/xhtml+xml,*/*;q=0.8"));
    headers.insert("sec-fetch-dest", HeaderValue::from_static("document"));
    let connection = Connection::open(laptop.address, Protocol::H1).await;
    let mut connection = connection.map_err(|trouble| format!("{trouble:?}"))?;
    connection.send(asked).await.map_err(|trouble| format!("{trouble:?}"))
}

/// Waits until a browser is shown a page of `hotbay dev` that says so.
pub async fn shows(laptop: &Laptop, path: &str, words: &str) -> Answer {
    wait_for(&format!("a browser is told {words:?}"), async || {
        let answer = opened(laptop, path).await?;
        let is_page = answer.text().contains("hotbay dev</title>") && answer.text().contains(words);
        if is_page { Ok(answer) } else { Err(format!("{} {}", answer.status, answer.text())) }
    })
    .await
}

/// Waits until a browser gets the module's own answer.
pub async fn is_the_modules(laptop: &Laptop, path: &str, text: &str) {
    wait_for("a browser gets the module's answer", async || {
        let answer = opened(laptop, path).await?;
        if answer.text() == text { Ok(()) } else { Err(format!("{} {}", answer.status, answer.text())) }
    })
    .await;
}

#[tokio::test]
async fn a_browser_that_comes_before_the_first_build_is_never_left_without_a_page() {
    let terminal = Terminal::new();
    let (success, text) = terminal.hotbay("", &["new", "greet", "--lang", "c"]).await;
    assert!(success, "{text}");
    // Whoever opens it for reading waits until it was opened for writing, and closed.
    let (gate, makefile) = (terminal.path("gate"), terminal.path("greet/Makefile"));
    rustix::fs::mkfifoat(rustix::fs::CWD, &gate, Mode::RUSR | Mode::WUSR).unwrap();
    let rules = std::fs::read_to_string(&makefile).unwrap();
    let waits = format!("WAITS := $(shell test ! -e {0} || cat {0})\n", gate.display());
    std::fs::write(&makefile, format!("{waits}{rules}")).unwrap();

    let laptop = Laptop::develop(HOTBAY.as_ref(), &terminal.path("greet"));
    let opened_gate = wait_for("make runs", async || {
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        File::options().write(true).custom_flags(flags).open(&gate).map_err(|nobody| nobody.to_string())
    })
    .await;
    shows(&laptop, "/greet/ada", "It is being built").await;
    // Later builds find none.
    std::fs::remove_file(&gate).unwrap();
    drop(opened_gate);
    wait_for("the module answers", async || {
        let answer = opened(&laptop, "/greet/ada").await?;
        if answer.text() == "Hello, ada!\n" {
            return Ok(());
        }
        let text = answer.text();
        assert!(text.contains("It is being built") && text.contains("location.reload()"), "{text}");
        Err(text.to_owned())
    })
    .await;
}

#[tokio::test]
async fn yaml_that_is_wrong_is_told_and_holds_up_no_code() {
    let terminal = Terminal::new();
    let (success, text) = terminal.hotbay("", &["new", "greet", "--lang", "c"]).await;
    assert!(success, "{text}");
    let (source, yaml) = (terminal.path("greet/module.c"), terminal.path("greet/greet-module.yaml"));
    let (code, config) = (std::fs::read_to_string(&source).unwrap(), std::fs::read_to_string(&yaml).unwrap());
    let broken = format!("{config}a: [\n");
    std::fs::write(&yaml, &broken).unwrap();
    let laptop = Laptop::develop(HOTBAY.as_ref(), &terminal.path("greet"));

    // From the beginning: nobody can know what is asked for.
    let page = shows(&laptop, "/greet/ada", "greet-module.yaml is not valid YAML").await;
    assert!(page.text().contains("It compiles, but it does not serve"), "{}", page.text());
    laptop.says(&["failed:", "greet-module.yaml is not valid YAML"]).await;
    std::fs::write(&yaml, config.replace("name: greet\n", "name: my_greet\n")).unwrap();
    shows(&laptop, "/greet/ada", "&quot;my_greet&quot; is not a name; use").await;
    std::fs::write(&yaml, &config).unwrap();
    laptop.serves("/greet/ada", "Hello, ada!\n").await;
    is_the_modules(&laptop, "/greet/ada", "Hello, ada!\n").await;

    // Later: what it asked for before is served, in its newest build.
    std::fs::write(&yaml, &broken).unwrap();
    let page = shows(&laptop, "/greet/ada", "greet-module.yaml is not valid YAML").await;
    assert!(page.text().contains("Its YAML cannot be read") && page.status == 500, "{}", page.text());
    laptop.says(&["greet-module.yaml is not valid YAML", "what it held before stays"]).await;
    std::fs::write(&source, code.replacen("\"%s, ", "\"%s; ", 1)).unwrap();
    laptop.serves("/greet/ada", "Hello; ada!\n").await;
    shows(&laptop, "/greet/ada", "Its YAML cannot be read").await;
    std::fs::write(&yaml, config.replace("greeting: Hello", "greeting: Ahoy")).unwrap();
    is_the_modules(&laptop, "/greet/ada", "Ahoy; ada!\n").await;
}

#[tokio::test]
async fn a_browser_sees_what_is_wrong_and_then_the_module_by_itself() {
    let terminal = Terminal::new();
    let (success, text) = terminal.hotbay("", &["new", "greet", "--lang", "c"]).await;
    assert!(success, "{text}");
    let (source, yaml) = (terminal.path("greet/module.c"), terminal.path("greet/greet-module.yaml"));
    let (good, config) = (std::fs::read_to_string(&source).unwrap(), std::fs::read_to_string(&yaml).unwrap());
    std::fs::write(&source, format!("{good}\nint <b>broken;\n")).unwrap();
    let laptop = Laptop::develop(HOTBAY.as_ref(), &terminal.path("greet"));

    // Nothing was ever good: everybody is told.
    shows(&laptop, "/greet/ada", "It does not compile").await;
    let answer = laptop.get("/greet/ada").await;
    assert_eq!((answer.status, answer.header("content-type")), (500, "text/plain; charset=utf-8"));
    assert!(answer.text().contains("It does not compile module.c:"), "{}", answer.text());
    let browser = Browser::start(900, 700).await;
    browser.open(&format!("http://{}/greet/ada", laptop.address)).await;
    browser.until("the mistake is shown", "return document.body.innerText.includes('int <b>broken')").await;

    // The page goes when it is mended, and nobody touches the browser.
    std::fs::write(&source, &good).unwrap();
    let own = "return document.body.innerText.trim() === 'Hello, ada!'";
    browser.until("the module's answer is shown", own).await;

    // What compiles may not be served.
    std::fs::write(&yaml, config.replace("greeting: Hello", "greeting: 5")).unwrap();
    let page = shows(&laptop, "/greet/ada", "It compiles, but it does not serve").await;
    for words in ["ConfigRejected", "spec.config.greeting", "Correct the field that the message names"] {
        assert!(page.text().contains(words), "{words} should be in {}", page.text());
    }
    assert_eq!(laptop.get("/greet/ada").await.text(), "Hello, ada!\n", "programs get the last good version");
    browser.open(&format!("http://{}/greet/ada?x=1", laptop.address)).await;
    // The page loads itself anew now and then, and may do so between a look and a click.
    let click = "const link = document.querySelector('footer a'); link?.click(); return link !== null";
    browser.until("the link is there and followed", click).await;
    browser.until("the last good version is shown", own).await;
    std::fs::write(&yaml, config.replace("greeting: Hello", "greeting: Ahoy")).unwrap();
    is_the_modules(&laptop, "/greet/ada", "Ahoy, ada!\n").await;
}
