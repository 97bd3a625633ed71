//! Lines and steps of a real subscriber.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use super::*;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// The fields of a line, in the order of their names.
    fn fields(&self) -> Vec<String> {
        self.0.lock().unwrap().clear();
        tracing::info!(number = 7, "said");
        let line: serde_json::Map<_, _> = serde_json::from_slice(&self.0.lock().unwrap()).unwrap();
        assert_eq!((&line["message"], &line["number"]), (&"said".into(), &7.into()));
        line.keys().cloned().collect()
    }

    /// A module's line, as JSON.
    fn of_a_module(&self, fields: Option<&str>) -> serde_json::Value {
        self.0.lock().unwrap().clear();
        let fields = fields.map(tracing::field::display);
        tracing::warn!(target: "module", module = "shop/a", trace_id = None::<&str>, fields, "{}", "said \"x\"\n{}");
        let bytes = self.0.lock().unwrap();
        assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
        serde_json::from_slice(&bytes).unwrap()
    }

    /// Which of three lines are logged now: ours at debug, another's at debug, ours at info.
    fn logged(&self) -> [bool; 3] {
        self.0.lock().unwrap().clear();
        tracing::debug!(target: "hotbay_logs", "ours");
        tracing::debug!(target: "hyper", "others");
        tracing::info!(target: "hotbay_logs", "info");
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        ["ours", "others", "info"].map(|line| text.contains(&format!("\"message\":\"{line}\"")))
    }
}

// One test: the subscriber is the process's.
#[tokio::test]
async fn steps_go_up_and_down_within_their_bounds_and_by_signal() {
    let lines = Lines::default();
    let writer = lines.clone();
    let level = json("info", move || writer.clone());
    assert_eq!(lines.logged(), [false, false, true]);
    level.more();
    assert_eq!(lines.logged(), [true, false, true]);
    level.more();
    assert_eq!(lines.logged(), [true, true, true]);
    (0..9).for_each(|_| level.more());
    (0..3).for_each(|_| level.less());
    assert_eq!(lines.logged(), [false, false, true], "back at what was set");
    level.less();
    assert_eq!(lines.logged(), [false, false, false]);
    (0..9).for_each(|_| level.less());
    assert_eq!((level.step(), lines.logged()), (LEAST, [false, false, false]));
    level.set(2);
    assert_eq!((level.step(), lines.logged()), (2, [true, true, true]), "as another process says");
    level.set(0);
    assert_eq!((level.step(), lines.logged()), (0, [false, false, true]));
    let mut line = lines.of_a_module(Some(r#"{"user":7,"deep":{"level":"ERROR"}}"#));
    assert!(line["timestamp"].take().as_str().unwrap().ends_with('Z'));
    let (message, nested) = ("said \"x\"\n{}", serde_json::json!({"user": 7, "deep": {"level": "ERROR"}}));
    let expected = serde_json::json!({
        "timestamp": null, "level": "WARN", "target": "module", "module": "shop/a", "message": message, "fields": nested,
    });
    assert_eq!(line, expected);
    assert_eq!(
        lines.of_a_module(Some(r#"{"user":"#))["fields"],
        r#"{"user":"#,
        "what is no object stays text"
    );
    let wild = "x\u{9b}2J\u{7f}\u{2028}";
    assert_eq!(lines.of_a_module(Some(r#"{"a":"x\u009b2J\u007f\u2028"}"#))["fields"]["a"], wild);
    let written = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(!written.trim_end().chars().any(|c| c.is_control() || c == '\u{2028}'), "{written:?}");
    assert!(lines.of_a_module(None).get("fields").is_none());
    assert_eq!(lines.fields(), ["level", "message", "number", "target", "timestamp"]);

    let following = level.clone().follow_signals();
    assert!(is_caught(), "before anything is polled: without handlers a signal would end this process");
    let following = tokio::spawn(following);
    signal_self("USR1");
    until_logged(&lines, [true, false, true]).await;
    signal_self("USR2");
    until_logged(&lines, [false, false, true]).await;
    following.abort();
}

async fn until_logged(lines: &Lines, wanted: [bool; 3]) {
    let end = Instant::now() + Duration::from_secs(60);
    while lines.logged() != wanted {
        assert!(Instant::now() < end, "not within 60 s: {wanted:?}");
        tokio::task::yield_now().await;
    }
}

/// Whether both signals have handlers, by the kernel's word.
fn is_caught() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim();
    let mask = u64::from_str_radix(mask, 16).unwrap();
    // SIGUSR1 is 10 and SIGUSR2 12.
    mask & (1 << 9) != 0 && mask & (1 << 11) != 0
}

fn signal_self(name: &str) {
    let own = std::process::id().to_string();
    assert!(std::process::Command::new("kill").args(["-s", name, &own]).status().unwrap().success());
}
