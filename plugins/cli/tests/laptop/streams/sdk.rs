//! Streams of a module in Rust: `RequestBody`, `Body::stream`, `Body::channel` and `Trailers`, as the example `streams` has them.

use hotbay_e2e::laptop::Laptop;
use hotbay_e2e::modules;

use super::{a_gib_each_way, a_sum_follows, mebibytes_come_back, start_module};
use crate::workshop::Workshop;

async fn start(shop: &Workshop) -> Laptop {
    start_module(shop, &modules::streams(), "60s").await
}

#[tokio::test]
async fn a_gib_goes_up_and_another_down_within_a_few_mib() {
    let shop = Workshop::new();
    a_gib_each_way(&start(&shop).await).await;
}

#[tokio::test]
async fn bodies_go_both_ways_at_once() {
    let shop = Workshop::new();
    mebibytes_come_back(&start(&shop).await, 64).await;
}

#[tokio::test]
async fn trailers_follow_where_the_protocol_has_them() {
    let shop = Workshop::new();
    a_sum_follows(&start(&shop).await).await;
}
