//! What the operator must not know.

use std::process::Command;

/// It reads what users name, with rights in the whole cluster: nothing in it may be able to run that.
#[test]
fn the_operator_knows_no_loader() {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "-p",
            "hotbay-operator",
            "-e",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let tree = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names: Vec<_> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains(&"hotbay-pipeline"), "the tree must be the operator's: {tree}");
    for banned in ["hotbay-loader", "hotbay-engine", "hotbay-keeper", "hotbay-sys", "libloading", "dlopen2"] {
        assert!(!names.contains(&banned), "the operator must not know {banned}:\n{tree}");
    }
}
