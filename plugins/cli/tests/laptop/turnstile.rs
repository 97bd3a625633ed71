//! A `tower::Service` that is not axum's, the example `turnstile`: it is not always ready, and its calls fail.

use hotbay_e2e::http::{Connection, Protocol, get, request, whole};
use hotbay_e2e::laptop::{Laptop, Role};
use hotbay_e2e::modules;
use hotbay_e2e::wait::{in_time, wait_for};
use http::Method;
use http_body_util::BodyExt as _;

use crate::workshop::Workshop;

async fn start(shop: &Workshop) -> Laptop {
    shop.drop_in("libturnstile.so", &modules::turnstile());
    let laptop = shop.run().await;
    laptop.active("local/turnstile").await;
    laptop
}

/// Waits until so many visitors have found the service not ready.
async fn have_waited(laptop: &Laptop, count: usize) {
    wait_for(&format!("{count} visitors have waited"), async || {
        let lines = laptop.lines();
        let waited = lines.iter().filter(|line| line.contains("a visitor waits")).count();
        if waited == count { Ok(()) } else { Err(format!("{waited}")) }
    })
    .await;
}

#[tokio::test]
async fn a_service_that_is_not_ready_is_called_when_it_is() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    for (protocol, count) in [(Protocol::H1, 1), (Protocol::H2c, 2)] {
        let mut first = Connection::open(laptop.address, protocol).await.unwrap();
        let stay = request(protocol, Method::GET, "localhost", "/stay", whole(""));
        let mut visit = first.begin(stay).await.unwrap();
        let frame = in_time("the visit begins", visit.frame()).await;
        assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), "you are in\n");
        let second = tokio::spawn(get(laptop.address, "/look"));
        have_waited(&laptop, count).await;
        assert!(!second.is_finished(), "{protocol:?}: there is room for one");
        // It leaves: its answer's body is dropped, and with that the permit.
        drop((visit, first));
        let answer = in_time("the second visit", second).await.unwrap().unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "you are in\n"), "{protocol:?}");
    }
}

#[tokio::test]
async fn an_error_of_a_service_is_a_500_and_its_words_are_in_the_log_alone() {
    let shop = Workshop::new();
    let laptop = start(&shop).await;
    let engine = laptop.pid(Role::Engine).await;
    // More than once: a call that failed gives its permit back.
    for _ in 0..2 {
        let answer = laptop.get("/cellar").await;
        assert_eq!(answer.status, 500);
        assert!(!answer.text().contains("cellar"), "{}", answer.text());
    }
    laptop.says(&["local/turnstile", "the service failed: nobody may go to /cellar"]).await;
    assert_eq!(laptop.get("/look").await.status, 200);
    assert_eq!(laptop.pid(Role::Engine).await, engine);
}
