//! The way back from the sign-in pages: whoever signed in is taken, and the application gets its code.
//!
//! Two operations of the store, against the rule of one: a ticket is taken, another is put.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use engine::{Error, NewTicket, Refusal};
use http::{HeaderMap, Uri};
use serde::{Deserialize, Serialize};
use web::hand_over::{Browser, SignIn, SignInAnswer, SignInRefusal, fingerprint, with_query};
use web::{Client, respond};

use crate::Shared;
use crate::authorize::Note;
use crate::error::OAuthError;
use crate::page::Mishap;

/// The kind of ticket that a code is.
pub(crate) const CODE: &str = "oidc.code";

/// How long a code lives. RFC 6749 says ten minutes at most; an application brings it back at once.
const CODE_LIFE: Duration = Duration::from_mins(1);

/// What a code stands for, besides whom and for which application.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Grant {
    pub(crate) scope: String,
    pub(crate) nonce: Option<String>,
    pub(crate) auth_time: i64,
}

/// What must be shown with a code: the application it was made for, where it was sent, and that who brings it asked for it.
pub(crate) fn code_binding(client_id: &str, redirect_uri: &str, code_challenge: &str) -> [u8; 32] {
    fingerprint(&[client_id.as_bytes(), redirect_uri.as_bytes(), code_challenge.as_bytes()])
}

/// `GET /oauth/v2/authorize/callback`
pub(crate) async fn callback(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let Ok(answer) = web::body::query::<SignInAnswer<'_>>(&uri) else {
        return shared.pages.show(&headers, Mishap::BadRequest);
    };
    shared.answered(&client, &headers, &answer).await.unwrap_or_else(|mishap| shared.pages.show(&headers, mishap))
}

impl Shared {
    async fn answered(
        &self,
        client: &Client,
        headers: &HeaderMap,
        answer: &SignInAnswer<'_>,
    ) -> Result<Response, Mishap> {
        let context = self.context(client);
        let sealed = answer.request.as_deref().ok_or(Mishap::BeginAgain)?;
        let sign_in = SignIn::open(&self.engine, &context, sealed).ok_or(Mishap::BeginAgain)?;
        let note: Note = serde_json::from_str(&sign_in.note).map_err(|_| Mishap::BeginAgain)?;
        // The configuration may have changed since.
        let application = self.applications.get(&note.client_id).ok_or(Mishap::UnknownClient)?;
        if !application.is_answered_at(&note.redirect_uri) {
            return Err(Mishap::BadRedirect);
        }
        let refused = |error| Ok(self.answer_error(headers, &note.redirect_uri, note.state.as_deref(), error));
        match answer.error {
            Some(SignInRefusal::LoginRequired) => return refused(login_required()),
            Some(SignInRefusal::AccessDenied) => {
                return refused(OAuthError::authorization("access_denied", "the person did not sign in"));
            }
            None => {}
        }
        if Browser::of(headers, &self.origin).as_ref() != Some(&sign_in.browser) {
            return Err(Mishap::BeginAgain);
        }
        let ticket = answer.ticket.as_deref().ok_or(Mishap::BeginAgain)?;
        let (taken, signed_in) = match sign_in.take(&self.engine, &context, sealed, ticket).await {
            Ok(taken) => taken,
            Err(Error::Refused { refusal: Refusal::IdentityNotFound | Refusal::IdentityInactive, flow: _ }) => {
                return refused(OAuthError::authorization("access_denied", "the person may not sign in"));
            }
            Err(Error::Refused { .. }) => return Err(Mishap::BeginAgain),
            Err(fault @ Error::Failed(_)) => return refused(OAuthError::of(fault)),
        };
        let identity = taken.account.map(|account| account.identity.id).ok_or(Mishap::BeginAgain)?;
        if sign_in.identity.is_some_and(|wanted| wanted != identity.get()) {
            return refused(login_required());
        }
        let grant = Grant { scope: note.scope, nonce: note.nonce, auth_time: signed_in.at.seconds() };
        let Ok(body) = serde_json::to_vec(&grant) else {
            return refused(OAuthError::internal());
        };
        let code = NewTicket {
            kind: CODE,
            binding: code_binding(&note.client_id, &note.redirect_uri, &note.code_challenge),
            identity: Some(identity),
            method: &taken.method,
            body: &body,
            life: CODE_LIFE,
        };
        match self.engine.put_ticket(&context, code).await {
            Ok(code) => {
                let mut parameters = vec![("code", code.expose().as_str())];
                parameters.extend(note.state.as_deref().map(|state| ("state", state)));
                parameters.push(("iss", &self.origin));
                respond::see_other(&with_query(&note.redirect_uri, &parameters)).map_err(|_| Mishap::BadRequest)
            }
            Err(error) => refused(OAuthError::of(error)),
        }
    }
}

const fn login_required() -> OAuthError {
    OAuthError::authorization("login_required", "the person must sign in first")
}
