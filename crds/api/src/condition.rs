//! Conditions: what they are, and what each of ours means.
//!
//! Owns the form of metav1.Condition and the list of condition types, with when each is True, False or absent. Must not
//! decide any of them: the operator's pipeline does.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Reason;

/// One side of an object's state, as metav1.Condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Which side; see the description of the list.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 316))]
    pub kind: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// The generation of the spec that this condition was computed from.
    #[schemars(range(min = 0))]
    pub observed_generation: i64,
    /// When `status` last changed.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub last_transition_time: Time,
    /// Why, in one word of the list that the docs explain.
    #[schemars(
        with = "String",
        length(min = 1, max = 1024),
        regex(pattern = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    )]
    pub reason: Reason,
    /// For people: what, where, and what to do.
    #[schemars(length(max = 32768))]
    pub message: String,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Nobody can say yet.
    Unknown,
}

/// The type of `Accepted`, on a HandlerModule.
///
/// True: nothing that is known speaks against the module: the pool takes it, every route is its own, and the artifact, if it was looked into,
/// is a module that fits the spec. False: one of these is not so; an accepted generation goes on serving. Absent: the operator has not seen
/// the object.
pub const ACCEPTED: &str = "Accepted";

/// The type of `ArtifactReady`, on a HandlerModule.
///
/// True: the artifact was fetched and has its digest. False: it could not be had, or is larger than allowed. Absent: it was not looked at,
/// because the pool does not take the module or it is suspended.
pub const ARTIFACT_READY: &str = "ArtifactReady";

/// The type of `Programmed`, on a HandlerModule.
///
/// True: every ready pod of the pool serves the wanted revision, and none has said since that it fails; a pod that just came is not waited
/// for, so that a scale-up does not write every module. False: some do not serve it (yet), one fails, or the revision is refused. Absent:
/// there is no entry for the pods to serve.
pub const PROGRAMMED: &str = "Programmed";

/// The type of `Ready`, on HandlerModule and RuntimePool.
///
/// On a HandlerModule: True: every ready pod served this generation and digest at least once (it stays True while pods come and go). False:
/// not yet, or it failed; the message ends with what still serves. On a RuntimePool: True: every ready pod reports. False: there is none, or
/// some do not report. Absent: the operator has not seen the object.
pub const READY: &str = "Ready";

/// The type of `Reconciling`, as kstatus wants it.
///
/// True: work goes on by itself, or will be tried again. Absent: there is nothing to wait for. Never False.
pub const RECONCILING: &str = "Reconciling";

/// The type of `Stalled`, as kstatus wants it.
///
/// True: only an edit, of the object or of what it names, helps. Absent: nothing is stuck. Never False.
pub const STALLED: &str = "Stalled";

/// The type of `Suspended`, on a HandlerModule.
///
/// True: `spec.suspend` freezes the module; what serves goes on serving, Ready stays as the pods have it, and nothing new is looked up or
/// rolled out. Absent: it is not suspended. Never False.
pub const SUSPENDED: &str = "Suspended";

/// The type of `Demoted`, on a HandlerModule.
///
/// True: in some pod the module held threads that serve everybody, so its calls run on that pod's blocking threads; the message names the
/// handler. It serves all the same, and Ready is not touched. Absent: no pod says so. Never False.
pub const DEMOTED: &str = "Demoted";

/// The type of `SweepHeld`, on a RuntimePool.
///
/// True: more entries than the operator removes by itself have lost their HandlerModule; it waits for the annotation
/// `hotbay.dev/allow-sweep`. Absent: nothing is held. Never False.
pub const SWEEP_HELD: &str = "SweepHeld";

/// The condition of type `kind`, if there is one.
pub fn find<'c>(conditions: &'c [Condition], kind: &str) -> Option<&'c Condition> {
    conditions.iter().find(|condition| condition.kind == kind)
}

/// The observedGeneration of a status that nobody wrote: kstatus calls an object without conditions done, unless this differs from its
/// generation.
pub(crate) fn unseen() -> i64 {
    -1
}
