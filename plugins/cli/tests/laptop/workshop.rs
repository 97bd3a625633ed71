//! A user's folder: YAML files, and an image layout that stands for registry.example.com.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hotbay_e2e::laptop::{Laptop, command};
use hotbay_e2e::shipped;
use tempfile::TempDir;

/// The program under test, as `cargo test` built it.
pub const HOTBAY: &str = env!("CARGO_BIN_EXE_hotbay");
/// What the two builds of hello answer.
pub const V1: &str = "Hello from Hotbay 1.0\n";
pub const V2: &str = "Hello from Hotbay 2.0\n";

pub struct Workshop {
    folder: TempDir,
}

impl Workshop {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("modules")).unwrap();
        Self { folder }
    }

    /// The folder that `hotbay run` is given.
    pub fn modules(&self) -> PathBuf {
        self.folder.path().join("modules")
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.modules().join(name)
    }

    /// Writes a file of it as careful editors do.
    pub fn save(&self, name: &str, text: &str) {
        let temporary = self.folder.path().join("saved");
        fs::write(&temporary, text).unwrap();
        fs::rename(&temporary, self.file(name)).unwrap();
    }

    /// Puts a module beside and renames it into the folder.
    pub fn drop_in(&self, name: &str, module: &Path) {
        let temporary = self.folder.path().join("dropped");
        fs::copy(module, &temporary).unwrap();
        fs::rename(&temporary, self.file(name)).unwrap();
    }

    /// The image layout.
    pub fn layout(&self) -> PathBuf {
        self.folder.path().join("layout")
    }

    /// `hotbay push`es a module as registry.example.com's `name`.
    pub async fn push(&self, module: &Path, name: &str) {
        let to = format!("oci:{}:{name}", self.layout().display());
        let output = command(HOTBAY, &["push".as_ref(), module.as_ref(), to.as_ref()]).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// `hotbay run` on the folder, with the layout as a mirror.
    pub async fn run(&self) -> Laptop {
        self.run_paths(&[self.modules()]).await
    }

    /// The same by the program that users get: what is loaded is what is shipped.
    pub async fn run_shipped(&self) -> Laptop {
        let hotbay = tokio::task::spawn_blocking(shipped::hotbay).await.unwrap();
        self.run_program(&hotbay, &[self.modules()]).await
    }

    /// `hotbay run` on these paths, with the layout as a mirror.
    pub async fn run_paths(&self, paths: &[PathBuf]) -> Laptop {
        self.run_program(HOTBAY.as_ref(), paths).await
    }

    async fn run_program(&self, hotbay: &Path, paths: &[PathBuf]) -> Laptop {
        let mirror = format!("registry.example.com=oci:{}", self.layout().display());
        let mut args: Vec<&OsStr> = paths.iter().map(AsRef::as_ref).collect();
        args.extend::<[&OsStr; 2]>(["--mirror".as_ref(), mirror.as_ref()]);
        Laptop::start(hotbay, &args).await
    }
}

/// Compiles a module in C.
pub fn compile(source: &Path, module: &Path) {
    let mut cc = Command::new("cc");
    cc.args("-O2 -g0 -std=c11 -fPIC -fvisibility=hidden -Wall -Wextra -Wpedantic -Werror -shared".split(' '));
    cc.args("-Wl,-s,-z,defs,-z,now,--gc-sections".split(' '));
    cc.arg("-I").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../abi/include"));
    let output = cc.arg("-o").arg(module).args(["-x", "c"]).arg(source).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A HandlerModule's YAML. `spec` is what follows the source, in flow style: `config: {…}, timeouts: {…}`.
pub fn yaml(name: &str, reference: &str, spec: &str) -> String {
    format!(
        "apiVersion: hotbay.dev/v1alpha1\nkind: HandlerModule\nmetadata: {{name: {name}, namespace: default}}\n\
         spec: {{source: {{oci: {{reference: \"registry.example.com/{reference}\"}}}}, {spec}}}\n"
    )
}
