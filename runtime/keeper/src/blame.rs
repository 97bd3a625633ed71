//! Who ended an engine.
//!
//! Owns the rules by which a death is laid at a module's door. Rather nobody than the wrong one: a module that is named twice stops serving.

use hotbay_protocol::{Crash, Suspect};
use hotbay_sys::process::Ending;
use hotbay_sys::signals;

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
    let in_slot = |slot: usize| death.suspects.iter().find(|suspect| suspect.slot == slot);
    let loading = || if doing == Doing::Starting { in_slot(death.loader) } else { None };
    if let Some(crash) = death.crash {
        return match crash.slot {
            Some(slot) => in_slot(slot),
            // A thread that a module made for itself. Whose it is, nobody can say.
            None => loading(),
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

impl Death {
    /// What happened, for people.
    pub fn describe(&self) -> String {
        match (self.crash, self.how) {
            (Some(Crash { signal, address, .. }), _) if address != 0 => {
                format!("died of {} at address {address:#x}", signals::name(signal))
            }
            (Some(Crash { signal, .. }), _) | (None, Ending::Signaled(signal)) => {
                format!("died of {}", signals::name(signal))
            }
            (None, Ending::Exited(code)) => format!("exited with code {code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use hotbay_api::EntryKey;
    use hotbay_protocol::LOADER_SLOT;

    use super::*;

    fn suspect(name: &str, slot: usize) -> Suspect {
        Suspect { key: EntryKey::new("shop", name).unwrap(), fingerprint: "0f".into(), slot }
    }

    fn death(how: Ending, slot: Option<Option<usize>>, suspects: &[Suspect]) -> Death {
        let crash = slot.map(|slot| Crash { signal: 11, slot, address: 8 });
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
        assert_eq!(death(SEGV, Some(None), &[]).describe(), "died of SIGSEGV at address 0x8");
        assert_eq!(death(Ending::Signaled(9), None, &[]).describe(), "died of SIGKILL");
        assert_eq!(death(Ending::Exited(3), None, &[]).describe(), "exited with code 3");
    }
}
