//! The container's first process: it starts the agent as its child, and starts it again when it dies.
//!
//! Owns one thing: that the end of an agent is not the end of its container. A native sidecar whose container dies takes the pod's readiness
//! along until the kubelet has started it again, though all that the pod serves is still there. Answers nothing, opens nothing and holds no
//! token: there is little here that could fail, and its memory is that of a program that does nothing.
//!
//! What it is told of the log (SIGUSR1, SIGUSR2) it passes on, so that one process is to be signalled, whatever is told: the container's first.
//!
//! It ends in two ways only: when it is asked to, after its child, and when the child refuses its settings, which no other start would mend.

use std::io;
use std::os::fd::AsFd as _;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use hotbay_sys::process::{Ending, reap, spawn_with_blocked};
use hotbay_sys::signals::{self, Signals};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, Signal, kill_process};

/// The first pause after a death, and the longest. An agent that was killed is back before anybody looks; one that dies at each start costs
/// the node little.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// An agent that lived so long did not die of its start.
const LONG: Duration = Duration::from_secs(60);
/// What ends a supervisor, what is passed on, and what is to be reaped.
const SIGNALS: [i32; 5] =
    [signals::TERMINATE, signals::INTERRUPT, signals::USER_1, signals::USER_2, signals::CHILD];
/// What is passed on, and must not end an agent that does not listen yet. It lets them come when it does.
const PASSED_ON: [i32; 2] = [signals::USER_1, signals::USER_2];
/// What clap exits with when the settings cannot be read.
const USAGE: i32 = 2;

/// Runs what `agent` makes, again and again, until SIGTERM or SIGINT.
///
/// # Errors
/// When the kernel gives no signals to wait for.
pub fn supervise(agent: impl Fn() -> Command) -> io::Result<ExitCode> {
    let signals = Signals::block(&SIGNALS)?;
    // In the agent's own form. The filter is not its: these few lines are always wanted.
    hotbay_logs::json("info", io::stderr);
    let mut pauses = Pauses::default();
    loop {
        let started = Instant::now();
        match spawn_with_blocked(agent(), &PASSED_ON) {
            Ok(child) => {
                let (how, asked) = attend(&signals, child.pid)?;
                if asked || how == Ending::Exited(USAGE) {
                    return Ok(code(how));
                }
                tracing::warn!(how = words(how), "the agent ended and is started again");
            }
            // No room for a process now is no reason to end those that serve.
            Err(error) => tracing::warn!(%error, "the agent cannot be started"),
        }
        if stopped_within(&signals, pauses.after(started.elapsed()))? {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// Waits until the agent ends; how it did, and whether it was asked to.
fn attend(signals: &Signals, agent: i32) -> io::Result<(Ending, bool)> {
    let mut asked = false;
    loop {
        match next(signals, None)? {
            Some(signals::CHILD) => {
                while let Some(ended) = reap()? {
                    if ended.pid == agent {
                        return Ok((ended.how, asked));
                    }
                }
            }
            Some(signals::USER_1) => pass_on(agent, Signal::USR1),
            Some(signals::USER_2) => pass_on(agent, Signal::USR2),
            Some(_) => {
                asked = true;
                pass_on(agent, Signal::TERM);
            }
            None => {}
        }
    }
}

/// Signals the agent. One that has ended already is about to be reaped.
fn pass_on(agent: i32, signal: Signal) {
    let _ = Pid::from_raw(agent).map(|pid| kill_process(pid, signal));
}

/// Waits for `pause`; whether it was asked to end meanwhile.
fn stopped_within(signals: &Signals, pause: Duration) -> io::Result<bool> {
    let end = Instant::now() + pause;
    while Instant::now() < end {
        match next(signals, Some(end))? {
            // What the agent left behind.
            Some(signals::CHILD) => while reap()?.is_some() {},
            // There is nobody to tell, and the next agent begins at what was set.
            Some(signals::USER_1 | signals::USER_2) | None => {}
            Some(_) => return Ok(true),
        }
    }
    Ok(false)
}

/// The next signal; `None` when `until` has come, or for no reason.
fn next(signals: &Signals, until: Option<Instant>) -> io::Result<Option<i32>> {
    if let Some(signal) = signals.next()? {
        return Ok(Some(signal));
    }
    let timeout = until.map(|until| {
        // Rounded up: a sleep that ends a little early would spin.
        let left = until.saturating_duration_since(Instant::now()) + Duration::from_micros(100);
        Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 })
    });
    let mut fds = [PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN)];
    match rustix::event::poll(&mut fds, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => signals.next(),
        Err(errno) => Err(errno.into()),
    }
}

/// How long to wait before the next start.
#[derive(Debug, Default)]
struct Pauses(Option<Duration>);

impl Pauses {
    /// After an agent that lived for `lived`.
    fn after(&mut self, lived: Duration) -> Duration {
        let pause = match self.0 {
            Some(last) if lived < LONG => (last * 2).min(LONGEST_PAUSE),
            _ => FIRST_PAUSE,
        };
        self.0 = Some(pause);
        pause
    }
}

/// The code that tells the kubelet how the agent ended.
fn code(how: Ending) -> ExitCode {
    match how {
        Ending::Exited(code) => ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)),
        // As a shell says it.
        Ending::Signaled(signal) => ExitCode::from(u8::try_from(128 + signal).unwrap_or(u8::MAX)),
    }
}

fn words(how: Ending) -> String {
    match how {
        Ending::Exited(code) => format!("exit code {code}"),
        Ending::Signaled(signal) => signals::name(signal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_while_starts_fail_and_begin_anew_after_a_long_life() {
        let mut pauses = Pauses::default();
        let mut after = |seconds| pauses.after(Duration::from_secs(seconds)).as_millis();
        let deaths: Vec<u128> = (0..9).map(|_| after(1)).collect();
        assert_eq!(deaths, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!((after(60), after(59)), (100, 200));
    }

    #[test]
    fn the_container_ends_with_the_code_of_its_agent() {
        assert_eq!(format!("{:?}", code(Ending::Exited(3))), format!("{:?}", ExitCode::from(3)));
        assert_eq!(format!("{:?}", code(Ending::Signaled(15))), format!("{:?}", ExitCode::from(143)));
    }
}
