//! What came of each check, for people and for programs.
//!
//! Owns the layout of both, and whether all of it holds. Must not check anything.

use hotbay_api::{Reason, Trouble};
use serde_json::{Value, json};

use crate::out;

/// What came of one check.
pub(super) enum Finding {
    Holds(String),
    /// Nobody refuses it, and it is better mended: what is the matter, and what to do.
    Warns(String, String),
    Fails(Trouble),
    /// Why.
    NotTried(String),
}

impl Finding {
    /// A refusal.
    pub fn fails(reason: Reason, message: impl Into<String>) -> Self {
        Self::Fails(Trouble { reason, message: message.into() })
    }

    /// Lines for people.
    fn text(&self, what: &str) -> String {
        let (mark, words, remedy) = match self {
            Self::Holds(how) => ("ok     ", how.clone(), None),
            Self::NotTried(why) => ("-      ", format!("not tried, {why}"), None),
            Self::Warns(message, mend) => ("warning", message.clone(), Some(mend.as_str())),
            Self::Fails(Trouble { reason, message }) => {
                let remedy = reason.explanation().map(|known| known.remedy);
                ("FAILED ", format!("{reason}: {message}"), remedy)
            }
        };
        let remedy = remedy.map(|remedy| format!("{:21}what to do: {remedy}\n", "")).unwrap_or_default();
        format!("  {mark} {what:<10} {words}\n{remedy}")
    }

    fn json(&self, what: &str) -> Value {
        match self {
            Self::Holds(how) => json!({"check": what, "result": "ok", "message": how}),
            Self::Warns(message, remedy) => {
                json!({"check": what, "result": "warning", "message": message, "remedy": remedy})
            }
            Self::Fails(Trouble { reason, message }) => {
                let remedy = reason.explanation().map(|known| known.remedy);
                json!({"check": what, "result": "failed", "reason": reason, "message": message, "remedy": remedy})
            }
            Self::NotTried(why) => json!({"check": what, "result": "skipped", "message": why}),
        }
    }
}

/// Where findings are told.
pub(super) struct Told {
    /// For programs: nothing is printed before the end.
    json: Option<Vec<Value>>,
    holds: bool,
}

impl Told {
    /// Begins.
    pub fn new(json: bool) -> Self {
        Self { json: json.then(Vec::new), holds: true }
    }

    /// Whether everything so far holds, warnings apart.
    pub fn holds(&self) -> bool {
        self.holds
    }

    /// Tells of a check.
    ///
    /// # Errors
    /// When nobody reads it.
    pub fn tell(&mut self, what: &str, finding: &Finding) -> anyhow::Result<()> {
        self.holds &= !matches!(finding, Finding::Fails(_));
        match &mut self.json {
            Some(all) => all.push(finding.json(what)),
            None => out::text_as_it_is(finding.text(what))?,
        }
        Ok(())
    }

    /// Ends, with what the checks were about.
    ///
    /// # Errors
    /// When nobody reads it.
    pub fn end(self, about: Value) -> anyhow::Result<()> {
        let Some(checks) = self.json else { return Ok(()) };
        let mut all = about;
        all["ok"] = self.holds.into();
        all["checks"] = checks.into();
        out::line(format_args!("{all:#}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_no_failure_and_a_failure_has_its_remedy() {
        let mut told = Told::new(true);
        told.tell("symbols", &Finding::Warns("two".into(), "hide one".into())).unwrap();
        assert!(told.holds());
        told.tell("abi", &Finding::fails(Reason::AbiMismatch, "0.9")).unwrap();
        told.tell("probe", &Finding::NotTried("for what failed".into())).unwrap();
        assert!(!told.holds());
        let all = told.json.unwrap();
        assert_eq!(all[0]["remedy"], "hide one");
        assert_eq!((&all[1]["reason"], &all[1]["result"]), (&json!("AbiMismatch"), &json!("failed")));
        assert!(all[1]["remedy"].as_str().unwrap().contains("upgrade Hotbay"));
        assert_eq!(all[2]["result"], "skipped");
    }
}
