//! Taking time: without holding a thread, for a thread of our own sleeps and wakes the call from outside; and holding it, by computing.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

/// Done when `time` has passed.
pub(crate) fn wait(time: Duration) -> impl Future<Output = ()> + Send {
    let alarm = Arc::new(Mutex::new(Alarm::default()));
    let ringing = Arc::clone(&alarm);
    thread::spawn(move || {
        thread::sleep(time);
        let waker = {
            let mut alarm = ringing.lock().unwrap_or_else(PoisonError::into_inner);
            alarm.rung = true;
            alarm.waker.take()
        };
        // The call may be over by then: waking a stale one is legal.
        if let Some(waker) = waker {
            waker.wake();
        }
    });
    Wait(alarm)
}

/// Computes until this thread has burnt so much CPU time, however long that takes it.
pub(crate) fn burn(time: Duration) {
    let began = cpu_time();
    while cpu_time() - began < time {}
}

/// Of this thread.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

#[derive(Default)]
struct Alarm {
    rung: bool,
    waker: Option<Waker>,
}

struct Wait(Arc<Mutex<Alarm>>);

impl Future for Wait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut alarm = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if alarm.rung {
            return Poll::Ready(());
        }
        alarm.waker = Some(context.waker().clone());
        Poll::Pending
    }
}
