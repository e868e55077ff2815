//! The page on which the code is typed, sending it again, and the link in the mail.
//!
//! What the flow is for stands in its memo, sealed as it travelled; so all that a browser need remember is the flow. After a right code
//! a ticket is put: a second operation of the store, against the rule of one.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use engine::{Attempt, Context, Error, Flow, FlowState, Refusal, SessionTerms, Verified};
use http::{HeaderMap, StatusCode, Uri, header};
use serde::Deserialize;
use web::hand_over::{Browser, SignIn, SignedIn};
use web::page::is_foreign;
use web::{Accepts, Client, Received, Text, respond};

use crate::page::{Asked, Remark, Told, filled, sign_in_url, too_soon};
use crate::sign_in::FORM;
use crate::visitor::FlowKey;
use crate::{CODE, Shared};

/// More is not put into a page.
const LONGEST_CODE: usize = 32;

#[derive(Deserialize)]
struct Query<'a> {
    #[serde(borrow, default)]
    code: Option<Text<'a>>,
    #[serde(borrow, default)]
    sent: Option<Text<'a>>,
}

/// No `Debug`: it holds a code.
#[derive(Deserialize)]
struct Form<'a> {
    #[serde(borrow, default)]
    token: Option<Text<'a>>,
    #[serde(borrow, default)]
    code: Option<Text<'a>>,
}

/// `GET /sign-in/code`
pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let is_sent_again = web::body::query::<Query<'_>>(&uri).is_ok_and(|query| query.sent.is_some());
    let words = shared.pages.words(None, &headers);
    let notice = is_sent_again.then(|| words.get("code_was_sent_again").to_owned());
    let remark = Remark { notice, ..Remark::default() };
    let shown = shared.code_shown(&client, &headers, remark).await;
    shown.unwrap_or_else(|told| shared.pages.tell(&headers, told, None))
}

/// `GET /sign-in/link`: what the mail links to. It changes nothing, because others than people follow links; it fills in the code where
/// the sign-in was begun, and anywhere else it says where to type it.
pub(crate) async fn link(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let query = web::body::query::<Query<'_>>(&uri).ok();
    let code = query.as_ref().and_then(|query| query.code.as_deref()).filter(|code| code.len() <= LONGEST_CODE);
    let words = shared.pages.words(None, &headers);
    let notice = code.map(|_| words.get("code_from_link").to_owned());
    let remark = Remark { code: code.unwrap_or(""), notice, ..Remark::default() };
    match shared.code_shown(&client, &headers, remark).await {
        Ok(shown) => shown,
        Err(Told::BeginAgain) => shared.pages.tell(&headers, Told::Link, None),
        Err(told) => shared.pages.tell(&headers, told, None),
    }
}

/// `POST /sign-in/code`
pub(crate) async fn verify(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = async {
        let received = Received::read(Accepts::Form, &headers, body).await.map_err(|_| Told::BeginAgain)?;
        let form: Form<'_> = received.decode().map_err(|_| Told::BeginAgain)?;
        shared.verified(&client, &headers, &form).await
    };
    answer.await.unwrap_or_else(|told| shared.pages.tell(&headers, told, None))
}

/// `POST /sign-in/code/resend`
pub(crate) async fn resend(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = async {
        let received = Received::read(Accepts::Form, &headers, body).await.map_err(|_| Told::BeginAgain)?;
        let form: Form<'_> = received.decode().map_err(|_| Told::BeginAgain)?;
        shared.sent_again(&client, &headers, &form).await
    };
    answer.await.unwrap_or_else(|told| shared.pages.tell(&headers, told, None))
}

/// A flow that this browser is in, and what it is for.
struct Standing {
    flow: Flow,
    sign_in: SignIn,
    sealed: String,
    browser: Browser,
}

impl Shared {
    async fn code_shown(&self, client: &Client, headers: &HeaderMap, remark: Remark<'_>) -> Result<Response, Told> {
        let context = self.context(client);
        let (_, standing) = self.standing(&context, headers).await?;
        self.code_again(&context, (StatusCode::OK, headers), &standing, remark)
    }

    async fn verified(&self, client: &Client, headers: &HeaderMap, form: &Form<'_>) -> Result<Response, Told> {
        if is_foreign(headers) {
            return Err(Told::Foreign);
        }
        let context = self.known_context(client, headers);
        let browser = self.sender(&context, headers, form.token.as_deref()).ok_or(Told::BeginAgain)?;
        let key = FlowKey::of(self, &context, headers).ok_or(Told::BeginAgain)?;
        let code = form.code.as_deref().unwrap_or("");
        if code.trim().is_empty() {
            let (_, standing) = self.standing(&context, headers).await?;
            let words = self.pages.words(standing.sign_in.locales.as_deref(), headers);
            let remark = Remark { error: Some(words.get("code_missing").to_owned()), ..Remark::default() };
            return self.code_again(&context, (StatusCode::BAD_REQUEST, headers), &standing, remark);
        }
        let session = Some(SessionTerms::of(self.session_life));
        let attempt = Attempt { handles: &[key.handle(&context)], code, session };
        match self.engine.verify(&context, attempt).await {
            Ok(verified) => self.passed(&context, &browser, verified).await,
            Err(Error::Refused { refusal, flow }) => {
                let standing = flow.and_then(|flow| self.read(&context, *flow, browser));
                self.refused(&context, headers, refusal, standing.as_ref())
            }
            Err(fault @ Error::Failed(_)) => Err(Told::fault(&fault)),
        }
    }

