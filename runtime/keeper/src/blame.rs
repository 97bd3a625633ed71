//! Who ended an engine.
//!
//! Owns the rules by which a death is laid at a module's door. Rather nobody than the wrong one: a module that is named twice stops serving.

use std::collections::BTreeSet;
use std::time::Instant;

use hotbay_protocol::{Crash, Suspect};
use hotbay_sys::process::Ending;
use hotbay_sys::signals;

use crate::history::DeathNote;

/// All that is known of an engine's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// What the kernel says.
    pub how: Ending,
    /// What its signal handler wrote.
    pub crash: Option<Crash>,
    /// Threads that were in module code.
    pub suspects: Vec<Suspect>,
    /// The slot of the thread that loaded.
    pub loader: usize,
}

/// Why the keeper itself killed an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Killed {
    /// It was not ready in time.
    NotReady,
    /// It answered no pings.
    Hung,
    /// A load hung in it; the module is named already.
    LoaderHung,
    /// It did not end in time, or had to make room.
    Overdue,
    /// Its channel broke.
    Lost,
    /// It was ready to serve less than the engine that it was to replace.
    ServesLess,
}

impl Killed {
    fn words(self) -> &'static str {
        match self {
            Self::NotReady => "it was not ready in time",
            Self::Hung => "it answered no pings",
            Self::LoaderHung => "a load hung in it",
            Self::Overdue => "it did not end in time",
            Self::Lost => "its channel broke",
            Self::ServesLess => "it could not serve everything that is served now",
        }
    }
}

/// What an engine was doing when it died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Not ready yet.
    Starting,
    /// Serving.
    Serving,
    /// Told to end.
    Ending,
}

/// The module that ended the engine, if that is plain.
pub fn culprit(death: &Death, doing: Doing, killed: Option<Killed>) -> Option<&Suspect> {
    let in_slot = |slot: usize| death.suspects.iter().find(|suspect| suspect.slot == Some(slot));
    let loading = || if doing == Doing::Starting { in_slot(death.loader) } else { None };
    if let Some(crash) = &death.crash {
        return match crash.slot {
            Some(slot) => in_slot(slot),
            // Ours, or a thread that a module made for itself, by another way than `pthread_create` if nobody can say whose it is.
            None => crash.maker.as_ref().or_else(loading),
        };
    }
    match (killed, death.how) {
        (Some(Killed::NotReady), _) => loading(),
        // Ours; or from outside, or the kernel's for want of memory.
        (Some(Killed::LoaderHung | Killed::ServesLess), _) | (_, Ending::Signaled(signals::KILL)) => None,
        (_, Ending::Exited(0)) if doing == Doing::Ending => None,
        // An engine that was exiting already when we killed it ends with its own code.
        (_, Ending::Exited(_)) if doing != Doing::Starting => match &death.suspects[..] {
            [only] => Some(only),
            _ => None,
        },
        _ => loading(),
    }
}

/// Of a request's path in a message: what follows must fit too, into the 256 characters of a pod's report.
const MAX_REQUEST_CHARS: usize = 80;

impl Death {
    /// What happened, for people: `died of SIGSEGV at 0x8 during GET /crash`.
    pub fn describe(&self) -> String {
        match (&self.crash, self.how) {
            (None, Ending::Exited(code)) => format!("exited with code {code}"),
            _ => format!("died of {}", self.cause()),
        }
    }

    /// What the module did, for the one that is to blame.
    pub fn deed(&self, suspect: &Suspect) -> String {
        let Suspect { digest, slot, .. } = suspect;
        let build = if digest.is_empty() { String::new() } else { format!(" (build sha256:{digest})") };
        // A thread at a request says so itself.
        let at_request = self.crash.as_ref().is_some_and(|crash| !crash.request.is_empty());
        let phase = match *slot {
            None => " on a thread that it has made",
            Some(slot) if slot == self.loader && !at_request => " while it was loaded, started or stopped",
            Some(_) => "",
        };
        format!("{}{phase}{build}", self.cause())
    }

    /// The end for the history: what happened, and where it is not plain who did it, who may have.
    pub fn note(
        &self,
        engine: u64,
        at: Instant,
        culprit: Option<&Suspect>,
        killed: Option<Killed>,
    ) -> DeathNote {
        let story = match (culprit, killed) {
            (Some(suspect), _) => self.deed(suspect),
            (None, Some(killed)) => format!("killed by the keeper: {}", killed.words()),
            (None, None) if self.suspects.is_empty() => format!("{}, outside all modules", self.describe()),
            (None, None) => {
                let names = self.suspects.iter().map(|suspect| suspect.key.to_string());
                let names: BTreeSet<String> = names.collect();
                let names = names.into_iter().take(5).collect::<Vec<_>>().join(", ");
                format!("{}, nobody is blamed; at work were {names}", self.describe())
            }
        };
        DeathNote { engine, at, module: culprit.map(|suspect| suspect.key.clone()), story }
    }

