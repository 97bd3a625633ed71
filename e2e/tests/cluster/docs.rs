//! The docs do what they say on a cluster: their YAML is taken by the API server, and the quick start ends with a module of one's own.

use std::process::Stdio;

use hotbay_e2e::cluster::scene::{Scene, scene};
use hotbay_e2e::docs::{Block, Reader, page, pages};
use hotbay_e2e::shipped;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Runs kubectl to its end; what it says if it succeeds, or else if it fails.
async fn kubectl(args: &[&str], input: &str) -> Result<String, String> {
    let mut command = Command::new("kubectl");
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("kubectl is on the PATH");
    let mut stdin = child.stdin.take().expect("standard input is piped");
    stdin.write_all(input.as_bytes()).await.expect("kubectl reads its input");
    drop(stdin);
    let output = child.wait_with_output().await.expect("kubectl ends");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(out.into_owned()) } else { Err(format!("{out}{err}")) }
}

fn is_example(block: &Block) -> bool {
    block.is("yaml") && block.info.len() > 1
}

#[tokio::test]
async fn the_api_server_takes_every_example() {
    scene("docs", async |scene: &Scene| {
        let examples: Vec<Block> = pages().iter().flat_map(|name| page(name)).filter(is_example).collect();
        assert!(examples.len() >= 5, "{} examples", examples.len());
        let args = ["apply", "--dry-run=server", "--validate=strict", "--filename=-"];
        for example in examples {
            let mut object: Value = serde_yaml::from_str(&example.text).expect("it is YAML");
            // What may be written in a pool's namespace is another question.
            object["metadata"]["namespace"] = scene.namespace.clone().into();
            let answer = kubectl(&args, &object.to_string()).await;
            assert!(answer.is_ok(), "{}: {answer:?}", example.place);
            object["metadata"]["nmae"] = "x".into();
            let answer = kubectl(&args, &object.to_string()).await.expect_err("a typo is found");
            assert!(answer.contains("nmae"), "{}: {answer}", example.place);
        }
    })
    .await;
}

#[tokio::test]
async fn the_quick_start_ends_with_a_module_on_the_cluster() {
    let hotbay = tokio::task::spawn_blocking(shipped::hotbay).await.expect("it is built");
    scene("quick-start", async |_scene: &Scene| {
        // An earlier run may have ended half-way.
        let args = ["delete", "handlermodule", "greeter", "--namespace=default", "--ignore-not-found"];
        kubectl(&args, "").await.expect("what is left over can be deleted");
        let mut reader = Reader::new(&hotbay, true);
        let done = reader.follow("docs/quick-start.md").await;
        assert!(done > 15, "only {done} blocks did something");
    })
    .await;
}

#[tokio::test]
async fn the_checks_of_the_operations_page_pass() {
    let hotbay = tokio::task::spawn_blocking(shipped::hotbay).await.expect("it is built");
    scene("operations", async |_scene: &Scene| {
        let mut reader = Reader::new(&hotbay, true);
        assert!(reader.follow("docs/operations.md").await > 0, "no block did anything");
    })
    .await;
}
