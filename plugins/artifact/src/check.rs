//! Whether a host can load a module.
//!
//! Owns the decision, from facts alone; the caller says which host and which libraries. The operator uses [`check_abi`] only, because its
//! own machine is not the one that loads.

use hotbay_abi::{ABI_MAJOR, ABI_MINOR};
use hotbay_api::{Platform, Reason};

use crate::{Abi, GlibcVersion, Host, ModuleFacts};

/// Why a host cannot load a module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// Another machine or another libc.
    #[error("the module is built for {module} and this runtime is {host}; build and push it for {host} too")]
    Platform {
        /// The module's.
        module: String,
        /// The host's.
        host: String,
    },
    /// Another major version, or a minor version that is newer.
    #[error(
        "the module is built for ABI {major}.{minor} and ABI {ABI_MAJOR}.{ABI_MINOR} is served here; \
         {}", if *.newer { "upgrade Hotbay, or build the module with an older SDK or hotbay.h" } else { "build the module with the current SDK or hotbay.h" }
    )]
    Abi {
        /// The module's.
        major: u16,
        /// The module's.
        minor: u16,
        /// Whether an upgrade of Hotbay would help.
        newer: bool,
    },
    /// The ABI's flags ask for what this version does not know.
    #[error(
        "the module needs ABI features {0:#010x}, which are not known here; upgrade Hotbay, or clear these bits of the note's flags"
    )]
    AbiFlags(u32),
    /// Built on a newer system than it runs on.
    #[error(
        "the module needs glibc {module} and this runtime has {host}; build it on a system with glibc {host} or older"
    )]
    Libc {
        /// The oldest that has all that it asks for.
        module: GlibcVersion,
        /// The host's.
        host: GlibcVersion,
    },
    /// A shared library is not there.
    #[error("the module needs {}, which this runtime does not have; link statically what is not libc", .0.join(", "))]
    Dependency(Vec<String>),
    /// Late loading has little room for static TLS.
    #[error(
        "the module uses static thread-local storage, which may not fit when loaded late; build it without an allocator of its own and \
         without -ftls-model=initial-exec"
    )]
    StaticTls,
}

impl CheckError {
    /// What the status says. Waiting helps for none of them.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Platform { .. } => Reason::WrongArchitecture,
            Self::Abi { .. } | Self::AbiFlags(_) => Reason::AbiMismatch,
            Self::Libc { .. } => Reason::LibcTooOld,
            Self::Dependency(_) => Reason::DependencyMissing,
            Self::StaticTls => Reason::StaticTls,
        }
    }
}

/// One thing that must fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aspect {
    /// Machine and kind of libc.
    Platform,
    /// The ABI's version and flags.
    Abi,
    /// The libc's version.
    Libc,
    /// Shared libraries.
    Libraries,
    /// Room for static thread-local storage.
    Tls,
}

impl Aspect {
    /// All, the one hardest to overcome first.
    pub const ALL: [Self; 5] = [Self::Platform, Self::Abi, Self::Libc, Self::Libraries, Self::Tls];

    /// Whether `host` fits the module in this; `library_exists` says whether the dynamic linker would find a library by that name.
    ///
    /// # Errors
    /// When it does not.
    pub fn check(
        self,
        facts: &ModuleFacts,
        host: &Host,
        library_exists: &dyn Fn(&str) -> bool,
    ) -> Result<(), CheckError> {
        match self {
            Self::Platform => check_platform(&facts.platform, &host.platform),
            Self::Abi => check_abi(facts.abi),
            Self::Libc => check_libc(facts.min_glibc, host.glibc),
            Self::Libraries => check_libraries(&facts.needed, library_exists),
            Self::Tls if facts.static_tls => Err(CheckError::StaticTls),
            Self::Tls => Ok(()),
        }
    }
}

/// Whether `host` can load the module; `library_exists` says whether the dynamic linker would find a library by that name.
///
/// # Errors
/// Names the first obstacle, in the order of [`Aspect::ALL`].
pub fn check(
    facts: &ModuleFacts,
    host: &Host,
    library_exists: &dyn Fn(&str) -> bool,
) -> Result<(), CheckError> {
    Aspect::ALL.into_iter().try_for_each(|aspect| aspect.check(facts, host, library_exists))
}

/// Whether any host of this version could load the module.
///
/// # Errors
/// When none could, whatever its machine, libc and libraries.
pub fn check_anywhere(facts: &ModuleFacts) -> Result<(), CheckError> {
    check_abi(facts.abi)?;
    if facts.static_tls { Err(CheckError::StaticTls) } else { Ok(()) }
}

/// Whether this version of Hotbay serves modules of that ABI, whatever the machine.
///
/// # Errors
/// When the major version is another, the minor one newer, or a feature is not known.
pub fn check_abi(abi: Abi) -> Result<(), CheckError> {
    let Abi { major, minor, flags } = abi;
    if major != ABI_MAJOR || minor > ABI_MINOR {
        return Err(CheckError::Abi { major, minor, newer: (major, minor) > (ABI_MAJOR, ABI_MINOR) });
    }
    let must_know = flags & 0xffff_0000;
    if must_know != 0 { Err(CheckError::AbiFlags(must_know)) } else { Ok(()) }
}

