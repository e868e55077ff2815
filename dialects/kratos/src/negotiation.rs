//! What kind of client asks: one that wants JSON, or a browser that wants pages. Three questions that overlap, as in the original.

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

/// What a request says of its sender. [`Client::is_json`] and [`Client::is_browser`] are both true for `Accept: */*` with a JSON body,
/// as curl and `fetch` send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client {
    /// Errors go to it as JSON.
    pub(crate) is_json: bool,
    /// What went well, and a wrong code, go to it as a redirect to the page.
    pub(crate) is_browser: bool,
    /// A new flow goes to it as JSON.
    pub(crate) accepts_json: bool,
}

impl Client {
    /// Reads `headers`.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let best = best_of(headers, &["text/html", "text/*", "*/*", "application/json"]);
        let of_two = best_of(headers, &["text/html", "application/json"]);
        let sends_json = headers.get(CONTENT_TYPE).is_some_and(|value| value == "application/json");
        Self {
            is_json: best == "application/json" || sends_json,
            is_browser: best == "text/html",
            accepts_json: of_two == "application/json",
        }
    }
}

/// The first of `offers` that `Accept` likes best: the highest quality, then the most exact range. The first offer where it likes none.
fn best_of<'a>(headers: &HeaderMap, offers: &[&'a str]) -> &'a str {
    let ranges: Vec<(&str, u16)> =
        headers.get_all(ACCEPT).iter().filter_map(text).flat_map(|line| line.split(',')).filter_map(range).collect();
    let mut best: Option<((u16, u8), &str)> = None;
    for offer in offers {
        let likes = ranges.iter().filter_map(|(range, quality)| Some((*quality, exactness(range, offer)?)));
        if let Some(like) = likes.max().filter(|like| best.is_none_or(|(other, _)| *like > other)) {
            best = Some((like, offer));
        }
    }
    best.map_or("text/html", |(_, offer)| offer)
}

fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

/// A media range and its quality in thousandths; `None` where it is not wanted at all.
fn range(piece: &str) -> Option<(&str, u16)> {
    let mut parameters = piece.split(';').map(str::trim);
    let name = parameters.next().filter(|name| !name.is_empty())?;
    let quality = parameters.find_map(|parameter| parameter.strip_prefix("q=")).map_or(1000, thousandths);
    (quality > 0).then_some((name, quality))
}

/// `0.85` as 850. What is no number is not wanted.
fn thousandths(text: &str) -> u16 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: u16 = whole.parse().unwrap_or(0);
    let digits = fraction.bytes().chain(*b"000").take(3).map(|byte| u16::from(byte.wrapping_sub(b'0')));
    let fraction = digits.fold(0, |sum, digit| sum * 10 + digit.min(9));
    (whole.min(1) * 1000 + fraction).min(1000)
}

/// How exactly `range` names `offer`, if it does.
fn exactness(range: &str, offer: &str) -> Option<u8> {
    if range == "*/*" {
        return Some(1);
    }
    match range.strip_suffix('*').filter(|kind| kind.ends_with('/')) {
        Some(kind) => offer.starts_with(kind).then_some(2),
        None => (range == offer).then_some(3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(accept: Option<&'static str>, content_type: Option<&'static str>) -> Client {
        let mut headers = HeaderMap::new();
        let sent = [(ACCEPT, accept), (CONTENT_TYPE, content_type)];
        for (name, value) in sent.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            headers.insert(name, HeaderValue::from_static(value));
        }
        Client::of(&headers)
    }

    #[test]
    fn accept_decides_who_gets_pages_and_who_gets_json() {
        let browser = Client { is_json: false, is_browser: true, accepts_json: false };
        let program = Client { is_json: true, is_browser: false, accepts_json: true };
        let cases = [
            (None, browser),
            (Some(""), browser),
            (Some("*/*"), browser),
            (Some("text/plain"), browser),
            (Some("application/xml"), browser),
            (Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), browser),
            (Some("application/json;q=0.5,text/html"), browser),
            (Some("application/json;q=0, */*"), browser),
            (Some("application/json"), program),
            (Some("application/json, text/plain, */*"), program),
            (Some("application/*"), program),
            (Some("text/html;q=0.4, application/json;q=0.41"), program),
        ];
        for (accept, expected) in cases {
            assert_eq!(client(accept, None), expected, "{accept:?}");
        }
    }

    #[test]
    fn a_json_body_makes_errors_json_and_leaves_the_rest() {
        let both = Client { is_json: true, is_browser: true, accepts_json: false };
        assert_eq!(client(Some("*/*"), Some("application/json")), both);
        assert!(!client(Some("*/*"), Some("application/json; charset=utf-8")).is_json);
        assert!(!client(Some("*/*"), Some("application/x-www-form-urlencoded")).is_json);
    }

    #[test]
    fn qualities_are_read_to_the_thousandth() {
        let read = ["1", "0", "0.5", "0.85", "0.123", "1.0", "7", "x", "0.9999"].map(thousandths);
        assert_eq!(read, [1000, 0, 500, 850, 123, 1000, 1000, 0, 999]);
    }
}
