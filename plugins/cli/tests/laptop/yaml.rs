//! HandlerModules in YAML files, their artifacts in an image layout.

use std::fs;

use hotbay_api::Reason;
use hotbay_e2e::cargo::workspace;
use hotbay_e2e::modules;

use crate::workshop::{V1, V2, Workshop, yaml};

#[tokio::test]
async fn the_example_serves_and_every_edit_takes_effect() {
    let shop = Workshop::new();
    shop.push(&modules::hello("1.0"), "hello:1.0").await;
    let example = workspace().join("plugins/examples/hello/hello-module.yaml");
    let example = fs::read_to_string(example).unwrap();
    shop.save("hello.yaml", &example);
    let laptop = shop.run().await;
    laptop.serves("/hello", V1).await;

    shop.save("hello.yaml", &format!("{example}  routes: [{{path: /greet/me}}]\n"));
    laptop.serves("/greet/me", V1).await;
    assert_eq!(laptop.get("/hello").await.status, 404, "the manifest's routes are replaced");

    shop.save("hello.yaml", &format!("{example}  config: {{greeting: Good morning}}\n"));
    laptop.serves("/hello", "Good morning 1.0\n").await;

    shop.save("hello.yaml", &format!("{example}  confg: {{}}\n"));
    laptop.says(&["failed", "unknown field spec.confg"]).await;
    assert_eq!(laptop.get("/hello").await.text(), "Good morning 1.0\n");

    shop.save("hello.yaml", &format!("{example}  config: {{greeting: 5}}\n"));
    laptop.says(&["failed", "ConfigRejected", "still serving 1.0@sha256:"]).await;
    assert_eq!(laptop.get("/hello").await.text(), "Good morning 1.0\n");

    shop.save("hello.yaml", &example);
    laptop.serves("/hello", V1).await;
    shop.push(&modules::hello("2.0"), "hello:1.0").await;
    laptop.serves("/hello", V2).await;

    fs::remove_file(shop.file("hello.yaml")).unwrap();
    laptop.answers("/hello", 404).await;
}

#[tokio::test]
async fn what_cannot_be_found_keeps_the_old_and_says_so() {
    let shop = Workshop::new();
    shop.push(&modules::hello("1.0"), "hello:1.0").await;
    shop.save("hello.yaml", &yaml("hello", "hello:1.0", ""));
    let laptop = shop.run().await;
    laptop.serves("/hello", V1).await;
    shop.save("hello.yaml", &yaml("hello", "hello:9.9", ""));
    laptop.says(&["failed", "SourceNotFound", "still serving 1.0@sha256:"]).await;
    assert_eq!(laptop.get("/hello").await.text(), V1);
    shop.push(&modules::hello("2.0"), "hello:9.9").await;
    laptop.serves("/hello", V2).await;
}

#[tokio::test]
async fn the_module_that_was_there_first_keeps_a_route() {
    let shop = Workshop::new();
    shop.push(&modules::hello("1.0"), "hello:1.0").await;
    shop.push(&modules::hello("2.0"), "hello:2.0").await;
    shop.save("late.yaml", &yaml("zebra", "hello:1.0", ""));
    let laptop = shop.run().await;
    laptop.serves("/hello", V1).await;
    laptop.active("default/zebra").await;

    // By name alone the newcomer would go first.
    shop.save("early.yaml", &yaml("ant", "hello:2.0", ""));
    laptop.says(&["default/ant", "RouteConflict", "/hello belongs to the older module default/zebra"]).await;
    assert_eq!(laptop.get("/hello").await.text(), V1);

    fs::remove_file(shop.file("late.yaml")).unwrap();
    laptop.serves("/hello", V2).await;
}

#[tokio::test]
async fn a_module_that_is_asked_for_twice_is_named() {
    let shop = Workshop::new();
    shop.push(&modules::hello("1.0"), "hello:1.0").await;
    shop.save("a.yaml", &yaml("hello", "hello:1.0", ""));
    shop.save("b.yaml", &yaml("hello", "hello:1.0", "config: {greeting: Other}"));
    let laptop = shop.run().await;
    laptop.serves("/hello", V1).await;
    laptop.says(&["default/hello", "asked for twice"]).await;
    laptop.active("default/hello").await;
    assert_eq!(laptop.report().entries.len(), 1);
}

#[tokio::test]
async fn a_handler_that_does_not_exist_is_refused() {
    let shop = Workshop::new();
    shop.push(&modules::hello("1.0"), "hello:1.0").await;
    shop.save("hello.yaml", &yaml("hello", "hello:1.0", "routes: [{path: /x, handler: nobody}]"));
    let laptop = shop.run().await;
    laptop.says(&["failed", &Reason::RouteInvalid.to_string(), "nobody"]).await;
    assert_eq!(laptop.get("/x").await.status, 404);
}

#[tokio::test]
async fn single_files_are_followed_too_and_their_neighbours_are_not() {
    let shop = Workshop::new();
    shop.push(&modules::hello("1.0"), "hello:1.0").await;
    shop.save("hello.yaml", &yaml("hello", "hello:1.0", ""));
    shop.save("other.yaml", &yaml("other", "hello:1.0", "routes: [{path: /other}]"));
    shop.drop_in("libecho.so", &modules::echo());
    shop.drop_in("libfaulty.so", &modules::faulty());
    let laptop = shop.run_paths(&[shop.file("hello.yaml"), shop.file("libecho.so")]).await;
    laptop.serves("/hello", V1).await;
    laptop.answers("/echo/x", 200).await;
    shop.push(&modules::hello("2.0"), "hello:2.0").await;
    shop.save("hello.yaml", &yaml("hello", "hello:2.0", ""));
    laptop.serves("/hello", V2).await;
    fs::remove_file(shop.file("hello.yaml")).unwrap();
    fs::remove_file(shop.file("libecho.so")).unwrap();
    laptop.answers("/hello", 404).await;
    laptop.answers("/echo/x", 404).await;
    for neighbour in ["/other", "/faulty"] {
        assert_eq!(laptop.get(neighbour).await.status, 404, "{neighbour}");
    }
}
