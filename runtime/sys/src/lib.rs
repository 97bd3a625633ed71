//! The system calls that Hotbay makes, each behind a safe function.
//!
//! Owns the `unsafe` of the runtime outside the ABI and the loader: signals, shared memory, spawning, descriptors over sockets. Must not
//! decide anything nor know what Hotbay is: `keeper` and `engine` do. The modules that need `unsafe` are named here; the others are held to
//! the workspace's denial.

#[allow(unsafe_code)]
pub mod crash;
#[cfg(all(feature = "heap", not(miri)))]
#[allow(unsafe_code)]
pub mod heap;
#[allow(unsafe_code)]
pub mod keys;
pub mod listener;
#[allow(unsafe_code)]
pub mod made;
#[allow(unsafe_code)]
pub mod memory;
#[allow(unsafe_code)]
pub mod process;
pub mod seqpacket;
#[allow(unsafe_code)]
pub mod signals;
#[allow(unsafe_code)]
pub mod thread;
