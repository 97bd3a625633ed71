//! HandlerModule: what a user applies to serve a module.
//!
//! Owns the resource's form: fields, defaults, columns and what the API server refuses by itself. A field is here only when it works. Must
//! not decide anything: the operator's pipeline does.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::condition::unseen;
use crate::route::MAX_HOSTNAMES;
use crate::{ByteSize, Condition, Digest, DurationText, Limits, MAX_ROUTES, PoolRef, Reason, Route};

/// A compiled module and how it is served.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "hotbay.dev",
    version = "v1alpha1",
    kind = "HandlerModule",
    namespaced,
    shortname = "hm",
    category = "hotbay",
    status = "HandlerModuleStatus",
    derive = "PartialEq",
    doc = "A compiled module that the pods of a RuntimePool load and serve over HTTP.",
    annotation("helm.sh/resource-policy", "keep"),
    validation = Rule::new("size(self.metadata.name) <= 63").message("metadata.name may have at most 63 characters: it becomes part of other names"),
    validation = Rule::new("!self.metadata.name.contains('.')").message("metadata.name may not contain dots: it becomes part of other names"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Revision", type_ = "string", json_path = ".status.revision"),
    printcolumn(name = "Runtime", type_ = "string", json_path = ".status.runtime"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct HandlerModuleSpec {
    /// Where the module comes from; exactly one kind of source.
    pub source: ModuleSource,
    /// The pool that serves the module; absent: the operator's default pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_ref: Option<RuntimeRef>,
    /// Which requests reach which handler; absent: what the module's manifest declares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_ROUTES), extend("x-kubernetes-list-type" = "atomic"))]
    pub routes: Option<Vec<RouteSpec>>,
    /// The module's config, at most 64 KiB, checked against the schema in its manifest.
    #[serde(default = "empty_config")]
    #[schemars(schema_with = "any_object")]
    pub config: Value,
    /// How long things may take.
    #[serde(default)]
    pub timeouts: TimeoutsSpec,
    /// How much the module may use.
    #[serde(default)]
    pub limits: LimitsSpec,
    /// How often the reference is looked up again, so that a tag that moved is followed; 0s: once a generation.
    #[serde(default = "default_interval")]
    #[schemars(schema_with = "duration")]
    pub interval: DurationText,
    /// Freezes the module: what serves goes on serving, and nothing new is looked up or rolled out until this is false.
    #[serde(default)]
    pub suspend: bool,
}

/// Where a module comes from.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.oci)].filter(set, set).size() == 1").message("exactly one source must be set: oci"))]
pub struct ModuleSource {
    /// An artifact or image in an OCI registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oci: Option<OciSource>,
}

/// An artifact in an OCI registry.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!self.reference.startsWith('oci:')").message("reference must name a registry: a folder (oci:DIR) is for a laptop"))]
pub struct OciSource {
    /// As `registry.example.com/hello:1.0` or `registry.example.com/hello@sha256:…`.
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^\S+$"))]
    pub reference: String,
}

/// Names a RuntimePool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeRef {
    /// Its name.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Its namespace; absent: that of the operator's default pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: Option<String>,
}

/// Which requests reach which handler.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteSpec {
    /// Hosts that the route answers for, exact or `*.example.com`; absent: every host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = MAX_HOSTNAMES),
        inner(length(min = 1, max = 253)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub hostnames: Vec<String>,
    /// A path template: `/users/{id}`, `/files/{*rest}`.
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^/"))]
    pub path: String,
    /// Methods that the route answers; absent: every method. HEAD follows GET.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        inner(regex(pattern = "^(GET|HEAD|POST|PUT|DELETE|OPTIONS|TRACE|PATCH)$")),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub methods: Vec<String>,
    /// The handler of the module; may be absent if the module has one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub handler: Option<String>,
}

/// How long things may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TimeoutsSpec {
    /// From a request's head to its answer: the end of a whole one, the head of a stream, which may then take as long as its client takes it.
    #[serde(default = "default_request_timeout")]
    #[schemars(schema_with = "duration")]
    pub request: DurationText,
}

/// How much a module may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LimitsSpec {
    /// Requests in flight in one pod, streams and upgraded connections included; the next one gets 503.
    #[schemars(with = "i32", range(min = 1))]
    pub max_concurrent_requests: u32,
    /// Of a request's body; a larger one gets 413. Bodies are streamed: their size costs the runtime no memory.
    pub max_request_body_size: ByteSize,
}

