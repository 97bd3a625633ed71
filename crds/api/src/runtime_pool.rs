//! RuntimePool: a set of runtime pods, and which modules it takes.
//!
//! Owns the resource's form. It belongs to the platform team: the runtime chart makes it, and what a module's author may do in it is said
//! here. Must not decide anything: the operator's pipeline does.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::unseen;
use crate::{ByteSize, Condition};

/// A set of runtime pods and its rules.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "hotbay.dev",
    version = "v1alpha1",
    kind = "RuntimePool",
    namespaced,
    shortname = "rtp",
    category = "hotbay",
    status = "RuntimePoolStatus",
    derive = "PartialEq",
    doc = "A set of runtime pods, and which modules it takes.",
    annotation("helm.sh/resource-policy", "keep"),
    validation = Rule::new("size(self.metadata.name) <= 63 && !self.metadata.name.contains('.')").message("metadata.name may have at most 63 characters and no dots: it becomes part of other names"),
    printcolumn(name = "Ready", type_ = "integer", description = "ready pods", json_path = ".status.pods.ready"),
    printcolumn(name = "Converged", type_ = "integer", description = "ready pods that serve all they should", json_path = ".status.pods.converged"),
    printcolumn(name = "Modules", type_ = "integer", json_path = ".status.modules.attached"),
    printcolumn(name = "Failed", type_ = "integer", json_path = ".status.modules.failed"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct RuntimePoolSpec {
    /// The Service whose EndpointSlices are the list of the pool's pods, in the pool's namespace.
    pub service_ref: ServiceRef,
    /// Whose modules the pool takes.
    #[serde(default)]
    pub allowed_modules: AllowedModules,
    /// How much the pool takes.
    #[serde(default)]
    pub limits: PoolLimits,
}

/// Names a Service in the pool's namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceRef {
    /// Its name.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
}

/// Whose modules a pool takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AllowedModules {
    /// From which namespaces.
    #[serde(default)]
    pub namespaces: AllowedNamespaces,
}

/// From which namespaces modules may come, in Gateway API's words.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("self.from != 'Selector' || has(self.selector)").message("from: Selector needs a selector"))]
pub struct AllowedNamespaces {
    /// Same: the pool's own. All: every namespace. Selector: those whose labels match.
    #[serde(default)]
    pub from: NamespacesFrom,
    /// Which labels, with `from: Selector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<NamespaceSelector>,
}

/// A kind of choice of namespaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NamespacesFrom {
    /// The pool's own namespace.
    #[default]
    Same,
    /// Every namespace.
    All,
    /// Namespaces whose labels match.
    Selector,
}

/// A choice of namespaces by their labels, as metav1.LabelSelector; all parts must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceSelector {
    /// Labels with exactly these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Further requirements.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub match_expressions: Vec<LabelRequirement>,
}

/// One requirement on a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LabelRequirement {
    /// The label.
    pub key: String,
    /// How it is compared.
    pub operator: LabelOperator,
    /// With what, for In and NotIn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub values: Vec<String>,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LabelOperator {
    /// The label is one of the values.
    In,
    /// The label is none of the values, or absent.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
}

/// How much a pool takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PoolLimits {
    /// The most modules; the oldest keep their place.
    #[schemars(with = "i32", range(min = 0))]
    pub modules: u32,
    /// The most modules from one namespace; absent: only `modules` counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 0))]
    pub modules_per_namespace: Option<u32>,
    /// The largest shared object, uncompressed; what is larger is refused.
    pub max_artifact_size: ByteSize,
    /// The largest shared object that is handed to the pods in a ConfigMap, compressed; at most some 976Ki, which is what a ConfigMap
    /// holds. What is larger is served by the operator's blob service. What is in ConfigMaps loads also while registry and operator are away.
    pub inline_blob_max: ByteSize,
    /// All such ConfigMaps of the pool together, compressed; what does not fit is served by the operator's blob service.
    pub inline_blob_total: ByteSize,
}

/// How a pool is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = {"observedGeneration": -1}))]
pub struct RuntimePoolStatus {
    /// The generation that this status is about; -1 before the operator saw the object.
    #[serde(default = "unseen")]
    pub observed_generation: i64,
    /// Counts of the pool's pods.
    #[serde(default)]
    pub pods: PodCounts,
    /// Counts of the pool's modules.
    #[serde(default)]
    pub modules: ModuleCounts,
    /// The ABI that the pods serve; the versions joined by commas while pods of two versions run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abi: Option<String>,
    /// What the pods run on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub platforms: Vec<String>,
    /// Ready: True when every ready pod reports and none is in trouble; False when there is none, or some do not report, or one has
    /// trouble of its own; absent before the operator saw the object.
    /// Reconciling: True while Ready is False; otherwise absent.
    /// SweepHeld: True while the operator waits for the annotation `hotbay.dev/allow-sweep` before it removes many entries at once;
    /// otherwise absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// Counts of a pool's pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PodCounts {
    /// Ready by the Service's EndpointSlices.
    #[schemars(with = "i32")]
    pub ready: u32,
    /// Ready, and with a report.
    #[schemars(with = "i32")]
    pub reporting: u32,
    /// Ready, and serving every entry's wanted revision.
    #[schemars(with = "i32")]
    pub converged: u32,
}

/// Counts of a pool's modules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ModuleCounts {
    /// Those that the pool serves or is to serve.
    #[schemars(with = "i32")]
    pub attached: u32,
    /// Those of them whose wanted revision fails in a ready pod.
    #[schemars(with = "i32")]
    pub failed: u32,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            modules: 1000,
            modules_per_namespace: None,
            max_artifact_size: ByteSize::mib(64),
            // A ConfigMap holds 1 MiB, but each is also read by every pod and kept by etcd: 1,000 pods that read 259 KiB are 259 MiB out of
            // the API server for one swap. A small Rust module takes 170 KiB; larger ones come from the blob service.
            inline_blob_max: ByteSize::kib(256),
            inline_blob_total: ByteSize::mib(64),
        }
    }
}
