//! How many events there may be.
//!
//! Owns two bounds, both a bucket that fills again: one an object, so that a pod that flaps costs little, and one for all. Pure: time is an
//! argument.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use hotbay_api::{EntryKey, PoolRef};

use crate::index::About;

/// Of one object: a module that is made, refused, mended and served has some five.
const OBJECT: Rate = Rate { burst: 10, every: Duration::from_secs(30) };
/// Of all. A registry that is lost touches every module at once; the objects' statuses tell the rest.
const ALL: Rate = Rate { burst: 200, every: Duration::from_millis(500) };
/// Objects that are remembered; more only if so many had news within five minutes.
const OBJECTS: usize = 1024;

/// So many at once, and one more each time that this passes.
#[derive(Clone, Copy)]
struct Rate {
    burst: u32,
    every: Duration,
}

struct Bucket {
    left: u32,
    filled: Instant,
}

/// See the module.
pub struct Limits {
    objects: HashMap<Object, Bucket>,
    all: Bucket,
}

/// An object by its name: one that is deleted and made again and again is one that flaps.
#[derive(PartialEq, Eq, Hash)]
enum Object {
    Module(EntryKey),
    Pool(PoolRef),
}

impl Limits {
    /// Full buckets.
    pub fn new(now: Instant) -> Self {
        Self { objects: HashMap::new(), all: Bucket::full(ALL, now) }
    }

    /// Whether an event of `about` may go out now; it counts if so.
    pub fn allow(&mut self, about: &About, now: Instant) -> bool {
        if self.objects.len() >= OBJECTS {
            self.objects.retain(|_, bucket| !bucket.is_full(OBJECT, now));
        }
        let object = match about {
            About::Module(key, _) => Object::Module(key.clone()),
            About::Pool(pool, _) => Object::Pool(pool.clone()),
        };
        let bucket = self.objects.entry(object).or_insert_with(|| Bucket::full(OBJECT, now));
        bucket.take(OBJECT, now) && self.all.take(ALL, now)
    }
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        Self { left: rate.burst, filled: now }
    }

    fn take(&mut self, rate: Rate, now: Instant) -> bool {
        self.fill(rate, now);
        let some = self.left > 0;
        self.left -= u32::from(some);
        some
    }

    fn is_full(&mut self, rate: Rate, now: Instant) -> bool {
        self.fill(rate, now);
        self.left == rate.burst
    }

    fn fill(&mut self, rate: Rate, now: Instant) {
        let since = now.saturating_duration_since(self.filled);
        let more = u32::try_from(since.as_nanos() / rate.every.as_nanos()).unwrap_or(rate.burst);
        if self.left.saturating_add(more) >= rate.burst {
            *self = Self::full(rate, now);
        } else {
            self.left += more;
            self.filled += rate.every * more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(name: &str) -> About {
        About::Module(EntryKey::new("shop", name).unwrap(), "uid".into())
    }

    fn allowed(limits: &mut Limits, about: &About, tries: u32, now: Instant) -> u32 {
        (0..tries).map(|_| u32::from(limits.allow(about, now))).sum()
    }

    #[test]
    fn one_that_flaps_is_cut_and_costs_the_others_nothing() {
        let now = Instant::now();
        let mut limits = Limits::new(now);
        assert_eq!(allowed(&mut limits, &module("flaps"), 1000, now), OBJECT.burst);
        assert_eq!(allowed(&mut limits, &module("calm"), 2, now), 2);
        assert_eq!(allowed(&mut limits, &module("flaps"), 1000, now + OBJECT.every * 3), 3);
        let made_again = About::Module(EntryKey::new("shop", "flaps").unwrap(), "another".into());
        assert_eq!(allowed(&mut limits, &made_again, 5, now + OBJECT.every * 3), 0);
    }

    #[test]
    fn all_together_are_bounded_and_so_is_what_is_remembered() {
        let now = Instant::now();
        let mut limits = Limits::new(now);
        let told: u32 = (0..5000).map(|n| allowed(&mut limits, &module(&format!("m{n}")), 1, now)).sum();
        assert_eq!(told, ALL.burst);
        let later = now + Duration::from_secs(3600);
        assert_eq!(allowed(&mut limits, &module("later"), 1, later), 1);
        assert!(limits.objects.len() <= OBJECTS, "{} objects", limits.objects.len());
    }
}
