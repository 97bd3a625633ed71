//! Whose instance a thread works for.
//!
//! Owns one entry for each HandlerModule that this image serves: its statics are shared by all of them, but a counter or a log line belongs to one. A call
//! sets it for its thread. Threads of the author's own have none: then, if there is only one, it is that one.

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use hotbay_abi::Handle;

use crate::host;

/// A HandlerModule that this image serves. Never freed: there are as many as have ever used this build in this process.
#[derive(Debug)]
pub(crate) struct Owner {
    name: String,
    index: usize,
    /// Its latest instance, perhaps gone by now.
    instance: AtomicU64,
}

static ALL: Mutex<Vec<&'static Owner>> = Mutex::new(Vec::new());
/// The only one; NULL if there is none, or several.
static ONLY: AtomicPtr<Owner> = AtomicPtr::new(ptr::null_mut());

thread_local! {
    /// Without a destructor, so that it costs no thread any registration.
    static HERE: Cell<Option<&'static Owner>> = const { Cell::new(None) };
}

/// What the thread works for until this is dropped.
#[must_use]
pub(crate) struct Scope(Option<&'static Owner>);

impl Drop for Scope {
    fn drop(&mut self) {
        HERE.set(self.0);
    }
}

impl Owner {
    /// That of the HandlerModule `name`, of which `instance` is made.
    pub fn of(name: &str, instance: Handle) -> &'static Self {
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.iter().copied().find(|owner| owner.name == name);
        let owner = known.unwrap_or_else(|| {
            let owner = Self { name: name.to_owned(), index: all.len(), instance: AtomicU64::new(0) };
            let owner: &'static Self = Box::leak(Box::new(owner));
            all.push(owner);
            let only = if all.len() == 1 { ptr::from_ref(owner).cast_mut() } else { ptr::null_mut() };
            ONLY.store(only, Ordering::Release);
            owner
        });
        owner.instance.store(instance, Ordering::Relaxed);
        owner
    }

    /// Has this thread work for it.
    #[inline]
    pub fn enter(&'static self) -> Scope {
        Scope(HERE.replace(Some(self)))
    }

    /// Has this thread work for it for good.
    #[cfg_attr(
        not(feature = "tokio"),
        expect(dead_code, reason = "only tokio's threads are an instance's own")
    )]
    pub fn adopt_thread(&'static self) {
        HERE.set(Some(self));
    }

    /// Its number, from 0.
    pub fn index(&self) -> usize {
        self.index
    }
}

/// Whom this thread works for.
#[inline]
pub(crate) fn current() -> Option<&'static Owner> {
    HERE.get().or_else(|| {
        // SAFETY: only `of` stores, and what it stores is never freed.
        unsafe { ONLY.load(Ordering::Acquire).as_ref() }
    })
}

/// The handle in whose name a thread speaks: its call's, else that of its owner's latest instance, else 0. `None`: it must call no function of the host.
pub(crate) fn handle() -> Option<Handle> {
    match host::current() {
        0 => Some(current().map_or(0, |owner| owner.instance.load(Ordering::Relaxed))),
        host::QUIET => None,
        call => Some(call),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // One test: the table is the process's.
    #[test]
    fn a_thread_without_a_call_has_an_owner_as_long_as_there_is_only_one() {
        let index = |owner: Option<&Owner>| owner.map(Owner::index);
        assert_eq!((index(current()), handle()), (None, Some(0)));
        let first = Owner::of("shop/a", 7);
        assert_eq!((index(current()), handle()), (Some(0), Some(7)));
        assert_eq!(Owner::of("shop/a", 8).index(), 0, "the next instance of the same");
        let second = Owner::of("shop/b", 9);
        assert_eq!((index(current()), handle()), (None, Some(0)), "nobody can say which");
        let outer = first.enter();
        let inner = second.enter();
        assert_eq!((index(current()), handle()), (Some(1), Some(9)));
        drop(inner);
        assert_eq!((index(current()), handle()), (Some(0), Some(8)));
        drop(outer);
        assert_eq!(index(current()), None);
    }
}
