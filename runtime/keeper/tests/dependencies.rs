//! What the keeper must not know.

use std::process::Command;

/// It never loads code, so nothing in it may be able to; and it stays small enough to be trusted with the sockets.
#[test]
fn the_keeper_knows_neither_loader_nor_tokio_nor_kube() {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "-p",
            "hotbay-keeper",
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
    assert!(names.contains(&"hotbay-sys"), "the tree must be the keeper's: {tree}");
    for banned in
        ["tokio", "kube", "kube-core", "k8s-openapi", "hotbay-loader", "hotbay-abi", "libloading", "hyper"]
    {
        assert!(!names.contains(&banned), "the keeper must not know {banned}:\n{tree}");
    }
}
