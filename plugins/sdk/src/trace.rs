//! What is written with the crate `tracing`.
//!
//! Owns the spans that are open, and which of them a thread is in: a line has the fields of its own, those of the spans around it, and their names as
//! `span`. Must not decide what is kept: the host's level does, looked at for each line and span, since it changes while the module runs.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Debug;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Current, Id, Record};
use tracing_core::subscriber::Interest;
use tracing_core::{Dispatch, Event, LevelFilter, Metadata, Subscriber, dispatcher};

use crate::log::{self, Fields, Level, Value, quoted};

/// Threads that open spans at the same time seldom meet.
const SHARDS: u64 = 16;

pub(crate) fn install() {
    // An error says that the author has one already.
    let _theirs = dispatcher::set_global_default(Dispatch::new(Spans::default()));
}

thread_local! {
    /// The spans that this thread is in, the innermost last.
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

struct Span {
    metadata: &'static Metadata<'static>,
    fields: Fields,
    parent: Option<u64>,
    /// Handles on it: the author's, and its children.
    holders: usize,
}

struct Spans {
    next: AtomicU64,
    open: [Mutex<HashMap<u64, Span>>; SHARDS as usize],
}

impl Default for Spans {
    fn default() -> Self {
        Self { next: AtomicU64::new(1), open: Default::default() }
    }
}

impl Spans {
    fn shard(&self, id: u64) -> MutexGuard<'_, HashMap<u64, Span>> {
        self.open[(id % SHARDS) as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<R>(&self, id: u64, look: impl FnOnce(&mut Span) -> R) -> Option<R> {
        self.shard(id).get_mut(&id).map(look)
    }

    /// Names and fields of a span and those around it, the outermost first.
    fn around(&self, innermost: Option<u64>) -> (Vec<&'static str>, Fields) {
        let (mut chain, mut next) = (Vec::new(), innermost);
        while let Some((name, fields, parent)) =
            next.and_then(|id| self.with(id, |span| (span.metadata.name(), span.fields.clone(), span.parent)))
        {
            chain.push((name, fields));
            next = parent;
        }
        let mut all = Fields::default();
        chain.iter().rev().for_each(|(_, fields)| all.set_all(fields));
        (chain.iter().rev().map(|(name, _)| *name).collect(), all)
    }
}

/// The innermost span that this thread is in. A thread that ends has none any more.
fn innermost() -> Option<u64> {
    ENTERED.try_with(|entered| entered.borrow().last().copied()).ok().flatten()
}

impl Subscriber for Spans {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        log::enabled(level(metadata))
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let named = attributes.parent().map(Id::into_u64);
        let parent = if attributes.is_contextual() { innermost() } else { named };
        let parent = parent.filter(|&parent| self.with(parent, |span| span.holders += 1).is_some());
        let mut fields = Line::default();
        attributes.record(&mut fields);
        let span = Span { metadata: attributes.metadata(), fields: fields.all(), parent, holders: 1 };
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.shard(id).insert(id, span);
        // It begins at 1 and wraps in some centuries.
        Id::from_non_zero_u64(NonZeroU64::new(id).unwrap_or(NonZeroU64::MAX))
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        let mut fields = Line::default();
        // The author's Debug runs in here, and may log: not under the lock.
        values.record(&mut fields);
        self.with(id.into_u64(), |span| span.fields.set_all(&fields.all()));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let parent = if event.is_contextual() { innermost() } else { event.parent().map(Id::into_u64) };
        let (names, mut fields) = self.around(parent);
        fields.set_all(&line.fields);
        if !names.is_empty() && !fields.has("span") {
            fields.set("span", quoted(&names.join(":")));
        }
        log::emit(level(event.metadata()), event.metadata().target(), &line.message, &fields);
    }

    fn enter(&self, id: &Id) {
        let _ending = ENTERED.try_with(|entered| entered.borrow_mut().push(id.into_u64()));
    }

    fn exit(&self, id: &Id) {
        let _ending = ENTERED.try_with(|entered| {
            let mut entered = entered.borrow_mut();
            // Spans may be left in another order than they were entered in.
            if let Some(at) = entered.iter().rposition(|&entered| entered == id.into_u64()) {
                entered.remove(at);
            }
        });
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.with(id.into_u64(), |span| span.holders += 1);
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let mut next = Some(id.into_u64());
        let mut is_first_gone = false;
        while let Some(id) = next.take() {
            let mut shard = self.shard(id);
            let Some(span) = shard.get_mut(&id) else { break };
            span.holders = span.holders.saturating_sub(1);
            if span.holders == 0 {
                is_first_gone = true;
                next = shard.remove(&id).and_then(|span| span.parent);
            }
        }
        is_first_gone
    }

    fn current_span(&self) -> Current {
        let known = innermost().and_then(|id| self.with(id, |span| (Id::from_u64(id), span.metadata)));
        known.map_or_else(Current::none, |(id, metadata)| Current::new(id, metadata))
    }
}

fn level(metadata: &Metadata<'_>) -> Level {
    match *metadata.level() {
        tracing_core::Level::ERROR => Level::Error,
        tracing_core::Level::WARN => Level::Warn,
        tracing_core::Level::INFO => Level::Info,
        tracing_core::Level::DEBUG => Level::Debug,
        tracing_core::Level::TRACE => Level::Trace,
    }
}

/// What an event or a span says.
#[derive(Default)]
struct Line {
    message: String,
    fields: Fields,
}

impl Line {
    /// With the message as one of the fields, as a span has it.
    fn all(mut self) -> Fields {
        if !self.message.is_empty() {
            self.fields.set("message", quoted(&self.message));
        }
        self.fields
    }

    fn set(&mut self, field: &Field, value: Value<'_>) {
        self.fields.set(field.name(), value.to_json());
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            _ => self.set(field, Value::Debug(value)),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            _ => self.set(field, value.into()),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }
}
