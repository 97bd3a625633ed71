//! The module of ABI 1.0 that is kept, in today's engine: it is checked, served, sends bodies both ways, counts, and stops.

use std::fs;
use std::path::Path;

use hotbay_conformance::kept;
use hotbay_e2e::http::get;
use hotbay_e2e::laptop::{Laptop, command, free_address};
use hotbay_e2e::wait::{in_time, wait_for};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::workshop::{HOTBAY, Workshop, yaml};

const MODULE: &str = "default/everything";
/// What a streamed answer ends with.
const END: &str = "0\r\nx-abi: 1.0\r\n\r\n";

#[tokio::test]
async fn a_module_of_1_0_works_in_todays_engine() {
    let folder = tempfile::tempdir().unwrap();
    for file in kept::modules(folder.path()).unwrap() {
        let checked = command(HOTBAY, &["check".as_ref(), file.as_ref()]).await;
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
        works(&file).await;
    }
}

async fn works(file: &Path) {
    let shop = Workshop::new();
    shop.push(file, "everything:1.0").await;
    shop.save("everything.yaml", &yaml("everything", "everything:1.0", "config: {greeting: hello}"));
    let admin = free_address();
    let mirror = format!("registry.example.com=oci:{}", shop.layout().display());
    let modules = shop.modules();
    let args = [modules.as_os_str(), "--mirror".as_ref(), mirror.as_ref()];
    let laptop = Laptop::spawn_with(HOTBAY.as_ref(), &args, |command| {
        command.env("HOTBAY_ADMIN_LISTEN", admin.to_string())
    });
    laptop.ready().await;
    laptop.active(MODULE).await;
    laptop.says(&[MODULE, "comes up", "abi", "1.0"]).await;
    laptop.serves("/everything/start", "GET at once\n").await;
    laptop.serves("/everything/later", "later\n").await;

    let body = "~".repeat(300_000);
    let head = "POST /everything/rest HTTP/1.1\r\nhost: x\r\nte: trailers\r\nconnection: close\r\n\
                traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\ntransfer-encoding: chunked\r\n\r\n";
    let answer =
        say(&laptop, &format!("{head}{:x}\r\n{body}\r\n0\r\nx-sent: yes\r\n\r\n", body.len()), END).await;
    let words = "read 300000, trailer yes, peer yes, id yes, trace yes, config {\"greeting\":\"hello\"}\n";
    assert!(answer.contains(words), "{} bytes: {}", answer.len(), answer.replace('~', ""));
    assert!(answer.ends_with(END), "{}", answer.replace('~', ""));
    assert_eq!(answer.matches('~').count(), body.len());

    let upgrade = "GET /everything/rest HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nearly and late";
    let answer = say(&laptop, upgrade, "early and late").await;
    assert!(answer.starts_with("HTTP/1.1 101 ") && answer.ends_with("early and late"), "{answer}");

    for (name, value) in [("calls_total", "4"), ("ready", "1"), ("bytes_sum", "300000"), ("bytes_count", "1")]
    {
        let line = format!("everything_{name}{{module=\"{MODULE}\",abi=\"1.0\"}} {value}");
        wait_for(&format!("the line {line}"), async || {
            let metrics = get(admin, "/metrics").await.map_err(|error| format!("{error:?}"))?.text();
            let is = |is: &str| is == line || is.strip_suffix(".0").is_some_and(|whole| whole == line);
            metrics.lines().any(is).then_some(()).ok_or(metrics)
        })
        .await;
    }
    fs::remove_file(shop.file("everything.yaml")).unwrap();
    laptop.answers("/everything/start", 404).await;
    laptop.says(&[MODULE, "has stopped"]).await;
}

/// Sends all of it while reading all that comes. When that ends with `last`, this side ends, and then the other.
async fn say(laptop: &Laptop, words: &str, last: &str) -> String {
    let mut stream = TcpStream::connect(laptop.address).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let mut answer = Vec::new();
    let reads = async {
        while !answer.ends_with(last.as_bytes()) {
            assert_ne!(reader.read_buf(&mut answer).await.unwrap(), 0, "{}", answer.escape_ascii());
        }
    };
    let sent = in_time("the answer", async { tokio::join!(writer.write_all(words.as_bytes()), reads) }).await;
    sent.0.unwrap();
    writer.shutdown().await.unwrap();
    in_time("the end", reader.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}
