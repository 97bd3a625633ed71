//! Who may be connected.
//!
//! Owns the two bounds, in all and for one address, and nothing else: so one pod, whatever it does, leaves room for the others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::metrics::BlobService;

/// Connections at a time. An agent has four, and asks only for what it does not have.
const CONNECTIONS: usize = 256;
/// Those of one address: four agents' worth, for networks where the pods of a node share one, and half of the transfers that there may be.
const OF_ONE_ADDRESS: usize = 16;

/// See the module.
#[derive(Clone)]
pub struct Places {
    taken: Arc<Mutex<Taken>>,
    metrics: BlobService,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Only those with any, so it is no larger than `all`.
    of: HashMap<IpAddr, usize>,
}

/// The right to a connection, until it is dropped.
pub struct Place {
    places: Places,
    address: IpAddr,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// For nobody.
    #[error("the blob service has as many connections as it takes, {CONNECTIONS}")]
    All,
    /// For this address.
    #[error("the blob service has as many connections of this address as it takes, {OF_ONE_ADDRESS}")]
    Address,
}

impl Places {
    /// All of them free; how many are taken is told to `metrics`.
    pub fn new(metrics: BlobService) -> Self {
        Self { taken: Arc::default(), metrics }
    }

    /// A place for a connection of this address.
    ///
    /// # Errors
    /// When there is none.
    pub fn take(&self, address: IpAddr) -> Result<Place, NoPlace> {
        // An IPv4 peer has two spellings on a socket that takes both versions.
        let address = address.to_canonical();
        let mut taken = self.lock();
        if taken.of.get(&address).is_some_and(|count| *count >= OF_ONE_ADDRESS) {
            return Err(NoPlace::Address);
        }
        if taken.all >= CONNECTIONS {
            return Err(NoPlace::All);
        }
        taken.all += 1;
        *taken.of.entry(address).or_default() += 1;
        self.metrics.connections_are(taken.all);
        Ok(Place { places: self.clone(), address })
    }

    /// A poisoned lock is a panic elsewhere, which ends the process anyway; the data are whole.
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all -= 1;
        self.places.metrics.connections_are(taken.all);
        if let Some(count) = taken.of.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.of.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn mk_places() -> Places {
        Places::new(Metrics::new().blob_service)
    }

    fn address(number: usize) -> IpAddr {
        std::net::Ipv4Addr::from_bits(0x0a00_0000 + u32::try_from(number).unwrap()).into()
    }

    fn take(places: &Places, number: usize, count: usize) -> Vec<Place> {
        (0..count).map(|_| places.take(address(number)).unwrap()).collect()
    }

    #[test]
    fn one_address_leaves_room_for_the_others() {
        let places = mk_places();
        let mut held = take(&places, 1, OF_ONE_ADDRESS);
        assert_eq!(places.take(address(1)).err(), Some(NoPlace::Address));
        let mapped = std::net::Ipv4Addr::from_bits(0x0a00_0001).to_ipv6_mapped();
        assert_eq!(places.take(mapped.into()).err(), Some(NoPlace::Address), "it is the same one");
        drop(places.take(address(2)).unwrap());
        held.pop();
        assert!(places.take(address(1)).is_ok(), "the place that was given up");
    }

    #[test]
    fn all_together_have_a_bound_and_nothing_is_kept_of_who_has_gone() {
        let places = mk_places();
        let held: Vec<Vec<Place>> =
            (0..CONNECTIONS / OF_ONE_ADDRESS).map(|number| take(&places, number, OF_ONE_ADDRESS)).collect();
        assert_eq!(places.take(address(CONNECTIONS)).err(), Some(NoPlace::All));
        drop(held);
        let taken = places.lock();
        assert!(taken.all == 0 && taken.of.is_empty());
    }
}
