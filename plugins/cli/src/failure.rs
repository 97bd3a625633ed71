//! How a command that fails says so.
//!
//! Owns the words on standard error: the reason, if the cause has one, what was the matter with what, and what to do. Must not decide what
//! fails.

use hotbay_api::{Reason, chain};
use hotbay_artifact::{CheckError, ElfError};
use hotbay_pipeline::SourceError;

/// What is printed: one line that says what is wrong, and one that says what to do if the list of reasons knows.
pub(crate) fn words(error: &anyhow::Error) -> String {
    let said = chain(error.as_ref());
    let Some(reason) = reason(error) else { return format!("hotbay: {said}") };
    // As rustls puts an answer that is no TLS, or none.
    let no_tls = ["InvalidContentType", "tls handshake"].iter().any(|words| said.contains(words));
    let plain = reason == Reason::SourceUnreachable && no_tls;
    let hint = if plain { " If the registry speaks plain HTTP, say so with --plain-http." } else { "" };
    match reason.explanation() {
        Some(known) => format!("hotbay: {reason}: {said}\n  what to do: {}{hint}", known.remedy),
        None => format!("hotbay: {reason}: {said}"),
    }
}

/// The reason of the first cause that has one.
fn reason(error: &anyhow::Error) -> Option<Reason> {
    error.chain().find_map(|cause| {
        let of_file = cause.downcast_ref::<ElfError>().map(ElfError::reason);
        let of_host = || cause.downcast_ref::<CheckError>().map(CheckError::reason);
        let of_source = || cause.downcast_ref::<SourceError>().map(|error| error.verdict().0);
        of_file.or_else(of_host).or_else(of_source)
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn the_reason_and_what_to_do_are_said_with_the_whole_chain() {
        let cause = SourceError::NotFound { reference: "r.example.com/m:1".into() };
        let error = Err::<(), _>(cause).context("failed to inspect r.example.com/m:1").unwrap_err();
        let said = words(&error);
        assert!(said.starts_with("hotbay: SourceNotFound: failed to inspect r.example.com/m:1: "), "{said}");
        assert!(
            said.contains("does not exist") && said.contains("\n  what to do: Push the module"),
            "{said}"
        );
    }

    #[test]
    fn what_has_no_reason_is_said_as_it_is() {
        assert_eq!(
            words(&anyhow::anyhow!("no home").context("failed to start")),
            "hotbay: failed to start: no home"
        );
    }
}
