//! What a request says of itself, and bodies of all kinds.

use hotbay_sdk::extract::{Header, UserAgent};
use hotbay_sdk::{
    Error, Headers, Json, Method, Peer, Rejection, RequestBody, RequestId, Result, TraceParent, Uri, handler,
};
use serde::Serialize;

/// What is known of who asks.
#[derive(Debug, Serialize)]
pub(crate) struct Who {
    method: String,
    uri: String,
    host: Option<String>,
    peer: Option<String>,
    agent: Option<String>,
    request_id: Option<String>,
    trace: Option<String>,
    headers: usize,
}

/// Says who asks.
#[handler(ANY, "/whoami")]
pub(crate) fn whoami(
    method: Method,
    uri: Uri,
    peer: Option<Peer>,
    agent: Option<Header<UserAgent>>,
    id: Option<RequestId>,
    trace: Option<TraceParent>,
    headers: Headers,
) -> Json<Who> {
    Json(Who {
        method: method.to_string(),
        uri: uri.to_string(),
        host: uri.authority.map(str::to_owned),
        peer: peer.map(|peer| peer.0.to_string()),
        agent: agent.map(|Header(agent)| agent.0.to_owned()),
        request_id: id.map(|id| id.0.to_owned()),
        trace: trace.map(|trace| trace.trace_id().to_owned()),
        headers: headers.iter().count(),
    })
}

/// Counts the bytes of a body that is never held as a whole.
#[handler(POST, "/count")]
pub(crate) async fn count(mut body: RequestBody) -> Result<String> {
    let mut bytes = 0;
    while let Some(piece) = body.next().await {
        bytes += piece?.len();
    }
    Ok(bytes.to_string())
}

/// Says a text louder, or nothing if there is none.
#[handler(POST, "/shout")]
pub(crate) fn shout(text: Option<&str>) -> Option<String> {
    text.map(str::to_uppercase)
}

/// Takes a mood as JSON, and words of its own for one that does not fit.
#[handler(PUT, "/mood")]
pub(crate) fn mood(mood: Result<Json<bool>, Rejection>, raw: &[u8]) -> String {
    match mood {
        Ok(Json(true)) => "glad to hear it".to_owned(),
        Ok(Json(false)) => "that will pass".to_owned(),
        Err(why) => format!("{} bytes that are no mood: {why}", raw.len()),
    }
}

/// Shows the message of the day, which nobody wrote: an error of the module's own.
#[handler(GET, "/motd")]
pub(crate) fn motd() -> Result<String, Error> {
    Ok(std::fs::read_to_string("/nonexistent/motd")?)
}
