//! HTTP/2 as a conformance suite sees it: every case of h2spec, and why the few that fail do.
//!
//! Owns the list of cases that fail. It is compared exactly: a case that begins to fail, and one that begins to pass, both fail the test.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;

use hotbay_e2e::cargo::workspace;
use hotbay_e2e::laptop::Laptop;
use hotbay_e2e::modules;
use tokio::process::Command;

use crate::workshop::{V1, Workshop};

/// The suite has 145 cases; fewer would mean that some were left out.
const CASES: usize = 145;

/// What fails whichever module answers: the case, and why.
const ALWAYS: [(&str, &str); 1] = [(
    "http2/3.5: Sends invalid connection preface",
    "the port speaks HTTP/1.1 too, so what is no preface is answered as a bad HTTP/1.1 request, and then the connection \
     is closed; h2spec wants it closed without a word",
)];

/// What may fail where a handler answers before it has the whole request, as hello does: each breaks the request after its head. Whichever comes
/// first wins, and RFC 9113, 8.1.1 allows an answer before the stream is reset. With echo, which reads to the end, all of them pass.
const BROKEN_AFTER_THE_HEAD: [&str; 5] = [
    "http2/6.9.1: Sends multiple WINDOW_UPDATE frames increasing the flow control window to above 2^31-1 on a stream",
    "http2/8.1: Sends a second HEADERS frame without the END_STREAM flag",
    "http2/8.1.2.1: Sends a HEADERS frame that contains a pseudo-header field as trailers",
    "http2/8.1.2.6: Sends a HEADERS frame with the \"content-length\" header field which does not equal the DATA frame payload length",
    "http2/8.1.2.6: Sends a HEADERS frame with the \"content-length\" header field which does not equal the sum of the multiple DATA frames payload length",
];

/// The folder of tools, with h2spec built.
async fn h2spec() -> PathBuf {
    let script = workspace().join("scripts/tools");
    let output = Command::new(script).arg("h2spec").stdin(Stdio::null()).output().await.unwrap();
    let (bin, words) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "scripts/tools h2spec: {words}");
    PathBuf::from(bin.lines().last().unwrap()).join("h2spec")
}

/// Runs every section of the suite against `path`, and returns how many cases there were and which failed.
async fn suite(laptop: &Laptop, path: &str) -> (usize, BTreeSet<String>) {
    let report = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new(h2spec().await);
    command.args(["generic", "http2", "hpack", "--path", path, "--timeout", "30"]);
    command.args(["--host", &laptop.address.ip().to_string(), "--port", &laptop.address.port().to_string()]);
    // Its exit code says only that some case failed.
    let output =
        command.arg("--junit-report").arg(report.path()).stdin(Stdio::null()).output().await.unwrap();
    let xml = std::fs::read_to_string(report.path()).unwrap();
    assert!(!xml.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    let cases: Vec<_> = xml.split("<testcase ").skip(1).collect();
    (cases.len(), cases.iter().filter(|case| !passed(case)).map(|case| name(case)).collect())
}

/// What passed holds no element that says otherwise.
fn passed(case: &str) -> bool {
    case.split_once('>').is_some_and(|(_, rest)| rest.trim_start().starts_with("</testcase>"))
}

/// `http2/6.9.1: Sends …`
fn name(case: &str) -> String {
    let attribute = |name: &str| {
        let (_, rest) = case.split_once(&format!("{name}=\"")).unwrap();
        rest.split_once('"').unwrap().0.replace("&#34;", "\"").replace("&quot;", "\"").replace("&#39;", "'")
    };
    format!("{}: {}", attribute("package"), attribute("classname"))
}

fn always() -> BTreeSet<String> {
    ALWAYS.iter().map(|(case, _why)| (*case).to_owned()).collect()
}

#[tokio::test]
async fn h2spec_passes_but_for_what_is_named() {
    let shop = Workshop::new();
    shop.drop_in("libecho.so", &modules::echo());
    let laptop = shop.run().await;
    laptop.active("local/echo").await;
    let (cases, failed) = suite(&laptop, "/echo/h2spec").await;
    assert_eq!((cases, failed), (CASES, always()));
}

#[tokio::test]
async fn h2spec_on_a_handler_that_answers_early_fails_only_where_it_may() {
    let shop = Workshop::new();
    shop.drop_in("libhello.so", &modules::hello("1.0"));
    let laptop = shop.run().await;
    laptop.serves("/hello", V1).await;
    let (cases, failed) = suite(&laptop, "/hello").await;
    assert_eq!(cases, CASES);
    let early = BROKEN_AFTER_THE_HEAD.iter().map(|case| (*case).to_owned()).collect();
    let others: BTreeSet<_> = failed.difference(&early).cloned().collect();
    assert_eq!(others, always());
}
