//! What became of a module and of a pool, in the words of their status.
//!
//! Owns every condition: the one place where each is decided. Pure: what happened comes in, time comes in, a status goes out; an
//! unchanged condition keeps its transition time, so that an unchanged status is equal to the last one and need not be written.

mod conditions;
mod module;
mod pods;
mod pool;

pub use module::{ModuleCase, is_ready_for, module_status};
pub use pods::{EntryInForce, Pod, Standing, is_served, standing};
pub use pool::{PoolCase, pool_status};
