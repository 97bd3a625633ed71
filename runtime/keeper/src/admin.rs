//! The admin port: /metrics, /status.json and a page.
//!
//! Owns what each path answers. The keeper answers it rather than an engine, so that it can be asked while engines die one after another; and
//! from what it holds anyway: the engines' reports, their counters, its own history. Answers are made at most ten times a second however many
//! ask, so that nobody can keep the keeper from its engines by asking.

mod facts;
mod head;
mod metrics;
mod page;
mod server;
mod status;

use std::rc::Rc;
use std::time::{Duration, Instant};

pub use facts::{EngineFacts, Facts};
pub use server::Admin;

use head::{Head, HostRule, Refusal};

/// An answer is this old at most.
const FRESH: Duration = Duration::from_millis(100);

/// A whole answer, shared by all who ask for it while it is fresh.
#[derive(Clone, Debug)]
struct Answer {
    bytes: Rc<[u8]>,
    /// Where the body begins: HEAD ends there.
    body_at: usize,
}

/// The answers, some of them kept for a moment.
#[derive(Debug)]
struct Desk {
    hosts: HostRule,
    metrics: Option<(Instant, Answer)>,
    status: Option<(Instant, Answer)>,
}

impl Desk {
    fn new(hosts: Vec<String>) -> Self {
        Self { hosts: HostRule::new(hosts), metrics: None, status: None }
    }

    /// What to answer to the bytes of a request, once they are enough: the answer, and whether its body is wanted.
    fn answer(
        &mut self,
        request: &[u8],
        now: Instant,
        facts: &mut dyn FnMut() -> Facts,
    ) -> Option<(Answer, bool)> {
        let head = match Head::parse(request)? {
            Ok(head) => head,
            Err(refusal) => return Some((refuse(refusal), true)),
        };
        if let Err(refusal) = self.hosts.allows(&head) {
            return Some((refuse(refusal), !head.is_head));
        }
        let answer = match head.path {
            "/" => Answer::new("200 OK", "text/html; charset=utf-8", page::headers(), page::HTML.as_bytes()),
            "/metrics" => {
                let make = |facts: &Facts| {
                    Answer::new("200 OK", metrics::CONTENT_TYPE, "", metrics::render(facts).as_bytes())
                };
                kept(&mut self.metrics, now, facts, make)
            }
            "/status.json" => {
                let make =
                    |facts: &Facts| Answer::new("200 OK", "application/json", "", &status::render(facts));
                kept(&mut self.status, now, facts, make)
            }
            _ => refuse(Refusal::NotFound),
        };
        Some((answer, !head.is_head))
    }
}

/// The answer of a moment ago, or a new one.
fn kept(
    kept: &mut Option<(Instant, Answer)>,
    now: Instant,
    facts: &mut dyn FnMut() -> Facts,
    make: impl Fn(&Facts) -> Answer,
) -> Answer {
    match kept {
        Some((made, answer)) if now.duration_since(*made) < FRESH => answer.clone(),
        _ => {
            let answer = make(&facts());
            *kept = Some((now, answer.clone()));
            answer
        }
    }
}

fn refuse(refusal: Refusal) -> Answer {
    let (status, words) = refusal.words();
    let allow = if refusal == Refusal::Method { "allow: GET, HEAD\r\n" } else { "" };
    Answer::new(status, "text/plain; charset=utf-8", allow, words.as_bytes())
}

impl Answer {
    fn new(status: &str, content_type: &str, headers: &str, body: &[u8]) -> Self {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\nconnection: close\r\n\
             cache-control: no-store\r\nx-content-type-options: nosniff\r\ncross-origin-resource-policy: same-origin\r\n\
             referrer-policy: no-referrer\r\n{headers}\r\n"
        );
        let bytes = [head.as_bytes(), body].concat();
        Self { bytes: bytes.into(), body_at: head.len() }
    }
}
