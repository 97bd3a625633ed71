//! Pauses that differ from pod to pod: the pods of a pool begin together, and must not come to the API server together.
//!
//! Owns how much they differ. Pure, and the same for a pod each time.

use std::time::Duration;

/// The seed of the pod with this UID.
pub(crate) fn seed_of(pod_uid: &str) -> u64 {
    pod_uid.bytes().fold(0, |seed: u64, byte| seed.rotate_left(5) ^ u64::from(byte))
}

/// `longest`, or up to a fifth less: how much depends on `seed`.
pub(crate) fn shortened(longest: Duration, seed: u64) -> Duration {
    // The golden ratio's bits: seeds that differ a little differ a lot after it.
    let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    longest - longest.mul_f64(mixed as f64 / f64::from(u16::MAX) / 5.0)
}