    fn cause(&self) -> String {
        match (&self.crash, self.how) {
            (Some(Crash { signal, address, request, .. }), _) => {
                // Address 0 is one too, but not of a signal that a process sent itself.
                let has_address = *address != 0 || *signal == signals::SEGV;
                let at = if has_address { format!(" at {address:#x}") } else { String::new() };
                let during = match request.chars().count() {
                    0 => String::new(),
                    1..=MAX_REQUEST_CHARS => format!(" during {request}"),
                    _ => {
                        format!(" during {}...", request.chars().take(MAX_REQUEST_CHARS).collect::<String>())
                    }
                };
                format!("{}{at}{during}", signals::name(*signal))
            }
            (None, Ending::Signaled(signal)) => signals::name(signal),
            (None, Ending::Exited(code)) => format!("exit with code {code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use hotbay_api::EntryKey;
    use hotbay_protocol::LOADER_SLOT;

    use super::*;

    fn suspect(name: &str, slot: usize) -> Suspect {
        let key = EntryKey::new("shop", name).unwrap();
        Suspect { key, fingerprint: "0f".into(), digest: "ab12cd34ef56".into(), slot: Some(slot) }
    }

    fn death(how: Ending, slot: Option<Option<usize>>, suspects: &[Suspect]) -> Death {
        let crash = slot.map(|slot| Crash {
            signal: 11,
            slot,
            address: 8,
            request: "GET /crash".into(),
            maker: None,
        });
        Death { how, crash, suspects: suspects.to_vec(), loader: LOADER_SLOT }
    }

    const SEGV: Ending = Ending::Signaled(11);

    #[test]
    fn a_record_names_the_module_of_its_thread_and_no_other() {
        let both = [suspect("loading", LOADER_SLOT), suspect("serving", 4)];
        let named = |slot| culprit(&death(SEGV, Some(slot), &both), Doing::Serving, None).cloned();
        assert_eq!(named(Some(4)), Some(both[1].clone()));
        assert_eq!(named(Some(LOADER_SLOT)), Some(both[0].clone()));
        assert_eq!(named(Some(5)), None, "a thread that was not in module code");
        assert_eq!(named(None), None, "a thread that is not the engine's");
    }

    #[test]
    fn a_thread_that_a_module_made_names_its_maker_and_no_module_at_work() {
        let made = Suspect { slot: None, ..suspect("makes", 0) };
        let crash =
            Crash { signal: 6, slot: None, address: 0, request: String::new(), maker: Some(made.clone()) };
        let working = [suspect("loading", LOADER_SLOT), suspect("serving", 4)];
        let death = Death { crash: Some(crash), ..death(SEGV, None, &working) };
        for doing in [Doing::Starting, Doing::Serving, Doing::Ending] {
            assert_eq!(culprit(&death, doing, None), Some(&made), "{doing:?}");
        }
        let deed = "SIGABRT on a thread that it has made (build sha256:ab12cd34ef56)";
        assert_eq!(death.deed(&made), deed);
    }

    #[test]
    fn an_exit_names_the_only_module_that_could_have_called_it() {
        let one = [suspect("one", 4)];
        let two = [suspect("one", 4), suspect("two", 5)];
        let exit = |suspects: &[Suspect], doing| {
            culprit(&death(Ending::Exited(0), None, suspects), doing, None).cloned()
        };
        assert_eq!(exit(&one, Doing::Serving), Some(one[0].clone()));
        assert_eq!(exit(&two, Doing::Serving), None);
        assert_eq!(exit(&[], Doing::Serving), None);
        assert_eq!(exit(&one, Doing::Ending), None, "an engine that ends has been told to");
    }

    #[test]
    fn before_ready_the_load_is_to_blame() {
        let both = [suspect("loading", LOADER_SLOT), suspect("other", 4)];
        for (how, slot, killed) in [
            (Ending::Exited(1), None, None),
            (Ending::Signaled(9), None, Some(Killed::NotReady)),
            (SEGV, Some(None), None),
        ] {
            let death = death(how, slot, &both);
            assert_eq!(culprit(&death, Doing::Starting, killed), Some(&both[0]), "{death:?}");
        }
    }

    #[test]
    fn a_kill_names_nobody() {
        let one = [suspect("one", LOADER_SLOT)];
        for doing in [Doing::Starting, Doing::Serving, Doing::Ending] {
            for killed in [
                None,
                Some(Killed::Hung),
                Some(Killed::Overdue),
                Some(Killed::LoaderHung),
                Some(Killed::Lost),
            ] {
                assert_eq!(
                    culprit(&death(Ending::Signaled(9), None, &one), doing, killed),
                    None,
                    "{doing:?} {killed:?}"
                );
            }
        }
    }

    #[test]
    fn a_death_is_described_by_its_first_cause() {
        assert_eq!(death(SEGV, Some(None), &[]).describe(), "died of SIGSEGV at 0x8 during GET /crash");
        assert_eq!(death(Ending::Signaled(9), None, &[]).describe(), "died of SIGKILL");
        assert_eq!(death(Ending::Exited(3), None, &[]).describe(), "exited with code 3");
    }

    #[test]
    fn a_deed_names_signal_address_request_and_build() {
        let (serving, loading) = (suspect("one", 4), suspect("one", LOADER_SLOT));
        let mut died = death(SEGV, Some(Some(4)), &[]);
        assert_eq!(died.deed(&serving), "SIGSEGV at 0x8 during GET /crash (build sha256:ab12cd34ef56)");
        died.crash =
            Some(Crash { signal: 6, slot: Some(0), address: 0, request: String::new(), maker: None });
        assert_eq!(
            died.deed(&loading),
            "SIGABRT while it was loaded, started or stopped (build sha256:ab12cd34ef56)"
        );
        let exited = death(Ending::Exited(3), None, &[]);
        let unknown = Suspect { digest: String::new(), ..suspect("one", 4) };
        assert_eq!(exited.deed(&unknown), "exit with code 3");
        let null = Crash {
            signal: 11,
            slot: Some(4),
            address: 0,
            request: format!("GET /{}", "x".repeat(200)),
            maker: None,
        };
        died.crash = Some(null);
        let deed = died.deed(&serving);
        assert!(deed.starts_with("SIGSEGV at 0x0 during GET /xxx") && deed.len() < 140, "{deed}");
    }
}
