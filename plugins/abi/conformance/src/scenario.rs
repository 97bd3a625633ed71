//! What the mock host does to a module: one thing at a time.
//!
//! Owns the list, and each scenario's script. Pure data: `host` plays the scripts, `child` runs them.

/// One thing that a host, or a client behind it, may do.
#[derive(Debug)]
pub struct Scenario {
    /// Its name, for people and for the command line.
    pub name: &'static str,
    /// What happens in it.
    pub about: &'static str,
    pub(crate) plan: Plan,
    pub(crate) script: Script,
}

/// What is done with instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// No calls: instances come and go.
    Life,
    /// One instance, the call twice, one after the other.
    Calls,
    /// One instance, called before another one with another config is made, beside it, and after it.
    Beside,
    /// Two instances with configs of their own, and calls to both from four threads at once.
    Crowd,
}

/// How the host behaves in a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script {
    /// What `read` answers, in this order; `None`: the body is inline.
    pub body: Option<&'static [Step]>,
    /// No body, no headers, no query, HTTP/1.0.
    pub bare: bool,
    /// The client has left before there is an answer.
    pub gone: bool,
    /// `write` answers PENDING each other time.
    pub slow: bool,
    /// `write` answers GONE from this one on.
    pub leaves_at_write: Option<u32>,
    /// HEAD: the answer's body is not wanted.
    pub head: bool,
    /// Polls that nobody asked for, each with a wake that nobody asked for.
    pub spurious: u32,
    /// The call is dropped after this many polls.
    pub abandon: Option<u32>,
    /// The client offers a WebSocket.
    pub upgrade: bool,
    /// Longer tables, and flags that nobody knows yet.
    pub newer: bool,
    /// The request has a flag that nobody knows yet, and that must be understood.
    pub demands: bool,
}

/// What one `read` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The body that the request is sent with.
    Body,
    /// Bytes.
    Piece(&'static [u8]),
    /// PENDING, and a wake.
    Pending,
    /// The body is too large; also from then on.
    Limit,
    /// The client has left; also for everything else, from then on.
    Gone,
}

const LARGE: &[u8] = &[b'x'; 64 * 1024];
const PIECES: &[Step] =
    &[Step::Pending, Step::Body, Step::Pending, Step::Pending, Step::Piece(b"2"), Step::Piece(LARGE)];
const TOO_LARGE: &[Step] = &[Step::Body, Step::Pending, Step::Piece(LARGE), Step::Limit];
const CUT_OFF: &[Step] = &[Step::Pending, Step::Body, Step::Pending, Step::Gone];

const USUAL: Script = Script {
    body: None,
    bare: false,
    gone: false,
    slow: false,
    leaves_at_write: None,
    head: false,
    spurious: 0,
    abandon: None,
    upgrade: false,
    newer: false,
    demands: false,
};

const fn calls(name: &'static str, about: &'static str, script: Script) -> Scenario {
    Scenario { name, about, plan: Plan::Calls, script }
}

static ALL: [Scenario; 20] = [
    Scenario {
        name: "life",
        about: "instances are made and destroyed: one, two at once, and one more; nobody calls them",
        plan: Plan::Life,
        script: USUAL,
    },
    calls("plain", "a request with its body inline, twice", USUAL),
    calls("bare", "no body, no headers, no query, HTTP/1.0", Script { bare: true, ..USUAL }),
    calls(
        "pieces",
        "the body comes in pieces, and read is pending in between",
        Script { body: Some(PIECES), ..USUAL },
    ),
    calls("limit", "the body turns out too large", Script { body: Some(TOO_LARGE), ..USUAL }),
    calls("cut-off", "the client leaves in mid-body", Script { body: Some(CUT_OFF), ..USUAL }),
    calls("gone", "the client has left before it is answered", Script { gone: true, ..USUAL }),
    calls("slow", "each other write is pending", Script { slow: true, ..USUAL }),
    calls("leaves", "the client leaves at the first write", Script { leaves_at_write: Some(0), ..USUAL }),
    calls(
        "leaves-later",
        "the client leaves at the second write",
        Script { leaves_at_write: Some(1), ..USUAL },
    ),
    calls("head", "HEAD: nobody wants the answer's body", Script { head: true, ..USUAL }),
    calls(
        "spurious",
        "polls and wakes that nobody asked for",
        Script { spurious: 3, body: Some(PIECES), ..USUAL },
    ),
    calls(
        "abandoned",
        "the call is dropped before its first poll",
        Script { abandon: Some(0), body: Some(PIECES), ..USUAL },
    ),
    calls(
        "abandoned-later",
        "the call is dropped after a poll",
        Script { abandon: Some(1), body: Some(PIECES), ..USUAL },
    ),
    calls(
        "abandoned-slow",
        "the call is dropped while its answer is on its way",
        Script { abandon: Some(2), slow: true, ..USUAL },
    ),
    calls(
        "upgrade",
        "the client offers a WebSocket and speaks first",
        Script { upgrade: true, body: Some(PIECES), ..USUAL },
    ),
    calls(
        "newer",
        "a host with longer tables and flags that nobody knows yet",
        Script { newer: true, ..USUAL },
    ),
    calls(
        "demands",
        "a request with a flag that nobody knows yet, and that must be understood",
        Script { demands: true, ..USUAL },
    ),
    Scenario {
        name: "beside",
        about: "another instance, with another config, comes and goes beside one that is called",
        plan: Plan::Beside,
        script: USUAL,
    },
    Scenario {
        name: "crowd",
        about: "two instances, called from four threads at once",
        plan: Plan::Crowd,
        script: Script { body: Some(PIECES), slow: true, ..USUAL },
    },
];

impl Scenario {
    /// All of them, in their order.
    pub fn all() -> &'static [Self] {
        &ALL
    }

    /// The one with this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|scenario| scenario.name == name)
    }

    /// Whether it is about calls, and so to be run for each handler.
    pub(crate) fn has_calls(&self) -> bool {
        self.plan != Plan::Life
    }
}
