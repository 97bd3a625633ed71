//! Text with a terminal's colours, for those who have none and for those who have other ones.
//!
//! Owns the reading of escape sequences. Of all of them only colour and weight are understood; the others are left out.

use std::fmt::Write as _;

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Look {
    bold: bool,
    /// One of the sixteen colours that every terminal has.
    colour: Option<u8>,
}

/// The text alone.
pub(crate) fn plain(text: &str) -> String {
    pieces(text).map(|(_, piece)| piece).collect()
}

/// As HTML: what has a colour is a `span` of the class `cN`, what is bold one of the class `b`.
pub(crate) fn html(text: &str) -> String {
    let mut html = String::with_capacity(text.len() * 2);
    for (look, piece) in pieces(text).filter(|(_, piece)| !piece.is_empty()) {
        let bold = look.bold.then_some("b".to_owned());
        let classes: Vec<String> =
            look.colour.map(|colour| format!("c{colour}")).into_iter().chain(bold).collect();
        // Writing to a String cannot fail.
        let _ = match &classes[..] {
            [] => write!(html, "{}", escaped(piece)),
            classes => write!(html, "<span class=\"{}\">{}</span>", classes.join(" "), escaped(piece)),
        };
    }
    html
}

/// As text in HTML, also within an attribute.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(letter),
        }
    }
    escaped
}

/// The text in pieces that each have one look.
fn pieces(text: &str) -> impl Iterator<Item = (Look, &str)> {
    let mut look = Look::default();
    text.split('\x1b').enumerate().map(move |(index, piece)| {
        // What stands before the first escape has none.
        if index == 0 {
            return (look, piece);
        }
        let rest = match piece.as_bytes().first() {
            Some(b'[') => sequence(&piece[1..], &mut look),
            // A title or a link: up to the bell, or up to the next escape, which is its end.
            Some(b']') => piece.split_once('\x07').map_or("", |(_, rest)| rest),
            Some(b'\\') => &piece[1..],
            _ => piece,
        };
        (look, rest)
    })
}

/// Takes a control sequence in; what follows it.
fn sequence<'t>(text: &'t str, look: &mut Look) -> &'t str {
    let Some(end) = text.find(|letter: char| ('\x40'..='\x7e').contains(&letter)) else { return "" };
    let (parameters, rest) = (&text[..end], &text[end + 1..]);
    if text.as_bytes()[end] == b'm' {
        let mut numbers = parameters.split(';').map(|number| number.parse().unwrap_or(0_u8));
        while let Some(number) = numbers.next() {
            take(number, &mut numbers, look);
        }
    }
    rest
}

fn take(number: u8, numbers: &mut impl Iterator<Item = u8>, look: &mut Look) {
    match number {
        0 => *look = Look::default(),
        1 => look.bold = true,
        22 => look.bold = false,
        30..=37 => look.colour = Some(number - 30),
        90..=97 => look.colour = Some(number - 90 + 8),
        39 => look.colour = None,
        // One of 256, or one of all.
        38 | 48 => match numbers.next() {
            Some(5) => {
                let colour = numbers.next().filter(|colour| number == 38 && *colour < 16);
                look.colour = colour.or(look.colour);
            }
            Some(2) => drop(numbers.nth(2)),
            _ => {}
        },
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ERROR: &str =
        "\x1b[1m\x1b[38;5;9merror[E0425]\x1b[0m\x1b[1m: <T>\x1b[0m\n\x1b[94m-->\x1b[39m a\x1b[K";

    #[test]
    fn colours_become_classes_and_text_is_escaped() {
        let expected = "<span class=\"c9 b\">error[E0425]</span><span class=\"b\">: &lt;T&gt;</span>\n\
                        <span class=\"c12\">--&gt;</span> a";
        assert_eq!(html(ERROR), expected);
        assert_eq!(html("'a' & \"b\""), "&#39;a&#39; &amp; &quot;b&quot;");
    }

    #[test]
    fn without_colours_only_the_text_is_left() {
        assert_eq!(plain(ERROR), "error[E0425]: <T>\n--> a");
        let link = "see \x1b]8;;https://example.com\x1b\\E0425\x1b]8;;\x07 now";
        assert_eq!(plain(link), "see E0425 now");
        assert_eq!(plain("\x1b[38;2;1;2;3mwarm\x1b[48;5;4m \x1b[3"), "warm ");
    }
}
