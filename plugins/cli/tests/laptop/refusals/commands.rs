//! The same by `inspect`, `push` and `explain`: what their user is told, and what is let through.

use std::ffi::OsStr;
use std::path::PathBuf;

use hotbay_api::Reason;
use hotbay_e2e::{broken, modules};

use super::{TOO_LARGE, damage, registry, said};
use crate::workshop::{Workshop, yaml};

/// Every way in which a file can be no module that any runtime could load.
fn hopeless() -> Vec<(PathBuf, Reason, &'static str)> {
    let whole = modules::hello("1.0");
    vec![
        (broken::not_elf(), Reason::InvalidElf, "in Rust a cdylib"),
        (broken::truncated(&whole), Reason::InvalidElf, "copy it whole"),
        (broken::unknown_machine(&whole), Reason::WrongArchitecture, "machine number 243"),
        (broken::without_note(&whole), Reason::ManifestInvalid, "no Hotbay manifest"),
        (broken::bad_manifest(&whole), Reason::ManifestInvalid, "not valid JSON"),
        (broken::without_entry(&whole), Reason::MissingSymbol, "hotbay_module_v1"),
    ]
}

/// Every way in which a module may fit others, but not this machine or a usual pool.
fn elsewhere() -> Vec<(PathBuf, Reason, &'static str)> {
    let whole = modules::hello("1.0");
    vec![
        (broken::newer_libc(&whole), Reason::LibcTooOld, "glibc 2.99"),
        (broken::missing_library(&whole), Reason::DependencyMissing, "libnone_.so.1"),
        (broken::padded(&whole, TOO_LARGE), Reason::TooLarge, "maxArtifactSize"),
    ]
}

#[tokio::test]
async fn inspect_names_what_is_wrong_with_a_file() {
    for (file, reason, words) in hopeless() {
        let (success, text) = said(&["inspect".as_ref(), file.as_ref()]).await;
        assert!(!success, "{text}");
        assert!(text.starts_with(&format!("hotbay: {reason}: {}", file.display())), "{text}");
        assert!(text.contains(words) && text.contains("\n  what to do: "), "{text}");
    }
    let here = [
        (broken::other_machine(&modules::hello("1.0")), Reason::WrongArchitecture, "build and push it for"),
        (modules::newer_abi(), Reason::AbiMismatch, "upgrade Hotbay"),
    ];
    for (file, reason, words) in elsewhere().into_iter().chain(here) {
        let (success, text) = said(&["inspect".as_ref(), file.as_ref()]).await;
        assert!(success, "it can be looked at: {text}");
        let line = text.lines().find(|line| line.contains(&format!("{reason}: "))).unwrap_or_default();
        assert!(line.contains(words), "{reason} with {words:?} should be in {text}");
    }
}

#[tokio::test]
async fn push_refuses_what_no_runtime_could_load() {
    let folder = tempfile::tempdir().unwrap();
    let layout = folder.path().join("layout");
    let to = format!("oci:{}:x", layout.display());
    let newer = (modules::newer_abi(), Reason::AbiMismatch, "upgrade Hotbay");
    for (file, reason, words) in hopeless().into_iter().chain([newer]) {
        let (success, text) = said(&["push".as_ref(), file.as_ref(), to.as_ref()]).await;
        assert!(!success && !layout.exists(), "{} left something behind: {text}", file.display());
        assert!(text.starts_with(&format!("hotbay: {reason}: {}", file.display())), "{text}");
        assert!(text.contains(words) && text.contains("\n  what to do: "), "{text}");
    }
}

#[tokio::test]
async fn push_warns_of_what_some_runtimes_could_not_load() {
    let folder = tempfile::tempdir().unwrap();
    let to = format!("oci:{}:x", folder.path().join("layout").display());
    for (file, reason, words) in elsewhere() {
        let (success, text) = said(&["push".as_ref(), file.as_ref(), to.as_ref()]).await;
        assert!(success && text.starts_with(&format!("{to}@sha256:")), "it is pushed: {text}");
        let warning = format!("warning: {}: {reason}: ", file.display());
        let line = text.lines().find(|line| line.starts_with(&warning)).unwrap_or_default();
        assert!(line.contains(words), "{reason} with {words:?} should be in {text}");
    }
    // To build for another machine is usual, and nothing to warn of.
    for file in [modules::hello("1.0"), broken::other_machine(&modules::hello("1.0"))] {
        let (success, text) = said(&["push".as_ref(), file.as_ref(), to.as_ref()]).await;
        assert!(success && !text.contains("warning"), "{text}");
    }
}

