//! A call and an instance, from their begin to their end, as the script of a scenario wants it.
//!
//! Owns the order of the calls into a module, and the judgement of what it returns.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use hotbay_abi::{self as abi, Handle, PENDING, READY, Rc};

use crate::host::{self, Kept, Said, Stands, Waited};
use crate::module::{Module, Theirs};
use crate::request::{self, Frame, Shape};
use crate::{Rule, report};

/// How long `stop` may take, as the header has it.
const STOP: Duration = Duration::from_secs(10);

/// Answers that live as long as the process: compared at its end.
static FOREVER: Mutex<Vec<Kept>> = Mutex::new(Vec::new());

/// What every call and instance of a scenario shares.
pub(crate) struct Drive<'a> {
    /// The module.
    pub module: &'a Module,
    /// The host is a newer one.
    pub newer: bool,
    /// How long the module may leave a call pending without a wake.
    pub patience: Duration,
}

/// An instance that is ready.
pub(crate) struct Instance<'a> {
    drive: &'a Drive<'a>,
    me: Handle,
    theirs: Theirs,
}

impl<'a> Drive<'a> {
    /// Makes an instance. `None`: it could not be made, which is reported.
    pub fn instance(&'a self, name: &str, config_json: &str) -> Option<Instance<'a>> {
        let me = host::open_instance();
        let (room, config) = request::config(name, config_json, self.newer).ok()?;
        let (mut rc, theirs) = self.module.create(config, me);
        let _gone = room.seal();
        let pending = rc == PENDING;
        while rc == PENDING {
            if host::wait(me, self.patience) == Waited::InVain {
                report::broken(Rule::Wake, "create answered PENDING and nobody woke the instance");
                host::kill(me);
                self.module.destroy(theirs);
                return None;
            }
            rc = self.module.poll_instance(theirs, me);
        }
        if rc == READY {
            return Some(Instance { drive: self, me, theirs });
        }
        report::broken(Rule::Create, &format!("create answered {rc} for {config_json}: {}", host::words(me)));
        host::kill(me);
        if pending {
            self.module.destroy(theirs);
        }
        None
    }
}

impl Instance<'_> {
    /// One call, to its end; what it was answered with.
    pub fn call(&self, shape: &Shape<'_>) -> Said {
        let module = self.drive.module;
        let Ok(frame) = Frame::new(shape) else { return Said::default() };
        let handle = host::open_call(*shape.script, frame.views);
        let (rc, state) = module.start(self.theirs, handle, frame.request);
        let refuses = shape.script.demands && rc == abi::UNSUPPORTED;
        if shape.script.demands && !refuses {
            let words = format!("start answered {rc} to a request with an unknown flag of the high half");
            report::broken(Rule::Flags, &words);
        }
        if rc == PENDING {
            let why = self.polls(handle, state, shape);
            host::kill(handle);
            module.drop(state, why);
        } else {
            if !refuses {
                judge("start", rc, handle);
            }
            host::kill(handle);
        }
        let _gone = frame.room.seal();
        settle(handle);
        host::take_said(handle)
    }

    /// Polls a pending call for as long as the script wants; why it is to be dropped.
    fn polls(&self, handle: Handle, state: Theirs, shape: &Shape<'_>) -> i32 {
        let (mut polls, mut spurious) = (0, shape.script.spurious);
        loop {
            match host::stands(handle) {
                Stands::Complete => return abi::DROP_DONE,
                Stands::Gone => return abi::DROP_DISCONNECT,
                Stands::Open if shape.script.abandon == Some(polls) => return abi::DROP_DISCONNECT,
                Stands::Open => {}
            }
            if spurious > 0 {
                spurious -= 1;
                host::wake_anyhow(handle);
            } else {
                match host::wait(handle, self.drive.patience) {
                    Waited::Over => continue,
                    Waited::Woken => {}
                    Waited::InVain => {
                        report::broken(Rule::Wake, "a call is pending and nobody woke it");
                        return abi::DROP_TIMEOUT;
                    }
                }
            }
            polls += 1;
            let rc = self.drive.module.poll(state, handle);
            if rc != PENDING {
                judge("poll", rc, handle);
                return if rc < 0 { abi::DROP_ERROR } else { abi::DROP_DONE };
            }
        }
    }

    /// Stops and destroys it.
    pub fn end(self) {
        let Drive { module, .. } = self.drive;
        let mut rc = module.stop(self.theirs, self.me);
        while rc == PENDING {
            if host::wait(self.me, STOP.min(self.drive.patience)) == Waited::InVain {
                report::broken(Rule::Stop, "stop answered PENDING and nobody woke the instance");
                break;
            }
            rc = module.poll_instance(self.theirs, self.me);
        }
        if rc < 0 {
            report::remark(Rule::Stop, &format!("stop answered {rc}: {}", host::words(self.me)));
        } else if rc > PENDING {
            report::broken(Rule::Codes, &format!("stop answered {rc}"));
        }
        host::kill(self.me);
        module.destroy(self.theirs);
    }
}

/// What start or poll returned, when it was not PENDING.
fn judge(function: &str, rc: Rc, handle: Handle) {
    let stands = host::stands(handle);
    if rc > PENDING {
        report::broken(Rule::Codes, &format!("{function} answered {rc}"));
    } else if rc == READY && stands == Stands::Open {
        report::broken(Rule::Complete, &format!("{function} answered READY without a complete answer"));
    } else if rc < 0 && stands == Stands::Open {
        report::remark(Rule::Succeeds, &format!("{function} answered {rc}: {}", host::words(handle)));
    }
}

/// Releases what the module lent for an answer: on another thread, when the call is long over.
fn settle(handle: Handle) {
    let (forever, owned): (Vec<Kept>, Vec<Kept>) =
        host::take_kept(handle).into_iter().partition(Kept::is_static);
    FOREVER.lock().unwrap_or_else(PoisonError::into_inner).extend(forever);
    if owned.is_empty() {
        return;
    }
    report::doing("release");
    thread::scope(|scope| {
        scope.spawn(|| owned.into_iter().for_each(Kept::release));
    });
}

/// Compares what was lent for ever.
pub(crate) fn compare_what_was_lent_for_ever() {
    let kept = std::mem::take(&mut *FOREVER.lock().unwrap_or_else(PoisonError::into_inner));
    kept.into_iter().for_each(Kept::release);
}
