//! `hotbay explain`: what a reason means, as docs/reasons.md says it.
//!
//! Owns nothing but the layout: the words are those of the one list.

use anyhow::ensure;
use hotbay_api::Reason;

use crate::out;

/// Which reason.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The word, as a status or a log says it; without one all are listed.
    #[arg(value_name = "REASON")]
    reason: Option<String>,
}

/// Prints what it means, what to do, and whether waiting helps.
///
/// # Errors
/// When this version knows no such reason.
pub fn run(args: Args) -> anyhow::Result<()> {
    let Args { reason } = args;
    let Some(word) = reason else {
        for reason in Reason::ALL {
            let meaning = reason.explanation().map_or("", |known| known.meaning);
            out::line(format_args!("{:<20} {meaning}", reason.as_str()))?;
        }
        return Ok(());
    };
    let known = Reason::ALL.iter().find(|reason| reason.as_str().eq_ignore_ascii_case(&word));
    ensure!(
        known.is_some(),
        "{word:?} is no reason that this version knows; `hotbay explain` lists all, and a newer hotbay may know more"
    );
    if let Some((reason, said)) = known.and_then(|reason| Some((reason, reason.explanation()?))) {
        out::line(format_args!(
            "{reason}: {}\nwhat to do: {}\ndoes waiting help? {}",
            said.meaning, said.remedy, said.waiting
        ))?;
    }
    Ok(())
}
