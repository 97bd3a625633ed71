//! Where a field stands, as its author would write it.

use serde_json::Value;

/// The steps of a JSON pointer.
pub(super) fn steps(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~")).collect()
}

/// `spec.config.limits[0].burst`.
pub(super) fn shown(config: &Value, steps: &[String]) -> String {
    let mut shown = String::from("spec.config");
    let mut at = Some(config);
    for step in steps {
        let in_list = at.is_some_and(Value::is_array);
        let plain =
            !step.is_empty() && step.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        match (in_list, plain) {
            (true, _) => shown.push_str(&format!("[{step}]")),
            (false, true) => shown.push_str(&format!(".{step}")),
            (false, false) => shown.push_str(&format!("[{step:?}]")),
        }
        at = at.and_then(|value| match value {
            Value::Object(fields) => fields.get(step),
            Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        });
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_and_odd_names_are_told_apart() {
        let config = json!({"a": [{"b": 1}], "c/d e": {"f": 1}});
        assert_eq!(shown(&config, &steps("/a/0/b")), "spec.config.a[0].b");
        assert_eq!(shown(&config, &steps("/c~1d e/f")), "spec.config[\"c/d e\"].f");
        assert_eq!(shown(&config, &steps("")), "spec.config");
    }
}
