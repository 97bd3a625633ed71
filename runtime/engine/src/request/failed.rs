//! Calls that have no answer, or no whole one.
//!
//! Owns whose fault that is: a module's goes to the log as a warning and to the client as a 500; a client's own is told to that client, and to
//! nobody else, because whoever likes can do it as often as they like. Must not say to a client what the log is told.

use hotbay_loader::{CallFailure, FailureKind};
use http::{Response, StatusCode};

use super::{Cut, busy, text, unread};
use crate::body::Payload;
use crate::table::Target;

/// The answer to a request whose call has none.
#[cold]
pub(super) fn failed(failure: &CallFailure, target: &Target) -> Result<Response<Payload>, Cut> {
    tell(failure, target, "a request failed");
    match failure.kind {
        // An answer had begun, or is not to be given.
        FailureKind::Aborted | FailureKind::Unfinished(_) | FailureKind::FalseLength => Err(Cut),
        FailureKind::NoHandles => Ok(busy()),
        FailureKind::BodyBroken => Ok(unread(StatusCode::BAD_REQUEST)),
        FailureKind::BodyTooLarge => Ok(unread(StatusCode::PAYLOAD_TOO_LARGE)),
        FailureKind::Panicked(_) | FailureKind::Failed { .. } | FailureKind::NoAnswer => {
            Ok(text(StatusCode::INTERNAL_SERVER_ERROR, "internal server error\n"))
        }
    }
}

/// Says in the log what became of a call, and why.
#[cold]
pub(crate) fn tell(failure: &CallFailure, target: &Target, what: &str) {
    let (module, (request_id, trace_id)) = (&target.key, ids(failure));
    if failure.kind.is_clients() {
        tracing::debug!(%module, request_id, trace_id, error = %failure, "{what}");
    } else {
        tracing::warn!(%module, request_id, trace_id, error = %failure, "{what}");
    }
}

/// What the log calls a failed call's request by: its id, and its trace's.
fn ids(failure: &CallFailure) -> (Option<&str>, Option<&str>) {
    let request = failure.request.as_deref();
    (request.and_then(|ids| ids.request_id.as_deref()), request.and_then(|ids| ids.trace_id.as_deref()))
}
