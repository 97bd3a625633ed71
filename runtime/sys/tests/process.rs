//! Children of a real process: what they inherit, how they die, what they leave.
//!
//! The children are this binary again, with their role in a variable. Reaping takes every child of the process, so one test does all of it.

#![allow(unsafe_code, clippy::unwrap_used, clippy::panic)]

use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{ChildStdout, Command, ExitCode, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hotbay_sys::memory::{self, SharedWords};
use hotbay_sys::process::{self, Ended, Ending};
use hotbay_sys::signals::{self, Signals};
use hotbay_sys::{crash, made, seqpacket};
use libtest_mimic::{Arguments, Trial};

const ROLE: &str = "HOTBAY_SYS_TEST_ROLE";

fn command(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(ROLE, role).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

fn main() -> ExitCode {
    if let Ok(role) = std::env::var(ROLE) {
        child(&role);
        return ExitCode::SUCCESS;
    }
    let tests = vec![
        Trial::test("children_crash_exit_and_die_as_their_parent_reads_it", || {
            crashes_leave_a_record();
            ends_are_told_apart();
            orphans_become_ours();
            masks_are_what_the_parent_says();
            Ok(())
        }),
        Trial::test("init_and_groups_of_all_are_never_signalled", || {
            init_and_groups_of_all_are_never_signalled();
            Ok(())
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

/// The other side of these tests.
fn child(role: &str) {
    let socket = process::inherited_socket().unwrap();
    let mut buffer = [0; 64];
    let (_, fds) = seqpacket::receive(socket.as_fd(), &mut buffer).unwrap();
    let words = SharedWords::map(&fds[0]).unwrap();
    crash::install(words.clone(), 16).unwrap();
    crash::set_slot(Some(5));
    crash::describe_with(describe);
    crash::enter(if role == "broken" { std::ptr::without_provenance(8) } else { (&raw const AT).cast() });
    if role != "together" {
        // Nobody was first, so there is nobody to give way to.
        die_of_sleep();
    }
    words[BEGAN].store(now_ns(), Ordering::Relaxed);
    match role {
        // SAFETY: none; the fault is the point.
        "null" | "broken" => unsafe { std::ptr::null_mut::<u64>().wrapping_add(1).write_volatile(1) },
        "abort" => std::process::abort(),
        "overflow" => assert_eq!(overflow(1), 0),
        "foreign" => foreign_thread(),
        "made" => threads_of_a_module(),
        "together" => two_threads_fault(&words),
        "exit" => std::process::exit(7),
        "hang" | "sent" => {
            let _ = seqpacket::receive(socket.as_fd(), &mut buffer);
        }
        other => panic!("no such role: {other}"),
    }
}

/// What the children are at.
static AT: &str = "GET /crash";
/// The word that says when a child began to crash.
const BEGAN: usize = 60;
/// The words by which two threads that fault together meet; the second one's says when.
const FIRST_WRITES: usize = 61;
const SECOND_FAULTS: usize = 62;
/// How long at least a thread gives way to the one that faulted first.
const GIVES_WAY: Duration = Duration::from_millis(50);
/// What [`describe`] waits at, in a child of which two threads fault.
static MEETING: OnceLock<SharedWords> = OnceLock::new();

unsafe fn describe(activity: *const std::ffi::c_void, text: &mut [u8; crash::TEXT_BYTES]) -> usize {
    // SAFETY: `child` gives `enter` a pointer to `AT`, or one that is meant to fault.
    let at: &str = unsafe { *activity.cast() };
    if let Some(words) = MEETING.get() {
        meet(words);
    }
    text[..at.len()].copy_from_slice(at.as_bytes());
    at.len()
}

/// Has the other thread fault while the record is being written, and long before it is.
fn meet(words: &SharedWords) {
    words[FIRST_WRITES].store(1, Ordering::Release);
    while words[SECOND_FAULTS].load(Ordering::Acquire) == 0 {
        std::hint::spin_loop();
    }
    // Some hundred times what a fault takes to end a process.
    let end = now_ns() + 2_000_000;
    while now_ns() < end {
        std::hint::spin_loop();
    }
}

/// This thread faults, and another one, by another signal and at something else, while the first one's record is written.
fn two_threads_fault(words: &SharedWords) {
    assert!(MEETING.set(words.clone()).is_ok());
    let other = words.clone();
    std::thread::spawn(move || {
        crash::set_slot(Some(7));
        while other[FIRST_WRITES].load(Ordering::Acquire) == 0 {
            std::hint::spin_loop();
        }
        other[SECOND_FAULTS].store(now_ns(), Ordering::Release);
        std::process::abort();
    });
    // SAFETY: none; the fault is the point.
    unsafe { std::ptr::null_mut::<u64>().wrapping_add(1).write_volatile(1) }
}

/// Has the kernel end this process by SIGSYS, past every handler, when a thread sleeps that is made from now on, or this one.
fn die_of_sleep() {
    let statement = |code: u32, jt, k: u32| libc::sock_filter { code: code as u16, jt, jf: 0, k };
    let equal = |number: i64, jt| statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, jt, number as u32);
    let filter = [
        // The system call's number comes first in what a filter reads.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        equal(libc::SYS_nanosleep, 2),
        equal(libc::SYS_clock_nanosleep, 1),
        statement(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
        statement(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_KILL_PROCESS),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the kernel copies the program, which lives until then, and writes nothing to it; the others are plain numbers.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1 as libc::c_ulong, 0_u64, 0_u64, 0_u64), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program), 0);
    }
}

fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec * 1_000_000_000 + now.tv_nsec).unwrap()
}

#[allow(unconditional_recursion)]
fn overflow(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 128]);
    overflow(frame[7] + 1) + frame[9]
}

