//! The smallest Hotbay module: `GET /hello` answers with a greeting and a version.
//!
//! ```console
//! $ cargo build --release -p hello
//! $ hotbay run target/release/libhello.so
//! $ curl http://127.0.0.1:8880/hello
//! Hello from Hotbay 0.1.0
//! ```
//! Its config may name another greeting: `{"greeting": "Good morning from Hotbay"}`. A build may name another version:
//! `HOTBAY_HELLO_TEXT=2.0 cargo build -p hello` makes another file from the same source.

use hotbay_sdk::{Config, ConfigError, Request, Response, handler, module};
use serde::Deserialize;

const VERSION: &str = match option_env!("HOTBAY_HELLO_TEXT") {
    Some(text) => text,
    None => env!("CARGO_PKG_VERSION"),
};

/// What `config.schema.json` describes.
#[derive(Deserialize)]
struct Settings {
    #[serde(default = "Settings::usual_greeting")]
    greeting: String,
}

/// The whole answer, made once an instance.
struct Greeting(String);

impl Settings {
    fn usual_greeting() -> String {
        "Hello from Hotbay".to_owned()
    }
}

fn create(config: &Config) -> Result<Greeting, ConfigError> {
    let Settings { greeting } = config.parse()?;
    Ok(Greeting(format!("{greeting} {VERSION}\n")))
}

/// Greets.
#[handler(GET, "/hello")]
fn hello(request: Request) -> Response {
    Response::text(request.state::<Greeting>().0.clone())
}

module! {
    handlers: [hello],
    config_schema: include_str!("../config.schema.json"),
    create: create,
}

#[cfg(test)]
mod tests {
    use super::*;
    use hotbay_sdk::test;

    fn answer(config: &str) -> Vec<u8> {
        let state = create(&Config::new("default/hello", config)).unwrap();
        hello(test::get("/hello").state(state).view()).body().to_vec()
    }

    #[test]
    fn the_usual_greeting_has_the_version() {
        assert_eq!(answer("{}"), format!("Hello from Hotbay {VERSION}\n").into_bytes());
    }

    #[test]
    fn the_config_chooses_the_greeting() {
        assert_eq!(
            answer(r#"{"greeting": "Good morning"}"#),
            format!("Good morning {VERSION}\n").into_bytes()
        );
    }

    #[test]
    fn a_greeting_that_is_no_text_is_refused() {
        let error = create(&Config::new("default/hello", r#"{"greeting": 5}"#)).err().unwrap();
        assert!(error.to_string().contains("must be a string"), "{error}");
    }
}
