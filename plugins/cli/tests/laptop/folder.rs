//! A folder of `.so` files that somebody builds into, copies over, breaks and deletes.

use std::fs::{self, File};

use hotbay_e2e::laptop::Laptop;
use hotbay_e2e::modules;

use crate::workshop::{V1, V2, Workshop};

/// Writes over the file that is there, as `cp` does.
fn copy_in_place(from: &std::path::Path, to: &std::path::Path) {
    fs::write(to, fs::read(from).unwrap()).unwrap();
}

#[tokio::test]
async fn a_folder_serves_what_it_should_at_each_step() {
    let (v1, v2) = (modules::hello("1.0"), modules::hello("2.0"));
    let shop = Workshop::new();
    let file = shop.file("libhello.so");
    copy_in_place(&v1, &file);
    let laptop = shop.run().await;
    laptop.serves("/hello", V1).await;
    laptop.active("local/hello").await;

    let bytes = fs::read(&v2).unwrap();
    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    laptop.says(&["failed", "InvalidElf", "libhello.so"]).await;
    assert_eq!(laptop.get("/hello").await.text(), V1, "half a file changes nothing");

    copy_in_place(&v2, &file);
    laptop.serves("/hello", V2).await;
    copy_in_place(&v1, &file);
    laptop.serves("/hello", V1).await;

    let time = fs::metadata(&file).unwrap().modified().unwrap();
    copy_in_place(&v2, &file);
    File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
    laptop.serves("/hello", V2).await;

    garbage_and_a_folder_that_comes_and_goes(&shop, &laptop).await;

    fs::remove_file(&file).unwrap();
    laptop.answers("/hello", 404).await;
}

async fn garbage_and_a_folder_that_comes_and_goes(shop: &Workshop, laptop: &Laptop) {
    let (file, away) = (shop.file("libhello.so"), shop.modules().with_file_name("away"));
    let failures = || laptop.lines().iter().filter(|line| line.contains("InvalidElf")).count();
    let before = failures();
    fs::write(&file, "garbage").unwrap();
    hotbay_e2e::wait::wait_for("garbage is named", async || {
        if failures() > before { Ok(()) } else { Err(format!("{before} failures")) }
    })
    .await;
    assert_eq!(laptop.get("/hello").await.text(), V2, "garbage changes nothing");

    fs::rename(shop.modules(), &away).unwrap();
    laptop.says(&["failed", "BayMissing", "serves on"]).await;
    assert_eq!(laptop.get("/hello").await.text(), V2, "a folder that is gone takes nothing with it");

    copy_in_place(&modules::hello("1.0"), &away.join("libhello.so"));
    fs::rename(&away, shop.modules()).unwrap();
    laptop.serves("/hello", V1).await;
}

#[tokio::test]
async fn a_module_beside_others_comes_and_goes_alone() {
    let shop = Workshop::new();
    shop.drop_in("libhello.so", &modules::hello("1.0"));
    let laptop = shop.run().await;
    laptop.serves("/hello", V1).await;
    shop.drop_in("libecho.so", &modules::echo());
    laptop.answers("/echo/x", 200).await;
    fs::remove_file(shop.file("libecho.so")).unwrap();
    laptop.answers("/echo/x", 404).await;
    assert_eq!(laptop.get("/hello").await.text(), V1);
    laptop.says(&["loaded", "local/echo"]).await;
}
