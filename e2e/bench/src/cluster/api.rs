//! What Hotbay asks of the API server: in a minute in which nothing happens, and for one rollout.
//!
//! Owns the counting, by the API server's own `apiserver_request_total`. That does not say who asked, so the kinds that only Hotbay knows are exact, and of
//! the others a part is Kubernetes' own.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use hotbay_e2e::cluster::scene::Scene;
use tokio::time::sleep;

use super::rollouts::{push, roll_out};
use crate::report::{Figure, Section};
use crate::server::Shipped;

/// Kinds that Hotbay uses and others do too.
const SHARED: [&str; 6] = ["configmaps", "endpointslices", "events", "pods", "secrets", "tokenreviews"];
/// As long as it takes until the last of it is told: reports are held back for a moment, and so is status.
const SETTLE: Duration = Duration::from_secs(5);
/// A build that the rollouts do not use.
const BUILD: u32 = 1000;

/// Requests by `verb resource`.
type Counts = BTreeMap<String, f64>;

pub async fn measure(scene: &Scene, shipped: &Shipped, quick: bool) -> anyhow::Result<Section> {
    let minute = Duration::from_secs(if quick { 10 } else { 60 });
    for number in [BUILD, BUILD + 1] {
        push(scene, shipped, number).await?;
    }
    roll_out(scene, BUILD).await?;
    sleep(SETTLE).await;
    let before = counts(scene).await?;
    sleep(minute).await;
    let idle = counts(scene).await?;
    roll_out(scene, BUILD + 1).await?;
    sleep(SETTLE).await;
    let rolled_out = counts(scene).await?;

    let mut section = Section::new(
        "Requests to the API server",
        format!(
            "Differences of `apiserver_request_total` (`kubectl get --raw /metrics`) over {} s without a change, with one module on {} pods; and from before \
             an apply, which is one of them, to {} s after the last pod's 200. Kinds of hotbay.dev are Hotbay's alone; of the others a part is the \
             cluster's own. A watch counts when it ends.",
            minute.as_secs(),
            scene.pods.len(),
            SETTLE.as_secs()
        ),
    );
    add(&mut section, "idle", &before, &idle);
    add(&mut section, "one rollout", &idle, &rolled_out);
    Ok(section)
}

fn add(section: &mut Section, when: &str, before: &Counts, after: &Counts) {
    let more: Vec<(String, f64)> = after
        .iter()
        .map(|(what, count)| (what.clone(), count - before.get(what).unwrap_or(&0.0)))
        .filter(|(_, count)| *count > 0.5)
        .collect();
    let own =
        more.iter().filter(|(what, _)| what.contains("hotbay.dev")).fold(0.0, |sum, (_, count)| sum + count);
    section.add(Figure::one(format!("{when}: of hotbay.dev, all together"), "", own));
    for (what, count) in more {
        section.add(Figure::one(format!("{when}: {what}"), "", count));
    }
}

async fn counts(scene: &Scene) -> anyhow::Result<Counts> {
    let request = http::Request::get("/metrics").body(Vec::new())?;
    let text =
        scene.cluster.client.request_text(request).await.context("the API server gives its metrics")?;
    Ok(parse(&text))
}

fn parse(text: &str) -> Counts {
    let mut counts = Counts::new();
    for line in text.lines() {
        let Some((labels, count)) =
            line.strip_prefix("apiserver_request_total{").and_then(|rest| rest.split_once("} "))
        else {
            continue;
        };
        let label = |name: &str| {
            let value = labels.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix("=\""));
            value.map_or("", |value| value.trim_end_matches('"'))
        };
        let (group, resource) = (label("group"), label("resource"));
        let is_ours = group == "hotbay.dev";
        if !is_ours && !SHARED.contains(&resource) {
            continue;
        }
        let subresource = label("subresource");
        let mut what = format!("{} {resource}", label("verb"));
        if is_ours {
            what.push_str(".hotbay.dev");
        }
        if !subresource.is_empty() {
            what.push_str(&format!("/{subresource}"));
        }
        *counts.entry(what).or_default() += count.trim().parse::<f64>().unwrap_or(0.0);
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_added_up_by_verb_and_kind() {
        let line = |verb: &str, group: &str, resource: &str, sub: &str, code: u32, count: u32| {
            format!(
                "apiserver_request_total{{code=\"{code}\",component=\"apiserver\",dry_run=\"\",group=\"{group}\",resource=\"{resource}\",\
                 scope=\"namespace\",subresource=\"{sub}\",verb=\"{verb}\",version=\"v1\"}} {count}\n"
            )
        };
        let text = [
            line("APPLY", "hotbay.dev", "handlermodules", "status", 200, 3),
            line("APPLY", "hotbay.dev", "handlermodules", "status", 409, 1),
            line("GET", "", "configmaps", "", 200, 5),
            line("GET", "", "nodes", "", 200, 100),
            "apiserver_request_duration_seconds_count{verb=\"GET\"} 7\n".to_owned(),
        ];
        let expected = [("APPLY handlermodules.hotbay.dev/status", 4.0), ("GET configmaps", 5.0)];
        assert_eq!(parse(&text.concat()), expected.map(|(what, count)| (what.to_owned(), count)).into());
    }
}
