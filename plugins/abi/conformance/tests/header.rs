//! The header's helpers do what they say with every compiler and linker that they are for: the notes are in the file, whole, aligned, whatever is stripped.

#![allow(clippy::unwrap_used, clippy::panic, reason = "all of it is tests")]

use std::path::Path;
use std::process::Command;

use hotbay_artifact::{ModuleFacts, check_anywhere};

/// A module that says nothing, and yet uses every helper. NAME is part of the manifest, so its length moves what is behind it.
const SOURCE: &str = r#"#include "hotbay.h"
HB_MODULE_NOTES(HB_JSON({
  "manifest": 1, "name": "NAME", "version": "1.0", "sdk": "c",
  "handlers": [{"name": "h", "methods": ["GET"], "path": "/h/{id}"}],
  "configSchema": {"$schema": "https://json-schema.org/draft/2020-12/schema", "properties": {"p": {"pattern": "^\\d+\"$"}}}
}));
static const hb_header headers[] = {HB_HEADER_INIT("content-type", "text/plain"), {HB_STR_INIT("a"), HB_STR_INIT("")}};
static hb_rc create(const hb_config *config, hb_h self, void **instance) {
  const hb_str text = HB_STR("abc");
  *instance = (void *)0;
  return config->size && self && text.len == 3 && headers[0].name.len == 12 && headers[1].value.len == 0 ? HB_READY : HB_ERR;
}
static hb_rc of_instance(void *instance, hb_h self) { return instance && self ? HB_ERR : HB_READY; }
static void destroy(void *instance) { (void)instance; }
static hb_rc start(void *instance, hb_h call, const hb_request *request, void **state) {
  *state = instance;
  return call && request->size ? HB_GONE : HB_ERR;
}
static void drop(void *state, int32_t why) { (void)state, (void)why; }
static const hb_module module = {sizeof(hb_module), HB_ABI_MINOR, HB_MOD_PANIC_UNWIND, 1, create, of_instance, of_instance,
                                 destroy, start, of_instance, drop, 0};
const hb_module *hotbay_module_v1(const hb_host *host) { return host->size < sizeof(hb_host) ? 0 : &module; }
"#;

const STRICT: [&str; 11] = [
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wconversion",
    "-Werror",
    "-fPIC",
    "-fvisibility=hidden",
    "-ffunction-sections",
    "-fdata-sections",
    "-nostdlib",
    "-ffreestanding",
];

/// Builds the module, and reads it as a host does.
fn built(compiler: &str, flags: &[&str], name: &str) -> ModuleFacts {
    built_in_steps(compiler, flags, &[], name)
}

/// As [`built`]; the linker does not see these flags.
fn built_in_two_steps(compiler: &str, flags: &[&str], name: &str) -> ModuleFacts {
    built_in_steps(compiler, &[], flags, name)
}

fn built_in_steps(compiler: &str, flags: &[&str], compile_only: &[&str], name: &str) -> ModuleFacts {
    let folder = tempfile::tempdir().unwrap();
    let extension = if compiler.ends_with("++") { "cc" } else { "c" };
    let [source, object, file] =
        [extension, "o", "so"].map(|extension| folder.path().join(format!("m.{extension}")));
    std::fs::write(&source, SOURCE.replace("NAME", name)).unwrap();
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("../include");
    let mut compile = Command::new(compiler);
    // The linker's flags are among them.
    compile.args(STRICT).args(flags).arg("-Wno-unused-command-line-argument");
    compile.args(compile_only).arg("-I").arg(include);
    run(compile.arg("-c").arg("-o").arg(&object).arg(&source));
    let mut link = Command::new(compiler);
    link.args(STRICT).args(flags).args(["-shared", "-Wl,--gc-sections,-s"]);
    run(link.arg("-o").arg(&file).arg(&object));
    ModuleFacts::read(&std::fs::read(file).unwrap())
        .unwrap_or_else(|error| panic!("{compiler} {flags:?}: {error}"))
}

fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?} must be installed (`make deps`): {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn is_whole(compiler: &str, flags: &[&str], arch: &str) {
    // Each length that the JSON can have beside a multiple of four.
    for name in ["n", "na", "nam", "name"] {
        let facts = built(compiler, flags, name);
        assert_eq!((facts.manifest.name.as_str(), facts.platform.arch.as_str()), (name, arch));
        assert_eq!(facts.exports, ["hotbay_module_v1"], "{compiler} {flags:?}");
        let pattern = &facts.manifest.config_schema.as_ref().unwrap()["properties"]["p"]["pattern"];
        assert_eq!(pattern.as_str(), Some(r#"^\d+"$"#), "{compiler} {flags:?}");
        check_anywhere(&facts).unwrap();
    }
}

#[test]
fn gcc_keeps_the_notes() {
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    is_whole("gcc", &["-std=c11", "-O2"], arch);
    is_whole("gcc", &["-std=c11", "-O0"], arch);
    is_whole("gcc", &["-std=c11", "-O2", "-flto"], arch);
    is_whole("g++", &["-std=c++17", "-O2"], arch);
}

#[test]
fn clang_keeps_the_notes() {
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    is_whole("clang", &["-std=c11", "-O2"], arch);
    is_whole("clang", &["-std=c11", "-O2", "-fuse-ld=lld"], arch);
    is_whole("clang", &["-std=c11", "-O2", "-flto", "-fuse-ld=lld"], arch);
    is_whole("clang++", &["-std=c++17", "-O2"], arch);
}

#[test]
fn an_address_sanitizer_does_not_pad_them() {
    for compiler in ["gcc", "clang", "clang++"] {
        // Compiled so and linked by hand: a host that is built so brings the sanitizer's runtime.
        let facts = built_in_two_steps(compiler, &["-fsanitize=address"], "padded");
        assert_eq!(facts.manifest.name.as_str(), "padded", "{compiler}");
    }
}

#[test]
fn they_are_there_for_the_other_machine_too() {
    for (target, arch) in [("x86_64-linux-gnu", "amd64"), ("aarch64-linux-gnu", "arm64")] {
        let target = format!("--target={target}");
        is_whole("clang", &["-std=c11", "-O2", "-fuse-ld=lld", &target], arch);
        is_whole("clang++", &["-std=c++17", "-O2", "-fuse-ld=lld", &target], arch);
    }
}
