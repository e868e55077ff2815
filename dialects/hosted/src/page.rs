//! The pages, and what each is given.

use std::sync::LazyLock;
use std::time::Duration;

use axum::response::Response;
use engine::{Error, Flow, Timestamp};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use web::hand_over::{SIGN_IN, SignIn, SignInRefusal, with_query};
use web::page::{Catalogue, MESSAGE, Page, PageParts, Pages, Words};
use web::{Failure, respond};

use crate::{NAME, Shared};

const ADDRESS: &str = "address.html";
const CODE: &str = "code.html";
const SIGN_OUT: &str = "sign_out.html";

const TEMPLATES: [(&str, &str); 3] = [
    (ADDRESS, include_str!("../templates/address.html")),
    (CODE, include_str!("../templates/code.html")),
    (SIGN_OUT, include_str!("../templates/sign_out.html")),
];

/// Longer waits are told in minutes, and not counted down.
const LONGEST_COUNTDOWN: u64 = 120;

/// The surface's pages.
pub(crate) struct HostedPages(Pages);

/// The page that asks for an address.
#[derive(Serialize)]
pub(crate) struct AddressPage<'a> {
    pub(crate) request: &'a str,
    pub(crate) token: &'a str,
    pub(crate) email: &'a str,
    pub(crate) application: &'a str,
    pub(crate) cancel: &'a str,
    pub(crate) error: Option<String>,
    /// Whether the error is about what was typed.
    pub(crate) is_invalid: bool,
}

/// The page that asks for a code.
#[derive(Serialize)]
struct CodePage<'a> {
    token: &'a str,
    code: &'a str,
    address: &'a str,
    is_sign_up: bool,
    application: &'a str,
    again: &'a str,
    cancel: &'a str,
    wait: Option<u64>,
    notice: Option<String>,
    error: Option<String>,
    /// Whether the error is about what was typed.
    is_invalid: bool,
}

/// The page that asks whether to sign out.
#[derive(Serialize)]
pub(crate) struct SignOutPage<'a> {
    pub(crate) request: &'a str,
    pub(crate) token: &'a str,
    pub(crate) stay: Option<&'a str>,
}

#[derive(Serialize)]
struct Message<'a> {
    title: &'a str,
    text: &'a str,
    action: Option<Action<'a>>,
}

#[derive(Serialize)]
struct Action<'a> {
    href: &'a str,
    label: &'a str,
}

/// What a page with a code form says besides.
#[derive(Debug, Default)]
pub(crate) struct Remark<'a> {
    /// What is in the input.
    pub(crate) code: &'a str,
    /// Something good.
    pub(crate) notice: Option<String>,
    /// Something bad.
    pub(crate) error: Option<String>,
    /// How long until another code may be asked for, where that is known better than from the flow.
    pub(crate) wait: Option<Duration>,
}

/// Pages that say one thing, and go nowhere but where they say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    BeginAgain,
    Exhausted,
    Foreign,
    Inactive,
    Link,
    SignedOut,
    NotFound,
    Failed(StatusCode),
}

impl Told {
    /// Status, title and text.
    const fn words(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BeginAgain => (StatusCode::BAD_REQUEST, "error_title", "begin_again"),
            Self::Exhausted => (StatusCode::BAD_REQUEST, "error_title", "exhausted"),
            Self::Foreign => (StatusCode::FORBIDDEN, "error_title", "foreign"),
            Self::Inactive => (StatusCode::FORBIDDEN, "inactive_title", "inactive"),
            Self::Link => (StatusCode::OK, "link_title", "link"),
            Self::SignedOut => (StatusCode::OK, "signed_out_title", "signed_out"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found_title", "not_found"),
            Self::Failed(status) => (status, "failure_title", "failure"),
        }
    }

    /// What our own fault comes to. It is logged here, once.
    pub(crate) fn fault(error: &Error) -> Self {
        match error {
            Error::Failed(fault) => {
                tracing::error!(dialect = NAME, fault = fault.report(), "a request failed");
                let is_temporary = fault.is_temporary();
                Self::Failed(if is_temporary {
                    StatusCode::SERVICE_UNAVAILABLE
                } else {
                    StatusCode::INTERNAL_SERVER_ERROR
                })
            }
            // Whoever comes here has looked at the refusals that can be.
            Error::Refused { .. } => Self::BeginAgain,
        }
    }
}

impl HostedPages {
    pub(crate) fn new(brand: &str) -> Result<Self, String> {
        let catalogue =
            Catalogue::new(("en", include_str!("../words/en.toml")), &[]).map_err(|error| error.to_string())?;
        let script = Some(include_str!("../templates/script.js"));
        let parts = PageParts { brand, catalogue, templates: &TEMPLATES, script };
        Pages::new(parts).map(Self).map_err(|error| error.to_string())
    }

    /// The words for whoever sends `headers`; the application may know better.
    pub(crate) fn words(&self, locales: Option<&str>, headers: &HeaderMap) -> &Words {
        self.0.words(locales, headers)
    }

