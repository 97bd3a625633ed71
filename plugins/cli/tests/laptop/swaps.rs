//! Swaps and handovers under load: nobody may notice.

use hotbay_e2e::http::Protocol;
use hotbay_e2e::laptop::{Laptop, Role};
use hotbay_e2e::load::{Load, Tally};
use hotbay_e2e::modules;
use hotbay_e2e::wait::wait_for;
use rustix::process::Signal;

use crate::workshop::{V1, V2, Workshop};

const SWAPS: usize = 200;
const HANDOVERS: usize = 5;

fn assert_nobody_noticed(tally: &Tally, what: &str) {
    assert!(tally.ok > 0, "{what}: there was no load");
    assert_eq!(tally.failed(), 0, "{what}: {tally:?}");
}

/// Load of both kinds.
struct Both(Load, Load);

impl Both {
    async fn start(laptop: &Laptop) -> Self {
        let h1 = Load::start(laptop.address, Protocol::H1, 4, "/hello");
        let h2 = Load::start(laptop.address, Protocol::H2c, 2, "/hello");
        let both = Self(h1, h2);
        both.answered(20).await;
        both
    }

    async fn answered(&self, more: u64) {
        tokio::join!(self.0.answered(more), self.1.answered(more));
    }

    async fn stop(self) {
        let (h1, h2) = tokio::join!(self.0.stop(), self.1.stop());
        assert_nobody_noticed(&h1, "HTTP/1.1");
        assert_nobody_noticed(&h2, "h2c");
    }
}

#[tokio::test]
async fn two_hundred_swaps_under_load_fail_no_request() {
    let builds = [(modules::hello("1.0"), V1), (modules::hello("2.0"), V2)];
    let shop = Workshop::new();
    shop.drop_in("libhello.so", &builds[0].0);
    let laptop = shop.run_shipped().await;
    laptop.serves("/hello", V1).await;
    let load = Both::start(&laptop).await;
    for swap in 1..=SWAPS {
        let (file, text) = &builds[swap % 2];
        shop.drop_in("libhello.so", file);
        laptop.serves("/hello", text).await;
    }
    load.stop().await;
    wait_for("each swap is a line", async || {
        let swapped = laptop.lines().iter().filter(|line| line.contains("swapped")).count();
        if swapped >= SWAPS - 1 { Ok(()) } else { Err(format!("there are {swapped}")) }
    })
    .await;
    assert_eq!(laptop.report().engine, 1, "no engine was replaced");
}

#[tokio::test]
async fn handovers_under_load_fail_no_request() {
    let shop = Workshop::new();
    shop.drop_in("libhello.so", &modules::hello("1.0"));
    let laptop = shop.run_shipped().await;
    laptop.serves("/hello", V1).await;
    let load = Both::start(&laptop).await;
    for handover in 1..=HANDOVERS {
        laptop.signal(Role::Keeper, Signal::HUP).await;
        wait_for("the next engine serves alone", async || {
            let engines = laptop.processes().iter().filter(|(_, role)| *role == Role::Engine).count();
            let generation = laptop.report().engine;
            let done = generation == handover as u64 + 1 && engines == 1;
            if done { Ok(()) } else { Err(format!("engine {generation}, {engines} of them")) }
        })
        .await;
        load.answered(20).await;
    }
    load.stop().await;
    assert_eq!(laptop.get("/hello").await.text(), V1);
}
