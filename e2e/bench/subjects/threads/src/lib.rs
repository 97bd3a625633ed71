//! A module that uses all that a process has few of: threads, thread-local values with destructors, and tokio.

use std::cell::RefCell;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;

thread_local! {
    // Has a destructor, which std runs by a key of the thread library.
    static KEPT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Spawns a thread and joins it, spawns a task and awaits it.
async fn work() -> Result<&'static str, StatusCode> {
    let thread = std::thread::spawn(|| KEPT.with_borrow_mut(|kept| kept.push(1)));
    let task = tokio::spawn(tokio::time::sleep(Duration::from_millis(1)));
    // The thread has nothing to wait for.
    let joined = thread.join().is_ok() && task.await.is_ok();
    if joined { Ok("done\n") } else { Err(StatusCode::INTERNAL_SERVER_ERROR) }
}

fn app() -> Router {
    Router::new().fallback(work)
}

hotbay_sdk::service!(app);
