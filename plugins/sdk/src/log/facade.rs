//! What is written with the crate `log`.

use ::log::kv::{self, Key, VisitSource};
use ::log::{LevelFilter, Log, Metadata, Record};

use super::{Fields, Level, Value, emit, enabled, quoted};

struct Facade;

pub(super) fn install() {
    // An error says that the author has one already.
    if ::log::set_logger(&Facade).is_ok() {
        // The host's level may rise later; each line looks at it.
        ::log::set_max_level(LevelFilter::Trace);
    }
}

impl From<::log::Level> for Level {
    fn from(level: ::log::Level) -> Self {
        match level {
            ::log::Level::Error => Self::Error,
            ::log::Level::Warn => Self::Warn,
            ::log::Level::Info => Self::Info,
            ::log::Level::Debug => Self::Debug,
            ::log::Level::Trace => Self::Trace,
        }
    }
}

impl Log for Facade {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        enabled(metadata.level().into())
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut fields = Fields::default();
        // It fails only where a source or `visit_pair` does.
        let _ = record.key_values().visit(&mut Visitor(&mut fields));
        emit(record.level().into(), record.target(), &record.args().to_string(), &fields);
    }

    fn flush(&self) {}
}

struct Visitor<'f>(&'f mut Fields);

impl<'kv> VisitSource<'kv> for Visitor<'_> {
    fn visit_pair(&mut self, key: Key<'kv>, value: kv::Value<'kv>) -> Result<(), kv::Error> {
        self.0.set(key.as_str(), json(&value));
        Ok(())
    }
}

fn json(value: &kv::Value<'_>) -> String {
    if let Some(number) = value.to_u64() {
        return Value::from(number).to_json();
    }
    if let Some(number) = value.to_i64() {
        return Value::from(number).to_json();
    }
    if let Some(number) = value.to_f64() {
        return Value::from(number).to_json();
    }
    if let Some(truth) = value.to_bool() {
        return Value::from(truth).to_json();
    }
    quoted(&value.to_string())
}
