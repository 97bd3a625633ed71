//! What the NetworkPolicies let through.
//!
//! No test cluster enforces them, so their meaning is worked out here by the rules of the API: a peer is let through if one rule names
//! it and its port, and an `ipBlock` never means a pod. Enforcing is the network plugin's.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::networking::v1::{IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::render;

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
enum Peer {
    Pod { namespace: &'static str, name: &'static str },
    Address(&'static str),
}
use Peer::{Address, Pod};

const DNS: Peer = Pod { namespace: "kube-system", name: "coredns" };
const OPERATOR: Peer = Pod { namespace: "hotbay-system", name: "hotbay-operator" };
const RUNTIME: Peer = Pod { namespace: "hotbay-test", name: "hotbay-runtime" };
const DATABASE: Peer = Pod { namespace: "shop", name: "postgresql" };
const PROMETHEUS: Peer = Pod { namespace: "monitoring", name: "prometheus" };
const OUTSIDE: Peer = Address("203.0.113.9");
const API_SERVICE: Peer = Address("10.96.0.1");
const API_NODE: Peer = Address("192.0.2.10");
/// A pool whose modules reach nobody.
const CLOSED: &str = "networkPolicy.egress.open=false";
/// A cluster's API server, by its Service and by its own address.
const API_ADDRESSES: &str =
    r#"networkPolicy.egress.apiServer=["10.96.0.1/32", "192.0.2.10/32", "2001:db8:a::1/128"]"#;
const METADATA: [Peer; 5] = [
    Address("169.254.169.254"),
    Address("169.254.170.2"),
    Address("168.63.129.16"),
    Address("fd00:ec2::254"),
    Address("fd20:ce::254"),
];

fn policy(chart: &str, values: &[&str]) -> NetworkPolicy {
    let mut policies =
        render(chart, "networkpolicy", values).unwrap_or_else(|complaint| panic!("{complaint}"));
    assert_eq!(policies.len(), 1);
    policies.remove(0)
}

fn lets_in(policy: &NetworkPolicy, from: Peer, port: i32) -> bool {
    let rules = policy.spec.iter().flat_map(|spec| spec.ingress.iter().flatten());
    rules
        .into_iter()
        .any(|rule| names(rule.from.as_deref(), from) && opens(rule.ports.as_deref(), port, "TCP"))
}

fn lets_out(policy: &NetworkPolicy, to: Peer, port: i32, protocol: &str) -> bool {
    let rules = policy.spec.iter().flat_map(|spec| spec.egress.iter().flatten());
    rules
        .into_iter()
        .any(|rule| names(rule.to.as_deref(), to) && opens(rule.ports.as_deref(), port, protocol))
}

/// No list, or an empty one, means all.
fn names(peers: Option<&[NetworkPolicyPeer]>, other: Peer) -> bool {
    let Some(peers @ [_, ..]) = peers else { return true };
    peers.iter().any(|peer| match (other, &peer.ip_block) {
        (Address(address), Some(block)) => is_in(block, address),
        (Pod { namespace, name }, None) => {
            let space = BTreeMap::from([("kubernetes.io/metadata.name", namespace)]);
            let pod = BTreeMap::from([("app.kubernetes.io/name", name)]);
            // Without a namespaceSelector the policy's own namespace is meant.
            let near =
                peer.namespace_selector.as_ref().map_or(namespace == "hotbay-test", |s| selects(s, &space));
            near && peer.pod_selector.as_ref().is_none_or(|selector| selects(selector, &pod))
        }
        _ => false,
    })
}

fn selects(selector: &LabelSelector, labels: &BTreeMap<&str, &str>) -> bool {
    assert_eq!(selector.match_expressions, None, "this evaluator knows matchLabels alone");
    let wanted = selector.match_labels.iter().flatten();
    wanted.into_iter().all(|(key, value)| labels.get(key.as_str()) == Some(&value.as_str()))
}

fn opens(ports: Option<&[NetworkPolicyPort]>, port: i32, protocol: &str) -> bool {
    let Some(ports @ [_, ..]) = ports else { return true };
    ports.iter().any(|open| {
        open.protocol.as_deref().unwrap_or("TCP") == protocol
            && open.port.as_ref().is_none_or(|number| *number == IntOrString::Int(port))
    })
}

fn is_in(block: &IPBlock, address: &str) -> bool {
    let within = |cidr: &String| contains(cidr, address);
    within(&block.cidr) && !block.except.iter().flatten().any(within)
}

fn contains(cidr: &str, address: &str) -> bool {
    let bits = |text: &str| match text.parse().expect("an address") {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 4),
        IpAddr::V6(address) => (address.to_bits(), 6),
    };
    let (network, length) = cidr.split_once('/').expect("a CIDR has a length");
    let length: u32 = length.parse().expect("a length is a number");
    let ((network, family), (address, other)) = (bits(network), bits(address));
    // A shift by all 128 bits, which /0 asks for, is none.
    family == other && (length == 0 || (network ^ address) >> (128 - length) == 0)
}

