//! The ways to fail. Must not depend on the host: each is what a module of any author could do.

use std::convert::Infallible;
use std::future;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use hotbay_sdk::Response;
use serde::Deserialize;

use crate::slow;

/// How the module fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Mode {
    /// It does not.
    #[default]
    None,
    /// Making the instance ends with an error.
    CreateError,
    /// Making the instance panics.
    CreatePanic,
    /// Making the instance ends the process.
    CreateAbort,
    /// Making the instance never returns.
    CreateHang,
    /// Making the instance returns and never settles.
    CreatePending,
    /// `create` is never done, and asks to be polled again at once, for ever.
    CreateSpin,
    /// The hook that runs when no call is left panics.
    StopPanic,
    /// `stop` never returns.
    StopHang,
    /// What the instance holds panics when it is dropped.
    DestroyPanic,
    /// The handler panics.
    HandlerPanic,
    /// The handler aborts the process.
    HandlerAbort,
    /// The handler reads where nothing is.
    HandlerSegv,
    /// A thread that the handler makes aborts the process.
    ThreadAbort,
    /// The handler ends the process as if all were well.
    HandlerExit,
    /// The handler never returns.
    HandlerHang,
    /// The handler returns and never answers.
    HandlerPending,
    /// The same, and what it holds panics when the call is dropped.
    HandlerDropPanic,
    /// The handler answers after so many milliseconds, and holds no thread of the engine meanwhile.
    HandlerSlow(u64),
    /// The handler sleeps so many milliseconds, and holds its thread meanwhile.
    HandlerSleep(u64),
    /// The handler computes for so many milliseconds of CPU time, and holds its thread meanwhile.
    HandlerBurn(u64),
    /// The handler answers 500, which is no fault of the module.
    Answer500,
    /// The handler answers what HTTP does not allow.
    AnswerIllegal,
}

/// The exit status of [`Mode::HandlerExit`], which no signal explains.
const EXIT_STATUS: i32 = 3;

impl Mode {
    /// Fails if this mode fails in `create`.
    #[allow(clippy::panic, reason = "that is what was asked for")]
    pub(crate) async fn fail_in_create(self) -> Result<(), String> {
        match self {
            Self::CreateError => Err("the config asked create to fail".to_owned()),
            Self::CreatePanic => panic!("the config asked create to panic"),
            Self::CreateAbort => std::process::abort(),
            Self::CreateHang => match hang() {},
            Self::CreatePending => future::pending().await,
            Self::CreateSpin => spin().await,
            _ => Ok(()),
        }
    }

    /// Fails if this mode fails when the instance is stopped.
    #[allow(clippy::panic, reason = "that is what was asked for")]
    pub(crate) fn fail_in_stop(self) {
        match self {
            Self::StopPanic => panic!("the config asked stop to panic"),
            Self::StopHang => {
                hang();
            }
            _ => {}
        }
    }

    /// Fails if this mode fails when the instance's state is dropped.
    #[allow(clippy::panic, reason = "that is what was asked for")]
    pub(crate) fn fail_in_destroy(self) {
        if self == Self::DestroyPanic {
            panic!("the config asked the destructor to panic");
        }
    }

    /// Fails if this mode fails in the handler; an answer is a failure too.
    #[allow(clippy::panic, reason = "that is what was asked for")]
    pub(crate) async fn fail_in_handler(self) -> Option<Response> {
        match self {
            Self::HandlerPanic => panic!("the config asked the handler to panic"),
            Self::HandlerAbort => std::process::abort(),
            Self::HandlerSegv => read_nothing(),
            Self::ThreadAbort => match thread::spawn(|| std::process::abort()).join() {
                Ok(never) => never,
                Err(_) => panic!("an abort is no panic"),
            },
            Self::HandlerExit => std::process::exit(EXIT_STATUS),
            Self::HandlerHang => match hang() {},
            Self::HandlerPending => future::pending().await,
            Self::HandlerDropPanic => {
                let _held = PanicsInDrop;
                hotbay_sdk::log::info("the call begins to wait");
                future::pending().await
            }
            Self::HandlerSlow(millis) => slow::wait(Duration::from_millis(millis)).await,
            Self::HandlerSleep(millis) => thread::sleep(Duration::from_millis(millis)),
            Self::HandlerBurn(millis) => slow::burn(Duration::from_millis(millis)),
            Self::Answer500 => return Some(Response::text("the config asked for this\n").with_status(500)),
            Self::AnswerIllegal => return Some(Response::status(200).with_header("x-bad", "a\r\nb: c")),
            _ => {}
        }
        None
    }
}

