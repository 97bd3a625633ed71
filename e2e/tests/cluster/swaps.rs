//! 200 swaps under load: nothing fails, and the load hardly notices.
//!
//! Stretches with and without swaps alternate, so that what else the machine does falls on both.

use std::time::{Duration, Instant};

use hotbay_e2e::cluster::node::Process;
use hotbay_e2e::cluster::say;
use hotbay_e2e::cluster::scene::{Scene, scene_alone};
use hotbay_e2e::cluster::wrk::{Wrk, WrkTally};
use hotbay_e2e::http::Protocol;
use hotbay_e2e::load::{Load, Tally};
use hotbay_e2e::modules;
use tokio::time::MissedTickBehavior;

const VERSIONS: [&str; 2] = ["1.0", "2.0"];
const STRETCHES: usize = 4;
/// So often all stretches are measured at most: a share that is too small for what else the machine did is another one the next time, and one
/// that swaps cost stays. Requests may fail in none of them.
const ROUNDS: usize = 3;
const SWAPS_A_STRETCH: usize = 50;
/// Of HTTP/2, with four requests at a time; our client takes more of the processor than the server does.
const CONNECTIONS: usize = 1;
/// How much of the load without swaps the load with swaps must reach.
const LEAST_SHARE: f64 = 0.8;
/// Between the beginnings of two swaps, if the first is over by then: as fast as they go, thirty a second, API server and etcd take the processor
/// that the load is measured on. At ten a second they still took a seventh of it.
const PACE: Duration = Duration::from_millis(200);
/// Of load without swaps, in each stretch.
const QUIET: Duration = Duration::from_secs(5);

/// A module that swaps.
struct Swapping<'s> {
    scene: &'s Scene,
    swaps: usize,
    slowest: Duration,
    total: Duration,
}

impl<'s> Swapping<'s> {
    async fn begin(scene: &'s Scene) -> Self {
        for version in VERSIONS {
            scene.push(&format!("hello:{version}"), &modules::hello(version)).await;
        }
        scene.apply("hello", scene.spec("hello:1.0")).await;
        scene.serves(&scene.path(), "Hello from Hotbay 1.0\n").await;
        scene.ready("hello").await;
        Self { scene, swaps: 0, slowest: Duration::ZERO, total: Duration::ZERO }
    }

    /// Swaps so many times, each time until every pod has done so.
    async fn swap(&mut self, times: usize) {
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for _ in 0..times {
            pace.tick().await;
            self.swaps += 1;
            let version = VERSIONS[self.swaps % 2];
            let began = Instant::now();
            self.scene.refer("hello", &format!("hello:{version}")).await;
            self.scene.serves(&self.scene.path(), &format!("Hello from Hotbay {version}\n")).await;
            self.slowest = self.slowest.max(began.elapsed());
            self.total += began.elapsed();
        }
    }

    /// A process of another pod, in whose network namespace the load begins. On a foreign cluster it comes from outside.
    async fn neighbour(&self) -> Option<Process> {
        let (cluster, pods) = (&self.scene.cluster, &self.scene.pods);
        match cluster.local {
            Some(_) => Some(cluster.runtime_process(&pods[1], "keeper").await),
            None => None,
        }
    }

    fn story(&self) -> String {
        let mean = self.total.as_secs_f64() / f64::from(u32::try_from(self.swaps).unwrap_or(u32::MAX));
        let (swaps, pods) = (self.swaps, self.scene.pods.len());
        format!(
            "{swaps} swaps on {pods} pods, {mean:.2} s each, the slowest {:.2} s",
            self.slowest.as_secs_f64()
        )
    }
}

/// Says the figures and judges them. Whether the load hardly noticed; in the last round it must not have.
fn judge(round: usize, protocol: &str, story: &str, failed: u64, quiet: f64, swapping: f64) -> bool {
    let share = swapping / quiet;
    say(&format!(
        "e2e: {protocol}: {story}; {failed} failed; {swapping:.0} requests/s, {quiet:.0} without swaps ({:.0} %)",
        share * 100.0
    ));
    assert_eq!(failed, 0, "no request may fail");
    let enough = share >= LEAST_SHARE;
    assert!(enough || round < ROUNDS, "{swapping:.0} requests/s is less than 80 % of {quiet:.0}");
    enough
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_swaps_cost_no_http_1_request() {
    scene_alone("swaps-h1", async |scene: &Scene| {
        let mut swapping = Swapping::begin(scene).await;
        let address = scene.pods[0].address;
        let neighbour = swapping.neighbour().await;
        for round in 1..=ROUNDS {
            let (mut quiet, mut busy) = (WrkTally::default(), WrkTally::default());
            for _ in 0..STRETCHES {
                let wrk = Wrk::start(address, &scene.path(), neighbour.as_ref());
                // The stretch's length, not a wait for anything.
                tokio::time::sleep(QUIET).await;
                quiet.add(wrk.stop().await);

                let wrk = Wrk::start(address, &scene.path(), neighbour.as_ref());
                swapping.swap(SWAPS_A_STRETCH).await;
                busy.add(wrk.stop().await);
            }
            let failed = quiet.failed() + busy.failed();
            say(&format!("e2e: wrk without swaps {quiet:?}, with swaps {busy:?}"));
            if judge(round, "HTTP/1.1 (wrk)", &swapping.story(), failed, quiet.rate(), busy.rate()) {
                break;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_swaps_cost_no_http_2_request() {
    scene_alone("swaps-h2", async |scene: &Scene| {
        let mut swapping = Swapping::begin(scene).await;
        let address = scene.pods[0].address;
        let neighbour = swapping.neighbour().await;
        let load = || {
            let namespace = neighbour.as_ref().map(Process::network);
            Load::start_in(namespace, address, Protocol::H2c, CONNECTIONS, &scene.path())
        };
        for round in 1..=ROUNDS {
            let (mut quiet, mut busy) = (Stretches::default(), Stretches::default());
            for _ in 0..STRETCHES {
                let running = load();
                let began = Instant::now();
                // The stretch's length, not a wait for anything.
                tokio::time::sleep(QUIET).await;
                quiet.add(running.stop().await, began.elapsed());

                let running = load();
                let began = Instant::now();
                swapping.swap(SWAPS_A_STRETCH).await;
                busy.add(running.stop().await, began.elapsed());
            }
            let stories = [&quiet.stories[..], &busy.stories[..]].concat();
            assert!(stories.is_empty(), "no request may fail: {stories:#?}");
            let failed = quiet.failed + busy.failed;
            if judge(round, "h2c", &swapping.story(), failed, quiet.rate(), busy.rate()) {
                break;
            }
        }
    })
    .await;
}

#[derive(Default)]
struct Stretches {
    ok: u32,
    failed: u64,
    time: Duration,
    stories: Vec<String>,
}

impl Stretches {
    fn add(&mut self, tally: Tally, time: Duration) {
        self.ok += u32::try_from(tally.ok).expect("seconds of load are fewer requests");
        self.failed += tally.failed();
        self.time += time;
        self.stories.extend(tally.stories);
    }

    fn rate(&self) -> f64 {
        f64::from(self.ok) / self.time.as_secs_f64()
    }
}