#[tokio::test]
async fn check_makes_every_check_of_a_runtime_and_loads_the_module() {
    let module = modules::hello("1.0");
    let (success, text) = said(&["check".as_ref(), module.as_ref()]).await;
    assert!(success && text.lines().skip(1).all(|line| line.starts_with("  ok ")), "{text}");
    for what in [
        "module",
        "platform",
        "abi",
        "libc",
        "libraries",
        "tls",
        "symbols",
        "config",
        "size",
        "probe",
        "start",
        "stop",
    ] {
        assert!(text.contains(&format!("  ok      {what} ")), "{what} should be in {text}");
    }
    let here = [
        (broken::other_machine(&module), Reason::WrongArchitecture, "build and push it for"),
        (modules::newer_abi(), Reason::AbiMismatch, "upgrade Hotbay"),
        (modules::constructor_abort(), Reason::ProbeCrashed, "SIGABRT"),
        (modules::constructor_exit(), Reason::ProbeCrashed, "exit code 0"),
        (modules::constructor_hang(), Reason::ProbeTimeout, "in time"),
    ];
    for (file, reason, words) in hopeless().into_iter().chain(elsewhere()).chain(here) {
        let (success, text) = said(&["check".as_ref(), file.as_ref()]).await;
        let failed: Vec<&str> = text.lines().filter(|line| line.starts_with("  FAILED ")).collect();
        assert!(!success && failed.len() == 1, "{}: {text}", file.display());
        assert!(failed[0].contains(&format!(" {reason}: ")) && failed[0].contains(words), "{text}");
        assert!(text.contains("what to do: "), "{text}");
    }
}

