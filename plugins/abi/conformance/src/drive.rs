//! A call and an instance, from their begin to their end, as the script of a scenario wants it.
//!
//! Owns the order of the calls into a module, and the judgement of what it returns.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use hotbay_abi::{self as abi, Handle, PENDING, READY, Rc};

use crate::host::{self, Kept, Said, Stands, Waited};
use crate::limits::{self, Hook, Watch, timed};
use crate::module::{Module, Theirs};
use crate::request::{self, Frame, Shape};
use crate::{Rule, report};

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
    /// Makes an instance. `None`: it could not be made, which is reported, or a call has taken too long: then the next ones would, too.
    pub fn instance(&'a self, name: &str, config_json: &str) -> Option<Instance<'a>> {
        if limits::passed() {
            return None;
        }
        let me = host::open_instance();
        let (room, config) = request::config(name, config_json, self.newer).ok()?;
        let (mut rc, theirs) = timed(Hook::Create, || self.module.create(config, me));
        let _gone = room.seal();
        let exists = rc == PENDING;
        if exists {
            rc = self.settle(me, theirs, Hook::Create);
        }
        if rc == READY {
            let instance = Instance { drive: self, me, theirs };
            // Made too late, it is ended as usual, without ever having served.
            if limits::passed() {
                instance.end();
                return None;
            }
            return Some(instance);
        }
        if rc != PENDING {
            let words = format!("create answered {rc} for {config_json}: {}", host::words(me));
            report::broken(Rule::Create, &words);
        }
        host::kill(me);
        if exists {
            timed(Hook::Destroy, || self.module.destroy(theirs));
        }
        None
    }

    /// Polls an instance until it settles; what it answered last. PENDING: nobody woke it, or its time was over, which is reported.
    fn settle(&self, me: Handle, theirs: Theirs, began: Hook) -> Rc {
        let (name, limit, watch) = (began.name(), began.pending(), Watch::start());
        let (unwoken, late) =
            if began == Hook::Create { (Rule::Wake, Rule::Create) } else { (Rule::Stop, Rule::Stop) };
        while !limits::passed() {
            let left = limit.saturating_sub(watch.own());
            let waited = host::wait(me, self.patience, Some(left));
            if watch.own() >= limit {
                let words =
                    format!("{name} is pending for longer than the {limit:?} that the header gives it");
                limits::pass(late, &words);
            } else if waited == Waited::InVain {
                report::broken(unwoken, &format!("{name} answered PENDING and nobody woke the instance"));
                break;
            } else if waited != Waited::Late {
                let rc = timed(Hook::PollInstance, || self.module.poll_instance(theirs, me));
                if rc != PENDING {
                    return rc;
                }
            }
        }
        PENDING
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
                match host::wait(handle, self.drive.patience, None) {
                    Waited::Over => continue,
                    Waited::Woken => {}
                    Waited::InVain | Waited::Late => {
                        report::broken(Rule::Wake, "a call is pending and nobody woke it");
                        return abi::DROP_TIMEOUT;
                    }
                }
            }
            polls += 1;
            let rc = self.drive.module.poll(state, handle);
            if rc != PENDING {
                judge("poll", rc, handle);
                let is_whole = host::stands(handle) == Stands::Complete;
                return if rc < 0 || !is_whole { abi::DROP_ERROR } else { abi::DROP_DONE };
            }
        }
    }

    /// Stops and destroys it.
    pub fn end(self) {
        let Drive { module, .. } = self.drive;
        let mut rc = timed(Hook::Stop, || module.stop(self.theirs, self.me));
        if rc == PENDING {
            rc = self.drive.settle(self.me, self.theirs, Hook::Stop);
        }
        if rc < 0 {
            report::remark(Rule::Stop, &format!("stop answered {rc}: {}", host::words(self.me)));
        } else if rc > PENDING {
            report::broken(Rule::Codes, &format!("stop answered {rc}"));
        }
        host::kill(self.me);
        timed(Hook::Destroy, || module.destroy(self.theirs));
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
