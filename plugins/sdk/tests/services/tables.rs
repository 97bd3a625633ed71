//! A module and hosts that are older or newer than it.

use std::sync::atomic::AtomicI32;

use super::*;

/// As a host of a later minor version has it: what is new stands at the end.
#[repr(C)]
struct Newer<T> {
    known: T,
    news: [u64; 4],
}

static WORDS: Mutex<Vec<(Handle, i32, String)>> = Mutex::new(Vec::new());

unsafe extern "C" fn log(any: Handle, level: i32, _target: Str, message: Str, _fields: Str) {
    // SAFETY: the text is valid for this call.
    let message = String::from_utf8(unsafe { message.get() }.unwrap_or_default().to_vec()).unwrap();
    WORDS.lock().unwrap().push((any, level, message));
}

fn enter<T: 'static>(host: T) -> *const abi::Module {
    let host: &'static T = Box::leak(Box::new(host));
    // SAFETY: it lives for ever, and begins as every host's table does.
    unsafe { hotbay_module_v1(ptr::from_ref(host).cast()) }
}

fn host_of(size: u32) -> abi::Host {
    abi::Host { size, abi_minor: 1, log, ..*host::HOST }
}

#[test]
fn a_host_that_is_too_old_is_refused_with_words() {
    let _turn = turn();
    LazyLock::force(&MODULE);
    assert!(enter(host_of(size_of_table::<abi::Host>() - 8)).is_null());
    let words = WORDS.lock().unwrap().pop().unwrap();
    assert_eq!((words.0, words.1), (0, abi::LOG_ERROR));
    assert!(words.2.contains("ABI"), "{}", words.2);
    // One so old that it has not even a log.
    let log_at = u32::try_from(std::mem::offset_of!(abi::Host, log)).unwrap();
    for size in [0, 8, log_at] {
        assert!(enter(host_of(size)).is_null(), "{size} bytes");
    }
    // SAFETY: NULL is no table, and nothing of it is read.
    assert!(unsafe { hotbay_module_v1(ptr::null()) }.is_null());
    assert_eq!(*WORDS.lock().unwrap(), []);
}

#[test]
fn structs_of_a_newer_host_are_read_as_far_as_they_are_known() {
    let _turn = turn();
    let instance = Instance::new("ns/newer");
    let config = abi::Config {
        size: size_of_table::<Newer<abi::Config>>(),
        flags: 1 << 3,
        name: Str::new(b"ns/newer"),
        config_json: Str::new(b"{}"),
        digest: Str::new(b"sha256:00"),
    };
    let config = Newer { known: config, news: [u64::MAX; 4] };
    let mut pointer = ptr::null_mut();
    // SAFETY: all three are valid for the call.
    let rc = unsafe { MODULE.create.unwrap()(&config.known, host::handle(), &mut pointer) };
    assert_eq!((rc, config.news[0]), (READY, u64::MAX));
    let newer = Instance { me: host::handle(), pointer };
    assert_eq!(newer.call(subject::LOGS).rc, READY);
    drop(instance);
}

#[test]
fn a_newer_host_is_as_good() {
    let _turn = turn();
    let known = host_of(size_of_table::<Newer<abi::Host>>());
    // A level of its own, so that it is plain whose table is in force.
    static LEVEL: AtomicI32 = AtomicI32::new(abi::LOG_INFO);
    let newer =
        Newer { known: abi::Host { log_level: LEVEL.as_ptr(), log: host::HOST.log, ..known }, news: [0; 4] };
    assert!(!enter(newer).is_null());
    LEVEL.store(0, Ordering::Relaxed);
    let off = hotbay_sdk::log::enabled(hotbay_sdk::log::Level::Error);
    // Back to the one of the other tests.
    // SAFETY: the table is a static.
    unsafe { hotbay_module_v1(&*host::HOST) };
    assert!(!off && hotbay_sdk::log::enabled(hotbay_sdk::log::Level::Error));
}
