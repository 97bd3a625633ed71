//! Reads real shared objects, made by the C compiler from source, and every way to break them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in tests they are how a claim fails"
)]

use std::path::Path;
use std::process::Command;

use hotbay_api::{Platform, Reason};
use hotbay_artifact::{Abi, BrokenNote, ElfError, Host, ModuleFacts, check, host};

/// What a test module is made of; starts from one that is whole.
struct Source {
    manifests: Vec<&'static str>,
    abi: Option<&'static str>,
    code: &'static str,
    flags: Vec<&'static str>,
}

const MANIFEST: &str = r#"{"manifest":1,"name":"tiny","version":"1.0","sdk":"c","handlers":[{"name":"h","methods":["GET"],"path":"/h"}]}"#;
const ENTRY: &str = "const void *hotbay_module_v1(const void *host) { return host; }";

impl Source {
    fn whole() -> Self {
        Self { manifests: vec![MANIFEST], abi: Some("1, 0, 1, 0"), code: ENTRY, flags: vec!["-nostdlib"] }
    }

    fn build(&self) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let [source, output] = ["module.c", "module.so"].map(|name| folder.path().join(name));
        let notes =
            self.manifests.iter().enumerate().map(|(index, json)| note(&format!("manifest{index}"), 1, json));
        let abi = self.abi.map(|words| {
            format!("NOTE static const struct {{ unsigned n[3]; char name[8]; unsigned short v[4]; }} abi = {{{{7, 8, 2}}, \"Hotbay\", {{{words}}}}};\n")
        });
        let define = "#define NOTE __attribute__((section(\".note.hotbay\"), used, aligned(4)))\n".to_owned();
        let text: String =
            [define].into_iter().chain(notes).chain(abi).chain([self.code.to_owned()]).collect();
        std::fs::write(&source, text).unwrap();
        compile(&source, &output, &self.flags);
        std::fs::read(output).unwrap()
    }
}

fn note(name: &str, kind: u32, json: &str) -> String {
    let padded = json.len().next_multiple_of(4);
    format!(
        "NOTE static const struct {{ unsigned n[3]; char name[8]; char json[{padded}]; }} {name} = {{{{7, {}, {kind}}}, \"Hotbay\", {json:?}}};\n",
        json.len()
    )
}

