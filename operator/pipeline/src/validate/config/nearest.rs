//! What somebody meant who wrote something else.

/// A name that differs in so few letters from `written` that it is likely to be meant.
pub(super) fn nearest<'n>(written: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    // Distances are computed in time that grows with the product of both.
    let short = |name: &str| name.len() <= 64;
    if !short(written) {
        return None;
    }
    let far = written.chars().count().div_ceil(3);
    let named = names.filter(|name| short(name)).map(|name| (distance(written, name), name));
    named.filter(|(distance, _)| *distance <= far).min().map(|(_, name)| name)
}

/// How many letters must be put in, taken out or changed, or neighbours swapped. Case is not counted.
fn distance(from: &str, to: &str) -> usize {
    let letters = |text: &str| -> Vec<char> { text.chars().flat_map(char::to_lowercase).collect() };
    let (from, to) = (letters(from), letters(to));
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (row, letter) in from.iter().enumerate() {
        let mut next = vec![row + 1];
        for (column, wanted) in to.iter().enumerate() {
            let change = last[column] + usize::from(letter != wanted);
            let mut best = change.min(last[column + 1] + 1).min(next[column] + 1);
            if row > 0 && column > 0 && *letter == to[column - 1] && from[row - 1] == *wanted {
                best = best.min(before[column - 1] + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut last, next);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let names = || ["rate", "burst", "maxItems"].into_iter();
        assert_eq!(nearest("brust", names()), Some("burst"));
        assert_eq!(nearest("maxitem", names()), Some("maxItems"));
        assert_eq!(nearest("Rate", names()), Some("rate"));
        assert_eq!(nearest("token", names()), None);
        assert_eq!(nearest(&"r".repeat(10_000), names()), None);
    }
}
