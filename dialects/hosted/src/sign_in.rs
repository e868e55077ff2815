//! The page that asks for an address, and what it starts.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use engine::{
    Address, CODE_IN_LINK, Caller, CodeFormat, Context, Disclosure, Error, Handle, Naming, NewChallenge, Purpose,
    Refusal, ResendMode, Strangers,
};
use http::{HeaderMap, StatusCode, Uri, header};
use serde::Deserialize;
use web::hand_over::{Browser, PATIENCE, SignIn, SignInRefusal, SignedIn};
use web::page::is_foreign;
use web::{Accepts, Client, Received, Text, respond};

use crate::page::{AddressPage, Told, retry_after, too_soon};
use crate::visitor::FlowKey;
use crate::{CODE, Shared};

/// The forms of a sign-in: a token of theirs is good for no other.
pub(crate) const FORM: &str = "sign_in";

#[derive(Deserialize)]
struct Query<'a> {
    #[serde(borrow, default)]
    request: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Form<'a> {
    #[serde(borrow, default)]
    request: Option<Text<'a>>,
    #[serde(borrow, default)]
    token: Option<Text<'a>>,
    #[serde(borrow, default)]
    email: Option<Text<'a>>,
}

/// `GET /sign-in`
pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let sealed = web::body::query::<Query<'_>>(&uri).ok().and_then(|query| query.request);
    let shown = shared.begun(&client, &headers, sealed.as_deref().unwrap_or("")).await;
    shown.unwrap_or_else(|told| shared.pages.tell(&headers, told, None))
}

/// `POST /sign-in`
pub(crate) async fn start(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = async {
        let received = Received::read(Accepts::Form, &headers, body).await.map_err(|_| Told::BeginAgain)?;
        let form: Form<'_> = received.decode().map_err(|_| Told::BeginAgain)?;
        shared.started(&client, &headers, &form).await
    };
    answer.await.unwrap_or_else(|told| shared.pages.tell(&headers, told, None))
}

impl Shared {
    async fn begun(&self, client: &Client, headers: &HeaderMap, sealed: &str) -> Result<Response, Told> {
        let context = self.context(client);
        let sign_in = SignIn::open(&self.engine, &context, sealed).ok_or(Told::BeginAgain)?;
        let refused = || {
            let url = sign_in.refused_url(&self.origin, sealed, SignInRefusal::LoginRequired);
            respond::see_other(&url).map_err(|_| Told::BeginAgain)
        };
        let browser = Browser::of(headers, &self.origin).filter(|browser| *browser == sign_in.browser);
        let Some(browser) = browser else {
            // In a frame of another site a browser keeps its cookies to itself.
            return if sign_in.is_silent { refused() } else { Err(Told::BeginAgain) };
        };
        let visitor = self.visitor(&context, headers).await.map_err(|error| Told::fault(&error))?;
        if let Some(Caller { session, account }) = visitor.filter(|visitor| suffices(visitor, &sign_in, &context)) {
            let signed_in = SignedIn { at: session.issued_at };
            let who = (account.identity.id, session.method.as_str());
            let url = sign_in.signed_in_url(&self.engine, &context, &self.origin, sealed, who, &signed_in).await;
            let url = url.map_err(|error| Told::fault(&error))?;
            return respond::see_other(&url).map_err(|_| Told::BeginAgain);
        }
        if sign_in.is_silent {
            return refused();
        }
        let email = sign_in.login_hint.as_deref().unwrap_or("");
        self.address_page(&context, (StatusCode::OK, headers), (&sign_in, sealed, &browser), email, None)
    }