/// Overflows the stack of a thread that std did not make.
fn foreign_thread() {
    extern "C" fn run(_: *mut libc::c_void) -> *mut libc::c_void {
        crash::ensure_alt_stack().unwrap();
        crash::set_slot(Some(9));
        overflow(1);
        std::ptr::null_mut()
    }
    // SAFETY: `run` has the signature of a thread's start and uses no argument; null attributes are the defaults.
    unsafe {
        let mut thread = std::mem::zeroed();
        assert_eq!(libc::pthread_create(&mut thread, std::ptr::null(), run, std::ptr::null_mut()), 0);
        libc::pthread_join(thread, std::ptr::null_mut());
    }
}

/// Whose the threads of [`threads_of_a_module`] are.
const MAKER: made::Maker = [8, 9];

/// A thread of a module's overflows its stack, which another one of its own has made. Nobody has given it an alternate one.
fn threads_of_a_module() {
    unsafe extern "C-unwind" fn first(_: *mut libc::c_void) -> *mut libc::c_void {
        assert_eq!(made::maker(), MAKER);
        make(second);
        std::ptr::null_mut()
    }
    unsafe extern "C-unwind" fn second(_: *mut libc::c_void) -> *mut libc::c_void {
        overflow(1);
        std::ptr::null_mut()
    }
    fn make(start: unsafe extern "C-unwind" fn(*mut libc::c_void) -> *mut libc::c_void) {
        // SAFETY: `start` uses no argument; null attributes are the defaults.
        unsafe {
            let mut thread = std::mem::zeroed();
            let made = made::pthread_create(&mut thread, std::ptr::null(), start, std::ptr::null_mut());
            assert_eq!(made, 0);
            libc::pthread_join(thread, std::ptr::null_mut());
        }
    }
    // The module's code is on this thread alone: what the others are, they have from it.
    made::ask(|| if rustix::thread::gettid() == rustix::process::getpid() { MAKER } else { made::NOBODY });
    make(first);
}

struct Fixture {
    pid: i32,
    socket: OwnedFd,
    words: SharedWords,
    stdout: ChildStdout,
}

