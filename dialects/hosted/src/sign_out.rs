//! Signing out of this browser.
//!
//! Where the application has proved to speak for whoever is signed in, it happens at once; otherwise a page asks first, so that no link
//! and no picture of a stranger signs anybody out.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use engine::{Caller, Context, Error, Sessions};
use http::{HeaderMap, Uri, header};
use serde::Deserialize;
use web::hand_over::{Browser, SignOut};
use web::page::is_foreign;
use web::{Accepts, Client, Received, Text, respond};

use crate::Shared;
use crate::page::{SignOutPage, Told};

const FORM: &str = "sign_out";

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default)]
    request: Option<Text<'a>>,
    #[serde(borrow, default)]
    token: Option<Text<'a>>,
}

/// `GET /sign-out`
pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let answer = match web::body::query(&uri) {
        Ok(fields) => shared.asked(&client, &headers, &fields).await,
        Err(_) => Err(Told::BeginAgain),
    };
    answer.unwrap_or_else(|told| shared.pages.tell(&headers, told, None))
}

/// `POST /sign-out`
pub(crate) async fn confirm(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = async {
        let received = Received::read(Accepts::Form, &headers, body).await.map_err(|_| Told::BeginAgain)?;
        let fields = received.decode().map_err(|_| Told::BeginAgain)?;
        shared.confirmed(&client, &headers, &fields).await
    };
    answer.await.unwrap_or_else(|told| shared.pages.tell(&headers, told, None))
}

impl Shared {
    async fn asked(&self, client: &Client, headers: &HeaderMap, fields: &Fields<'_>) -> Result<Response, Told> {
        let context = self.context(client);
        let sealed = fields.request.as_deref().unwrap_or("");
        let sign_out = SignOut::open(&self.engine, &context, sealed).ok_or(Told::BeginAgain)?;
        let visitor = self.visitor(&context, headers).await.map_err(|error| Told::fault(&error))?;
        let Some(visitor) = visitor else { return self.signed_out(headers, &sign_out) };
        if sign_out.identity == Some(visitor.account.identity.id.get()) {
            return self.end(&context, headers, &sign_out, &visitor).await;
        }
        let known = Browser::of(headers, &self.origin);
        let is_new = known.is_none();
        let browser = known.unwrap_or_else(|| Browser::new(&self.engine));
        let cookie = is_new.then(|| browser.cookie(&self.origin)).flatten();
        let token = browser.form_token(&self.engine, &context, FORM).map_err(|error| Told::fault(&error))?;
        let values = SignOutPage { request: sealed, token: &token, stay: sign_out.return_to.as_deref() };
        let words = self.pages.words(sign_out.locales.as_deref(), headers);
        let mut response = self.pages.sign_out(words, sign_out.leads_to.as_deref(), &values);
        response.headers_mut().extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
        Ok(response)
    }

    async fn confirmed(&self, client: &Client, headers: &HeaderMap, fields: &Fields<'_>) -> Result<Response, Told> {
        if is_foreign(headers) {
            return Err(Told::Foreign);
        }
        let context = self.context(client);
        let sign_out = SignOut::open(&self.engine, &context, fields.request.as_deref().unwrap_or(""));
        let sign_out = sign_out.ok_or(Told::BeginAgain)?;
        let browser = Browser::of(headers, &self.origin).ok_or(Told::BeginAgain)?;
        if !browser.sent(&self.engine, &context, FORM, fields.token.as_deref().unwrap_or("")) {
            return Err(Told::BeginAgain);
        }
        match self.visitor(&context, headers).await.map_err(|error| Told::fault(&error))? {
            Some(visitor) => self.end(&context, headers, &sign_out, &visitor).await,
            None => self.signed_out(headers, &sign_out),
        }
    }

    async fn end(
        &self,
        context: &Context<'_>,
        headers: &HeaderMap,
        sign_out: &SignOut,
        visitor: &Caller,
    ) -> Result<Response, Told> {
        match self.engine.end_sessions(context, visitor.session.id, Sessions::This).await {
            // Refused is one that ended by itself in the meantime.
            Ok(()) | Err(Error::Refused { .. }) => self.signed_out(headers, sign_out),
            Err(fault @ Error::Failed(_)) => Err(Told::fault(&fault)),
        }
    }

    fn signed_out(&self, headers: &HeaderMap, sign_out: &SignOut) -> Result<Response, Told> {
        let mut response = match &sign_out.return_to {
            Some(url) => respond::see_other(url).map_err(|_| Told::BeginAgain)?,
            None => self.pages.tell(headers, Told::SignedOut, None),
        };
        response.headers_mut().extend(self.session_cookie.clear().map(|cookie| (header::SET_COOKIE, cookie)));
        Ok(response)
    }
}