    /// A page that says `told`, and on which one may start again at `again`.
    pub(crate) fn tell(&self, headers: &HeaderMap, told: Told, again: Option<&str>) -> Response {
        let words = self.words(None, headers);
        let (status, title, text) = told.words();
        let action = again.map(|href| Action { href, label: words.get("start_again") });
        let values = Message { title: words.get(title), text: words.get(text), action };
        respond::with_retry(self.0.show(&Page { status, template: MESSAGE, words, leads_to: None, values }))
    }

    pub(crate) fn address(
        &self,
        status: StatusCode,
        words: &Words,
        sign_in: &SignIn,
        values: &AddressPage<'_>,
    ) -> Response {
        self.0.show(&Page { status, template: ADDRESS, words, leads_to: Some(&sign_in.leads_to), values })
    }

    pub(crate) fn sign_out(&self, words: &Words, leads_to: Option<&str>, values: &SignOutPage<'_>) -> Response {
        self.0.show(&Page { status: StatusCode::OK, template: SIGN_OUT, words, leads_to, values })
    }
}

/// A sign-in that a page is shown for.
pub(crate) struct Asked<'a> {
    pub(crate) sign_in: &'a SignIn,
    /// The same as it travels.
    pub(crate) sealed: &'a str,
    /// The token of the page's forms.
    pub(crate) token: &'a str,
}

impl Shared {
    /// The page on which the code of `flow` is typed.
    pub(crate) fn code_page(
        &self,
        (status, headers): (StatusCode, &HeaderMap),
        now: Timestamp,
        asked: &Asked<'_>,
        flow: &Flow,
        remark: Remark<'_>,
    ) -> Response {
        let Asked { sign_in, sealed, token } = *asked;
        let Some(challenge) = &flow.challenge else { return self.pages.tell(headers, Told::BeginAgain, None) };
        let apart = self.project.policy.send_limit.map(|limit| limit.apart).unwrap_or_default();
        let wait = remark.wait.unwrap_or_else(|| challenge.sent_at.plus(apart).since(now));
        let values = CodePage {
            token,
            code: remark.code,
            address: &challenge.address.masked(),
            is_sign_up: self.project.policy.sign_up,
            application: &sign_in.application,
            again: &sign_in_url(sealed),
            cancel: &sign_in.refused_url(&self.origin, sealed, SignInRefusal::AccessDenied),
            wait: Some(whole_seconds(wait)).filter(|seconds| (1..=LONGEST_COUNTDOWN).contains(seconds)),
            notice: remark.notice,
            is_invalid: remark.error.is_some() && remark.wait.is_none(),
            error: remark.error,
        };
        let words = self.pages.words(sign_in.locales.as_deref(), headers);
        let mut response =
            self.pages.0.show(&Page { status, template: CODE, words, leads_to: Some(&sign_in.leads_to), values });
        if let Some(wait) = remark.wait {
            retry_after(&mut response, wait);
        }
        response
    }
}

/// The path on which a sign-in that travels as `sealed` begins.
pub(crate) fn sign_in_url(sealed: &str) -> String {
    with_query(SIGN_IN, &[("request", sealed)])
}

/// Rounded up: who waits as long is not too soon.
pub(crate) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

pub(crate) fn retry_after(response: &mut Response, wait: Duration) {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
}

/// That another code may only be asked for in `wait`.
pub(crate) fn too_soon(words: &Words, wait: Duration) -> String {
    let seconds = whole_seconds(wait);
    if seconds <= LONGEST_COUNTDOWN {
        filled(words, "too_soon", "seconds", seconds)
    } else {
        filled(words, "too_soon_long", "minutes", seconds.div_ceil(60))
    }
}

/// A word with one value put in.
pub(crate) fn filled(words: &Words, word: &str, name: &str, value: impl std::fmt::Display) -> String {
    words.get(word).replace(&format!("{{{name}}}"), &value.to_string())
}

/// What happens outside of the handlers, where no project is known whose name could stand on the page.
pub(crate) fn failure(failure: Failure) -> Response {
    static PAGES: LazyLock<Option<HostedPages>> = LazyLock::new(|| HostedPages::new("countersign").ok());
    let told = match failure {
        Failure::NotFound => Told::NotFound,
        Failure::WrongVerb => Told::Failed(StatusCode::METHOD_NOT_ALLOWED),
        Failure::Panicked => Told::Failed(StatusCode::INTERNAL_SERVER_ERROR),
        Failure::TimedOut => Told::Failed(StatusCode::REQUEST_TIMEOUT),
        Failure::BodyTooLarge => Told::Failed(StatusCode::PAYLOAD_TOO_LARGE),
        Failure::Unavailable => Told::Failed(StatusCode::SERVICE_UNAVAILABLE),
    };
    match PAGES.as_ref() {
        Some(pages) => pages.tell(&HeaderMap::new(), told, None),
        None => respond::with_retry(respond::empty(told.words().0)),
    }
}
