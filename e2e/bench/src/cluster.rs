//! What needs a cluster: the one that KUBECONFIG, REGISTRY and HOTBAY_E2E_LOCAL lead to, with Hotbay in it.
//!
//! Owns a namespace for the time of the measurement, which ends with it. Nothing else is to use the cluster meanwhile.

mod api;
mod memory;
mod rollouts;

use anyhow::Context as _;
use hotbay_e2e::cluster::scene::{Scene, scene_alone};

use crate::report::Section;
use crate::server::Shipped;
use crate::{Part, Wanted};

/// Everything that is wanted, in the order of RESULTS.md.
pub fn run(shipped: &Shipped, wanted: &Wanted, done: &mut dyn FnMut(Section)) -> anyhow::Result<()> {
    if !wanted.has(Part::Rollouts) && !wanted.has(Part::Api) {
        return Ok(());
    }
    anyhow::ensure!(
        std::env::var_os("KUBECONFIG").is_some(),
        "KUBECONFIG is not set; run scripts/bench, which makes a cluster if need be"
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut outcome = None;
    runtime.block_on(scene_alone("bench", async |scene: &Scene| {
        outcome = Some(measure(scene, shipped, wanted).await);
    }));
    outcome.context("nothing was measured")??.into_iter().for_each(done);
    Ok(())
}

async fn measure(scene: &Scene, shipped: &Shipped, wanted: &Wanted) -> anyhow::Result<Vec<Section>> {
    let mut sections = Vec::new();
    // First, while the pool holds one module alone: what is idle then is Hotbay itself.
    if wanted.has(Part::Api) {
        sections.push(api::measure(scene, shipped, wanted.quick).await?);
        sections.extend(memory::measure(scene).await?);
    }
    if wanted.has(Part::Rollouts) {
        sections.insert(0, rollouts::measure(scene, shipped, wanted.quick).await?);
    }
    Ok(sections)
}
