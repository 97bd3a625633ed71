//! Pages as they are on the web, and their titles.

use reqwest::Client;
use url::Url;

/// A title stands at a page's beginning; nobody reads on for it.
const ENOUGH: usize = 64 * 1024;

/// A page's title, if it has one.
pub(crate) async fn title(client: &Client, url: Url) -> Result<Option<String>, reqwest::Error> {
    let mut page = client.get(url).send().await?.error_for_status()?;
    let mut read = Vec::new();
    while let Some(piece) = page.chunk().await? {
        read.extend_from_slice(&piece);
        if read.len() >= ENOUGH {
            break;
        }
    }
    Ok(title_of(&String::from_utf8_lossy(&read)).map(str::to_owned))
}

/// What stands between the first `<title>` and its end.
fn title_of(page: &str) -> Option<&str> {
    let (_, rest) = page.split_once("<title>")?;
    let (title, _) = rest.split_once("</title>")?;
    Some(title.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_found_where_it_is_whole() {
        assert_eq!(title_of("<html><title> One </title><title>Two</title>"), Some("One"));
        assert_eq!((title_of("<title>cut"), title_of("none"), title_of("")), (None, None, None));
    }
}
