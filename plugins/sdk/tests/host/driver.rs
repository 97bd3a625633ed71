//! Calls the module as a host does, through its table alone.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use hotbay_abi::{self as abi, Handle, Header, PENDING, READY, REQ_BODY_INLINE, Rc, Str};

use crate::mock::{self, Answer};
use crate::subject::{self, Shared};

unsafe extern "C" {
    fn hotbay_module_v1(host: *const abi::Host) -> *const abi::Module;
}

static MODULE: LazyLock<abi::Module> = LazyLock::new(|| {
    let table = enter(&mock::HOST);
    assert!(!table.is_null());
    // SAFETY: the module's table is a static.
    unsafe { *table }
});

/// Calls the entry symbol.
pub fn enter(host: &'static abi::Host) -> *const abi::Module {
    // SAFETY: the table is a static.
    unsafe { hotbay_module_v1(host) }
}

/// The module's table.
pub fn module() -> &'static abi::Module {
    &MODULE
}

/// An instance; destroyed at the end of the test.
pub struct Instance {
    pub me: Handle,
    pub rc: Rc,
    /// What its handlers share with the test.
    pub shared: Arc<Shared>,
    instance: *mut c_void,
    stopped: bool,
}

impl Instance {
    pub fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let instance = Self::with_config(&NEXT.fetch_add(1, Ordering::Relaxed).to_string());
        assert_eq!(instance.rc, READY);
        instance
    }

    pub fn with_config(json: &str) -> Self {
        Self::with_flags(json, 0)
    }

    pub fn with_flags(json: &str, flags: u32) -> Self {
        let me = mock::handle();
        let config = abi::Config {
            size: abi::size_of_table::<abi::Config>(),
            flags,
            name: Str::new(b"ns/subject"),
            config_json: Str::new(json.as_bytes()),
            digest: Str::new(b"sha256:00"),
        };
        let mut instance = ptr::null_mut();
        // SAFETY: all three are valid for the call.
        let rc = unsafe { module().create.unwrap()(&config, me, &mut instance) };
        assert_eq!(instance.is_null(), rc < 0, "an instance is there if and only if create did not fail");
        Self { me, rc, shared: subject::shared(json), instance, stopped: false }
    }

    pub fn poll(&mut self) -> Rc {
        // SAFETY: `create` gave the pointer.
        self.rc = unsafe { module().poll_instance.unwrap()(self.instance, self.me) };
        self.rc
    }

    /// Begins to stop it.
    pub fn stop(&mut self) -> Rc {
        assert!(!std::mem::replace(&mut self.stopped, true), "an instance is stopped once");
        // SAFETY: once, after every call was dropped: they borrow the instance.
        self.rc = unsafe { module().stop.unwrap()(self.instance, self.me) };
        self.rc
    }

    /// Goes on until it has settled: a runtime of tokio takes a moment to end.
    pub fn settled(&mut self) -> Rc {
        while self.rc == PENDING {
            mock::woken(self.me);
            self.poll();
        }
        self.rc
    }

    /// Destroys it, after it was stopped if it was not before; what is left is what it shared.
    pub fn destroy(self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    pub fn call(&self, handler: u32) -> Call<'_> {
        Call::start(self, handler, |_| {}, &[])
    }

    pub fn call_with(
        &self,
        handler: u32,
        change: fn(&mut abi::Request),
        reads: &[Result<&[u8], Rc>],
    ) -> Call<'_> {
        Call::start(self, handler, change, reads)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if !self.instance.is_null() {
            if !self.stopped {
                self.stop();
            }
            self.settled();
            // SAFETY: once, after every call was dropped: they borrow the instance.
            unsafe { module().destroy.unwrap()(self.instance) };
        }
        mock::forget(self.me);
    }
}

/// A call; dropped at the end of the test at the latest.
pub struct Call<'i> {
    pub handle: Handle,
    pub rc: Rc,
    state: *mut c_void,
    // No box: one that is moved claims to be the only way to what is in it, and the module has another.
    request: *mut abi::Request,
    _instance: &'i Instance,
}

impl<'i> Call<'i> {
    fn start(
        instance: &'i Instance,
        handler: u32,
        change: fn(&mut abi::Request),
        reads: &[Result<&[u8], Rc>],
    ) -> Self {
        let handle = mock::handle();
        mock::with(handle, |known| known.reads = reads.iter().map(|read| read.map(<[u8]>::to_vec)).collect());
        let mut request = request(handler);
        change(&mut request);
        let request = Box::into_raw(Box::new(request));
        let mut state = ptr::null_mut();
        // SAFETY: the request lives in the call, which drops the state first.
        let rc = unsafe { module().start.unwrap()(instance.instance, handle, request, &mut state) };
        assert_eq!(state.is_null(), rc != PENDING, "a state is there if and only if the call is pending");
        Self { handle, rc, state, request, _instance: instance }
    }

    pub fn poll(&mut self) -> Rc {
        assert!(!self.state.is_null(), "only a pending call is polled");
        // SAFETY: `start` gave the pointer.
        self.rc = unsafe { module().poll.unwrap()(self.state, self.handle) };
        self.rc
    }

    pub fn drop_state(&mut self) {
        let state = std::mem::replace(&mut self.state, ptr::null_mut());
        if !state.is_null() {
            // SAFETY: once, because the pointer is taken.
            unsafe { module().drop.unwrap()(state, abi::DROP_DISCONNECT) };
        }
    }

    /// The one answer, taken out.
    pub fn answer(&self) -> Answer {
        mock::with(self.handle, |known| known.answers.pop().expect("an answer"))
    }

    pub fn is_unanswered(&self) -> bool {
        mock::with(self.handle, |known| known.answers.is_empty())
    }

    pub fn fails(&self) -> Vec<String> {
        mock::with(self.handle, |known| known.fails.clone())
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.drop_state();
        mock::forget(self.handle);
        // SAFETY: of a box, and the module has dropped the call.
        drop(unsafe { Box::from_raw(self.request) });
    }
}

static HEADERS: [(&str, &str); 2] = [("x-a", "1"), ("x-a", "2")];
static PARAMS: [(&str, &str); 1] = [("id", "7%20")];

fn pairs(pairs: &'static [(&str, &str)]) -> *const Header {
    let pair = |(name, value): &(&str, &str)| Header {
        name: Str::new(name.as_bytes()),
        value: Str::new(value.as_bytes()),
    };
    let views: Vec<Header> = pairs.iter().map(pair).collect();
    Box::leak(views.into_boxed_slice()).as_ptr()
}

/// A request with a bit of everything and its (empty) body inline.
fn request(handler: u32) -> abi::Request {
    let target: &[u8] = b"/plain/7%20?a=b";
    abi::Request {
        size: abi::size_of_table::<abi::Request>(),
        flags: REQ_BODY_INLINE,
        handler,
        http: 11,
        pad: 0,
        n_headers: 2,
        n_params: 1,
        method: Str::new(b"GET"),
        scheme: Str::new(b"http"),
        authority: Str::new(b"example.com"),
        path: Str::new(&target[..11]),
        query: Str::new(&target[12..]),
        body: Str::new(b""),
        protocol: Str::ABSENT,
        headers: pairs(&HEADERS),
        params: pairs(&PARAMS),
        content_length: 0,
        deadline_ns: 0,
        request_id: [0, 0],
    }
}