#[test]
fn a_pool_reaches_what_it_needs_and_no_metadata_service() {
    for values in [&[][..], &[CLOSED], &[API_ADDRESSES], &[CLOSED, API_ADDRESSES]] {
        let policy = policy("hotbay-runtime", values);
        for (to, port, protocol) in [
            (DNS, 53, "UDP"),
            (DNS, 53, "TCP"),
            (Address("169.254.20.10"), 53, "UDP"),
            (API_SERVICE, 443, "TCP"),
            (API_NODE, 6443, "TCP"),
            (OPERATOR, 8082, "TCP"),
        ] {
            assert!(lets_out(&policy, to, port, protocol), "{values:?}: {to:?}:{port} should be open");
        }
        for to in METADATA {
            for port in [80, 443, 8080] {
                assert!(!lets_out(&policy, to, port, "TCP"), "{values:?}: {to:?}:{port} should be closed");
            }
        }
        assert!(!lets_out(&policy, Address("169.254.20.10"), 80, "TCP"), "DNS's address is for DNS");
    }
}

#[test]
fn modules_reach_everything_else_unless_the_pool_is_closed() {
    let open = policy("hotbay-runtime", &[]);
    let closed = policy("hotbay-runtime", &[CLOSED]);
    let rule = r#"networkPolicy.egress.allow=[{"to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}]}]"#;
    let excepted = policy("hotbay-runtime", &[CLOSED, rule]);
    for (to, port) in [(DATABASE, 5432), (OUTSIDE, 25), (Address("2001:db8::1"), 80), (OPERATOR, 8080)] {
        assert!(lets_out(&open, to, port, "TCP"), "{to:?}:{port} should be open");
        assert!(!lets_out(&closed, to, port, "TCP"), "{to:?}:{port} should be closed");
    }
    assert!(lets_out(&excepted, OUTSIDE, 25, "TCP") && !lets_out(&excepted, DATABASE, 5432, "TCP"));
}

/// Whether `port` of an address that is neither the API server's nor a pod's is open, of either family.
fn is_open_outside(policy: &NetworkPolicy, port: i32) -> [bool; 2] {
    [OUTSIDE, Address("2001:db8::1")].map(|to| lets_out(policy, to, port, "TCP"))
}

#[test]
fn a_closed_pool_that_knows_the_api_server_reaches_nobody_else_at_its_ports() {
    let anywhere = policy("hotbay-runtime", &[CLOSED]);
    let known = policy("hotbay-runtime", &[CLOSED, API_ADDRESSES]);
    let open = policy("hotbay-runtime", &[API_ADDRESSES]);
    for port in [443, 6443] {
        assert_eq!(is_open_outside(&anywhere, port), [true; 2], "{port}: the chart knows no address");
        assert_eq!(is_open_outside(&known, port), [false; 2], "{port} is the API server's alone");
        assert_eq!(is_open_outside(&open, port), [true; 2], "{port}: an open pool stays open");
        for to in [API_SERVICE, API_NODE, Address("2001:db8:a::1")] {
            assert!(lets_out(&known, to, port, "TCP"), "{to:?}:{port} should be open");
        }
        assert!(!lets_out(&known, DATABASE, port, "TCP"), "no pod is the API server");
    }
    for port in [1, 80, 2379, 10250] {
        assert!(!lets_out(&known, API_NODE, port, "TCP"), "{port} is not the API server's");
    }
    let other_port =
        policy("hotbay-runtime", &[CLOSED, API_ADDRESSES, "networkPolicy.egress.apiServerPort=16443"]);
    assert!(lets_out(&other_port, API_NODE, 16443, "TCP") && !lets_out(&other_port, API_NODE, 6443, "TCP"));
}

