//! A Hotbay module whose config chooses how it fails, for tests of hosts: `{"mode": "handler-panic"}`. Never serve it to anybody.
//!
//! `GET /faulty` answers `ok`, or the config's `text`, unless the mode makes it fail. `config.schema.json` lists the modes, and [`Mode`]
//! says what each does. Four faults happen before there is a config, so they are features of the build:
//! `constructor-abort`, `constructor-exit`, `constructor-hang` and `newer-abi`. With the feature `blocking` the handler is declared so.

use hotbay_sdk::{ABI_MINOR, Config, Request, Response, handler, module};
use serde::Deserialize;

mod mode;
mod slow;

use mode::Mode;

/// What `config.schema.json` describes.
#[derive(Deserialize)]
struct Settings {
    #[serde(default)]
    mode: Mode,
    #[serde(default = "Settings::usual_text")]
    text: String,
}

impl Settings {
    fn usual_text() -> String {
        "ok".to_owned()
    }
}

async fn create(config: Config) -> Result<Settings, String> {
    let settings: Settings = config.parse().map_err(|error| error.to_string())?;
    settings.mode.fail_in_create().await?;
    Ok(settings)
}

fn stop(settings: &Settings) {
    settings.mode.fail_in_stop();
}

impl Drop for Settings {
    fn drop(&mut self) {
        self.mode.fail_in_destroy();
    }
}

/// Fails as it was told to.
#[cfg(not(feature = "blocking"))]
#[handler(GET, "/faulty")]
async fn faulty(request: Request<'_>) -> Response {
    answer(request).await
}

/// The same on a thread that it may hold.
#[cfg(feature = "blocking")]
#[handler(GET, "/faulty", blocking)]
async fn faulty(request: Request<'_>) -> Response {
    answer(request).await
}

async fn answer(request: Request<'_>) -> Response {
    let settings: &Settings = request.state();
    match settings.mode.fail_in_handler().await {
        Some(failure) => failure,
        None => Response::text(format!("{}\n", settings.text)),
    }
}

module! {
    handlers: [faulty],
    config_schema: include_str!("../config.schema.json"),
    create: async create,
    stop: stop,
    abi_minor: ABI_MINOR + if cfg!(feature = "newer-abi") { 100 } else { 0 },
}

/// Runs while the module is being loaded, before its entry function could be called.
#[cfg(all(
    any(feature = "constructor-abort", feature = "constructor-exit", feature = "constructor-hang"),
    not(test)
))]
#[allow(unsafe_code, reason = "only a linker section makes a constructor")]
mod constructor {
    #[used]
    #[unsafe(link_section = ".init_array")]
    static END: extern "C" fn() = end;

    extern "C" fn end() {
        if cfg!(feature = "constructor-exit") {
            std::process::exit(0);
        }
        while cfg!(feature = "constructor-hang") {
            std::thread::sleep(std::time::Duration::from_secs(3600));
        }
        std::process::abort();
    }
}