fn start(role: &str) -> Fixture {
    let (ours, theirs) = seqpacket::pair().unwrap();
    let memory = memory::create("crash", 64).unwrap();
    let child = process::spawn(command(role), Some(theirs)).unwrap();
    seqpacket::send(ours.as_fd(), b"memory", &[memory.as_fd()]).unwrap();
    Fixture {
        pid: child.pid,
        socket: ours,
        words: SharedWords::map(&memory).unwrap(),
        stdout: child.stdout.unwrap(),
    }
}

fn reap(pid: i32) -> Ending {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        match process::reap().unwrap() {
            Some(Ended { pid: ended, how }) if ended == pid => return how,
            Some(other) => panic!("{other:?} is not our child"),
            None => std::thread::yield_now(),
        }
    }
    panic!("child {pid} did not end in 60 s");
}

/// Waits until the child and all who inherited its output have closed it.
fn await_end(stdout: &mut ChildStdout) {
    stdout.read_to_end(&mut Vec::new()).unwrap();
}

fn crashes_leave_a_record() {
    let crashes = [
        ("null", libc::SIGSEGV, 5, AT),
        ("abort", libc::SIGABRT, 5, AT),
        ("overflow", libc::SIGSEGV, 5, AT),
        // Nobody has said what a thread of a module's own is at.
        ("foreign", libc::SIGSEGV, 9, ""),
        // But whose it is stands in the record.
        ("made", libc::SIGSEGV, u64::MAX, ""),
        // A fault inside the handler costs the text alone.
        ("broken", libc::SIGSEGV, 5, ""),
        // The record is the first one's, whole, and so is the end.
        ("together", libc::SIGSEGV, 5, AT),
        // Another process sent it: no thread of ours has done anything.
        ("sent", libc::SIGABRT, u64::MAX, ""),
    ];
    for (role, signal, slot, at) in crashes {
        let (child, how) = until_the_first_could_finish(|| crash(role, signal));
        // That nothing waits for anything is the word of the kernel: whoever sleeps dies of it.
        assert_eq!(how, Ending::Signaled(signal), "{role}: how it ended");
        assert_eq!(text_of(&child.words), at, "{role}: what it was at");
        let record = [16, 17, 18].map(|index: usize| child.words[index].load(Ordering::Acquire));
        assert_eq!(
            record[..2],
            [u64::from(signal.unsigned_abs()), slot.wrapping_add(1)],
            "{role}: its record"
        );
        let maker = [0, 1].map(|word| child.words[16 + crash::MAKER + word].load(Ordering::Acquire));
        assert_eq!(maker, if role == "made" { MAKER } else { made::NOBODY }, "{role}: who made the thread");
        match role {
            "null" | "broken" | "together" => assert_eq!(record[2], 8, "{role}: the address"),
            "abort" | "sent" => assert_eq!(record[2], 0, "{role}: a signal sent by a process has no address"),
            _ => assert_ne!(record[2], 0, "{role}: the address"),
        }
    }
}

/// Starts a child that crashes, and says how it ended.
fn crash(role: &str, signal: i32) -> (Fixture, Ending) {
    let mut child = start(role);
    if role == "sent" {
        let deadline = Instant::now() + Duration::from_secs(60);
        while child.words[BEGAN].load(Ordering::Acquire) == 0 {
            assert!(Instant::now() < deadline, "the child did not begin in 60 s");
            std::thread::yield_now();
        }
        // SAFETY: kill takes plain numbers.
        unsafe { libc::kill(child.pid, signal) };
    }
    await_end(&mut child.stdout);
    let how = reap(child.pid);
    (child, how)
}

/// Crashes again if a machine under load kept the first thread from a processor for longer than the second one gives way, which then rightly
/// ends the process. One that did not give way so long is no excuse.
fn until_the_first_could_finish(crash: impl Fn() -> (Fixture, Ending)) -> (Fixture, Ending) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let (child, how) = crash();
        let second = child.words[SECOND_FAULTS].load(Ordering::Acquire);
        let gave_way = second > 0 && now_ns() - second >= u64::try_from(GIVES_WAY.as_nanos()).unwrap();
        if !(gave_way && how == Ending::Signaled(libc::SIGABRT) && Instant::now() < deadline) {
            return (child, how);
        }
    }
}

