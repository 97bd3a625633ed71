//! Configs of modules: one file for several modules, every wrong field named, ten thousand changes, and one while calls are under way.

mod changes;
mod drains;
mod pod;

use std::ffi::OsStr;

use hotbay_api::Reason;
use hotbay_e2e::laptop::command;
use hotbay_e2e::modules;

use crate::workshop::{HOTBAY, V1, V2, Workshop, yaml};

/// A HandlerModule of the artifact limits:1.0, at this path.
fn limits(name: &str, path: &str, config: &str) -> String {
    yaml(name, "limits:1.0", &format!("routes: [{{path: \"{path}\"}}], config: {config}"))
}

#[tokio::test]
async fn one_file_serves_two_modules_each_with_its_own_config() {
    let shop = Workshop::new();
    shop.push(&modules::limits(), "limits:1.0").await;
    shop.save("open.yaml", &limits("open", "/open", "{text: Open}"));
    shop.save("shut.yaml", &limits("shut", "/shut", "{text: Shut, limits: {rate: 1, burst: 1}}"));
    let laptop = shop.run().await;
    laptop.serves("/open", "Open").await;
    laptop.answers("/shut", 200).await;
    let (open, shut) = (laptop.active("default/open").await, laptop.active("default/shut").await);
    let (open, shut) = (open.serving.unwrap(), shut.serving.unwrap());
    assert_eq!(open.digest, shut.digest, "it is one build");
    assert_ne!(open.fingerprint, shut.fingerprint, "and two instances");
    assert_eq!(laptop.get("/shut").await.status, 429, "its bucket is its own");
    assert_eq!(laptop.get("/open").await.text(), "Open");

    shop.save("shut.yaml", &limits("shut", "/shut", "{text: Open again}"));
    laptop.serves("/shut", "Open again").await;
    assert_eq!(laptop.get("/open").await.text(), "Open", "a change of one is none of the other");
}

#[tokio::test]
async fn what_was_there_before_comes_back_with_code_and_config() {
    let shop = Workshop::new();
    shop.push(&modules::hello("1.0"), "hello:1.0").await;
    shop.push(&modules::hello("2.0"), "hello:2.0").await;
    let steps = [
        ("hello:1.0", "{}", V1),
        ("hello:2.0", "{}", V2),
        ("hello:1.0", "{}", V1),
        ("hello:1.0", "{greeting: A}", "A 1.0\n"),
        ("hello:1.0", "{greeting: B}", "B 1.0\n"),
        ("hello:1.0", "{greeting: A}", "A 1.0\n"),
        ("hello:2.0", "{greeting: A}", "A 2.0\n"),
        ("hello:1.0", "{}", V1),
    ];
    shop.save("hello.yaml", &yaml("hello", steps[0].0, ""));
    let laptop = shop.run().await;
    for (reference, config, text) in steps {
        shop.save("hello.yaml", &yaml("hello", reference, &format!("config: {config}")));
        laptop.serves("/hello", text).await;
    }
    assert_eq!(laptop.report().engine, 1, "no engine was replaced");
}

/// Configs that do not fit, and what everybody says of them.
const WRONG: [(&str, &[&str]); 5] = [
    ("{limits: {burst: 0}}", &["spec.config.limits.burst: 0 is less than the minimum of 1"]),
    (
        "{limits: {brust: 5}}",
        &["spec.config.limits.brust: is no field of the module's config; did you mean burst?"],
    ),
    ("{token: hunter2}", &["spec.config.token: is shorter than 16 characters"]),
    ("{over: {retryAfter: {}}}", &["spec.config.over.retryAfter.seconds: is missing"]),
    (
        "{text: 5, limits: {rate: 0}}",
        &[
            "spec.config.text: is a number and must be a text",
            "spec.config.limits.rate: 0 is less than the minimum of 1",
        ],
    ),
];

#[tokio::test]
async fn run_and_check_name_every_wrong_field_in_the_same_words_and_the_old_config_serves() {
    let (shop, module) = (Workshop::new(), modules::limits());
    shop.push(&module, "limits:1.0").await;
    shop.save("shop.yaml", &limits("shop", "/shop", "{text: Good}"));
    let laptop = shop.run().await;
    laptop.serves("/shop", "Good").await;
    for (config, words) in WRONG {
        shop.save("shop.yaml", &limits("shop", "/shop", config));
        let said = laptop.says(&[&["failed: ConfigRejected: ", "still serving"], words].concat()).await;
        assert!(said.contains("default/shop") && !said.contains("hunter2"), "{said}");
        assert_eq!(laptop.get("/shop").await.text(), "Good");
        let checked = check(&shop, &module).await;
        assert!(
            words.iter().all(|words| checked.contains(words)) && !checked.contains("hunter2"),
            "{checked}"
        );
    }
}

/// What `hotbay check --for` says of shop.yaml.
async fn check(shop: &Workshop, module: &std::path::Path) -> String {
    let file = shop.file("shop.yaml");
    let args: [&OsStr; 4] = ["check".as_ref(), module.as_ref(), "--for".as_ref(), file.as_ref()];
    let output = command(HOTBAY, &args).await;
    assert!(!output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn what_only_the_module_can_refuse_has_its_path_in_the_status_too() {
    let shop = Workshop::new();
    shop.push(&modules::limits(), "limits:1.0").await;
    shop.save("shop.yaml", &limits("shop", "/shop", "{text: Good}"));
    let laptop = shop.run().await;
    laptop.serves("/shop", "Good").await;
    shop.save("shop.yaml", &limits("shop", "/shop", "{text: Bad, limits: {rate: 1000, burst: 5}}"));
    let entry = laptop.failed("default/shop", Reason::ConfigRejected).await;
    let (failure, serving) = (entry.failure.unwrap(), entry.serving.unwrap());
    assert!(
        failure.message.contains("spec.config.limits.burst: is less than a tenth of limits.rate"),
        "{failure:?}"
    );
    assert_ne!(serving.revision, "", "{serving:?}");
    assert_eq!(laptop.get("/shop").await.text(), "Good");

    shop.save("shop.yaml", &limits("shop", "/shop", "{text: Better}"));
    laptop.serves("/shop", "Better").await;
    laptop.active("default/shop").await;
}
