//! A file that says that it is a module.

use hotbay_api::Platform;
use hotbay_artifact::elf::MAX_EXPORTS;
use hotbay_artifact::{GlibcVersion, Host, ModuleFacts, check, check_anywhere};

/// Reading any file ends, with facts that are within their bounds or with a reason; and so do the checks of these facts.
pub fn elf(bytes: &[u8]) {
    let facts = match ModuleFacts::read(bytes) {
        Ok(facts) => facts,
        Err(error) => {
            assert!(!error.reason().to_string().is_empty() && !error.to_string().is_empty());
            return;
        }
    };
    assert!(facts.exports.len() <= MAX_EXPORTS && facts.exports.is_sorted(), "{:?}", facts.exports);
    for route in facts.manifest.routes() {
        route.check().expect("a manifest that was read can be routed");
    }
    // A name longer than the file was not in it.
    assert!(facts.needed.iter().chain(&facts.exports).all(|name| name.len() <= 3 * bytes.len()));
    let platform =
        Platform { os: "linux".to_owned(), arch: "amd64".to_owned(), libc: Some("gnu".to_owned()) };
    let host = Host { platform, glibc: Some(GlibcVersion { major: 2, minor: 36 }) };
    // What fits one host fits hosts.
    if check(&facts, &host, &|name| name == "libc.so.6").is_ok() {
        check_anywhere(&facts).expect("what can be loaded somewhere is not refused everywhere");
    }
}
