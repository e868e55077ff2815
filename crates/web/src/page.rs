//! Pages for people: one look, one policy, one set of headers, whichever surface shows them.
//!
//! A page is one answer and nothing else: its style and its script stand in it and are named by their hashes in the content
//! security policy, so nothing that was smuggled in runs, and nothing is fetched from anywhere. It works without scripts. No
//! page is kept by a cache, shown in a frame, or named to another site as the one a visitor comes from.

mod cookie;
mod words;

use std::fmt;

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_FRAME_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use minijinja::value::{Kwargs, Serde};
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value, context};
use serde::Serialize;

use crate::hand_over::sha256;
use crate::respond;

pub use cookie::PageCookie;
pub use words::{Catalogue, Words, WordsError, accepted};

/// The template that every other extends.
const LAYOUT: (&str, &str) = ("layout.html", include_str!("page/layout.html"));
const STYLE: &str = include_str!("page/style.css");

/// A page that says one thing: `title` and `text`, and perhaps an `action` to go on with (`href`, `label`).
pub const MESSAGE: &str = "message.html";
const MESSAGE_SOURCE: &str = include_str!("page/message.html");

/// What a browser says of where a request comes from (W3C Fetch Metadata); pages cannot write it.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The pages of one surface.
pub struct Pages {
    environment: Environment<'static>,
    catalogue: Catalogue,
    brand: String,
    script: Option<&'static str>,
    policy: String,
}

impl fmt::Debug for Pages {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Pages")
    }
}

/// Pages that cannot be shown: a template or a catalogue that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageError(String);

impl fmt::Display for PageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for PageError {}

/// What a surface's pages are made of.
#[derive(Debug)]
pub struct PageParts<'a> {
    /// What the operator calls the product: stands on every page.
    pub brand: &'a str,
    /// Its words.
    pub catalogue: Catalogue,
    /// Its templates, besides [`MESSAGE`]: a name that ends in `.html`, and the source.
    pub templates: &'a [(&'static str, &'static str)],
    /// What makes its pages nicer where scripts run.
    pub script: Option<&'static str>,
}

/// One page to show.
#[derive(Debug)]
pub struct Page<'a, V> {
    /// The status it is answered with.
    pub status: StatusCode,
    /// Its template.
    pub template: &'static str,
    /// In which words.
    pub words: &'a Words,
    /// Where besides this origin one of its forms may lead, if any: a scheme and host, or a scheme and a colon. Browsers hold
    /// the redirects behind a form against the policy, too.
    pub leads_to: Option<&'a str>,
    /// What the template is given, besides `words` and `brand`.
    pub values: V,
}

impl Pages {
    /// Reads templates and words.
    ///
    /// # Errors
    /// A template that cannot be read.
    pub fn new(parts: PageParts<'_>) -> Result<Self, PageError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        environment.add_filter("fill", fill);
        for (name, source) in [LAYOUT, (MESSAGE, MESSAGE_SOURCE)].iter().chain(parts.templates) {
            environment.add_template(name, source).map_err(|error| PageError(format!("{name}: {error}")))?;
        }
        let script = parts.script.map(|script| format!("; script-src '{}'", hash(script))).unwrap_or_default();
        let policy = format!(
            "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; img-src data:; style-src '{}'{script}",
            hash(STYLE)
        );
        let brand = parts.brand.to_owned();
        Ok(Self { environment, catalogue: parts.catalogue, brand, script: parts.script, policy })
    }

    /// The words for whoever wants `locales` (tags, separated by spaces: `ui_locales`) or else what its browser says.
    pub fn words(&self, locales: Option<&str>, headers: &HeaderMap) -> &Words {
        let header = headers.get(http::header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or("");
        self.catalogue.choose(locales.unwrap_or("").split_whitespace().chain(accepted(header)))
    }

    /// The page, with the headers that every page has. A template that fails is a bug: it is logged and answered with an
    /// empty 500.
    pub fn show<V: Serialize>(&self, page: &Page<'_, V>) -> Response {
        let html = match self.render(page) {
            Ok(html) => html,
            Err(error) => {
                // Name, kind and line only: a message might quote a value.
                let (kind, line) = (error.kind(), error.line());
                tracing::error!(template = page.template, ?kind, line, "a page could not be rendered");
                return respond::empty(StatusCode::INTERNAL_SERVER_ERROR);
            }
        };
        let mut response = respond::bytes(page.status, respond::HTML, html);
        let leads_to = page.leads_to.map(|source| format!(" {source}")).unwrap_or_default();
        let policy = HeaderValue::try_from(format!("{}; form-action 'self'{leads_to}", self.policy));
        let headers = response.headers_mut();
        // What cannot stand in a header cannot stand in a policy either: then forms lead nowhere else.
        let policy = policy.unwrap_or(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
        headers.insert(CONTENT_SECURITY_POLICY, policy);
        if let Ok(language) = HeaderValue::from_str(page.words.language()) {
            headers.insert(CONTENT_LANGUAGE, language);
        }
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        response
    }

    fn render<V: Serialize>(&self, page: &Page<'_, V>) -> Result<String, minijinja::Error> {
        let layout = context! {
            brand => self.brand.as_str(),
            language => page.words.language(),
            words => page.words.table(),
            style => Value::from_safe_string(STYLE.to_owned()),
            script => self.script.map(|script| Value::from_safe_string(script.to_owned())),
        };
        let values = Value::from(Serde(&page.values));
        self.environment.get_template(page.template)?.render(context! { ..values, ..layout })
    }
}

/// Whether a form was sent by a page of another origin, as far as the browser says. One that does not say is believed: its
/// forms carry a token besides.
pub fn is_foreign(headers: &HeaderMap) -> bool {
    headers.get(FETCH_SITE).is_some_and(|site| site != "same-origin")
}

/// `{{ words.code_sent | fill(address=masked) }}`: puts values into the places that a word has for them.
#[expect(clippy::needless_pass_by_value, reason = "minijinja hands it over so")]
fn fill(text: &str, values: Kwargs) -> Result<String, minijinja::Error> {
    let mut filled = text.to_owned();
    for name in values.args().map(str::to_owned).collect::<Vec<_>>() {
        let place = format!("{{{name}}}");
        if !filled.contains(&place) {
            return Err(minijinja::Error::new(ErrorKind::InvalidOperation, "a word lacks a placeholder"));
        }
        filled = filled.replace(&place, &values.get::<Value>(&name)?.to_string());
    }
    values.assert_all_used()?;
    Ok(filled)
}

/// How a content security policy names an inline style or script (CSP Level 3, 2.3.1).
fn hash(source: &str) -> String {
    format!("sha256-{}", STANDARD.encode(sha256(source.as_bytes())))
}

#[cfg(test)]
mod tests;
