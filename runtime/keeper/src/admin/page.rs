//! The page at /.
//!
//! Owns the one HTML file and the policy that lets a browser run nothing but what is in it: style and script are named by their digests, computed
//! from the file itself, and nothing is loaded from elsewhere.

use std::sync::OnceLock;

use hotbay_api::Digest;

/// The page. It asks /status.json and shows what it says as text, never as HTML.
pub(super) const HTML: &str = include_str!("page.html");

/// The page's own headers.
pub(super) fn headers() -> &'static str {
    static HEADERS: OnceLock<String> = OnceLock::new();
    HEADERS.get_or_init(|| {
        let (style, script) = (digest_between("<style>", "</style>"), digest_between("<script>", "</script>"));
        format!(
            "content-security-policy: default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; \
             connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n\
             x-frame-options: DENY\r\n"
        )
    })
}

/// The digest of what stands between two words of the page, as a policy writes it.
fn digest_between(start: &str, end: &str) -> String {
    let inside =
        HTML.split_once(start).and_then(|(_, rest)| rest.split_once(end)).map_or("", |(inside, _)| inside);
    let hex = Digest::of(inside.as_bytes()).hex();
    let bytes: Vec<u8> = hex
        .as_bytes()
        .chunks(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    base64(&bytes)
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letters = |three: &[u8]| {
        let all = [0, 1, 2].map(|index| u32::from(three.get(index).copied().unwrap_or(0)));
        let bits = all[0] << 16 | all[1] << 8 | all[2];
        let letter = |place: usize| char::from(LETTERS[(bits >> (18 - 6 * place) & 63) as usize]);
        [0, 1, 2, 3].map(|place| if place <= three.len() { letter(place) } else { '=' })
    };
    bytes.chunks(3).flat_map(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_is_base64s() {
        assert_eq!(
            ["", "f", "fo", "foo", "foob"].map(|text| base64(text.as_bytes())),
            ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]
        );
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }

    #[test]
    fn the_page_holds_one_style_one_script_and_nothing_from_elsewhere() {
        assert_eq!([HTML.matches("<style").count(), HTML.matches("<script").count()], [1, 1]);
        for word in
            [" src=", "<link", "@import", "innerHTML", "insertAdjacentHTML", "document.write", "eval("]
        {
            assert!(!HTML.contains(word), "{word}");
        }
        assert!(headers().contains("script-src 'sha256-") && !headers().contains("unsafe"));
    }
}
