//! Which glibc a module asks for, and which one a libc is.
//!
//! Owns [`GlibcVersion`] and the two version tables of the dynamic section. They are linked lists in the file; each step must go forward,
//! so that a hostile one ends.

use std::fmt;

use object::elf::{self, Verdaux, Verdef, Vernaux, Verneed};
use object::{LittleEndian as LE, Pod, ReadRef as _};

use super::dynamic::Tables;
use super::image::Image;

/// A version of glibc, such as 2.36.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GlibcVersion {
    /// The 2 of 2.36.
    pub major: u32,
    /// The 36 of 2.36.
    pub minor: u32,
}

impl GlibcVersion {
    /// From a symbol version such as `GLIBC_2.17`; `None` for private and foreign ones.
    fn from_symbol_version(name: &[u8]) -> Option<Self> {
        // No function has this version: glibc 2.36 defines it to say that it understands DT_RELR.
        if name == b"GLIBC_ABI_DT_RELR" {
            return Some(Self { major: 2, minor: 36 });
        }
        let version = std::str::from_utf8(name).ok()?.strip_prefix("GLIBC_")?;
        // A third number, as in 2.2.5, is older than any glibc that can be met: two are enough to compare.
        let mut numbers = version.split('.').map(|number| number.parse().ok());
        Some(Self { major: numbers.next()??, minor: numbers.next()?? })
    }
}

impl fmt::Display for GlibcVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The newest glibc version among those that the file needs.
pub(super) fn newest_glibc_needed(tables: &Tables<'_, '_>) -> Option<GlibcVersion> {
    let table = tables.table(elf::DT_VERNEED)?;
    let mut newest = None;
    for (at, need) in steps::<Verneed<LE>>(table, 0, |need| need.vn_next.get(LE)) {
        let first = at.saturating_add(need.vn_aux.get(LE).into());
        let aux = steps::<Vernaux<LE>>(table, first, |aux| aux.vna_next.get(LE));
        let names = aux
            .take(need.vn_cnt.get(LE).into())
            .filter_map(|(_, aux)| tables.string(aux.vna_name.get(LE).into()));
        newest = newest.max(names.filter_map(GlibcVersion::from_symbol_version).max());
    }
    newest
}

/// The newest glibc version that a libc defines: exactly what the dynamic linker compares with. `None` if it is no glibc.
pub(crate) fn newest_glibc_defined(libc: &[u8]) -> Option<GlibcVersion> {
    let image = Image::parse(libc).ok()?;
    let tables = Tables::find(&image).ok()?;
    let table = tables.table(elf::DT_VERDEF)?;
    let names = steps::<Verdef<LE>>(table, 0, |def| def.vd_next.get(LE)).filter_map(|(at, def)| {
        let aux: &Verdaux<LE> = table.read_at(at.checked_add(def.vd_aux.get(LE).into())?).ok()?;
        tables.string(aux.vda_name.get(LE).into())
    });
    names.filter_map(GlibcVersion::from_symbol_version).max()
}

/// Follows a list whose items say how far ahead the next one is; 0 ends it, and so does the end of the table.
fn steps<T: Pod>(table: &[u8], first: u64, next: impl Fn(&T) -> u32) -> impl Iterator<Item = (u64, &T)> {
    // Items of a true table do not overlap. Steps shorter than an item would let a hostile file of n bytes ask for n steps at each
    // of n places.
    let shortest = size_of::<T>() as u64;
    let mut at = Some(first);
    std::iter::from_fn(move || {
        let here = at?;
        let item: &T = table.read_at(here).ok()?;
        at = Some(u64::from(next(item)))
            .filter(|step| *step >= shortest)
            .and_then(|step| here.checked_add(step));
        Some((here, item))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbol_versions_are_compared_as_numbers() {
        let version = |name: &str| GlibcVersion::from_symbol_version(name.as_bytes());
        assert!(version("GLIBC_2.4") < version("GLIBC_2.36"));
        assert_eq!(version("GLIBC_2.2.5").unwrap().to_string(), "2.2");
        for other in ["GLIBC_PRIVATE", "GLIBC_", "GLIBC_2", "GCC_3.0", "GLIBCXX_3.4"] {
            assert_eq!(version(other), None, "{other} says nothing about glibc");
        }
    }
}
