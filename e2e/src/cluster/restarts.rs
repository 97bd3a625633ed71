//! Whether anything in the runtime pods was started again that no test has ended.
//!
//! Owns the judgement over a list of pods, so that it can be shown to find what it looks for. That a pod was replaced it cannot see: each
//! scene looks after its own pods for that.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::pods::{ENDED_BY_TEST, name};

/// What is wrong with these pods, in words; empty if nothing is.
pub fn unexplained(pods: &[Pod]) -> Vec<String> {
    if pods.is_empty() {
        return vec!["there is no runtime pod, so nobody can say".to_owned()];
    }
    pods.iter().filter(|pod| !is_excused(pod)).flat_map(of_pod).collect()
}

/// Whether a test has ended the pod's runtime container.
fn is_excused(pod: &Pod) -> bool {
    let annotations = pod.metadata.annotations.as_ref();
    annotations.and_then(|all| all.get(ENDED_BY_TEST)).is_some_and(|value| value == "true")
}

fn of_pod(pod: &Pod) -> Vec<String> {
    let status = pod.status.as_ref();
    let ordinary = status.and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let sidecars = status.and_then(|status| status.init_container_statuses.as_deref()).unwrap_or_default();
    let mut wrong = Vec::new();
    // A container that is not found would look like one that was never started again.
    for (wanted, among) in [("runtime", ordinary), ("agent", sidecars)] {
        if !among.iter().any(|container| container.name == wanted) {
            wrong.push(format!("pod {} tells of no container {wanted}", name(pod)));
        }
    }
    let again = ordinary.iter().chain(sidecars).filter(|container| container.restart_count != 0);
    wrong.extend(again.map(|container| story(pod, container)));
    wrong
}

fn story(pod: &Pod, container: &ContainerStatus) -> String {
    let ended = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let ended =
        ended.map(|end| format!(": {} (exit code {})", end.reason.as_deref().unwrap_or("?"), end.exit_code));
    let (ContainerStatus { name: what, restart_count, .. }, ended) = (container, ended.unwrap_or_default());
    format!("pod {}: {what} was started again, {restart_count} times{ended}", name(pod))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn whole() -> Value {
        json!({
            "metadata": {"name": "p"},
            "status": {
                "containerStatuses": [{"name": "runtime", "restartCount": 0, "image": "", "imageID": "", "ready": true}],
                "initContainerStatuses": [{"name": "agent", "restartCount": 0, "image": "", "imageID": "", "ready": true}],
            },
        })
    }

    /// What is said of a pod that was never started again, after this change.
    fn after(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut pod = whole();
        change(&mut pod);
        unexplained(&[serde_json::from_value(whole()).unwrap(), serde_json::from_value(pod).unwrap()])
    }

    #[test]
    fn pods_that_ran_through_are_well() {
        assert_eq!(after(|_| ()), Vec::<String>::new());
    }

    #[test]
    fn a_runtime_that_was_started_again_is_told_with_how_it_ended() {
        let wrong = after(|pod| {
            let runtime = &mut pod["status"]["containerStatuses"][0];
            runtime["restartCount"] = json!(1);
            runtime["lastState"] = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
        });
        assert_eq!(wrong, ["pod p: runtime was started again, 1 times: OOMKilled (exit code 137)"]);
    }

    #[test]
    fn an_agent_that_was_started_again_is_told() {
        let wrong = after(|pod| pod["status"]["initContainerStatuses"][0]["restartCount"] = json!(2));
        assert_eq!(wrong, ["pod p: agent was started again, 2 times"]);
    }

    #[test]
    fn a_pod_that_a_test_has_ended_is_excused_and_no_other() {
        let restarted = |pod: &mut Value| pod["status"]["containerStatuses"][0]["restartCount"] = json!(1);
        let noted = |value: &'static str| {
            after(|pod| {
                restarted(pod);
                pod["metadata"]["annotations"] = json!({ENDED_BY_TEST: value});
            })
        };
        assert_eq!(noted("true"), Vec::<String>::new());
        assert_eq!(noted("false").len(), 1);
    }

    #[test]
    fn what_cannot_be_seen_is_not_taken_for_well() {
        assert_eq!(unexplained(&[]).len(), 1);
        assert_eq!(after(|pod| pod["status"] = json!({})).len(), 2);
        let renamed = after(|pod| pod["status"]["containerStatuses"][0]["name"] = json!("keeper"));
        assert_eq!(renamed, ["pod p tells of no container runtime"]);
    }
}