#[test]
fn an_operator_that_knows_its_registries_reaches_no_other() {
    let registries = r#"networkPolicy.egress.registries=[{"ipBlock": {"cidr": "198.51.100.0/24"}}, {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "registry"}}}]"#;
    let own = Pod { namespace: "registry", name: "registry" };
    let known = policy("hotbay", &[registries, API_ADDRESSES]);
    for (to, port) in [(Address("198.51.100.7"), 443), (own, 5000), (API_SERVICE, 443), (API_NODE, 6443)] {
        assert!(lets_out(&known, to, port, "TCP"), "{to:?}:{port} should be open");
    }
    for to in [OUTSIDE, DATABASE, METADATA[0], Address("2001:db8::1")] {
        for port in [80, 443, 5000, 6443] {
            assert!(!lets_out(&known, to, port, "TCP"), "{to:?}:{port} should be closed");
        }
    }
    assert!(lets_out(&known, DNS, 53, "UDP"), "names are looked up");
    // Where the API server's address is not known, its Service must stay within reach.
    let unknown = policy("hotbay", &[registries]);
    assert!(lets_out(&unknown, API_SERVICE, 443, "TCP") && lets_out(&unknown, API_NODE, 6443, "TCP"));
    assert!(!lets_out(&unknown, METADATA[0], 443, "TCP") && !lets_out(&unknown, OUTSIDE, 5000, "TCP"));
}

#[test]
fn a_pool_serves_everybody_and_is_observed_from_within() {
    let policy_of_all = policy("hotbay-runtime", &[]);
    for from in [OUTSIDE, DATABASE] {
        assert!(lets_in(&policy_of_all, from, 8880), "{from:?} should be served");
    }
    for port in [8881, 8882, 8883] {
        assert!(lets_in(&policy_of_all, PROMETHEUS, port), "{port} should be open to the cluster");
        assert!(!lets_in(&policy_of_all, OUTSIDE, port), "{port} should be closed to others");
    }
    let gateways = r#"[{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}}]"#;
    let clients = format!("networkPolicy.clients={gateways}");
    let observers = format!("networkPolicy.observers={gateways}");
    let narrow = policy("hotbay-runtime", &[&clients, &observers]);
    assert!(lets_in(&narrow, DATABASE, 8880) && !lets_in(&narrow, OUTSIDE, 8880));
    assert!(lets_in(&narrow, DATABASE, 8881) && !lets_in(&narrow, PROMETHEUS, 8881));
    assert!(!lets_in(&narrow, DATABASE, 22), "no other port is open");
    for (chart, ports) in [("hotbay-runtime", &[8881, 8882, 8883][..]), ("hotbay", &[8080, 8081])] {
        let unobserved = policy(chart, &["networkPolicy.observers=[]"]);
        for &port in ports {
            assert!(!lets_in(&unobserved, PROMETHEUS, port), "{chart}: no observers, so nobody reads {port}");
        }
    }
}

#[test]
fn the_operator_gives_blobs_to_pools_and_metrics_to_the_cluster() {
    let policy = policy("hotbay", &[]);
    for (from, port, open) in [
        (RUNTIME, 8082, true),
        (PROMETHEUS, 8082, false),
        (OUTSIDE, 8082, false),
        (PROMETHEUS, 8080, true),
        (PROMETHEUS, 8081, true),
        (OUTSIDE, 8080, false),
    ] {
        assert_eq!(lets_in(&policy, from, port), open, "{from:?} to {port}");
    }
    let registry = Pod { namespace: "registry", name: "registry" };
    for (to, port) in
        [(API_SERVICE, 443), (API_NODE, 6443), (OUTSIDE, 443), (registry, 5000), (OUTSIDE, 5000)]
    {
        assert!(lets_out(&policy, to, port, "TCP"), "{to:?}:{port} should be open");
    }
    assert!(lets_out(&policy, DNS, 53, "UDP"));
    for to in METADATA {
        assert!(!lets_out(&policy, to, 80, "TCP"), "{to:?} should be closed");
    }
}

#[test]
fn a_switch_takes_each_policy_away() {
    for chart in ["hotbay", "hotbay-runtime"] {
        let complaint = render::<NetworkPolicy>(chart, "networkpolicy", &["networkPolicy.enabled=false"]);
        assert!(complaint.is_err_and(|words| words.contains("could not find template")), "{chart}");
    }
}
