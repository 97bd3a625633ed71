//! `GET /{{name}}/{who}` greets whoever is named.

use hotbay_sdk::{ModuleConfig, Path, Settings, handler, module};
use serde::Deserialize;

/// The module's config: what stands below `spec.config` in {{name}}-module.yaml.
#[derive(Deserialize, ModuleConfig)]
#[serde(deny_unknown_fields)]
struct Config {
    /// What to say before the name.
    #[serde(default = "usual_greeting")]
    greeting: String,
}

fn usual_greeting() -> String {
    "Hello".to_owned()
}

/// Greets.
#[handler(GET, "/{{name}}/{who}")]
fn greet(Path(who): Path<String>, config: Settings<Config>) -> String {
    let Config { greeting } = config.0;
    format!("{greeting}, {who}!\n")
}

module! {
    handlers: [greet],
    config: Config,
}

#[cfg(test)]
mod tests {
    use hotbay_sdk::test;

    use super::*;

    #[test]
    fn the_config_chooses_the_greeting() {
        let config = Config { greeting: "Ahoy".to_owned() };
        let request = test::get("/{{name}}/ada").param("who", "ada").settings(config);
        assert_eq!(test::call(greet, &request).body(), b"Ahoy, ada!\n");
    }
}
