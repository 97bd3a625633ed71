//! What the linker makes of a module: its notes lie where a host looks for them, and nothing but the entry is exported.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, outside their functions"
)]

use std::path::PathBuf;
use std::process::Command;

use hotbay_abi::{ABI_MAJOR, ABI_MINOR, MOD_PANIC_UNWIND, NOTE_ABI, NOTE_MANIFEST};
use object::LittleEndian as LE;
use object::elf::FileHeader64;
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use object::read::{Object as _, ObjectSymbol as _};
use serde_json::{Value, json};

type Elf<'data> = object::read::elf::ElfFile64<'data, LE>;

/// Builds the hello module as a user would, and reads the file that Cargo says it made.
fn hello() -> Vec<u8> {
    let output = Command::new(env!("CARGO"))
        .args(["build", "-p", "hello", "--message-format=json", "--manifest-path"])
        .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/hello/Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).unwrap();
    let files = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).unwrap();
        Some(
            message["filenames"]
                .as_array()?
                .iter()
                .map(|name| name.as_str().unwrap().to_owned())
                .collect::<Vec<_>>(),
        )
    });
    let module = files.flatten().find(|name| name.ends_with("/libhello.so")).expect("libhello.so");
    std::fs::read(module).unwrap()
}

fn notes(bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let header = FileHeader64::<LE>::parse(bytes).unwrap();
    let segments = header.program_headers(LE, bytes).unwrap();
    let mut found = Vec::new();
    for segment in segments {
        let Some(mut notes) = segment.notes(LE, bytes).unwrap() else { continue };
        while let Some(note) = notes.next().unwrap() {
            if note.name() == b"Hotbay" {
                found.push((note.n_type(LE).0, note.desc().to_vec()));
            }
        }
    }
    found
}

#[test]
fn a_built_module_has_both_notes_in_a_note_segment_and_exports_its_entry_alone() {
    let bytes = hello();
    let [(NOTE_ABI, abi), (NOTE_MANIFEST, manifest)] = &notes(&bytes)[..] else {
        panic!("{:?}", notes(&bytes))
    };
    let numbers = [ABI_MAJOR.to_le_bytes(), ABI_MINOR.to_le_bytes()].concat();
    assert_eq!(*abi, [numbers, MOD_PANIC_UNWIND.to_le_bytes().to_vec()].concat());

    let manifest: Value = serde_json::from_slice(manifest).unwrap();
    let schema: Value =
        serde_json::from_str(include_str!("../../examples/hello/config.schema.json")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let expected = json!({
        "manifest": 1, "name": "hello", "version": version, "sdk": format!("hotbay-sdk/{version}"),
        "handlers": [{"name": "hello", "methods": ["GET"], "path": "/hello"}], "configSchema": schema,
    });
    assert_eq!(manifest, expected);

    let elf = Elf::parse(&*bytes).unwrap();
    let exported: Vec<_> = elf
        .dynamic_symbols()
        .filter(|symbol| symbol.is_definition())
        .map(|symbol| symbol.name().unwrap())
        .collect();
    assert_eq!(exported, ["hotbay_module_v1"]);
}
