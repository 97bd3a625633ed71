//! RuntimeReport: how one pod stands with the entries of its pool.
//!
//! Owns the resource's form: a watermark and exceptions, so that its size follows trouble and not the number of modules. The pod's agent is
//! the one writer; the object is named as the pod and owned by it. It holds no times and no counters: a report changes only when
//! something did. At most 16 KiB.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{EntryState, Reason};

/// Everything up to `appliedThrough` is served, except for the exceptions.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "hotbay.dev",
    version = "v1alpha1",
    kind = "RuntimeReport",
    namespaced,
    no_spec,
    category = "hotbay",
    root = "RuntimeReport",
    derive = "PartialEq",
    doc = "How one runtime pod stands with the entries of its pool. Written by the pod's agent.",
    annotation("helm.sh/resource-policy", "keep"),
    printcolumn(name = "Pool", type_ = "string", json_path = ".pool"),
    printcolumn(name = "Applied", type_ = "integer", json_path = ".appliedThrough"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeReportFields {
    /// The pool's name; its namespace is the report's own.
    pub pool: String,
    /// The pod's UID, so that a report left by a pod of the same name is not believed.
    pub pod_uid: String,
    /// The greatest entry sequence R such that every entry with a sequence up to R is served or is listed in `exceptions`.
    #[serde(default)]
    pub applied_through: i64,
    /// Entries whose wanted revision is not served.
    #[serde(default)]
    #[schemars(length(max = MAX_EXCEPTIONS), extend("x-kubernetes-list-type" = "atomic"))]
    pub exceptions: Vec<ReportException>,
    /// There are more exceptions than are listed: the oldest are, and of an entry after `appliedThrough` that is not listed nothing is known.
    #[serde(default)]
    pub truncated: bool,
    /// Entries that are served, and of which something is to be known. Perhaps not all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_NOTICES), extend("x-kubernetes-list-type" = "atomic"))]
    pub notices: Vec<ReportNotice>,
    /// The ABI that the runtime serves, as major.minor.
    #[serde(default)]
    pub abi: String,
    /// What the runtime runs on.
    #[serde(default)]
    pub platform: String,
    /// Which engine serves, counted from 1; 0 before the first is ready.
    #[serde(default)]
    #[schemars(with = "i64", range(min = 0))]
    pub engine: u64,
    /// What is wrong with the runtime as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<ReportTrouble>,
}

/// An entry whose wanted revision is not served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReportException {
    /// The module's namespace.
    pub namespace: String,
    /// The module's name.
    pub name: String,
    /// The sequence of the entry that this is about.
    pub sequence: i64,
    /// Pending: on its way. Failed: it does not serve.
    #[schemars(with = "ExceptionState")]
    pub state: EntryState,
    /// Why, in one word.
    #[schemars(with = "String")]
    pub reason: Reason,
    /// Why, for people.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub message: String,
    /// The name of the revision that answers requests instead, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving_revision: Option<String>,
}

/// What is to be known of an entry that is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportNotice {
    /// The module's namespace.
    pub namespace: String,
    /// The module's name.
    pub name: String,
    /// In one word.
    #[schemars(with = "String")]
    pub reason: Reason,
    /// For people.
    #[schemars(length(max = 256))]
    pub message: String,
}

/// A reason and its words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportTrouble {
    /// In one word.
    #[schemars(with = "String")]
    pub reason: Reason,
    /// For people.
    #[schemars(length(max = 256))]
    pub message: String,
}

/// The most exceptions that a report lists.
pub const MAX_EXCEPTIONS: usize = 64;

/// The most notices that a report lists.
pub const MAX_NOTICES: usize = 16;

/// The schema of [`EntryState`] here: an active entry is no exception.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
enum ExceptionState {
    Pending,
    Failed,
}
