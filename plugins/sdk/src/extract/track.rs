//! Where in a text the value is that does not fit its type.
//!
//! Owns the second, slower parse that finds the place: the first one, which nearly always is enough, need not keep track.

use serde::{Deserialize, Deserializer};

/// What does not fit, behind its place: `guests[0].name: invalid type: …`. The deserializer must read what failed before.
pub(super) fn place<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
    error: &D::Error,
) -> String {
    match serde_path_to_error::deserialize::<D, T>(deserializer) {
        Err(tracked) if tracked.path().iter().next().is_some() => {
            format!("{}: {}", tracked.path(), tracked.inner())
        }
        _ => error.to_string(),
    }
}