impl TryFrom<String> for Mode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Ok(match text.as_str() {
            "none" => Self::None,
            "create-error" => Self::CreateError,
            "create-panic" => Self::CreatePanic,
            "create-abort" => Self::CreateAbort,
            "create-hang" => Self::CreateHang,
            "create-pending" => Self::CreatePending,
            "create-spin" => Self::CreateSpin,
            "stop-panic" => Self::StopPanic,
            "stop-hang" => Self::StopHang,
            "destroy-panic" => Self::DestroyPanic,
            "handler-panic" => Self::HandlerPanic,
            "handler-abort" => Self::HandlerAbort,
            "handler-segv" => Self::HandlerSegv,
            "thread-abort" => Self::ThreadAbort,
            "handler-exit" => Self::HandlerExit,
            "handler-hang" => Self::HandlerHang,
            "handler-pending" => Self::HandlerPending,
            "handler-drop-panic" => Self::HandlerDropPanic,
            "answer-500" => Self::Answer500,
            "answer-illegal" => Self::AnswerIllegal,
            other => {
                return timed(other).ok_or(format!("no mode is called {other:?}; see config.schema.json"));
            }
        })
    }
}

/// `handler-slow-ms:250` and its like.
fn timed(text: &str) -> Option<Mode> {
    let (name, millis) = text.split_once("-ms:")?;
    let millis = millis.parse().ok()?;
    match name {
        "handler-slow" => Some(Mode::HandlerSlow(millis)),
        "handler-sleep" => Some(Mode::HandlerSleep(millis)),
        "handler-burn" => Some(Mode::HandlerBurn(millis)),
        _ => None,
    }
}

struct PanicsInDrop;

impl Drop for PanicsInDrop {
    #[allow(clippy::panic, reason = "that is what was asked for")]
    fn drop(&mut self) {
        panic!("the config asked the call's state to panic");
    }
}

/// Wakes itself whenever it is polled.
async fn spin<T>() -> T {
    future::poll_fn(|cx| {
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// Holds the thread for ever.
fn hang() -> Infallible {
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

#[allow(unsafe_code, reason = "a fault that the hardware sees has no safe form")]
fn read_nothing() {
    // SAFETY: there is none, and that is the purpose: the page at 8 is never mapped, and the process gets SIGSEGV here.
    unsafe { std::ptr::without_provenance::<u64>(8).read_volatile() };
}

#[cfg(test)]
mod tests {
    use super::*;
    use hotbay_sdk::test::poll_once;

    fn mode(text: &str) -> Mode {
        Mode::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn every_mode_of_the_schema_is_known() {
        let schema = include_str!("../config.schema.json");
        let list = schema.split_once("\"enum\": [").unwrap().1.split_once(']').unwrap().0;
        let modes: Vec<_> = list.split(',').map(|word| mode(word.trim().trim_matches('"'))).collect();
        assert_eq!(modes.len(), 20);
        assert_eq!((modes[0], mode("handler-slow-ms:250")), (Mode::None, Mode::HandlerSlow(250)));
        assert_eq!(mode("handler-sleep-ms:600"), Mode::HandlerSleep(600));
        assert_eq!(mode("handler-burn-ms:30"), Mode::HandlerBurn(30));
        for unknown in ["handler-slow-ms:x", "handler-fast-ms:1"] {
            assert!(Mode::try_from(unknown.to_owned()).is_err());
        }
    }

    #[test]
    fn the_harmless_modes_do_as_they_say() {
        assert!(poll_once(Mode::None.fail_in_handler()).unwrap().is_none());
        assert!(poll_once(mode("create-error").fail_in_create()).unwrap().is_err());
        assert!(poll_once(mode("create-pending").fail_in_create()).is_none());
        assert!(poll_once(mode("handler-pending").fail_in_handler()).is_none());
        assert!(poll_once(mode("handler-sleep-ms:1").fail_in_handler()).unwrap().is_none());
        assert!(poll_once(mode("handler-burn-ms:1").fail_in_handler()).unwrap().is_none());
        let answer = poll_once(mode("answer-500").fail_in_handler()).unwrap().unwrap();
        assert_eq!(answer.status_code(), 500);
    }

    #[test]
    #[should_panic(expected = "asked the handler to panic")]
    fn a_panic_is_a_panic() {
        poll_once(mode("handler-panic").fail_in_handler());
    }
}
