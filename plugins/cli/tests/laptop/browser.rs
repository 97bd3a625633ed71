//! A headless Chromium, driven by WebDriver: https://www.w3.org/TR/webdriver2/.
//!
//! Owns chromedriver, its browser and their folder; drop ends them. Speaks the five commands that the tests need itself: the crate that
//! would is under a licence that this project does not take.

use std::net::SocketAddr;
use std::process::Stdio;

use base64::Engine as _;
use hotbay_e2e::http::{Connection, Protocol, request, whole};
use hotbay_e2e::laptop::free_address;
use hotbay_e2e::wait::wait_for;
use http::{HeaderValue, Method, header};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

pub struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
    _profile: TempDir,
}

impl Browser {
    /// A browser with a window of this size, in pixels.
    pub async fn start(width: u32, height: u32) -> Self {
        let (profile, address) = (tempfile::tempdir().unwrap(), free_address());
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={}", address.port())).stdin(Stdio::null()).stdout(Stdio::null());
        // In a group of its own, so that drop finds the browser's many processes.
        command.stderr(Stdio::null()).process_group(0).kill_on_drop(true);
        let spawned = command.spawn();
        let driver =
            spawned.unwrap_or_else(|error| panic!("chromedriver: {error}; run scripts/deps browser"));
        let mut browser = Self { driver, address, session: String::new(), _profile: profile };
        let folder = browser._profile.path().display().to_string();
        let mut args: Vec<String> = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ]
        .map(str::to_owned)
        .into();
        args.extend([format!("--user-data-dir={folder}"), format!("--window-size={width},{height}")]);
        let capabilities = json!({"browserName": "chrome", "goog:chromeOptions": {"args": args}});
        wait_for("chromedriver answers", async || {
            browser.try_call(Method::GET, "/status", &Value::Null).await.map(drop)
        })
        .await;
        let body = json!({"capabilities": {"alwaysMatch": capabilities}});
        let session = browser.call(Method::POST, "/session", &body).await;
        browser.session = session["sessionId"].as_str().unwrap().to_owned();
        browser
    }

    /// Opens a page.
    pub async fn open(&self, url: &str) {
        self.command("url", json!({"url": url})).await;
    }

    /// Runs a script in the page; what it returns.
    pub async fn run(&self, script: &str) -> Value {
        self.command("execute/sync", json!({"script": script, "args": []})).await
    }

    /// Runs a script until it returns true. One that meets a page which is just being loaded anew fails, and is run again.
    pub async fn until(&self, what: &str, script: &str) {
        wait_for(what, async || match self.try_run(script).await? {
            Value::Bool(true) => Ok(()),
            other => {
                let page = self.try_run("return document.body?.innerText").await?;
                Err(format!("{other}; the page says: {page}"))
            }
        })
        .await;
    }

    async fn try_run(&self, script: &str) -> Result<Value, String> {
        let path = format!("/session/{}/execute/sync", self.session);
        self.try_call(Method::POST, &path, &json!({"script": script, "args": []})).await
    }

    /// The window as a PNG.
    pub async fn screenshot(&self) -> Vec<u8> {
        let path = format!("/session/{}/screenshot", self.session);
        let image = self.call(Method::GET, &path, &Value::Null).await;
        base64::engine::general_purpose::STANDARD.decode(image.as_str().unwrap()).unwrap()
    }

    async fn command(&self, name: &str, body: Value) -> Value {
        self.call(Method::POST, &format!("/session/{}/{name}", self.session), &body).await
    }

    async fn call(&self, method: Method, path: &str, body: &Value) -> Value {
        self.try_call(method, path, body).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    async fn try_call(&self, method: Method, path: &str, body: &Value) -> Result<Value, String> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let host = self.address.to_string();
        let mut asked = request(Protocol::H1, method, &host, path, whole(body));
        asked.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let connection = Connection::open(self.address, Protocol::H1).await;
        let mut connection = connection.map_err(|trouble| format!("{trouble:?}"))?;
        let answer = connection.send(asked).await.map_err(|trouble| format!("{trouble:?}"))?;
        match answer.status {
            200 => Ok(answer.json()["value"].take()),
            status => Err(format!("{status} {}", answer.text())),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let pid =
            self.driver.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _gone = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}
