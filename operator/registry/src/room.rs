//! Room in memory for artifacts.
//!
//! Owns the bound on what fetched bytes take together, however many are fetched at a time: a layer's room is taken before its first byte comes,
//! by the size that its manifest states, and is given back when the last holder of the bytes lets go of them. So a thousand small modules
//! come side by side, and two of the largest allowed do too.
//!
//! There are two rooms, entered in one order: layers that arrive, and what archives are unpacked to. In the first one a slow registry may
//! linger, so no host gets all of it; in the second one nobody waits for a network. Who shall not wait for what lingers in the first one has one
//! [beside](Room::beside) it.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::shares::{Share, Shares, Waiters};

/// See the module. The default has no bound: that of a command that fetches one artifact.
#[derive(Clone, Debug, Default)]
pub struct Room(Option<Rooms>);

#[derive(Clone, Debug)]
struct Rooms {
    arriving: Arc<Shares>,
    /// For what is larger than this.
    beside: Option<Beside>,
    unpacked: Arc<Shares>,
    waiters: Waiters,
}

#[derive(Clone, Debug)]
struct Beside {
    larger_than: u64,
    arriving: Arc<Shares>,
}

/// How large rooms are, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomBytes {
    /// For layers that arrive.
    pub arriving: u64,
    /// Of that, for those of one host. An artifact of two builds at a pool's limit should fit.
    pub of_host: u64,
    /// For what archives are unpacked to.
    pub unpacked: u64,
}

/// Space in a room, for bytes to come.
#[derive(Debug)]
pub struct Space(Option<Share>);

