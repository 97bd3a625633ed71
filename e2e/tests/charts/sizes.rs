//! Volumes that may not fill up: who is told their size, and which sizes cannot be meant.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::render;

fn pod(chart: &str, values: &[&str]) -> Result<PodSpec, String> {
    let deployment = render::<Deployment>(chart, "deployment", values)?.remove(0);
    Ok(deployment.spec.template.spec.expect("a Deployment has pods"))
}

/// The value of a container's variable.
fn variable(containers: &[Container], container: &str, name: &str) -> String {
    let container = containers.iter().find(|found| found.name == container).expect("it is there");
    let variable = container.env.iter().flatten().find(|variable| variable.name == name);
    variable.and_then(|variable| variable.value.clone()).expect("it has a value")
}

#[test]
fn agent_and_runtime_are_told_the_bytes_of_their_volumes() {
    for (size, bytes) in [
        (r#""4Gi""#, "4294967296"),
        (r#""1.5Gi""#, "1610612736"),
        (r#""100M""#, "100000000"),
        (r#""2Ti""#, "2199023255552"),
        (r#""0.5k""#, "500"),
        (r#""123456789""#, "123456789"),
        ("4294967296", "4294967296"),
        ("0", "0"),
    ] {
        let (bay, state) = (format!("volumes.bay={size}"), format!("volumes.state={size}"));
        let pod = pod("hotbay-runtime", &[&bay, &state]).expect("the size is taken");
        let agent = pod.init_containers.expect("the agent is one");
        assert_eq!(variable(&agent, "agent", "HOTBAY_BAY_SIZE"), bytes, "{size}");
        assert_eq!(variable(&pod.containers, "runtime", "HOTBAY_STATE_SIZE"), bytes, "{size}");
    }
}

#[test]
fn a_cache_that_would_fill_its_volume_is_refused_in_words() {
    for (size, volume) in [("2Gi", "1280Mi"), ("1280Mi", "1280Mi"), ("2G", "1.5Gi"), ("1073741825", "1Gi")] {
        let (set_size, set_volume) =
            (format!(r#"cache.size="{size}""#), format!(r#"cache.volume="{volume}""#));
        let complaint = pod("hotbay", &[&set_size, &set_volume]).expect_err("it should be refused");
        let words = format!("cache.size ({size}) must be less than cache.volume ({volume})");
        assert!(complaint.contains(&words), "{complaint}");
        assert!(complaint.contains("Raise cache.volume"), "{complaint}");
    }
    // The defaults, a little less than the volume, and a volume without a limit.
    for values in [&[][..], &[r#"cache.size="1279Mi""#], &[r#"cache.size="2Gi""#, r#"cache.volume="0""#]] {
        pod("hotbay", values).unwrap_or_else(|complaint| panic!("{values:?}: {complaint}"));
    }
}
