//! `GET /{{name}}/{who}` greets whoever is named.

use hotbay_sdk::{Config, ConfigError, Request, Response, handler, module};
use serde::Deserialize;

/// What `config.schema.json` describes.
#[derive(Deserialize)]
struct Settings {
    #[serde(default = "usual_greeting")]
    greeting: String,
}

fn usual_greeting() -> String {
    "Hello".to_owned()
}

/// Runs once for each config, before the first request.
fn create(config: &Config) -> Result<Settings, ConfigError> {
    config.parse()
}

/// Greets.
#[handler(GET, "/{{name}}/{who}")]
fn greet(request: Request) -> Response {
    let Settings { greeting } = request.state();
    let who = request.param("who").unwrap_or("you");
    Response::text(format!("{greeting}, {who}!\n"))
}

module! {
    handlers: [greet],
    config_schema: include_str!("../config.schema.json"),
    create: create,
}

#[cfg(test)]
mod tests {
    use hotbay_sdk::test;

    use super::*;

    #[test]
    fn the_config_chooses_the_greeting() {
        let settings = create(&Config::new("default/{{name}}", r#"{"greeting": "Ahoy"}"#)).unwrap();
        let request = test::get("/{{name}}/ada").param("who", "ada").state(settings);
        assert_eq!(greet(request.view()).body(), b"Ahoy, ada!\n");
    }
}
