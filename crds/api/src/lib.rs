//! The words of Hotbay, shared by operator, agent, runtime, CLI and docs.
//!
//! Owns names, formats and the custom resources: what an entry, a report, a reason or a route *is*. Must not do
//! I/O nor hold a client, and knows no other crate of the workspace. The custom resources need the feature `crd`;
//! without it nothing of Kubernetes is linked, as the runtime wants.

#[cfg(feature = "crd")]
mod byte_size;
#[cfg(feature = "crd")]
pub mod condition;
mod digest;
mod duration;
mod entry;
mod error;
#[cfg(feature = "crd")]
mod fields;
#[cfg(feature = "crd")]
mod handler_module;
mod local_report;
#[cfg(feature = "crdgen")]
mod manifests;
pub mod names;
#[cfg(feature = "crdgen")]
mod pages;
mod reason;
mod route;
#[cfg(feature = "crd")]
mod runtime_pool;
#[cfg(feature = "crd")]
mod runtime_report;

#[cfg(feature = "crd")]
pub use byte_size::{ByteSize, ByteSizeError};
#[cfg(feature = "crd")]
pub use condition::{Condition, ConditionStatus};

#[cfg(feature = "crd")]
pub use handler_module::{
    ArtifactStatus, HandlerModule, HandlerModuleSpec, HandlerModuleStatus, LimitsSpec, MAX_FAILURES,
    ModuleSource, OciSource, PlatformStatus, PodFailure, RouteSpec, RuntimeRef, TimeoutsSpec,
};
#[cfg(feature = "crdgen")]
pub use manifests::manifests;
#[cfg(feature = "crdgen")]
pub use pages::{Section, reasons_page, sections};
#[cfg(feature = "crd")]
pub use runtime_pool::{
    AllowedModules, AllowedNamespaces, LabelOperator, LabelRequirement, ModuleCounts, NamespaceSelector,
    NamespacesFrom, PodCounts, PoolLimits, RuntimePool, RuntimePoolSpec, RuntimePoolStatus, ServiceRef,
};
#[cfg(feature = "crd")]
pub use runtime_report::{
    MAX_EXCEPTIONS, MAX_NOTICES, ReportException, ReportNotice, ReportTrouble, RuntimeReport,
    RuntimeReportFields,
};

pub use digest::{Digest, DigestError};
pub use duration::{DurationError, DurationText};
pub use entry::{
    Blob, ENTRY_VERSION, Entry, EntryError, EntryId, Limits, MAX_ENTRY_BYTES, Platform, Revision, Timeouts,
};
pub use error::chain;
#[cfg(feature = "crd")]
pub use fields::fields_below;
pub use local_report::{EntryReport, EntryState, LocalReport, Serving, Trouble};
pub use names::{EntryKey, NameError, PoolRef, labels};
pub use reason::{Explanation, Reason};
pub use route::{MAX_ROUTES, PathTemplate, Precedence, Route, RouteError, Segment};
