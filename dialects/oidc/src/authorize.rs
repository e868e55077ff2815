//! The authorization endpoint: an application sends a person here to sign in.
//!
//! Until client and redirect URI are known to belong together nothing is answered but a page; from then on every error goes back to
//! the application. Nothing is written down: the request travels sealed, through the pages and back.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use engine::{Algorithm, Times};
use http::{HeaderMap, Uri, header};
use serde::{Deserialize, Serialize};
use web::hand_over::{Browser, SignIn, with_query};
use web::{Accepts, Client, Received, Text, respond};

use crate::client::Application;
use crate::error::OAuthError;
use crate::page::Mishap;
use crate::token::IdClaims;
use crate::{CALLBACK, Shared, scope, uri};

/// An authorization request (OpenID Connect Core, 3.1.2.1). What is not in here is ignored.
#[derive(Deserialize)]
struct AuthorizationRequest<'a> {
    #[serde(borrow, default)]
    client_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    redirect_uri: Option<Text<'a>>,
    #[serde(borrow, default)]
    response_type: Option<Text<'a>>,
    #[serde(borrow, default)]
    response_mode: Option<Text<'a>>,
    #[serde(borrow, default)]
    scope: Option<Text<'a>>,
    #[serde(borrow, default)]
    state: Option<Text<'a>>,
    #[serde(borrow, default)]
    nonce: Option<Text<'a>>,
    #[serde(borrow, default)]
    code_challenge: Option<Text<'a>>,
    #[serde(borrow, default)]
    code_challenge_method: Option<Text<'a>>,
    #[serde(borrow, default)]
    prompt: Option<Text<'a>>,
    #[serde(borrow, default)]
    max_age: Option<Text<'a>>,
    #[serde(borrow, default)]
    login_hint: Option<Text<'a>>,
    #[serde(borrow, default)]
    id_token_hint: Option<Text<'a>>,
    #[serde(borrow, default)]
    ui_locales: Option<Text<'a>>,
    #[serde(borrow, default)]
    request: Option<Text<'a>>,
    #[serde(borrow, default)]
    request_uri: Option<Text<'a>>,
}

/// What is needed of a request when its person comes back.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) client_id: String,
    pub(crate) redirect_uri: String,
    pub(crate) state: Option<String>,
    pub(crate) nonce: Option<String>,
    pub(crate) scope: String,
    /// Empty where there is none.
    pub(crate) code_challenge: String,
}

/// A SHA-256 in base64url.
const CHALLENGE: usize = 43;

/// The longest `state` and `nonce`, and what else is kept: a request travels in a URL.
const LONGEST: usize = 2048;

/// `GET /oauth/v2/authorize`
pub(crate) async fn by_get(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    match web::body::query(&uri) {
        Ok(request) => shared.authorize(&client, &headers, &request),
        Err(_) => shared.pages.show(&headers, Mishap::BadRequest),
    }
}

/// `POST /oauth/v2/authorize`
pub(crate) async fn by_post(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let received = Received::read(Accepts::Form, &headers, body).await;
    let request = received.as_ref().ok().and_then(|received| received.decode().ok());
    match request {
        Some(request) => shared.authorize(&client, &headers, &request),
        None => shared.pages.show(&headers, Mishap::BadRequest),
    }
}

impl Shared {
    fn authorize(&self, client: &Client, headers: &HeaderMap, request: &AuthorizationRequest<'_>) -> Response {
        let known = request.client_id.as_deref().and_then(|id| self.applications.get(id));
        let Some(application) = known else { return self.pages.show(headers, Mishap::UnknownClient) };
        let redirect_uri = request.redirect_uri.as_deref().filter(|uri| application.is_answered_at(uri));
        let Some(redirect_uri) = redirect_uri else { return self.pages.show(headers, Mishap::BadRedirect) };
        let state = request.state.as_deref().filter(|state| state.len() <= LONGEST);
        match self.hand_over(client, headers, application, redirect_uri, request) {
            Ok(response) => response,
            Err(error) => self.answer_error(headers, redirect_uri, state, error),
        }
    }

