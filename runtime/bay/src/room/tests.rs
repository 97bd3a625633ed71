//! What is taken and what is refused while a volume fills and empties.

use super::*;
use crate::writer::temporary::Temporary;

const MIB: u64 = 1 << 20;

struct Case {
    folder: tempfile::TempDir,
    room: Arc<Room>,
}

impl Case {
    /// A volume of 10 MiB.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { room: Room::new(folder.path(), Some(10 * MIB)), folder }
    }

    fn reserve(&self, mib: u64) -> Result<Reservation, NoRoom> {
        self.room.reserve(mib * MIB, Share::Blobs).map_err(|error| match error {
            RoomError::Full(no_room) => no_room,
            RoomError::Uncounted(error) => panic!("{error}"),
        })
    }

    fn write(&self, name: &str, mib: u64) -> io::Result<()> {
        let bytes = vec![7; usize::try_from(mib * MIB).unwrap()];
        std::fs::write(self.folder.path().join(name), bytes)
    }
}

#[test]
fn nine_tenths_are_filled_with_blobs_and_a_little_more_with_entries() {
    let case = Case::new();
    let first = case.reserve(5).unwrap();
    let second = case.reserve(4).unwrap();
    let no_room = case.room.reserve(1, Share::Blobs).unwrap_err();
    assert!(matches!(no_room, RoomError::Full(NoRoom { bytes: 1, percent: 90, .. })), "{no_room:?}");
    case.room.reserve(MIB / 4, Share::Entries).expect("entries have some room of their own");
    assert!(matches!(case.room.reserve(MIB, Share::Entries), Err(RoomError::Full(_))));
    drop(first);
    let no_room = case.reserve(6).unwrap_err();
    assert_eq!(no_room, NoRoom { bytes: 6 * MIB, used: 4 * MIB, size: 10 * MIB, percent: 90 });
    assert_eq!(no_room.to_string(), "it has 6.0 MiB, 4.0 MiB of 10.0 MiB are used, and 90 % is the most");
    drop(second);
    case.reserve(9).expect("what is dropped is given back");
}

#[test]
fn what_lay_there_before_and_what_others_put_there_counts_and_what_is_removed_makes_room() {
    let case = Case::new();
    std::fs::create_dir(case.folder.path().join("stage")).unwrap();
    case.write("stage/old", 3).unwrap();
    assert!(case.reserve(7).is_err(), "the folder below counts too");
    let placed = case.reserve(5).unwrap();
    placed.place(|| case.write("new", 5)).unwrap();
    assert!(case.reserve(2).is_err());
    std::fs::remove_file(case.folder.path().join("stage/old")).unwrap();
    case.write("anothers", 1).unwrap();
    drop(case.reserve(2).unwrap());
    assert!(case.reserve(4).is_err());
}

#[test]
fn what_is_being_written_is_counted_once_and_what_fails_not_at_all() {
    let case = Case::new();
    let reserved = case.reserve(5).unwrap();
    let mut writing = Temporary::create(case.folder.path()).unwrap();
    io::Write::write_all(writing.file(), &vec![7; usize::try_from(5 * MIB).unwrap()]).unwrap();
    let other = case.reserve(4).expect("5 of 10 MiB are used, not 10");
    assert!(case.reserve(1).is_err());
    drop(other);
    reserved.place(|| Err(io::ErrorKind::StorageFull.into())).unwrap_err();
    drop(writing);
    case.reserve(9).expect("nothing is there");
}

#[test]
fn without_a_size_everything_is_taken() {
    for size in [None, Some(0)] {
        let room = Room::new(Path::new("/nowhere"), size);
        drop(room.reserve(u64::MAX, Share::Blobs).unwrap());
    }
    let lost = Room::new(Path::new("/nowhere"), Some(MIB));
    assert!(matches!(lost.reserve(1, Share::Blobs), Err(RoomError::Uncounted(_))));
}

#[test]
fn sizes_are_read_with_ease() {
    for (bytes, words) in [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (4 << 30, "4.0 GiB")] {
        assert_eq!(Readable(bytes).to_string(), words);
    }
}
