//! What a person reads where an application cannot be answered: its request names no application, or one that declared no such
//! address, so sending the browser there would make a stranger's link look like ours (RFC 6749, 4.1.2.1).

use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use web::page::{Catalogue, MESSAGE, Page, PageParts, Pages};
use web::respond;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mishap {
    UnknownClient,
    BadRedirect,
    BadRequest,
    BeginAgain,
    BadSignOut,
    /// Ours.
    Unavailable(StatusCode),
}

impl Mishap {
    /// Status, title and text.
    const fn told(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::UnknownClient => (StatusCode::BAD_REQUEST, "error_title", "unknown_client"),
            Self::BadRedirect => (StatusCode::BAD_REQUEST, "error_title", "bad_redirect"),
            Self::BadRequest => (StatusCode::BAD_REQUEST, "error_title", "bad_request"),
            Self::BeginAgain => (StatusCode::BAD_REQUEST, "error_title", "begin_again"),
            Self::BadSignOut => (StatusCode::BAD_REQUEST, "error_title", "bad_sign_out"),
            Self::Unavailable(status) => (status, "unavailable_title", "unavailable"),
        }
    }
}

/// The error pages.
pub(crate) struct ErrorPages(Pages);

#[derive(Serialize)]
struct Message<'a> {
    title: &'a str,
    text: &'a str,
    action: Option<()>,
}

impl ErrorPages {
    pub(crate) fn new(brand: &str) -> Result<Self, String> {
        let catalogue =
            Catalogue::new(("en", include_str!("../words/en.toml")), &[]).map_err(|error| error.to_string())?;
        let parts = PageParts { brand, catalogue, templates: &[], script: None };
        Pages::new(parts).map(Self).map_err(|error| error.to_string())
    }

    /// The page that tells `mishap`.
    pub(crate) fn show(&self, headers: &HeaderMap, mishap: Mishap) -> Response {
        let (status, title, text) = mishap.told();
        let words = self.0.words(None, headers);
        let values = Message { title: words.get(title), text: words.get(text), action: None };
        respond::with_retry(self.0.show(&Page { status, template: MESSAGE, words, leads_to: None, values }))
    }
}
