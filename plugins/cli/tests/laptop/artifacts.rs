//! `hotbay push` and `hotbay inspect` against an image layout. Registries are the registry client's own tests.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use hotbay_api::Digest;
use hotbay_e2e::laptop::command;
use hotbay_e2e::{broken, modules};
use serde_json::{Value, json};

use crate::workshop::HOTBAY;

async fn hotbay(args: &[&OsStr]) -> Output {
    command(HOTBAY, args).await
}

/// What it prints, if it succeeds.
async fn prints(args: &[&OsStr]) -> String {
    let output = hotbay(args).await;
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What it complains of, if it fails.
async fn complains(args: &[&OsStr]) -> String {
    let output = hotbay(args).await;
    assert!(!output.status.success(), "{args:?} should have failed");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn both_forms_are_pushed_and_inspected() {
    let folder = tempfile::tempdir().unwrap();
    let module = modules::hello("1.0");
    let digest = Digest::of(&fs::read(&module).unwrap()).to_string();
    for form in ["artifact", "image"] {
        let to = format!("oci:{}:{form}", folder.path().display());
        let pushed =
            prints(&["push".as_ref(), module.as_ref(), to.as_ref(), "--form".as_ref(), form.as_ref()]).await;
        assert!(pushed.starts_with(&format!("{to}@sha256:")), "{pushed}");
        let by_name = prints(&["inspect".as_ref(), to.as_ref()]).await;
        for words in [digest.as_str(), "hello 0.1.0", "linux/", "GET /hello", "loads on this machine"] {
            assert!(by_name.contains(words), "{form}: {words} is missing in {by_name}");
        }
    }
}

#[tokio::test]
async fn the_index_of_several_platforms_says_what_it_is_built_from() {
    let (project, layout) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let git = |args: &[&str]| {
        let mut git = Command::new("git");
        git.arg("-C").arg(project.path()).args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(args);
        // A leap day, as seconds since 1970.
        let output = git.env("GIT_COMMITTER_DATE", "951782400 +0000").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    fs::write(project.path().join(".gitignore"), "*.so\n").unwrap();
    git(&["init", "--quiet"]);
    git(&["remote", "add", "origin", "https://ada:secret@git.example.com/team/hello.git"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "-m", "first"]);
    let hello = modules::hello("1.0");
    let files = [("here.so", hello.clone()), ("other.so", broken::other_machine(&hello))];
    let [here, other] = files.map(|(name, module)| {
        let file = project.path().join(name);
        fs::copy(module, &file).unwrap();
        file
    });
    let to = format!("oci:{}:hello", layout.path().display());
    let pushed = prints(&["push".as_ref(), here.as_ref(), other.as_ref(), to.as_ref()]).await;
    let digest = pushed.trim().rsplit("sha256:").next().unwrap();
    let index = fs::read(layout.path().join("blobs/sha256").join(digest)).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2, "{index:#}");
    let expected = json!({
        "org.opencontainers.image.source": "https://git.example.com/team/hello.git",
        "org.opencontainers.image.revision": git(&["rev-parse", "HEAD"]),
        "org.opencontainers.image.created": "2000-02-29T00:00:00Z",
        "org.opencontainers.image.title": "hello.so",
        "org.opencontainers.image.version": "0.1.0",
    });
    assert_eq!(index["annotations"], expected, "{index:#}");
}

#[tokio::test]
async fn a_file_is_inspected_without_being_run() {
    // Loading this one would end the process.
    let text = prints(&["inspect".as_ref(), modules::constructor_abort().as_ref()]).await;
    assert!(text.contains("faulty 0.1.0") && text.contains("GET /faulty"), "{text}");
    let text = prints(&["inspect".as_ref(), modules::newer_abi().as_ref()]).await;
    assert!(text.contains("AbiMismatch"), "{text}");
}

#[tokio::test]
async fn what_no_runtime_would_load_is_not_pushed() {
    let folder = tempfile::tempdir().unwrap();
    let to = format!("oci:{}:x", folder.path().join("layout").display());
    let (half, text) = (folder.path().join("half.so"), folder.path().join("text.so"));
    let bytes = fs::read(modules::hello("1.0")).unwrap();
    fs::write(&half, &bytes[..bytes.len() / 2]).unwrap();
    fs::write(&text, "hello").unwrap();
    let newer = modules::newer_abi();
    let files: [(&Path, &str); 4] = [
        (&half, "is no module"),
        (&text, "is no module"),
        (&newer, "cannot be served"),
        (Path::new("/nowhere.so"), "failed to read"),
    ];
    for (file, words) in files {
        let complaint = complains(&["push".as_ref(), file.as_ref(), to.as_ref()]).await;
        assert!(complaint.contains(words), "{}: {complaint}", file.display());
        assert!(!folder.path().join("layout").exists(), "{} left something behind", file.display());
    }
}
