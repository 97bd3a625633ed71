//! Following the signals, for processes that have tokio.

use std::future::Future;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::Level;

impl Level {
    /// Does what signals say, for ever. Listens from this call on, not from the first poll: a process that began with them blocked may unblock
    /// them once it returns. To be called within a runtime.
    ///
    /// # Errors
    /// The future's: when the signals cannot be listened to.
    pub fn follow_signals(self) -> impl Future<Output = io::Result<()>> + Send {
        let signals = listen();
        async move {
            let (mut more, mut less) = signals?;
            loop {
                tokio::select! {
                    _ = more.recv() => self.more(),
                    _ = less.recv() => self.less(),
                }
            }
        }
    }
}

fn listen() -> io::Result<(Signal, Signal)> {
    Ok((signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?))
}
