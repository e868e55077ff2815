//! What every page has, and what none lets through.

use http::header::CACHE_CONTROL;
use http_body_util::BodyExt as _;

use super::*;

const TEMPLATE: (&str, &str) = (
    "greeting.html",
    "{% extends 'layout.html' %}{% block title %}T{% endblock %}{% block main %}{{ words.hello | fill(name=name) }}{% endblock %}",
);

fn pages(script: Option<&'static str>) -> Pages {
    let catalogue = Catalogue::new(("en", "hello = 'Hello, {name}!'"), &[("de", "hello = 'Hallo, {name}!'")]).unwrap();
    Pages::new(PageParts { brand: "Example & Sons", catalogue, templates: &[TEMPLATE], script }).unwrap()
}

async fn shown(pages: &Pages, locales: &str, leads_to: Option<&str>, name: &str) -> (HeaderMap, String) {
    let words = pages.words(Some(locales), &HeaderMap::new());
    let values = std::collections::BTreeMap::from([("name", name)]);
    let response = pages.show(&Page { status: StatusCode::OK, template: TEMPLATE.0, words, leads_to, values });
    let headers = response.headers().clone();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (headers, String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn st_58_st_60_a_page_is_kept_by_nobody_framed_by_nobody_and_names_itself_to_nobody() {
    let (headers, _) = shown(&pages(Some("let a;")), "de", None, "Ada").await;
    assert_eq!(headers[CACHE_CONTROL], "no-store");
    assert_eq!(headers[REFERRER_POLICY], "no-referrer");
    assert_eq!(headers[X_FRAME_OPTIONS], "DENY");
    assert_eq!(headers[CONTENT_LANGUAGE], "de");
    let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(!policy.contains("unsafe"));
    for directive in ["default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'"] {
        assert!(policy.split("; ").any(|it| it == directive), "{directive} in {policy}");
    }
    assert!(policy.contains(&format!("script-src '{}'", hash("let a;"))));
}

#[tokio::test]
async fn the_hashes_are_those_of_what_stands_in_the_page() {
    let (headers, html) = shown(&pages(Some("let a = '<';")), "en", None, "Ada").await;
    let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
    for (open, close) in [("<style>", "</style>"), ("<script>", "</script>")] {
        let inside = html.split_once(open).unwrap().1.split_once(close).unwrap().0;
        assert!(policy.contains(&hash(inside)), "{open}");
    }
    let (headers, html) = shown(&pages(None), "en", None, "Ada").await;
    assert!(!html.contains("<script"));
    assert!(!headers[CONTENT_SECURITY_POLICY].to_str().unwrap().contains("script-src"));
}

#[tokio::test]
async fn a_form_may_lead_where_the_page_says_and_nowhere_else() {
    let (headers, _) = shown(&pages(None), "en", Some("https://app.example"), "Ada").await;
    let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.ends_with("; form-action 'self' https://app.example"), "{policy}");
    let (headers, _) = shown(&pages(None), "en", Some("https://app.example\r\nx: y"), "Ada").await;
    assert_eq!(headers[CONTENT_SECURITY_POLICY], "default-src 'none'; frame-ancestors 'none'");
}

#[tokio::test]
async fn st_22_values_are_text_wherever_they_come_from() {
    let (_, html) = shown(&pages(None), "en", None, "<script>alert(1)</script>").await;
    assert!(html.contains("Hello, &lt;script&gt;alert(1)&lt;&#x2f;script&gt;!"), "{html}");
    assert!(html.contains("Example &amp; Sons"));
}

#[tokio::test]
async fn a_template_that_fails_says_nothing() {
    let broken = ("greeting.html", "{{ nobody }}");
    let catalogue = Catalogue::new(("en", ""), &[]).unwrap();
    let pages = Pages::new(PageParts { brand: "B", catalogue, templates: &[broken], script: None }).unwrap();
    let words = pages.words(None, &HeaderMap::new());
    let response = pages.show(&Page { status: StatusCode::OK, template: broken.0, words, leads_to: None, values: () });
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
}

#[test]
fn st_40_a_form_of_another_origin_is_known_by_what_the_browser_says() {
    for (site, foreign) in [
        (None, false),
        (Some("same-origin"), false),
        (Some("same-site"), true),
        (Some("cross-site"), true),
        (Some("none"), true),
    ] {
        let mut headers = HeaderMap::new();
        if let Some(site) = site {
            headers.insert(FETCH_SITE, HeaderValue::from_static(site));
        }
        assert_eq!(is_foreign(&headers), foreign, "{site:?}");
    }
}