fn compile(source: &Path, output: &Path, flags: &[&str]) {
    let status = Command::new("gcc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([output, source])
        .args(flags)
        .status()
        .expect("gcc must be installed; run make deps");
    assert!(status.success(), "gcc must build the test's module");
}

/// What `sstrip` leaves: no section table.
fn without_sections(mut elf: Vec<u8>) -> Vec<u8> {
    let table = usize::try_from(u64::from_le_bytes(elf[40..48].try_into().unwrap())).unwrap();
    elf.truncate(table);
    elf[40..48].fill(0);
    elf[58..64].fill(0);
    elf
}

fn refuses(break_it: fn(&mut Source), reason: Reason, words: &str) {
    let mut source = Source::whole();
    break_it(&mut source);
    let error = ModuleFacts::read(&source.build()).unwrap_err();
    assert_eq!(error.reason(), reason, "{error}");
    assert!(error.to_string().contains(words), "{error} must say {words:?}");
}

#[test]
fn a_whole_module_tells_its_facts_with_and_without_sections() {
    let elf = Source::whole().build();
    let facts = ModuleFacts::read(&elf).unwrap();
    assert_eq!(facts.manifest.name, "tiny");
    assert_eq!(facts.abi, Abi { major: 1, minor: 0, flags: 1 });
    assert_eq!(facts.platform, Platform { libc: None, ..Platform::current() });
    assert_eq!(facts.exports, ["hotbay_module_v1"]);
    assert_eq!((facts.needed.len(), facts.min_glibc), (0, None));
    assert!(!facts.static_tls && !facts.imports_unwind);
    assert_eq!(ModuleFacts::read(&without_sections(elf)).unwrap(), facts);
}

#[test]
fn a_module_with_libc_tells_what_it_needs_and_fits_this_machine() {
    let mut source = Source::whole();
    source.code = "#include <stdio.h>\n extern void _Unwind_RaiseException(void);\n int also;\n\
        const void *hotbay_module_v1(const void *host) { puts(\"\"); _Unwind_RaiseException(); return host; }";
    source.flags = vec!["-lgcc_s"];
    let facts = ModuleFacts::read(&source.build()).unwrap();
    assert_eq!(facts.platform, Platform::current());
    assert_eq!(facts.needed, ["libgcc_s.so.1", "libc.so.6"]);
    assert_eq!(facts.exports, ["also", "hotbay_module_v1"]);
    assert!(facts.imports_unwind, "the import of _Unwind_RaiseException must be seen");
    let here = Host::current();
    assert!(facts.min_glibc.is_some() && facts.min_glibc <= here.glibc, "{:?}", facts.min_glibc);
    assert_eq!(check(&facts, &here, &host::library_exists), Ok(()));
}

#[test]
fn static_tls_is_seen() {
    let mut source = Source::whole();
    source.code = "__thread int slot __attribute__((tls_model(\"initial-exec\")));\n\
        const void *hotbay_module_v1(const void *host) { return slot++ ? host : 0; }";
    assert!(ModuleFacts::read(&source.build()).unwrap().static_tls);
}

#[test]
fn what_is_no_module_is_refused_with_its_reason() {
    refuses(
        |source| (source.manifests.clear(), source.abi = None).1,
        Reason::ManifestInvalid,
        "no Hotbay manifest",
    );
    refuses(
        |source| source.manifests.clear(),
        Reason::ManifestInvalid,
        "(an ELF note called Hotbay, of type 1, in a PT_NOTE segment)",
    );
    refuses(|source| source.manifests.push(MANIFEST), Reason::ManifestInvalid, "2 Hotbay manifests");
    refuses(|source| source.manifests = vec!["{}"], Reason::ManifestInvalid, "not valid");
    refuses(|source| source.abi = None, Reason::AbiMismatch, "which ABI");
    refuses(|source| source.code = "int x;", Reason::MissingSymbol, "hotbay_module_v1");
    refuses(|source| source.code = "static int x;", Reason::MissingSymbol, "hotbay_module_v1");
    refuses(
        |source| source.code = "__attribute__((visibility(\"hidden\"))) int hotbay_module_v1; int x;",
        Reason::MissingSymbol,
        "hotbay_module_v1",
    );
}

/// Where the note of this type begins; its name is ours.
fn note_of(elf: &[u8], kind: u32) -> usize {
    let head = [&kind.to_le_bytes()[..], b"Hotbay\0\0"].concat();
    elf.windows(head.len()).position(|bytes| bytes == head).expect("the note is there") - 8
}

fn set_word(elf: &mut [u8], at: usize, word: u32) {
    elf[at..at + 4].copy_from_slice(&word.to_le_bytes());
}

#[test]
fn a_note_that_is_longer_than_its_segment_is_told_with_its_place() {
    for kind in [1, 2] {
        let mut elf = Source::whole().build();
        let at = note_of(&elf, kind);
        set_word(&mut elf, at + 4, 0x00ff_ffff);
        let error = ModuleFacts::read(&elf).unwrap_err();
        assert_eq!(error.reason(), Reason::ManifestInvalid, "{error}");
        let words = [
            &format!("the note at byte {at:#x} of the file ends beyond"),
            "name_size is 7",
            "desc_size 16777215",
        ];
        assert!(words.iter().all(|words| error.to_string().contains(*words)), "{error}");
        let ElfError::BrokenNote(BrokenNote::Beyond { left, .. }) = error else { panic!("{error:?}") };
        assert!(left < 1000, "what follows in the segment, not in the file: {left}");
    }
}

#[test]
fn notes_that_nobody_can_step_through_are_told_with_their_alignment() {
    let mut source = Source::whole();
    source.code = "__attribute__((section(\".note.hotbay\"), used, aligned(16))) static const int more[4] = {0};\n\
        const void *hotbay_module_v1(const void *host) { return host; }";
    let error = ModuleFacts::read(&source.build()).unwrap_err();
    assert!(matches!(error, ElfError::BrokenNote(BrokenNote::Alignment { align: 16, .. })), "{error:?}");
    assert!(error.to_string().contains("aligned to 16; align what is in .note.hotbay to 4"), "{error}");
}

#[test]
fn a_broken_note_of_another_tool_is_no_reason_to_refuse() {
    const OTHER: &str = "__attribute__((section(\".note.other\"), used, aligned(8))) static const struct { unsigned n[3]; char name[4]; } \
        other = {{4, 1000, 1}, \"GNU\"};\nconst void *hotbay_module_v1(const void *host) { return host; }";
    let mut source = Source::whole();
    source.code = OTHER;
    assert_eq!(ModuleFacts::read(&source.build()).unwrap().manifest.name, "tiny");
    // Nor is it told before what is ours is missing: then it may have been in there.
    source.manifests.clear();
    let error = ModuleFacts::read(&source.build()).unwrap_err();
    assert!(matches!(error, ElfError::BrokenNote(BrokenNote::Beyond { desc_size: 1000, .. })), "{error:?}");
}

#[test]
fn a_name_of_another_size_is_taken_and_told() {
    let mut elf = Source::whole().build();
    assert_eq!(ModuleFacts::read(&elf).unwrap().odd_name_size, None);
    for size in [8, 6] {
        let at = note_of(&elf, 1);
        set_word(&mut elf, at, size);
        let facts = ModuleFacts::read(&elf).unwrap();
        assert_eq!((facts.manifest.name.as_str(), facts.odd_name_size), ("tiny", Some(size)));
    }
}

#[test]
fn an_entry_that_the_dynamic_linker_would_skip_is_missing() {
    const SHT_DYNSYM: u32 = 11;
    const STV_HIDDEN: u8 = 2;
    let mut elf = Source::whole().build();
    let number = |elf: &[u8], at: usize| {
        usize::try_from(u64::from_le_bytes(elf[at..at + 8].try_into().unwrap())).unwrap()
    };
    let sections = number(&elf, 40);
    let header = (sections..elf.len())
        .step_by(64)
        .find(|at| elf[at + 4..at + 8] == SHT_DYNSYM.to_le_bytes())
        .expect("a shared object has dynamic symbols");
    let (offset, size) = (number(&elf, header + 24), number(&elf, header + 32));
    for symbol in (offset..offset + size).step_by(24) {
        elf[symbol + 5] = STV_HIDDEN;
    }
    assert_eq!(ModuleFacts::read(&elf).unwrap_err().reason(), Reason::MissingSymbol);
}

#[test]
fn of_another_abi_the_number_is_the_fault_not_what_cannot_be_read() {
    let newer = |source: &mut Source| source.abi = Some("2, 0, 0, 0");
    let mut source = Source::whole();
    newer(&mut source);
    assert_eq!(ModuleFacts::read(&source.build()).unwrap().abi.major, 2, "tools can show a newer module");
    refuses(
        |source| (source.abi = Some("2, 0, 0, 0"), source.manifests = vec![r#"{"manifest":2}"#]).1,
        Reason::AbiMismatch,
        "ABI 2.0",
    );
    refuses(
        |source| (source.abi = Some("2, 0, 0, 0"), source.code = "int x;").1,
        Reason::AbiMismatch,
        "ABI 2.0",
    );
}

#[test]
fn other_files_are_refused_with_their_reason() {
    let elf = Source::whole().build();
    let with = |at: usize, byte: u8| {
        let mut elf = elf.clone();
        elf[at] = byte;
        ModuleFacts::read(&elf).unwrap_err().reason()
    };
    assert_eq!(with(0, 0), Reason::InvalidElf);
    assert_eq!(with(4, 1), Reason::WrongArchitecture, "32 bits");
    assert_eq!(with(5, 2), Reason::WrongArchitecture, "big-endian");
    assert_eq!(with(16, 1), Reason::InvalidElf, "a relocatable file");
    assert_eq!(with(18, 243), Reason::WrongArchitecture, "RISC-V");
    let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    assert!(matches!(ModuleFacts::read(&own), Err(ElfError::Invalid(_))), "a program is no shared object");
}

#[test]
fn every_truncation_is_refused() {
    let elf = Source::whole().build();
    for length in 0..elf.len() {
        let error = ModuleFacts::read(&elf[..length]).expect_err("a file that is cut short must be refused");
        assert_eq!(error.reason(), Reason::InvalidElf, "{length} of {} bytes: {error}", elf.len());
    }
}

#[test]
fn broken_bytes_never_panic() {
    let whole = Source::whole().build();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64; // any seed: the run is the same each time
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let mut read = 0;
    for base in [without_sections(whole.clone()), whole] {
        // Most of the file is padding: half of the flips go to the first KiB, where headers and notes lie.
        for round in 0..60_000 {
            let mut elf = base.clone();
            for _ in 0..=random(4) {
                let within = if round % 2 == 0 { 1024 } else { elf.len() };
                let at = random(within);
                elf[at] =
                    [0, 0xff, elf[at] ^ (1 << random(8)), u8::try_from(random(256)).unwrap()][random(4)];
            }
            read += usize::from(ModuleFacts::read(&elf).is_ok());
        }
        for length in 0..base.len() {
            let _ = ModuleFacts::read(&base[..length]);
        }
    }
    assert!(read > 0, "some flips hit padding, so that some files must still be read");
}