    /// Hands whoever brought the right code to the authorization server, and remembers him.
    async fn passed(&self, context: &Context<'_>, browser: &Browser, verified: Verified) -> Result<Response, Told> {
        let sealed = verified.flow.memo.as_deref().unwrap_or("");
        let sign_in = SignIn::open(&self.engine, context, sealed).filter(|sign_in| sign_in.browser == *browser);
        let sign_in = sign_in.ok_or(Told::BeginAgain)?;
        let session = verified.session.as_ref().ok_or(Told::BeginAgain)?;
        let who = (verified.identity.id, session.method.as_str());
        let signed_in = SignedIn { at: session.issued_at };
        let url = sign_in.signed_in_url(&self.engine, context, &self.origin, sealed, who, &signed_in).await;
        let url = url.map_err(|error| Told::fault(&error))?;
        let device = self.device_cookie(context, session).map_err(|error| Told::fault(&error))?;
        let mut response = respond::see_other(&url).map_err(|_| Told::BeginAgain)?;
        for cookie in [self.session_cookie(session), device, self.flow_cookie.clear()].into_iter().flatten() {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        Ok(response)
    }

    /// What a code that did not pass comes to. Whether anybody owns the address shows in none of it.
    fn refused(
        &self,
        context: &Context<'_>,
        headers: &HeaderMap,
        refusal: Refusal,
        standing: Option<&Standing>,
    ) -> Result<Response, Told> {
        let Some(standing) = standing else { return Err(Told::BeginAgain) };
        let words = self.pages.words(standing.sign_in.locales.as_deref(), headers);
        let ended = |told| Ok(self.pages.tell(headers, told, Some(&sign_in_url(&standing.sealed))));
        let error = match refusal {
            Refusal::CodeMismatch { left: 0 } | Refusal::AttemptsExhausted => return ended(Told::Exhausted),
            Refusal::CodeMismatch { left: 1 } => words.get("code_wrong_last").to_owned(),
            Refusal::CodeMismatch { left } => filled(words, "code_wrong", "left", left),
            Refusal::CodeExpired => words.get("code_over").to_owned(),
            Refusal::IdentityInactive => return Err(Told::Inactive),
            Refusal::FlowNotFound
            | Refusal::FlowExpired
            | Refusal::FlowPassed
            | Refusal::AddressTaken
            | Refusal::IdentityNotFound
            // None of these is of a code that is brought back.
            | Refusal::AddressMalformed
            | Refusal::IdentityChanged
            | Refusal::SessionEnded
            | Refusal::TokenInvalid
            | Refusal::TokenReused
            | Refusal::TicketInvalid
            | Refusal::TicketReused
            | Refusal::TooSoon { retry_after: _ } => return ended(Told::BeginAgain),
        };
        let remark = Remark { error: Some(error), ..Remark::default() };
        self.code_again(context, (StatusCode::BAD_REQUEST, headers), standing, remark)
    }

    async fn sent_again(&self, client: &Client, headers: &HeaderMap, form: &Form<'_>) -> Result<Response, Told> {
        if is_foreign(headers) {
            return Err(Told::Foreign);
        }
        let context = self.known_context(client, headers);
        self.sender(&context, headers, form.token.as_deref()).ok_or(Told::BeginAgain)?;
        let (key, standing) = self.standing(&context, headers).await?;
        let address = standing.flow.challenge.as_ref().map(|challenge| challenge.address.clone());
        let address = address.ok_or(Told::BeginAgain)?;
        let challenge = self.challenge(key.handle(&context), address, &standing.sealed);
        match self.engine.start_challenge(&context, challenge).await {
            Ok(_) => respond::see_other(&format!("{}{CODE}?sent=again", self.origin)).map_err(|_| Told::BeginAgain),
            Err(Error::Refused { refusal: Refusal::TooSoon { retry_after }, flow: _ }) => {
                let words = self.pages.words(standing.sign_in.locales.as_deref(), headers);
                let error = Some(too_soon(words, retry_after));
                let remark = Remark { error, wait: Some(retry_after), ..Remark::default() };
                self.code_again(&context, (StatusCode::TOO_MANY_REQUESTS, headers), &standing, remark)
            }
            Err(Error::Refused { refusal, flow: _ }) => self.refused(&context, headers, refusal, Some(&standing)),
            Err(fault @ Error::Failed(_)) => Err(Told::fault(&fault)),
        }
    }

    /// The flow that the browser is in.
    async fn standing(&self, context: &Context<'_>, headers: &HeaderMap) -> Result<(FlowKey, Standing), Told> {
        let key = FlowKey::of(self, context, headers).ok_or(Told::BeginAgain)?;
        let browser = Browser::of(headers, &self.origin).ok_or(Told::BeginAgain)?;
        let flow = self.engine.flow(key.handle(context)).await.map_err(|error| Told::fault(&error))?;
        let is_over = flow.state == FlowState::Passed || context.now >= flow.expires_at;
        let standing = self.read(context, flow, browser).filter(|_| !is_over);
        Ok((key, standing.ok_or(Told::BeginAgain)?))
    }

    /// What `flow` is for, if it was begun in `browser`.
    fn read(&self, context: &Context<'_>, flow: Flow, browser: Browser) -> Option<Standing> {
        let sealed = flow.memo.clone()?;
        let sign_in = SignIn::open(&self.engine, context, &sealed).filter(|sign_in| sign_in.browser == browser)?;
        Some(Standing { flow, sign_in, sealed, browser })
    }

    fn code_again(
        &self,
        context: &Context<'_>,
        status: (StatusCode, &HeaderMap),
        standing: &Standing,
        remark: Remark<'_>,
    ) -> Result<Response, Told> {
        let Standing { flow, sign_in, sealed, browser } = standing;
        let token = browser.form_token(&self.engine, context, FORM).map_err(|error| Told::fault(&error))?;
        let asked = Asked { sign_in, sealed, token: &token };
        Ok(self.code_page(status, context.now, &asked, flow, remark))
    }
}
