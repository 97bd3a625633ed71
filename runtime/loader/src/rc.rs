//! What modules answer with, for people.
//!
//! Owns the names of the header's codes. Must not judge them.

use std::fmt;

use hotbay_abi as abi;
use hotbay_abi::Rc;

/// As the header has them.
const NAMES: [(Rc, &str); 9] = [
    (abi::READY, "HB_READY"),
    (abi::PENDING, "HB_PENDING"),
    (abi::EOF, "HB_EOF"),
    (abi::ERR, "HB_ERR"),
    (abi::GONE, "HB_GONE"),
    (abi::LIMIT, "HB_LIMIT"),
    (abi::DENIED, "HB_DENIED"),
    (abi::UNSUPPORTED, "HB_UNSUPPORTED"),
    (abi::PANIC, "HB_PANIC"),
];

/// A code as log lines have it: `rc -1 (HB_ERR)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Named(pub Rc);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(rc) = self;
        let name = NAMES.iter().find(|(known, _)| known == rc).map_or("unknown", |(_, name)| name);
        write!(f, "rc {rc} ({name})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_told_by_number_and_by_the_headers_name() {
        let header = include_str!("../../../plugins/abi/include/hotbay.h");
        for (rc, name) in NAMES {
            let number = if rc < 0 { format!("({rc})") } else { rc.to_string() };
            assert!(
                header.contains(&format!("#define {name} {number} "))
                    || header.contains(&format!("#define {name} {number}\n")),
                "{name}"
            );
            assert_eq!(Named(rc).to_string(), format!("rc {rc} ({name})"));
        }
        assert_eq!([42, -99].map(|rc| Named(rc).to_string()), ["rc 42 (unknown)", "rc -99 (unknown)"]);
    }
}
