//! The extension `hotbay.metrics/1`: figures of modules' own.
//!
//! Owns which series there are in this engine, by the numbers that modules have for them. Their values lie in the memory that the keeper reads, so that a
//! counter survives whatever ends the engine. A series belongs to a module's row and stays as long as the engine: a swap finds it again.

mod refusals;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};

use hotbay_abi as abi;
use hotbay_abi::{Handle, Header, Metrics, Rc, Str, size_of_table};
use hotbay_protocol::{
    Cells, EngineMemory, Kind, MAX_MODULE_SERIES, MAX_SERIES, SeriesSpec, SeriesTable, SpecError,
};

use self::refusals::Refusals;
use super::{guarded, text};
use crate::queue::Mark;
use crate::{handle, marks};

/// More of a list than this is not even looked at.
const MOST_GIVEN: u32 = 1024;
/// Of a help; what is longer is cut, as words for people may be.
const MAX_HELP: usize = 256;

pub(super) static TABLE: Metrics =
    Metrics { size: size_of_table::<Metrics>(), pad: 0, register_series, add, set, observe };

/// By number, which is one more than the index.
static CELLS: [OnceLock<Cells>; MAX_SERIES] = [const { OnceLock::new() }; MAX_SERIES];
static REGISTRY: Mutex<Option<Registry>> = Mutex::new(None);
static REFUSALS: LazyLock<Mutex<Refusals>> = LazyLock::new(Mutex::default);

/// What is known of the series of this engine.
struct Registry {
    table: SeriesTable,
    /// By row and what it is, without its help.
    series: HashMap<(u64, SeriesSpec), u64>,
    /// How many a row has.
    counts: HashMap<u64, usize>,
    /// The series that first had a family, by row and name: the others are to be like it.
    families: HashMap<(u64, String), SeriesSpec>,
    /// Whose a sample's name is: of which family and kind. Modules may share a family of one kind.
    names: HashMap<String, (String, Kind)>,
}

/// Why a series is refused.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error("this runtime knows no kind of that number: it is older than the module's SDK")]
    Kind,
    #[error("a text of it is not UTF-8 or not there")]
    Text,
    #[error(
        "{0} has another kind or other buckets already, perhaps of the build before; until the engine is replaced"
    )]
    Family(String),
    #[error("samples named {0} are of another family or kind, perhaps of another module")]
    Name(String),
    #[error("the module has {MAX_MODULE_SERIES} series already; use fewer values of labels")]
    TooMany,
    #[error("all modules together have as many series as an engine has room for")]
    Full,
}

impl Refused {
    fn rc(&self) -> Rc {
        match self {
            Self::Spec(SpecError::TooLarge(_)) | Self::TooMany | Self::Full => abi::LIMIT,
            Self::Kind => abi::UNSUPPORTED,
            Self::Spec(SpecError::Malformed(_)) | Self::Text | Self::Family(_) | Self::Name(_) => abi::ERR,
        }
    }

    /// What is counted as the same.
    fn sort(&self) -> &'static str {
        match self {
            Self::Spec(SpecError::Malformed(words) | SpecError::TooLarge(words)) => words,
            Self::Kind => "kind",
            Self::Text => "text",
            Self::Family(_) => "family",
            Self::Name(_) => "name",
            Self::TooMany => "too many",
            Self::Full => "full",
        }
    }

    /// Logs it, unless it was logged often enough.
    fn tell(&self, mark: Mark, family: &str) {
        let times = REFUSALS.lock().unwrap_or_else(PoisonError::into_inner).count(mark, self.sort());
        let module = marks::module_name(mark.row).unwrap_or_default();
        match times {
            None => {}
            Some(1) => tracing::warn!(module, family, "a series of a module is refused: {self}"),
            Some(times) => tracing::warn!(
                module,
                family,
                times,
                "series of a module are refused again and again: {self}"
            ),
        }
    }
}

unsafe extern "C" fn register_series(
    any: Handle,
    kind: u32,
    family: Str,
    help: Str,
    labels: *const Header,
    n_labels: u32,
    buckets: *const f64,
    n_buckets: u32,
    out: *mut u64,
) -> Rc {
    guarded(|| {
        let Some(mark) = handle::with(any, |state| state.mark) else { return abi::GONE };
        if out.is_null() {
            return abi::ERR;
        }
        // SAFETY: the module lends all of it for this call.
        let lists = unsafe { (list(labels, n_labels), list(buckets, n_buckets)) };
        // SAFETY: as above.
        let registered =
            unsafe { spec(kind, family, help, lists.0, lists.1) }.and_then(|spec| register(mark.row, spec));
        match registered {
            Ok(number) => {
                // SAFETY: not NULL, and the module's to be written.
                unsafe { out.write(number) };
                abi::READY
            }
            Err(refused) => {
                // SAFETY: the text is borrowed for this call.
                refused.tell(mark, &unsafe { text(family, 128) });
                refused.rc()
            }
        }
    })
}

