//! Lists in pages: by number, as sessions are listed, and by the last entry of the page before, as identities are.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::LINK;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::body::Submission;
use crate::redirect::encoded;

/// How many there are in all.
const TOTAL: HeaderName = HeaderName::from_static("x-total-count");

/// How long a page is unless something else is asked for, and at most.
const USUAL: usize = 250;
const MOST: usize = 1000;

/// How long a page shall be: `page_size`, or `per_page` as it was called before.
pub(crate) fn size(query: &Submission) -> usize {
    let asked = query.get("page_size").or_else(|| query.get("per_page"));
    let asked = asked.and_then(|size| size.parse().ok()).filter(|size| *size > 0);
    asked.unwrap_or(USUAL).min(MOST)
}

/// What the parameters of a page are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// `page` and `per_page`.
    Old,
    /// Those, and `page_token` and `page_size` beside them.
    Both,
}

/// A page by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Numbered {
    /// Which, counted from zero.
    number: usize,
    /// How long it is at most.
    pub(crate) size: usize,
}

impl Numbered {
    /// What a query asks for: `page_token`, or `page` as it was called before.
    pub(crate) fn of(query: &Submission) -> Self {
        let token = query.get("page_token").and_then(|token| read_token(&token));
        let number = token.or_else(|| query.get("page")?.parse().ok());
        Self { number: number.unwrap_or(0), size: size(query) }
    }

    /// How many entries stand before it.
    pub(crate) const fn skipped(self) -> usize {
        self.number.saturating_mul(self.size)
    }

    /// Says in headers how many there are, and which other pages of `path` there are.
    pub(crate) fn put_links(self, path: &str, total: usize, names: Names, headers: &mut HeaderMap) {
        headers.insert(TOTAL, HeaderValue::from(total));
        let number = i64::try_from(self.number).unwrap_or(i64::MAX);
        // A page that holds everything is said to be as long as that.
        let size = if total == 0 { self.size } else { self.size.min(total) };
        let last = i64::try_from(total.div_ceil(size).saturating_sub(1)).unwrap_or(i64::MAX);
        let is_behind = self.skipped() >= total;
        let mut links = Vec::new();
        let mut link = |page: i64, relation: &str| {
            let parameters = match names {
                Names::Old => format!("page={page}&per_page={size}"),
                Names::Both => {
                    let token = URL_SAFE_NO_PAD.encode(format!(r#"{{"page":{page},"v":1}}"#));
                    format!("page={page}&page_size={size}&page_token={token}&per_page={size}")
                }
            };
            links.push(format!("<{path}?{parameters}>; rel=\"{relation}\""));
        };
        if number > 0 || is_behind || last == 0 {
            link(0, "first");
        }
        if number < last || is_behind {
            link(number.saturating_add(1), "next");
        }
        if number > 0 || is_behind {
            link(number - 1, "prev");
        }
        if number < last {
            link(last, "last");
        }
        put(headers, &links);
    }
}

/// The number in a page token.
fn read_token(token: &str) -> Option<usize> {
    #[derive(serde::Deserialize)]
    struct Token {
        page: usize,
    }
    let Token { page } = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    Some(page)
}

/// Says in a header where a list begins and where it goes on: `next` is what the next page is named by.
pub(crate) fn put_keyset(path: &str, parameters: &[(&str, &str)], next: Option<&str>, headers: &mut HeaderMap) {
    let link = |token: &str, relation: &str| {
        let mut all: Vec<_> = parameters.iter().copied().chain([("page_token", token)]).collect();
        all.sort_unstable();
        let query: Vec<_> = all.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        format!("<{path}?{}>; rel=\"{relation}\"", query.join("&"))
    };
    let mut links = vec![link(BEGINNING, "first")];
    links.extend(next.map(|next| link(next, "next")));
    put(headers, &links);
}

/// What the first page is named by: the nil UUID, which is nobody's id.
pub(crate) const BEGINNING: &str = "00000000-0000-0000-0000-000000000000";

fn put(headers: &mut HeaderMap, links: &[String]) {
    // Nothing but digits, names of ours and percent-encoded text.
    if let Ok(value) = HeaderValue::try_from(links.join(",")) {
        headers.insert(LINK, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The relations and pages of the links, as `first 0`.
    fn links(query: &str, total: usize) -> Vec<String> {
        let mut headers = HeaderMap::new();
        Numbered::of(&Submission::of_query(query)).put_links("/sessions", total, Names::Both, &mut headers);
        assert_eq!(headers[TOTAL], total.to_string());
        let line = headers.get(LINK).map_or("", |line| line.to_str().unwrap()).to_owned();
        let read = |link: &str| {
            let page = link.split("page=").nth(1).unwrap().split('&').next().unwrap().to_owned();
            let size = link.split("page_size=").nth(1).unwrap().split('&').next().unwrap().to_owned();
            let relation = link.split('"').nth(1).unwrap();
            format!("{relation} {page}x{size}")
        };
        line.split(',').filter(|link| !link.is_empty()).map(read).collect()
    }

    #[test]
    fn numbered_pages_say_where_the_others_are() {
        assert_eq!(links("", 1), ["first 0x1"]);
        assert_eq!(links("", 0), ["first 0x250", "next 1x250", "prev -1x250"]);
        assert_eq!(links("page_size=1", 2), ["next 1x1", "last 1x1"]);
        assert_eq!(links("per_page=1&page=1", 2), ["first 0x1", "prev 0x1"]);
        assert_eq!(links("per_page=1&page=1", 3), ["first 0x1", "next 2x1", "prev 0x1", "last 2x1"]);
        assert_eq!(links("page=7", 3), ["first 0x3", "next 8x3", "prev 6x3"]);
    }

    #[test]
    fn a_token_names_its_page() {
        let mut headers = HeaderMap::new();
        Numbered::of(&Submission::of_query("page_size=1")).put_links("/sessions", 2, Names::Both, &mut headers);
        let token = headers[LINK].to_str().unwrap().split("page_token=").nth(1).unwrap();
        let query = format!("page_size=1&page_token={}", token.split('&').next().unwrap());
        assert_eq!(Numbered::of(&Submission::of_query(&query)), Numbered { number: 1, size: 1 });
        assert_eq!(Numbered::of(&Submission::of_query("page_token=%25%25")).number, 0);
    }

    #[test]
    fn a_page_is_neither_empty_nor_endless() {
        for (query, expected) in
            [("", 250), ("page_size=0", 250), ("page_size=-1", 250), ("page_size=5000", 1000), ("per_page=7", 7)]
        {
            assert_eq!(size(&Submission::of_query(query)), expected, "{query}");
        }
    }

    #[test]
    fn a_list_by_its_last_entry_names_the_beginning_and_what_comes_next() {
        let mut headers = HeaderMap::new();
        put_keyset(
            "/admin/identities",
            &[("page_size", "2"), ("credentials_identifier", "a@b.test")],
            Some("x"),
            &mut headers,
        );
        assert_eq!(
            headers[LINK],
            concat!(
                "</admin/identities?credentials_identifier=a%40b.test&page_size=2&page_token=00000000-0000-0000-0000-000000000000>; ",
                "rel=\"first\",</admin/identities?credentials_identifier=a%40b.test&page_size=2&page_token=x>; rel=\"next\"",
            )
        );
    }
}
