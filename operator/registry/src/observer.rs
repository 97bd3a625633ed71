//! Who is told of each request.
//!
//! Owns the hook that an operator's metrics hang on. It hears a method and a status, never an address or a header.

use std::fmt;
use std::sync::Arc;

/// Hears of every HTTP request that was sent, to registries, token servers and wherever they redirect to.
#[derive(Clone, Default)]
pub struct Observer(Option<Arc<Heard>>);

type Heard = dyn Fn(&str, Option<u16>) + Send + Sync;

impl Observer {
    /// Calls `heard` with the method, and the status of the answer if there was one. It must not wait.
    pub fn new(heard: impl Fn(&str, Option<u16>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(heard)))
    }

    pub(crate) fn hears(&self, method: &str, status: Option<u16>) {
        if let Some(heard) = &self.0 {
            heard(method, status);
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Observer" } else { "no Observer" })
    }
}
