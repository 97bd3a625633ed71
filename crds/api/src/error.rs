//! Errors as people read them.
//!
//! Owns the one way to put an error and its causes on a line, so that statuses, reports and logs tell the same.

use std::error::Error;

/// An error and its causes on one line. A cause that the text before it already tells is left out.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Step(&'static str, #[source] Option<Box<Step>>);

    #[test]
    fn causes_follow_and_none_is_told_twice() {
        let end = Step("no such file", None);
        let middle = Step("cannot read a.so: no such file", Some(Box::new(end)));
        assert_eq!(chain(&middle), "cannot read a.so: no such file");
        let top = Step("push failed", Some(Box::new(middle)));
        assert_eq!(chain(&top), "push failed: cannot read a.so: no such file");
    }
}