/// Bytes and their space.
struct Held {
    bytes: Bytes,
    _space: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Room {
    /// Room of this size.
    pub fn new(bytes: RoomBytes) -> Self {
        Self::told_to(bytes, Waiters::default())
    }

    /// Room of this size, which tells who waits for it.
    pub fn told_to(bytes: RoomBytes, waiters: Waiters) -> Self {
        let RoomBytes { arriving, of_host, unpacked } = bytes;
        let shares = |of_host, of_all| {
            Arc::new(Shares::new(kibibytes(of_host), kibibytes(of_all)).told_to(waiters.clone()))
        };
        let (arriving, unpacked) = (shares(of_host, arriving), shares(unpacked, unpacked));
        Self(Some(Rooms { arriving, beside: None, unpacked, waiters }))
    }

    /// A room of so many bytes, and so many of one host, for others: what arrives there waits for nobody here. Only what is larger than all of
    /// that takes space here, so that the two together hold no more than both have. What archives are unpacked to has one room.
    #[must_use]
    pub fn beside(&self, arriving: u64, of_host: u64) -> Self {
        Self(self.0.as_ref().map(|rooms| Rooms {
            arriving: Arc::new(
                Shares::new(kibibytes(of_host), kibibytes(arriving)).told_to(rooms.waiters.clone()),
            ),
            beside: Some(Beside { larger_than: arriving, arriving: rooms.arriving.clone() }),
            ..rooms.clone()
        }))
    }

    /// Space for bytes that come from this host. What is larger than the room gets it alone.
    pub async fn arriving(&self, host: &str, bytes: u64) -> Space {
        match &self.0 {
            Some(rooms) => Space(Some(rooms.arriving_for(bytes).take(host, kibibytes(bytes)).await)),
            None => Space(None),
        }
    }

    /// Space for what archives are unpacked to. Must not be held by who waits for a network, nor for space to arrive.
    pub(crate) async fn unpacked(&self, bytes: u64) -> Space {
        match &self.0 {
            Some(rooms) => Space(Some(rooms.unpacked.take("", kibibytes(bytes)).await)),
            None => Space(None),
        }
    }
}

impl Rooms {
    fn arriving_for(&self, bytes: u64) -> &Shares {
        match &self.beside {
            Some(beside) if bytes > beside.larger_than => &beside.arriving,
            _ => &self.arriving,
        }
    }
}

impl Space {
    /// Gives `bytes` what they need of this space, to be held as long as they.
    pub fn put(&mut self, bytes: Bytes) -> Bytes {
        match &mut self.0 {
            Some(share) => {
                let part = usize::try_from(kibibytes(bytes.len() as u64)).unwrap_or(Semaphore::MAX_PERMITS);
                let _space = share.split(part);
                Bytes::from_owner(Held { bytes, _space })
            }
            None => bytes,
        }
    }
}

/// Rounded up; what is beyond four tebibytes is more than anybody has.
fn kibibytes(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use futures::FutureExt;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn mk_room() -> Room {
        Room::new(RoomBytes { arriving: 4 * MIB, of_host: 3 * MIB, unpacked: 2 * MIB })
    }

    #[tokio::test]
    async fn bytes_hold_their_space_as_long_as_anybody_holds_them() {
        let room = mk_room();
        let mut space = room.arriving("a", 3 * MIB).await;
        let bytes = space.put(Bytes::from(vec![7; 2 << 20]));
        drop(space);
        let slice = bytes.slice(10..20);
        drop(bytes);
        assert!(room.arriving("a", 2 * MIB).now_or_never().is_none(), "two of three are held");
        assert!(room.arriving("a", MIB).now_or_never().is_some(), "what was not needed is free");
        assert_eq!(slice, [7; 10][..]);
        drop(slice);
        assert!(room.arriving("a", 3 * MIB).now_or_never().is_some());
    }

    #[tokio::test]
    async fn what_is_unpacked_waits_for_nothing_that_arrives() {
        let room = mk_room();
        let _all = (room.arriving("a", 3 * MIB).await, room.arriving("b", MIB).await);
        assert!(room.unpacked(5 * MIB).now_or_never().is_some(), "it is larger than the room, and gets all");
    }

    #[tokio::test]
    async fn a_room_beside_waits_for_nothing_that_lingers_but_holds_no_more_than_it_has() {
        let room = mk_room();
        let beside = room.beside(2 * MIB, MIB);
        let all = (room.arriving("slow", 3 * MIB).await, room.arriving("other", MIB).await);
        let small = beside.arriving("slow", MIB).now_or_never().expect("it has space of its own");
        assert!(beside.arriving("slow", MIB).now_or_never().is_none(), "as much as one host may have");
        assert!(
            beside.arriving("third", 3 * MIB).now_or_never().is_none(),
            "it would be more than both have"
        );
        drop(all);
        let large = beside.arriving("third", 3 * MIB).now_or_never().expect("the larger room has space");
        assert!(room.arriving("fourth", 2 * MIB).now_or_never().is_none(), "and it is taken there");
        drop((small, large));
        let unpacked = beside.unpacked(2 * MIB).await;
        assert!(room.unpacked(MIB).now_or_never().is_none(), "what is unpacked has one room");
        drop(unpacked);
    }

    #[tokio::test]
    async fn who_waits_for_room_is_told_of_one_beside_too() {
        let count = Arc::new(AtomicI64::new(0));
        let told = count.clone();
        let waiters = Waiters::new(move |by| {
            told.fetch_add(by, Ordering::SeqCst);
        });
        let room = Room::told_to(RoomBytes { arriving: MIB, of_host: MIB, unpacked: MIB }, waiters);
        let beside = room.beside(MIB, MIB);
        let _all = (room.arriving("a", MIB).await, beside.arriving("a", MIB).await, room.unpacked(MIB).await);
        assert_eq!(count.load(Ordering::SeqCst), 0);
        let mut waiting =
            [room.arriving("a", 1).boxed(), beside.arriving("a", 1).boxed(), room.unpacked(1).boxed()];
        assert!(waiting.iter_mut().all(|one| one.now_or_never().is_none()));
        assert_eq!(count.load(Ordering::SeqCst), 3);
        drop(waiting);
        assert_eq!(count.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn a_room_without_bounds_lets_everybody_in() {
        let room = Room::default();
        let mut spaces = (room.arriving("a", u64::MAX).await, room.arriving("a", u64::MAX).await);
        assert_eq!(spaces.0.put(Bytes::from_static(b"x")), "x");
    }
}