    async fn started(&self, client: &Client, headers: &HeaderMap, form: &Form<'_>) -> Result<Response, Told> {
        if is_foreign(headers) {
            return Err(Told::Foreign);
        }
        let context = self.known_context(client, headers);
        let sealed = form.request.as_deref().unwrap_or("");
        let sign_in = SignIn::open(&self.engine, &context, sealed).ok_or(Told::BeginAgain)?;
        let browser = self.sender(&context, headers, form.token.as_deref()).ok_or(Told::BeginAgain)?;
        if browser != sign_in.browser {
            return Err(Told::BeginAgain);
        }
        let words = self.pages.words(sign_in.locales.as_deref(), headers);
        let typed = form.email.as_deref().unwrap_or("");
        let shown = (&sign_in, sealed, &browser);
        let Ok(address) = Address::email(typed) else {
            let error = words.get("address_malformed").to_owned();
            return self.address_page(&context, (StatusCode::BAD_REQUEST, headers), shown, typed, Some(error));
        };
        let key = FlowKey::new(self);
        let challenge = self.challenge(key.handle(&context), address, sealed);
        match self.engine.start_challenge(&context, challenge).await {
            Ok(_) => {
                let cookie = key.cookie(self, &context).map_err(|error| Told::fault(&error))?;
                let mut response =
                    respond::see_other(&format!("{}{CODE}", self.origin)).map_err(|_| Told::BeginAgain)?;
                response.headers_mut().extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
                Ok(response)
            }
            Err(Error::Refused { refusal: Refusal::TooSoon { retry_after: wait }, flow: _ }) => {
                let error = too_soon(words, wait);
                let status = (StatusCode::TOO_MANY_REQUESTS, headers);
                let mut response = self.address_page(&context, status, shown, typed, Some(error))?;
                retry_after(&mut response, wait);
                Ok(response)
            }
            Err(error) => Err(Told::fault(&error)),
        }
    }

    /// The browser that sent a form of a sign-in, if it was shown the page.
    pub(crate) fn sender(&self, context: &Context<'_>, headers: &HeaderMap, token: Option<&str>) -> Option<Browser> {
        let browser = Browser::of(headers, &self.origin)?;
        browser.sent(&self.engine, context, FORM, token?).then_some(browser)
    }

    /// What asks for a code in the flow of `handle`, and asks again.
    pub(crate) fn challenge(&self, handle: Handle, address: Address, sealed: &str) -> NewChallenge {
        NewChallenge {
            handle,
            device: None,
            naming: Naming::Secret,
            purpose: if self.project.policy.sign_up { Purpose::SignInOrUp } else { Purpose::SignIn },
            address,
            identity: None,
            change: None,
            attributes: None,
            memo: Some(sealed.to_owned()),
            disclosure: Disclosure::Uniform,
            format: CodeFormat::SIX_DIGITS,
            mode: ResendMode::SameCode,
            flow_life: PATIENCE,
            strangers: Strangers::Silent,
            code_life: None,
            max_attempts: None,
            link: Some(format!("{}/sign-in/link?code={CODE_IN_LINK}", self.origin).into()),
        }
    }

    fn address_page(
        &self,
        context: &Context<'_>,
        (status, headers): (StatusCode, &HeaderMap),
        (sign_in, sealed, browser): (&SignIn, &str, &Browser),
        email: &str,
        error: Option<String>,
    ) -> Result<Response, Told> {
        let token = browser.form_token(&self.engine, context, FORM).map_err(|error| Told::fault(&error))?;
        let values = AddressPage {
            request: sealed,
            token: &token,
            email: email.get(..254).unwrap_or(email),
            application: &sign_in.application,
            cancel: &sign_in.refused_url(&self.origin, sealed, SignInRefusal::AccessDenied),
            is_invalid: error.is_some() && status == StatusCode::BAD_REQUEST,
            error,
        };
        let words = self.pages.words(sign_in.locales.as_deref(), headers);
        Ok(self.pages.address(status, words, sign_in, &values))
    }
}

/// Whether somebody who signed in before need not do so again.
fn suffices(visitor: &Caller, sign_in: &SignIn, context: &Context<'_>) -> bool {
    let is_recent = sign_in.max_age.is_none_or(|max_age| context.now < visitor.session.issued_at.plus(max_age));
    let is_wanted = sign_in.identity.is_none_or(|identity| identity == visitor.account.identity.id.get());
    is_recent && is_wanted
}