    /// Sends the browser to the sign-in pages.
    fn hand_over(
        &self,
        client: &Client,
        headers: &HeaderMap,
        application: &Application,
        redirect_uri: &str,
        request: &AuthorizationRequest<'_>,
    ) -> Result<Response, OAuthError> {
        let note = note(application, redirect_uri, request)?;
        let prompt = Prompt::read(request.prompt.as_deref().unwrap_or(""))?;
        let context = self.context(client);
        let (browser, is_new) = match Browser::of(headers, &self.origin) {
            Some(browser) => (browser, false),
            None => (Browser::new(&self.engine), true),
        };
        let cookie = is_new.then(|| browser.cookie(&self.origin)).flatten();
        let identity = match request.id_token_hint.as_deref() {
            None => None,
            Some(hint) => {
                let claims = self.engine.authenticate(&context, Algorithm::Rs256, hint, Times::DoNotCount).ok();
                let claims = claims.filter(|claims: &IdClaims| claims.iss == self.origin);
                let claims =
                    claims.ok_or_else(|| OAuthError::invalid_request("id_token_hint is no ID token of ours"))?;
                Some(claims.sub)
            }
        };
        let sign_in = SignIn {
            answer_to: CALLBACK.to_owned(),
            browser,
            begun_at: context.now,
            application: application.name.clone(),
            leads_to: uri::leads_to(redirect_uri),
            login_hint: kept(request.login_hint.as_deref()),
            locales: kept(request.ui_locales.as_deref()),
            is_silent: prompt == Prompt::None,
            max_age: if prompt == Prompt::Again { Some(Duration::ZERO) } else { max_age(request)? },
            identity,
            note: serde_json::to_string(&note).map_err(|_| OAuthError::internal())?,
        };
        let url = sign_in.url(&self.engine, &context, &self.origin).map_err(OAuthError::of)?;
        let mut response = respond::see_other(&url).map_err(|_| OAuthError::internal())?;
        if let Some(cookie) = cookie {
            response.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        Ok(response)
    }

    /// Tells the application (RFC 6749, 4.1.2.1), with our name on it (RFC 9207).
    pub(crate) fn answer_error(
        &self,
        headers: &HeaderMap,
        redirect_uri: &str,
        state: Option<&str>,
        error: OAuthError,
    ) -> Response {
        let mut answer = vec![("error", error.code), ("error_description", error.description)];
        answer.extend(state.map(|state| ("state", state)));
        answer.push(("iss", &self.origin));
        let redirected = respond::see_other(&with_query(redirect_uri, &answer));
        redirected.unwrap_or_else(|_| self.pages.show(headers, Mishap::BadRequest))
    }
}

/// Everything that the application is told about, if it is wrong.
fn note(application: &Application, redirect_uri: &str, request: &AuthorizationRequest<'_>) -> Result<Note, OAuthError> {
    if request.request.is_some() {
        return Err(OAuthError::authorization("request_not_supported", "request objects are not read"));
    }
    if request.request_uri.is_some() {
        return Err(OAuthError::authorization("request_uri_not_supported", "request objects are not read"));
    }
    let too_long = |value: &Option<Text<'_>>| value.as_ref().is_some_and(|value| value.len() > LONGEST);
    if too_long(&request.state) || too_long(&request.nonce) {
        return Err(OAuthError::invalid_request("state and nonce must not be longer than 2048 bytes"));
    }
    match request.response_type.as_deref() {
        Some("code") => {}
        None | Some("") => return Err(OAuthError::invalid_request("response_type is missing")),
        Some(_) => {
            return Err(OAuthError::authorization("unsupported_response_type", "only the type code is served"));
        }
    }
    if request.response_mode.as_deref().is_some_and(|mode| mode != "query") {
        return Err(OAuthError::invalid_request("only the response mode query is served"));
    }
    let asked = request.scope.as_deref().unwrap_or("");
    let scope = scope::granted(asked).ok_or(OAuthError::invalid_scope("no scope that there is was asked for"))?;
    Ok(Note {
        client_id: application.id.clone(),
        redirect_uri: redirect_uri.to_owned(),
        state: request.state.as_deref().map(str::to_owned),
        nonce: request.nonce.as_deref().map(str::to_owned),
        scope,
        code_challenge: code_challenge(application, request)?,
    })
}

/// `code_challenge`, which an application without a secret must send. Only `S256` is taken; its absence means `plain` (RFC 7636, 4.3).
fn code_challenge(application: &Application, request: &AuthorizationRequest<'_>) -> Result<String, OAuthError> {
    let method = request.code_challenge_method.as_deref();
    let Some(challenge) = request.code_challenge.as_deref() else {
        return if application.is_public() || method.is_some() {
            Err(OAuthError::invalid_request("code_challenge is missing"))
        } else {
            Ok(String::new())
        };
    };
    if method != Some("S256") {
        return Err(OAuthError::invalid_request("code_challenge_method must be S256"));
    }
    let is_base64url = challenge.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if challenge.len() == CHALLENGE && is_base64url {
        Ok(challenge.to_owned())
    } else {
        Err(OAuthError::invalid_request("code_challenge must be a SHA-256 in base64url"))
    }
}

/// What `prompt` comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prompt {
    /// No page may be shown.
    None,
    /// Whoever is signed in is asked again.
    Again,
    /// As it comes.
    Usual,
}

impl Prompt {
    fn read(text: &str) -> Result<Self, OAuthError> {
        let mut prompt = Self::Usual;
        let words: Vec<_> = text.split_whitespace().collect();
        for word in &words {
            match *word {
                "none" if words.len() == 1 => return Ok(Self::None),
                "none" => return Err(OAuthError::invalid_request("prompt none goes with no other")),
                "login" | "select_account" | "create" => prompt = Self::Again,
                // Nothing is asked of people but to sign in.
                "consent" => {}
                _ => return Err(OAuthError::invalid_request("prompt has a value that there is not")),
            }
        }
        Ok(prompt)
    }
}

fn max_age(request: &AuthorizationRequest<'_>) -> Result<Option<Duration>, OAuthError> {
    let seconds = request.max_age.as_deref().filter(|text| !text.is_empty()).map(str::parse::<u32>).transpose();
    let seconds = seconds.map_err(|_| OAuthError::invalid_request("max_age must be a number of seconds"))?;
    Ok(seconds.map(|seconds| Duration::from_secs(seconds.into())))
}

/// A hint, unless it is too long to be one.
fn kept(hint: Option<&str>) -> Option<String> {
    hint.filter(|hint| !hint.is_empty() && hint.len() <= 256).map(str::to_owned)
}
