//! What the dynamic linker will be asked to do.
//!
//! Owns the dynamic section and its tables: libraries, symbols, versions, flags. Strings and lists have bounds, because in a hostile file
//! a million symbols may share one name of a million bytes.

use std::collections::BTreeSet;

use hotbay_api::names::ENTRY_SYMBOL;
use object::elf::{self, Dyn64, DynamicTag, Sym64};
use object::read::elf::{GnuHashTable, HashTable, ProgramHeader as _};
use object::{LittleEndian as LE, ReadRef as _};

use super::image::{Elf, Image};
use super::versions::{self, GlibcVersion};
use super::{ElfError, MAX_EXPORTS, invalid};

/// Longest name that is read: C++ mangles long ones, and none of those matters here.
const MAX_NAME: usize = 1024;

/// The most libraries that one module may need.
const MAX_NEEDED: usize = 256;

/// The facts of the dynamic section.
pub(super) struct Dynamic {
    pub(super) needed: Vec<String>,
    pub(super) min_glibc: Option<GlibcVersion>,
    pub(super) exports: Vec<String>,
    pub(super) has_entry: bool,
    pub(super) static_tls: bool,
    pub(super) imports_unwind: bool,
}

/// The dynamic section with the means to follow it.
pub(super) struct Tables<'image, 'data> {
    image: &'image Image<'data>,
    entries: &'data [Dyn64<LE>],
    strings: &'data [u8],
}

impl Dynamic {
    pub(super) fn read(image: &Image<'_>) -> Result<Self, ElfError> {
        let tables = Tables::find(image)?;
        if tables.value(elf::DT_FLAGS_1).is_some_and(|flags| flags & elf::DF_1_PIE.0 != 0) {
            return Err(invalid("it is a program, not a shared object"));
        }
        let static_tls = tables.value(elf::DT_FLAGS).is_some_and(|flags| flags & elf::DF_STATIC_TLS.0 != 0);
        let mut dynamic = Self {
            needed: tables.needed()?,
            min_glibc: versions::newest_glibc_needed(&tables),
            exports: Vec::new(),
            has_entry: false,
            static_tls,
            imports_unwind: false,
        };
        dynamic.read_symbols(&tables);
        Ok(dynamic)
    }

    fn read_symbols(&mut self, tables: &Tables<'_, '_>) {
        let entry = format!("{ENTRY_SYMBOL}\0");
        let mut exports = BTreeSet::new();
        let mut listed = 0;
        for symbol in tables.symbols() {
            let name_at = symbol.st_name.get(LE).into();
            if symbol.st_shndx.get(LE) == elf::SHN_UNDEF {
                self.imports_unwind |= tables.is_named(name_at, b"_Unwind_RaiseException\0");
            } else if is_visible(symbol) {
                self.has_entry |= tables.is_named(name_at, entry.as_bytes());
                listed += 1;
                let name = (listed <= MAX_EXPORTS).then(|| tables.string(name_at)).flatten();
                exports.extend(name.map(|name| String::from_utf8_lossy(name).into_owned()));
            }
        }
        self.exports = exports.into_iter().collect();
    }

    /// `gnu` or `musl`; `None` if it needs neither.
    pub(super) fn libc(&self) -> Option<&'static str> {
        let needs = |prefix: &str| self.needed.iter().any(|name| name.starts_with(prefix));
        if self.min_glibc.is_some() || needs("libc.so.6") {
            Some("gnu")
        } else if needs("libc.musl-") || self.needed.iter().any(|name| name == "libc.so") {
            Some("musl")
        } else {
            None
        }
    }
}

impl<'image, 'data> Tables<'image, 'data> {
    pub(super) fn find(image: &'image Image<'data>) -> Result<Self, ElfError> {
        let entries = image
            .headers
            .iter()
            .find_map(|header| header.dynamic(LE, image.bytes).transpose())
            .ok_or_else(|| invalid("it has no dynamic section"))?
            .map_err(|error| invalid(error.to_string()))?;
        let mut tables = Self { image, entries, strings: &[] };
        let strings = tables.table(elf::DT_STRTAB).ok_or_else(|| invalid("it has no dynamic strings"))?;
        let size = tables.value(elf::DT_STRSZ).and_then(|size| usize::try_from(size).ok());
        let cut = || invalid("its dynamic strings reach beyond their segment");
        tables.strings = size.and_then(|size| strings.get(..size)).ok_or_else(cut)?;
        Ok(tables)
    }

    fn values(&self, tag: DynamicTag) -> impl Iterator<Item = u64> {
        let live = self.entries.iter().take_while(|entry| entry.d_tag.get(LE) != elf::DT_NULL);
        live.filter(move |entry| entry.d_tag.get(LE) == tag).map(|entry| entry.d_val.get(LE))
    }

    pub(super) fn value(&self, tag: DynamicTag) -> Option<u64> {
        self.values(tag).next()
    }

    /// The bytes that the address in `tag` points to, up to the end of their segment.
    pub(super) fn table(&self, tag: DynamicTag) -> Option<&'data [u8]> {
        self.image.at(self.value(tag)?)
    }

    /// The name at `offset`; `None` if there is none, or one that is too long to matter.
    pub(super) fn string(&self, offset: u64) -> Option<&'data [u8]> {
        let rest = self.strings.get(usize::try_from(offset).ok()?..)?;
        let bounded = rest.get(..MAX_NAME).unwrap_or(rest);
        bounded.split(|byte| *byte == 0).next().filter(|name| name.len() < bounded.len())
    }

    /// Whether the name at `offset` is `name`, which ends in NUL. Costs no more than `name` is long.
    fn is_named(&self, offset: u64, name: &[u8]) -> bool {
        usize::try_from(offset)
            .ok()
            .and_then(|offset| self.strings.get(offset..))
            .is_some_and(|rest| rest.starts_with(name))
    }

    fn needed(&self) -> Result<Vec<String>, ElfError> {
        let name = |offset| self.string(offset).and_then(|name| std::str::from_utf8(name).ok());
        let mut needed = Vec::new();
        for offset in self.values(elf::DT_NEEDED) {
            if needed.len() == MAX_NEEDED {
                return Err(invalid(format!("it needs more than {MAX_NEEDED} libraries")));
            }
            let name =
                name(offset).ok_or_else(|| invalid("the name of a library it needs cannot be read"))?;
            needed.push(name.to_owned());
        }
        Ok(needed)
    }

    /// The dynamic symbols. Only the hash tables say how many there are; a file without one exports nothing that dlsym can find.
    fn symbols(&self) -> &'data [Sym64<LE>] {
        let sysv =
            || Some(HashTable::<Elf>::parse(LE, self.table(elf::DT_HASH)?).ok()?.symbol_table_length());
        let gnu =
            || GnuHashTable::<Elf>::parse(LE, self.table(elf::DT_GNU_HASH)?).ok()?.symbol_table_length(LE);
        let symbols = || {
            let count = gnu().or_else(sysv)?;
            self.table(elf::DT_SYMTAB)?.read_slice_at(0, usize::try_from(count).ok()?).ok()
        };
        symbols().unwrap_or_default()
    }
}

fn is_visible(symbol: &Sym64<LE>) -> bool {
    let bound = [elf::STB_GLOBAL, elf::STB_WEAK, elf::STB_GNU_UNIQUE].contains(&symbol.st_bind());
    bound && ![elf::STV_HIDDEN, elf::STV_INTERNAL].contains(&symbol.st_visibility())
}
