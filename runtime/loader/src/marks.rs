//! The marks that a thread leaves when it enters module code.
//!
//! Owns which slot of the engine's memory is a thread's. A crash, and a stall, is blamed on what the slot says, so two threads never share one.

use std::cell::OnceCell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use hotbay_abi::Handle;
use hotbay_protocol::{CallSlot, EngineMemory, LOADER_SLOT, at_handler};
use hotbay_sys::{crash, made};

use crate::Instance;
use crate::frame::Frame;
use crate::queue::Mark;

static MEMORY: OnceLock<EngineMemory> = OnceLock::new();
static NEXT_SLOT: AtomicUsize = AtomicUsize::new(LOADER_SLOT + 1);

thread_local! {
    static SLOT: OnceCell<CallSlot> = const { OnceCell::new() };
}

/// Gives this thread a slot in the engine's memory, and says which, for nobody else to use. Threads without one run module code unmarked.
pub fn attach_thread(memory: &EngineMemory) -> usize {
    let slot = next_slot();
    attach(memory, slot);
    slot
}

/// A slot that no thread has had.
pub(crate) fn next_slot() -> usize {
    NEXT_SLOT.fetch_add(1, Ordering::Relaxed)
}

/// Gives this thread that slot.
pub(crate) fn attach(memory: &EngineMemory, slot: usize) {
    MEMORY.get_or_init(|| memory.clone());
    crash::describe_with(Frame::describe);
    made::ask(maker_here);
    // Past the last slot a thread runs module code unmarked: sharing a mark would blame the innocent.
    let Some(call_slot) = memory.slot(slot) else { return };
    SLOT.with(|here| {
        here.get_or_init(|| call_slot);
    });
    crash::set_slot(Some(slot));
}

/// The engine's memory, once a thread of it was attached.
pub(crate) fn memory() -> Option<&'static EngineMemory> {
    MEMORY.get()
}

/// The module whose row this is.
pub(crate) fn module_name(row: u64) -> Option<String> {
    let row = usize::try_from(row).ok()?;
    MEMORY.get()?.module(row).map(|key| key.to_string())
}

/// The row of the module whose code this thread is in, by its mark.
pub(crate) fn row_here() -> Option<u64> {
    occupant().map(|(row, _)| row)
}

/// Row and fingerprint of the instance whose code this thread is in. Any thread may ask, at its beginning and at its end; so not [`SLOT`], see [`made`].
fn occupant() -> Option<(u64, u64)> {
    MEMORY.get()?.slot(crash::slot()?)?.occupant()
}

/// Whose a thread is that is made here, for [`EngineMemory::crash`].
fn maker_here() -> made::Maker {
    occupant().map_or(made::NOBODY, |(row, fingerprint)| [row + 1, fingerprint])
}

/// Runs foreign code with this thread's mark set, on behalf of the request in `frame`, which a crash names.
pub(crate) fn in_module<R>(
    instance: &Instance,
    handle: Handle,
    frame: &Frame,
    code: impl FnOnce() -> R,
) -> R {
    let before = crash::enter(std::ptr::from_ref(frame).cast());
    let Mark { row, fingerprint } = instance.mark();
    let result = at(at_handler(row, frame.handler()), fingerprint, handle, code);
    crash::leave(before);
    result
}

/// As [`in_module`], where there is no request.
pub(crate) fn marked<R>(mark: Mark, handle: Handle, code: impl FnOnce() -> R) -> R {
    at(mark.row, mark.fingerprint, handle, code)
}

fn at<R>(place: u64, fingerprint: u64, handle: Handle, code: impl FnOnce() -> R) -> R {
    SLOT.with(|slot| match slot.get() {
        None => code(),
        Some(slot) => {
            let before = slot.enter(place, fingerprint, handle);
            let result = code();
            slot.leave(before);
            result
        }
    })
}