/// What became of a HandlerModule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = {"observedGeneration": -1}))]
pub struct HandlerModuleStatus {
    /// The generation that this status is about; -1 before the operator saw the object.
    #[serde(default = "unseen")]
    pub observed_generation: i64,
    /// The generation that the pods serve; absent until one was Ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving_generation: Option<i64>,
    /// The pool, as namespace/name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// The wanted revision, for people: `1.0@sha256:ab12cd34ef56`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The look-up that was last asked for by the annotation `hotbay.dev/reconcile-requested-at` and done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
    /// The artifact of the wanted revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<ArtifactStatus>,
    /// The routes in force for the wanted revision.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<RouteSpec>", length(max = MAX_ROUTES), extend("x-kubernetes-list-type" = "atomic"))]
    pub routes: Vec<Route>,
    /// The first pods that do not serve the wanted revision because of a failure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_FAILURES), extend("x-kubernetes-list-type" = "atomic"))]
    pub failures: Vec<PodFailure>,
    /// How many pods failed.
    #[serde(default)]
    #[schemars(with = "i32", range(min = 0))]
    pub failures_total: u32,
    /// Accepted: True when nothing that is known speaks against the module; False when the pool is missing, refuses or is full, an older
    /// module holds a route, or the artifact is no module or does not fit the spec; absent before the operator saw the object.
    /// ArtifactReady: True when the artifact was fetched and has its digest; False when it could not be had or is too large; absent when
    /// it was not looked at.
    /// Programmed: True when every ready pod serves the wanted revision and none has said since that it fails; False when some do not (yet),
    /// one fails, or the revision is refused; absent when there is nothing for the pods to serve.
    /// Ready: True once every ready pod served this generation and digest (latched); False before that or on failure, saying what still
    /// serves; absent before the operator saw the object.
    /// Reconciling: True while work goes on or is tried again; otherwise absent.
    /// Stalled: True when only an edit helps; otherwise absent.
    /// Demoted: True while pods run the module's calls on their blocking threads, because handlers that are not declared `blocking` have held
    /// others; it serves all the same; otherwise absent.
    /// Suspended: True while spec.suspend freezes the module (Ready stays as it was); otherwise absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// An artifact as it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactStatus {
    /// As the spec wrote it.
    pub reference: String,
    /// What the reference named when it was last looked up.
    #[schemars(with = "String")]
    pub digest: Digest,
    /// The module's version by its manifest.
    pub version: String,
    /// The ABI that the module was built for.
    pub abi: String,
    /// One for each build.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub platforms: Vec<PlatformStatus>,
}

/// One build of an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlatformStatus {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`.
    pub architecture: String,
    /// `gnu` or `musl`; absent if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub libc: Option<String>,
    /// The digest of the uncompressed shared object.
    #[schemars(with = "String")]
    pub blob: Digest,
    /// Uncompressed, in bytes.
    #[schemars(with = "i64", range(min = 0))]
    pub size: u64,
}

/// A pod that does not serve the wanted revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodFailure {
    /// The pod's name.
    pub pod: String,
    /// What it runs on.
    pub platform: String,
    /// Why, in one word.
    #[schemars(with = "String")]
    pub reason: Reason,
    /// Why, for people.
    pub message: String,
}

/// The most failures that a status lists.
pub const MAX_FAILURES: usize = 10;

impl HandlerModuleSpec {
    /// The pool that the module asks for; what it does not say comes from `default`.
    pub fn pool(&self, default: &PoolRef) -> PoolRef {
        self.runtime_ref.as_ref().map_or_else(
            || default.clone(),
            |wanted| PoolRef {
                namespace: wanted.namespace.clone().unwrap_or_else(|| default.namespace.clone()),
                name: wanted.name.clone(),
            },
        )
    }
}

impl Default for HandlerModuleSpec {
    fn default() -> Self {
        Self {
            source: ModuleSource::default(),
            runtime_ref: None,
            routes: None,
            config: empty_config(),
            timeouts: TimeoutsSpec::default(),
            limits: LimitsSpec::default(),
            interval: default_interval(),
            suspend: false,
        }
    }
}

impl Default for TimeoutsSpec {
    fn default() -> Self {
        Self { request: default_request_timeout() }
    }
}

impl Default for LimitsSpec {
    fn default() -> Self {
        let Limits { max_concurrent_requests, max_request_body_bytes } = Limits::default();
        Self { max_concurrent_requests, max_request_body_size: ByteSize(max_request_body_bytes) }
    }
}

impl From<&LimitsSpec> for Limits {
    fn from(spec: &LimitsSpec) -> Self {
        Self {
            max_concurrent_requests: spec.max_concurrent_requests,
            max_request_body_bytes: spec.max_request_body_size.0,
        }
    }
}

fn default_interval() -> DurationText {
    DurationText::from_secs(600)
}

fn default_request_timeout() -> DurationText {
    DurationText::from_secs(10)
}

fn empty_config() -> Value {
    Value::Object(serde_json::Map::new())
}

fn any_object(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

fn duration(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "string", "pattern": DurationText::pattern(), "maxLength": 24})
}