/// # Safety
/// `first` must be NULL or point to `count` items that are valid for `'l`.
unsafe fn list<'l, T>(first: *const T, count: u32) -> Result<&'l [T], Refused> {
    match count {
        0 => Ok(&[]),
        _ if first.is_null() => Err(Refused::Text),
        // SAFETY: the caller's promise.
        1..=MOST_GIVEN => Ok(unsafe { std::slice::from_raw_parts(first, count as usize) }),
        _ => Err(SpecError::TooLarge("a list of it is too long").into()),
    }
}

/// # Safety
/// The texts must be valid for this call.
unsafe fn spec(
    kind: u32,
    family: Str,
    help: Str,
    labels: Result<&[Header], Refused>,
    buckets: Result<&[f64], Refused>,
) -> Result<SeriesSpec, Refused> {
    let kind = Kind::from_number(kind.into()).ok_or(Refused::Kind)?;
    // SAFETY: the caller's promise.
    let utf8 =
        |view: Str| unsafe { view.get() }.and_then(|bytes| str::from_utf8(bytes).ok()).ok_or(Refused::Text);
    let labels = labels?.iter();
    let labels: Result<Vec<_>, Refused> =
        labels.map(|label| Ok((utf8(label.name)?.to_owned(), utf8(label.value)?.to_owned()))).collect();
    // SAFETY: as above.
    let help = unsafe { text(help, MAX_HELP) };
    // A character may have been cut in two, and its replacement be longer.
    let help: String =
        help.char_indices().filter(|(at, c)| at + c.len_utf8() <= MAX_HELP).map(|(_, c)| c).collect();
    Ok(SeriesSpec::new(kind, utf8(family)?, &help, labels?, buckets?)?)
}

fn register(row: u64, spec: SeriesSpec) -> Result<u64, Refused> {
    let mut registry = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    if registry.is_none() {
        // A probe has no memory that anybody reads.
        *registry = marks::memory().cloned().map(Registry::new);
    }
    registry.as_mut().ok_or(Refused::Full)?.register(row, spec)
}

impl Registry {
    fn new(memory: EngineMemory) -> Self {
        Self {
            table: SeriesTable::new(memory),
            series: HashMap::new(),
            counts: HashMap::new(),
            families: HashMap::new(),
            names: HashMap::new(),
        }
    }

    fn register(&mut self, row: u64, spec: SeriesSpec) -> Result<u64, Refused> {
        let (family, kind) = (spec.family.clone(), spec.kind);
        if let Some(first) = self.families.get(&(row, family.clone())) {
            // The next build may word its help otherwise, and counts on.
            if (first.kind, first.bounds()) != (kind, spec.bounds()) {
                return Err(Refused::Family(family));
            }
        }
        let owner = (family.clone(), kind);
        if let Some(name) = spec
            .sample_names()
            .into_iter()
            .find(|name| self.names.get(name).is_some_and(|known| *known != owner))
        {
            return Err(Refused::Name(name));
        }
        // As many as there are in the table, which has no more room than this.
        let index = self.series.len();
        let mut found_by = spec.clone();
        found_by.help.clear();
        let place = match self.series.entry((row, found_by)) {
            Entry::Occupied(known) => return Ok(*known.get()),
            Entry::Vacant(place) => place,
        };
        // Row 0 is that of all modules which have none of their own.
        let row_index = usize::try_from(row).ok().filter(|&row| row > 0).ok_or(Refused::Full)?;
        let count = self.counts.entry(row).or_default();
        if *count == MAX_MODULE_SERIES {
            return Err(Refused::TooMany);
        }
        let cells = self.table.add(row_index, &spec).ok_or(Refused::Full)?;
        *count += 1;
        let _first = CELLS[index].set(cells);
        let number = index as u64 + 1;
        place.insert(number);
        self.names.extend(spec.sample_names().into_iter().map(|name| (name, owner.clone())));
        self.families.entry((row, family)).or_insert(spec);
        Ok(number)
    }
}

/// Any number may be given; who is given none of these counts for nothing.
#[inline]
fn with(series: u64, change: impl FnOnce(&Cells)) {
    let index = usize::try_from(series).ok().and_then(|number| number.checked_sub(1));
    if let Some(cells) = index.and_then(|index| CELLS.get(index)).and_then(OnceLock::get) {
        change(cells);
    }
}

unsafe extern "C" fn add(series: u64, value: f64) {
    with(series, |cells| cells.add(value));
}

unsafe extern "C" fn set(series: u64, value: f64) {
    with(series, |cells| cells.set(value));
}

unsafe extern "C" fn observe(series: u64, value: f64) {
    with(series, |cells| cells.observe(value));
}