/// A module that uses no libc runs beside any.
fn check_platform(module: &Platform, host: &Platform) -> Result<(), CheckError> {
    let same_machine = module.os == host.os && module.arch == host.arch;
    let same_libc = module.libc.is_none() || host.libc.is_none() || module.libc == host.libc;
    if same_machine && same_libc {
        return Ok(());
    }
    Err(CheckError::Platform { module: module.to_string(), host: host.to_string() })
}

/// A host that does not know its glibc leaves this to the dynamic linker, which says the same less well.
fn check_libc(module: Option<GlibcVersion>, host: Option<GlibcVersion>) -> Result<(), CheckError> {
    match (module, host) {
        (Some(module), Some(host)) if module > host => Err(CheckError::Libc { module, host }),
        _ => Ok(()),
    }
}

fn check_libraries(needed: &[String], exists: &dyn Fn(&str) -> bool) -> Result<(), CheckError> {
    let missing: Vec<String> = needed.iter().filter(|name| !exists(name)).cloned().collect();
    if missing.is_empty() { Ok(()) } else { Err(CheckError::Dependency(missing)) }
}

#[cfg(test)]
mod tests {
    use hotbay_api::Platform;

    use super::*;
    use crate::Manifest;

    fn version(minor: u32) -> GlibcVersion {
        GlibcVersion { major: 2, minor }
    }

    fn host() -> Host {
        let platform = Platform { os: "linux".into(), arch: "amd64".into(), libc: Some("gnu".into()) };
        Host { platform, glibc: Some(version(36)) }
    }

    fn facts() -> ModuleFacts {
        let json = br#"{"manifest":1,"name":"m","version":"1","handlers":[{"name":"h","path":"/"}]}"#;
        ModuleFacts {
            manifest: Manifest::parse(json).unwrap(),
            abi: Abi { major: ABI_MAJOR, minor: ABI_MINOR, flags: 1 },
            platform: host().platform,
            needed: vec!["libc.so.6".into()],
            min_glibc: Some(version(36)),
            exports: vec![],
            static_tls: false,
            imports_unwind: true,
            odd_name_size: None,
        }
    }

    fn refuses(break_it: fn(&mut ModuleFacts), reason: Reason, words: &str) {
        let mut facts = facts();
        break_it(&mut facts);
        let error = check(&facts, &host(), &|name| name == "libc.so.6").unwrap_err();
        assert_eq!(error.reason(), reason);
        assert!(error.to_string().contains(words), "{error} must say {words:?}");
    }

    #[test]
    fn a_fitting_module_is_accepted_with_any_or_no_libc() {
        assert_eq!(check(&facts(), &host(), &|name| name == "libc.so.6"), Ok(()));
        let mut freestanding = facts();
        freestanding.platform.libc = None;
        freestanding.needed.clear();
        assert_eq!(check(&freestanding, &host(), &|_| false), Ok(()));
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_reason() {
        refuses(|facts| facts.platform.arch = "arm64".into(), Reason::WrongArchitecture, "linux/arm64");
        refuses(|facts| facts.platform.libc = Some("musl".into()), Reason::WrongArchitecture, "musl");
        refuses(|facts| facts.abi.major += 1, Reason::AbiMismatch, "upgrade Hotbay");
        refuses(|facts| facts.abi.minor += 1, Reason::AbiMismatch, "upgrade Hotbay");
        refuses(|facts| facts.abi.flags = 1 << 16, Reason::AbiMismatch, "0x00010000");
        refuses(|facts| facts.min_glibc = Some(version(37)), Reason::LibcTooOld, "needs glibc 2.37");
        refuses(|facts| facts.needed.push("libfoo.so.1".into()), Reason::DependencyMissing, "libfoo.so.1");
        refuses(|facts| facts.static_tls = true, Reason::StaticTls, "static");
    }

    #[test]
    fn only_what_lies_with_the_module_itself_is_refused_for_every_host() {
        let verdict = |break_it: fn(&mut ModuleFacts)| {
            let mut facts = facts();
            break_it(&mut facts);
            check_anywhere(&facts).map_err(|error| error.reason())
        };
        assert_eq!(verdict(|_| {}), Ok(()));
        assert_eq!(verdict(|facts| facts.platform.arch = "arm64".into()), Ok(()));
        assert_eq!(verdict(|facts| facts.min_glibc = Some(version(99))), Ok(()));
        assert_eq!(verdict(|facts| facts.needed.push("libfoo.so.1".into())), Ok(()));
        assert_eq!(verdict(|facts| facts.abi.major += 1), Err(Reason::AbiMismatch));
        assert_eq!(verdict(|facts| facts.static_tls = true), Err(Reason::StaticTls));
    }
}
