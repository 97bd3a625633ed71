//! Loads module images and is the host side of the ABI.
//!
//! ```text
//! Image ──create──► Instance ──start──► Call ──► Answer
//! (a file, loaded     (with config;      (owns the module's
//!  once, for ever)     retired by drop)   state; cancelled by drop)
//! ```
//!
//! Owns every call into module code, the handles that modules hold, and the thread that loads. Must not decide what is loaded or when:
//! the engine does. An image is never unloaded: `dlclose` cannot be trusted, the whole process is replaced instead.

#![allow(unsafe_code, reason = "this crate is the boundary to foreign code")]

mod answer;
mod call;
mod frame;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod handle;
mod hooks;
mod host;
mod image;
mod input;
mod instance;
mod marks;
mod outgoing;
mod queue;
mod rc;
mod spare;
mod stream;
mod thread;
mod worker;

pub use answer::{Answer, AnswerBody, CallFailure, DropReason, FailureKind};
pub use call::{Call, Incoming, Started, start};
pub use frame::{Captures, Offer};
pub use handle::Body;
pub use hooks::{Hook, Overdue};
pub use host::{RequestIds, follow_log_level};
pub use image::{Image, LoadError};
pub use instance::{CreateError, Instance, InstanceConfig};
pub use marks::attach_thread;
pub use queue::{Mark, Staged};
pub use stream::Stream;
pub use thread::{Hang, Loader, probe};