#[tokio::test]
async fn check_tries_the_handlermodules_that_are_for_the_module() {
    let (shop, module) = (Workshop::new(), modules::hello("1.0"));
    let cases = [
        (r#"{"greeting": "Hi"}"#, "/hello", true, "routes and config fit: /hello"),
        (r#"{"greeting": 7}"#, "/hello", false, "ConfigRejected: spec.config.greeting: "),
        ("{}", "hello", false, "RouteInvalid: "),
    ];
    for (config, path, fits, words) in cases {
        let source = "{oci: {reference: registry.example.com/hello:1.0}}";
        let yaml = format!(
            "apiVersion: hotbay.dev/v1alpha1\nkind: HandlerModule\nmetadata: {{name: shop}}\n\
             spec: {{source: {source}, routes: [{{path: \"{path}\", handler: hello}}], config: {config}}}\n"
        );
        shop.save("shop.yaml", &yaml);
        let file = shop.file("shop.yaml");
        let args: [&OsStr; 4] = ["check".as_ref(), module.as_ref(), "--for".as_ref(), file.as_ref()];
        let (success, text) = said(&args).await;
        assert!(success == fits && text.contains(words), "{yaml}: {text}");
    }
    let (success, text) = said(&["check".as_ref(), module.as_ref(), "--for".as_ref(), module.as_ref()]).await;
    assert!(!success && text.contains("failed to read"), "{text}");
}

#[tokio::test]
async fn check_passes_over_the_handlermodules_of_neighbours() {
    let (shop, module) = (Workshop::new(), modules::hello("1.0"));
    let check = async |neighbours: &[(&str, &str)]| {
        let asks = |(name, repository): &(&str, &str)| {
            // Of these hello knows neither the handler nor the config.
            let own = "routes: [{path: /hello, handler: hello}], config: {greeting: Hi}";
            let other = "routes: [{path: /cart, handler: cart}], config: {currency: EUR}";
            yaml(name, &format!("{repository}:1.0"), if *repository == "team/hello" { own } else { other })
        };
        let texts: Vec<String> = neighbours.iter().map(asks).collect();
        shop.save("all.yaml", &texts.join("---\n"));
        let file = shop.file("all.yaml");
        said(&["check".as_ref(), module.as_ref(), "--for".as_ref(), file.as_ref()]).await
    };
    let (success, text) = check(&[("basket", "cart"), ("shop", "team/hello")]).await;
    assert!(success && text.contains("ok      shop       routes and config fit: /hello"), "{text}");
    let words = "-       basket     not tried, it is for another module: registry.example.com/cart\n";
    assert!(text.contains(words), "{text}");

    let (success, text) = check(&[("stage", "stage/till"), ("prod", "prod/till")]).await;
    assert!(!success && text.matches("RouteInvalid").count() == 2, "one name, in two places: {text}");

    let (success, text) = check(&[("basket", "cart"), ("till", "till")]).await;
    assert!(!success && !text.contains("  ok "), "{text}");
    assert!(text.contains("none of them is called hello; name this one's repository so"), "{text}");
}

#[tokio::test]
async fn inspect_and_push_name_what_is_wrong_with_a_registry() {
    let (module, at) =
        (modules::hello("1.0"), async |status| format!("{}/hello:1.0", registry(status).await));
    let cases = [
        ("registry.invalid/hello:1.0".to_owned(), Reason::SourceUnreachable, "Check the host"),
        ("127.0.0.1:1/hello:1.0".to_owned(), Reason::SourceUnreachable, "refused"),
        (at(500).await, Reason::SourceUnreachable, "500"),
        (at(401).await, Reason::SourceUnauthorized, "check the credentials"),
        (at(403).await, Reason::SourceUnauthorized, "check the credentials"),
        (at(404).await, Reason::SourceNotFound, "what to do: "),
    ];
    for (reference, reason, words) in cases {
        let inspect: [&OsStr; 3] = ["inspect".as_ref(), reference.as_ref(), "--plain-http".as_ref()];
        let push: [&OsStr; 4] =
            ["push".as_ref(), module.as_ref(), reference.as_ref(), "--plain-http".as_ref()];
        for args in [&inspect[..], &push[..]] {
            let (success, text) = said(args).await;
            assert!(!success, "{args:?}: {text}");
            assert!(text.starts_with(&format!("hotbay: {reason}: ")), "{args:?}: {text}");
            assert!(text.contains(&reference) && text.contains(words), "{args:?}: {text}");
        }
    }
}

#[tokio::test]
async fn a_registry_without_tls_is_recognized() {
    let reference = format!("{}/hello:1.0", registry(200).await);
    let (success, text) = said(&["inspect".as_ref(), reference.as_ref()]).await;
    assert!(!success && text.contains("SourceUnreachable") && text.contains("--plain-http"), "{text}");
}

#[tokio::test]
async fn inspect_names_damaged_and_missing_artifacts_of_a_layout() {
    let shop = Workshop::new();
    shop.push(&modules::hello("1.0"), "hello:1.0").await;
    damage(&shop.layout(), &modules::hello("1.0"));
    let cases = [("hello:1.0", Reason::DigestMismatch), ("hello:2.0", Reason::SourceNotFound)];
    for (name, reason) in cases {
        let reference = format!("oci:{}:{name}", shop.layout().display());
        let (success, text) = said(&["inspect".as_ref(), reference.as_ref()]).await;
        assert!(!success && text.starts_with(&format!("hotbay: {reason}: ")), "{text}");
        assert!(text.contains(&reference), "{text}");
    }
    let (success, text) = said(&["inspect".as_ref(), "./libnowhere.so".as_ref()]).await;
    assert!(!success && text.contains("there is no file ./libnowhere.so"), "{text}");
}

#[tokio::test]
async fn explain_says_what_the_docs_say() {
    let (success, text) = said(&["explain".as_ref(), "digestmismatch".as_ref()]).await;
    assert!(success && text.starts_with("DigestMismatch: The bytes are not"), "{text}");
    assert!(text.contains("\nwhat to do: ") && text.contains("\ndoes waiting help? Yes"), "{text}");
    let (success, all) = said(&["explain".as_ref()]).await;
    assert!(success && Reason::ALL.iter().all(|reason| all.contains(reason.as_str())), "{all}");
    assert!(all.contains("\nTooLarge             The artifact"), "the words stand in columns: {all}");
    let (success, text) = said(&["explain".as_ref(), "NoSuchWord".as_ref()]).await;
    assert!(!success && text.contains("NoSuchWord"), "{text}");
}
