//! A runtime for one module and a moment: does it start, and does it end?
//!
//! Owns the runtime's life: a keeper and an engine as every `hotbay run` has them, in a folder and at a port that nobody knows. Must not serve anybody.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use hotbay_api::{Digest, EntryState, HandlerModule, LocalReport, Reason, Trouble};
use hotbay_bay::Writer;
use hotbay_pipeline::{Policy, entry, key_of, prepare};

use super::keeper::Keeper;
use super::plane::module;
use super::{Layout, free_address};

/// How often the report is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// An instance may stay pending for 30 s, and the engine before it takes its time.
const START: Duration = Duration::from_secs(60);
/// An instance has 10 s to stop, and the engine before and behind it takes its time.
const STOP: Duration = Duration::from_secs(30);
/// What takes longer has been given up by the runtime: see the loader's limit of 10 s.
const GIVEN_UP: Duration = Duration::from_secs(9);

/// What came of it.
pub(crate) struct Trial {
    /// How long it took until it served, from nothing.
    pub started: Result<Duration, Trouble>,
    /// How it ended then.
    pub stopped: Stop,
}

/// How an instance ended.
pub(crate) enum Stop {
    /// After so long.
    Ended(Duration),
    /// Otherwise than it should: in words.
    Badly(String),
    /// The engine ended with it: in words.
    Crashed(String),
}

/// A line of the runtime's log that is a warning or an error.
#[derive(Debug, PartialEq)]
struct Complaint {
    words: String,
    /// Of the keeper: an engine died.
    is_death: bool,
}

/// Starts `wanted` with the file's bytes, and ends it.
///
/// # Errors
/// When there can be no runtime here; what is wrong with the module is in the result.
pub(crate) fn trial(wanted: &HandlerModule, bytes: &Bytes) -> anyhow::Result<Trial> {
    let folder = tempfile::tempdir().context("failed to make a private folder")?;
    let listen = free_address()?;
    let layout = Layout::new(Some(folder.path().to_owned()), listen)?;
    super::runtime()?.block_on(tried(wanted, bytes, &layout, folder.path()))
}

async fn tried(
    wanted: &HandlerModule,
    bytes: &Bytes,
    layout: &Layout,
    folder: &Path,
) -> anyhow::Result<Trial> {
    let key = key_of(wanted).map_err(|refusal| anyhow!("{refusal}"))?;
    let writer = Writer::new(&layout.bay)?;
    let file = module::File { digest: Digest::of(bytes), bytes: bytes.clone() };
    let prepared =
        prepare(wanted, &file, &Policy::default()).await.map_err(|refusal| anyhow!("{refusal}"))?;
    for build in &prepared.builds {
        writer.put_blob(&build.digest, &build.bytes)?;
    }
    writer.put_entry(&entry(wanted, prepared.revision, None).map_err(|refusal| anyhow!("{refusal}"))?)?;
    let log = folder.join("log");
    let written = File::create(&log).with_context(|| format!("failed to make {}", log.display()))?;
    let begin = Instant::now();
    let mut keeper = Keeper::spawn_quiet(layout, free_address()?, written)?;
    let started = tokio::select! {
        started = started(layout, begin) => started,
        ended = keeper.ended() => {
            let why = ended.err().map_or_else(|| "the keeper has ended".to_owned(), |error| format!("{error:#}"));
            return Err(anyhow!("{why}: {}", words(&complaints(&log, 0).0)));
        }
    };
    // What was said of the start is the start's business.
    let (_, seen) = complaints(&log, 0);
    writer.remove_entry(&key)?;
    let ended = async {
        // A bay that is suddenly empty is not believed at once; that second is nobody's fault.
        gone(layout).await;
        let begin = Instant::now();
        keeper.stop_quietly()?;
        keeper.ended().await.map(|_code| begin.elapsed())
    };
    let ended = tokio::time::timeout(STOP, ended).await;
    let said = complaints(&log, seen).0;
    let stopped = match ended {
        _ if said.iter().any(|complaint| complaint.is_death) => Stop::Crashed(words(&said)),
        Ok(Ok(took)) if took < GIVEN_UP && said.is_empty() => Stop::Ended(took),
        Ok(Ok(took)) if took < GIVEN_UP => Stop::Badly(format!("the runtime said: {}", words(&said))),
        Ok(Ok(_)) => Stop::Badly(format!("it did not end in {GIVEN_UP:?}, and was given up")),
        Ok(Err(error)) => Stop::Badly(format!("the runtime ended badly: {error:#}")),
        Err(_elapsed) => Stop::Badly(format!("the runtime did not end in {STOP:?}")),
    };
    Ok(Trial { started, stopped })
}

fn words(complaints: &[Complaint]) -> String {
    let words: Vec<&str> = complaints.iter().map(|complaint| &*complaint.words).collect();
    words.join("; ")
}

/// Waits until the module serves, or the runtime says why it does not.
async fn started(layout: &Layout, begin: Instant) -> Result<Duration, Trouble> {
    loop {
        for entry in read(layout).entries {
            if let Some(trouble) = entry.failure {
                return Err(trouble);
            }
            if entry.state == EntryState::Active {
                return Ok(begin.elapsed());
            }
        }
        if begin.elapsed() > START {
            let message = format!("the runtime did not say within {START:?} what became of it");
            return Err(Trouble { reason: Reason::StartTimeout, message });
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits until the runtime knows no entry any more.
async fn gone(layout: &Layout) {
    while !read(layout).entries.is_empty() {
        tokio::time::sleep(LOOK).await;
    }
}

fn read(layout: &Layout) -> LocalReport {
    let json = std::fs::read(&layout.report).unwrap_or_default();
    serde_json::from_slice(&json).unwrap_or_default()
}

/// The warnings and errors in a log of JSON lines behind its first `from` bytes, and its length.
fn complaints(log: &Path, from: usize) -> (Vec<Complaint>, usize) {
    // A log that cannot be read holds no complaint that could be told. What a module prints itself is in it, too, and may be no text.
    let bytes = std::fs::read(log).unwrap_or_default();
    let lines = bytes.get(from..).unwrap_or_default().split(|byte| *byte == b'\n');
    let complaint = |line: &[u8]| {
        let said: serde_json::Value = serde_json::from_slice(line).ok()?;
        let level = said["level"].as_str().filter(|level| ["WARN", "ERROR"].contains(level))?;
        let target = said["target"].as_str().unwrap_or_default();
        // `fields` are a module's.
        let words = said["message"].as_str()?;
        // What the keeper calls an error is that an engine did not end as it should.
        let is_death = level == "ERROR" && target.starts_with("hotbay_keeper");
        Some(Complaint { words: words.to_owned(), is_death })
    };
    (lines.filter_map(complaint).collect(), bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_complained_of_since_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let line = |level: &str, words: &str| {
            let said = serde_json::json!({
                "level": level, "target": "hotbay_keeper::machine", "message": words, "fields": {"message": "no"}
            });
            format!("{said}\n")
        };
        let before = line("WARN", "before");
        let mut text = format!("{before}{}not JSON\n", line("INFO", "well")).into_bytes();
        text.extend_from_slice(b"a module prints \xff\n");
        text.extend_from_slice(line("ERROR", "after").as_bytes());
        std::fs::write(&log, text).unwrap();
        let after = Complaint { words: "after".into(), is_death: true };
        assert_eq!(complaints(&log, before.len()).0, [after]);
        assert_eq!(words(&complaints(&log, 0).0), "before; after");
        assert!(!complaints(&log, 0).0[0].is_death, "a warning is none");
        assert!(complaints(&folder.path().join("none"), 0).0.is_empty());
    }
}
