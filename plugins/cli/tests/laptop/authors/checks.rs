//! What `hotbay check` finds by running a module: how it starts and ends, and what it shows beside its entry. Each case is the C template with one change.

use serde_json::Value;

use super::Terminal;

#[tokio::test]
async fn check_finds_how_a_module_starts_and_ends() {
    let terminal = Terminal::new();
    let (success, text) = terminal.hotbay("", &["new", "greet", "--lang", "c"]).await;
    assert!(success, "{text}");
    let source = terminal.path("greet/module.c");
    let good = std::fs::read_to_string(&source).unwrap();
    let stop = "static hb_rc stop(void *instance, hb_h self) {\n";
    let create = "static hb_rc create(const hb_config *config, hb_h self, void **instance) {\n";
    let shown = "__attribute__((visibility(\"default\"))) int shown(void);\nint shown(void) { return 1; }\n";
    let cases = [
        (good.clone(), true, "stop", "ok", ""),
        (format!("{good}{shown}"), true, "symbols", "warning", "shown"),
        (good.replace(stop, &format!("{stop}  abort();\n")), false, "stop", "failed", "SIGABRT"),
        (
            good.replace(create, &format!("{create}  if (self)\n    return HB_DENIED;\n")),
            false,
            "start",
            "failed",
            "refuses its config",
        ),
    ];
    for (text, holds, what, result, words) in cases {
        std::fs::write(&source, &text).unwrap();
        let (success, said) = terminal.types("greet", "make", &["--silent"], &[]).await;
        assert!(success, "{said}");
        let (success, said) = terminal.hotbay("greet", &["check", "greet.so", "--json"]).await;
        let said: Value = serde_json::from_str(&said).unwrap();
        let check = said["checks"].as_array().unwrap().iter().find(|check| check["check"] == what);
        let check = check.unwrap_or_else(|| panic!("{what} should be in {said:#}"));
        assert_eq!((success, &said["ok"]), (holds, &Value::Bool(holds)), "{said:#}");
        assert_eq!(check["result"], result, "{said:#}");
        assert!(check["message"].as_str().unwrap().contains(words), "{said:#}");
        assert_eq!(check.get("remedy").is_some(), result != "ok", "{said:#}");
    }
}
