//! The head of a request to the admin port.
//!
//! Owns what is refused before anything is answered. A browser that was led to a name which its owner has pointed at this address (DNS
//! rebinding) says that name in `Host`: only addresses, localhost and names that somebody has allowed are answered. Pure.

use std::net::IpAddr;

/// A browser sends the cookies of everything that runs on localhost.
const MAX_BYTES: usize = 16 * 1024;

/// What matters of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head<'r> {
    /// Without the query.
    pub path: &'r str,
    /// HEAD: no body is wanted.
    pub is_head: bool,
    host: Option<&'r str>,
    is_http_1_0: bool,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    TooLong,
    Malformed,
    Method,
    NotFound,
    Host,
}

impl Refusal {
    /// Status, and what to do.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::TooLong => ("431 Request Header Fields Too Large", "the request is too long\n"),
            Self::Malformed => {
                ("400 Bad Request", "this is no HTTP/1.1 request, or it does not name one host\n")
            }
            Self::Method => ("405 Method Not Allowed", "only GET and HEAD\n"),
            Self::NotFound => ("404 Not Found", "there are /, /status.json and /metrics\n"),
            Self::Host => (
                "403 Forbidden",
                "this name is not allowed here, so that other sites cannot read this page through your browser; use an address, \
                 or start with --admin-host NAME (HOTBAY_ADMIN_HOST)\n",
            ),
        }
    }
}

impl<'r> Head<'r> {
    /// The head, once it is whole or can no longer become so.
    pub fn parse(request: &'r [u8]) -> Option<Result<Self, Refusal>> {
        let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else {
            return (request.len() > MAX_BYTES).then_some(Err(Refusal::TooLong));
        };
        Some(std::str::from_utf8(&request[..end]).map_err(|_| Refusal::Malformed).and_then(Self::of_text))
    }

    fn of_text(text: &'r str) -> Result<Self, Refusal> {
        let mut lines = text.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Refusal::Malformed);
        };
        let is_http_1_0 = version == "HTTP/1.0";
        if !version.starts_with("HTTP/1.") || !target.starts_with('/') {
            return Err(Refusal::Malformed);
        }
        let mut host = None;
        for line in lines {
            let (name, value) = line.split_once(':').ok_or(Refusal::Malformed)?;
            if name.eq_ignore_ascii_case("host") && host.replace(value.trim()).is_some() {
                return Err(Refusal::Malformed);
            }
        }
        let is_head = match method {
            "GET" => false,
            "HEAD" => true,
            _ => return Err(Refusal::Method),
        };
        let path = target.split('?').next().unwrap_or_default();
        Ok(Self { path, is_head, host, is_http_1_0 })
    }
}

/// Which names are answered.
#[derive(Debug)]
pub(super) struct HostRule {
    allowed: Vec<String>,
}

impl HostRule {
    /// Beside addresses and localhost, these names; `*` stands for all.
    pub fn new(allowed: Vec<String>) -> Self {
        Self { allowed }
    }

    pub fn allows(&self, head: &Head) -> Result<(), Refusal> {
        let Some(host) = head.host else {
            // Browsers always name one.
            return if head.is_http_1_0 { Ok(()) } else { Err(Refusal::Malformed) };
        };
        let name = name_of(host);
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let is_local = name.eq_ignore_ascii_case("localhost");
        let is_allowed = |allowed: &String| allowed == "*" || allowed.eq_ignore_ascii_case(name);
        if is_address || is_local || self.allowed.iter().any(is_allowed) {
            Ok(())
        } else {
            Err(Refusal::Host)
        }
    }
}

/// A host without its port.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(request: &str, allowed: &[&str]) -> Result<(), Refusal> {
        let head = Head::parse(request.as_bytes()).expect("it is whole")?;
        HostRule::new(allowed.iter().map(|&name| name.to_owned()).collect()).allows(&head)
    }

    fn with_host(host: &str, allowed: &[&str]) -> Result<(), Refusal> {
        judge(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), allowed)
    }

    #[test]
    fn addresses_and_localhost_are_answered_and_other_names_are_not() {
        for host in [
            "127.0.0.1:8881",
            "127.0.0.1",
            "[::1]:8881",
            "[::1]",
            "10.244.0.7:8881",
            "localhost:8881",
            "LOCALHOST",
        ] {
            assert_eq!(with_host(host, &[]), Ok(()), "{host}");
        }
        for host in ["evil.example:8881", "localhost.evil.example", "127.0.0.1.evil.example", "", "a:b:c"] {
            assert_eq!(with_host(host, &[]), Err(Refusal::Host), "{host}");
        }
        assert_eq!(with_host("Box.local:8881", &["box.local"]), Ok(()));
        assert_eq!(with_host("any.example", &["*"]), Ok(()));
    }

    #[test]
    fn a_request_that_is_not_plain_is_refused() {
        let refused = |request| judge(request, &[]).unwrap_err();
        assert_eq!(refused("GET / HTTP/1.1\r\n\r\n"), Refusal::Malformed);
        assert_eq!(refused("GET / HTTP/1.1\r\nhost: ::1\r\nHost: ::1\r\n\r\n"), Refusal::Malformed);
        assert_eq!(refused("GET http://127.0.0.1/ HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"), Refusal::Malformed);
        assert_eq!(refused("PRI * HTTP/2.0\r\n\r\n"), Refusal::Malformed);
        assert_eq!(refused("POST / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"), Refusal::Method);
        assert_eq!(judge("GET / HTTP/1.0\r\n\r\n", &[]), Ok(()));
    }

    #[test]
    fn half_a_head_waits_and_an_endless_one_is_refused() {
        assert_eq!(Head::parse(b"GET / HTTP/1.1\r\nhost: x"), None);
        assert_eq!(Head::parse(&vec![b'x'; MAX_BYTES + 1]), Some(Err(Refusal::TooLong)));
        let head = Head::parse(b"HEAD /status.json?x=1 HTTP/1.1\r\nhost: [::1]:1\r\n\r\n").unwrap().unwrap();
        assert_eq!((head.path, head.is_head, head.host), ("/status.json", true, Some("[::1]:1")));
    }
}