/// The text of the record at word 16.
fn text_of(words: &SharedWords) -> String {
    let length = usize::try_from(words[19].load(Ordering::Acquire)).unwrap();
    let bytes = words[20..].iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes());
    String::from_utf8(bytes.take(length).collect()).unwrap()
}

fn ends_are_told_apart() {
    let mut child = start("exit");
    await_end(&mut child.stdout);
    assert_eq!(reap(child.pid), Ending::Exited(7));
    assert_eq!(child.words[16].load(Ordering::Acquire), 0, "exit() leaves no record");

    let mut child = start("hang");
    assert_eq!(process::reap().unwrap(), None, "a child that runs is not reaped");
    process::kill_group(child.pid).unwrap();
    await_end(&mut child.stdout);
    assert_eq!(reap(child.pid), Ending::Signaled(libc::SIGKILL));
    process::kill_group(child.pid).unwrap();

    let child = start("hang");
    drop(child.socket);
    assert_eq!(reap(child.pid), Ending::Exited(0), "it sees its socket closed");
    assert_eq!(process::reap().unwrap(), None, "no children is no error");

    assert!(process::spawn(Command::new("/does/not/exist"), None).is_err(), "a failed exec is told");
}

fn orphans_become_ours() {
    process::become_subreaper().unwrap();
    // The second one leads a group of its own and so outlives the group that is killed with its leader.
    let (mut shell, orphan) = shell("sleep 60 & echo $!; setsid sh -c 'echo $$; exec sleep 60' & wait");
    process::kill(shell.pid).unwrap();
    assert_eq!(reap(shell.pid), Ending::Signaled(libc::SIGKILL));
    assert_eq!(
        reap(orphan[0]),
        Ending::Signaled(libc::SIGKILL),
        "an orphan in the group dies with its leader"
    );
    assert_eq!(process::reap().unwrap(), None, "an orphan that left the group goes on");
    process::kill(orphan[1]).unwrap();
    assert_eq!(reap(orphan[1]), Ending::Signaled(libc::SIGKILL), "and is ours to reap");
    await_end(&mut shell.stdout.take().unwrap());
}

/// The mask of this thread is none of a child's business.
fn masks_are_what_the_parent_says() {
    let _signals = Signals::block(&[signals::USER_1, signals::HANGUP]).unwrap();
    let blocked_in = |spawn: &dyn Fn(Command) -> process::Spawned| {
        let mut command = Command::new("/bin/grep");
        command.args(["^SigBlk:", "/proc/self/status"]).stdout(Stdio::piped());
        let mut child = spawn(command);
        let mut line = String::new();
        child.stdout.take().unwrap().read_to_string(&mut line).unwrap();
        assert_eq!(reap(child.pid), Ending::Exited(0));
        u64::from_str_radix(line.trim_start_matches("SigBlk:").trim(), 16).unwrap()
    };
    assert_eq!(blocked_in(&|command| process::spawn(command, None).unwrap()), 0);
    let both = [signals::USER_1, signals::USER_2];
    let bits = both.iter().fold(0, |bits, signal| bits | 1 << (signal - 1));
    assert_eq!(blocked_in(&|command| process::spawn_with_blocked(command, &both).unwrap()), bits);
    assert!(
        process::spawn_with_blocked(Command::new("/bin/true"), &[99]).is_err(),
        "there is no such signal"
    );
}

/// A shell that runs `script`, and the process ids that it prints first.
fn shell(script: &str) -> (process::Spawned, Vec<i32>) {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).stdout(Stdio::piped());
    let mut shell = process::spawn(command, None).unwrap();
    let stdout = BufReader::new(shell.stdout.as_mut().unwrap());
    let pids = stdout.lines().take(2).map(|line| line.unwrap().parse().unwrap()).collect();
    (shell, pids)
}

fn init_and_groups_of_all_are_never_signalled() {
    for pid in [0, 1] {
        assert!(process::kill(pid).is_err());
        assert!(process::kill_group(pid).is_err());
    }
}
