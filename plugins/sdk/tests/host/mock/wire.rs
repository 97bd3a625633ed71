//! The streamed part of a call: what the client has got, and how much more it takes.

use hotbay_abi::{self as abi, Buf, GONE, Handle, Header, PENDING, READY, Rc, Str};

use super::{KNOWN, string, text};

/// One call's.
#[derive(Debug)]
pub struct Wire {
    /// What `write` has taken, piece by piece.
    pub pieces: Vec<Vec<u8>>,
    /// How many of them came as owned buffers.
    pub owned: usize,
    /// How many more it takes before it says PENDING.
    pub room: usize,
    /// What it says instead of READY.
    pub write: Rc,
    /// The trailers, once the answer was finished.
    pub finished: Option<Vec<(String, String)>>,
    pub aborted: bool,
    /// What follows the request's body.
    pub trailers: Vec<(&'static str, &'static str)>,
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            pieces: Vec::new(),
            owned: 0,
            room: usize::MAX,
            write: READY,
            finished: None,
            aborted: false,
            trailers: Vec::new(),
        }
    }
}

impl Wire {
    /// All that the client has got.
    pub fn bytes(&self) -> Vec<u8> {
        self.pieces.concat()
    }
}

/// Runs `change` on an open stream; a finished or aborted one is gone.
fn open(call: Handle, change: impl FnOnce(&mut Wire) -> Rc) -> Rc {
    match KNOWN.lock().unwrap().get_mut(&call) {
        Some(known) if known.wire.finished.is_none() && !known.wire.aborted => change(&mut known.wire),
        _ => GONE,
    }
}

pub unsafe extern "C" fn write(call: Handle, input: *const Buf, flags: u32) -> Rc {
    // SAFETY: the module gives a buffer that is valid for this call.
    let input = unsafe { *input };
    let owned = flags & abi::WRITE_COPY == 0 && input.release.is_some();
    let rc = open(call, |wire| {
        if wire.write != READY {
            return wire.write;
        }
        if wire.room == 0 {
            return PENDING;
        }
        wire.room -= 1;
        wire.owned += usize::from(owned);
        wire.pieces.push(text(Str { ptr: input.ptr, len: input.len }));
        READY
    });
    if let (READY, true, Some(release)) = (rc, owned, input.release) {
        // SAFETY: what was taken is released once.
        unsafe { release(input.owner) };
    }
    rc
}

pub unsafe extern "C" fn finish(call: Handle, trailers: *const Header, count: u32) -> Rc {
    let pairs = (0..count as usize).map(|index| {
        // SAFETY: the module gives so many.
        let header = unsafe { *trailers.add(index) };
        (string(header.name), string(header.value))
    });
    let pairs: Vec<_> = pairs.collect();
    open(call, |wire| {
        wire.finished = Some(pairs);
        READY
    })
}

pub unsafe extern "C" fn abort(call: Handle) -> Rc {
    open(call, |wire| {
        wire.aborted = true;
        READY
    })
}

pub unsafe extern "C" fn trailers(call: Handle, out: *mut *const Header, count: *mut u32) -> Rc {
    let known = KNOWN.lock().unwrap();
    let Some(known) = known.get(&call) else { return GONE };
    let view = |text: &'static str| Str::new(text.as_bytes());
    let pairs = known.wire.trailers.iter();
    let views: Vec<_> = pairs.map(|&(name, value)| Header { name: view(name), value: view(value) }).collect();
    // SAFETY: the module gives places to write to. The views are leaked: a test has few.
    unsafe {
        count.write(u32::try_from(views.len()).unwrap());
        out.write(Box::leak(views.into_boxed_slice()).as_ptr());
    }
    READY
}
