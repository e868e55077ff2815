//! Signing out: by a link that only the page of whoever is signed in was given, or by showing the session token itself.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{delete, get};
use engine::{Caller, Context, Error, Refusal, Sessions};
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use web::{Accepts, Received, Text, respond};

use crate::csrf::{self, Csrf};
use crate::error::Status;
use crate::redirect::{encoded, with_parameter};
use crate::request::Asked;
use crate::session::{self, Presented};
use crate::{Shared, return_to, routes, token};

/// The routes of signing out.
pub(crate) fn routes(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    Router::new()
        .route("/self-service/logout/browser", csrf::protected(shared, get(begin)))
        .route("/self-service/logout", csrf::protected(shared, get(follow)))
        .route("/self-service/logout/api", routes::only("DELETE", delete(end_natively)))
}

/// `GET /self-service/logout/browser`: where whoever is signed in goes to sign out.
async fn begin(State(shared): State<Arc<Shared>>, asked: Asked) -> Response {
    let link = async {
        let context = shared.context(&asked.client);
        let caller = shared.in_browser(&context, &asked).await?;
        let return_to = asked.query.get("return_to").map(Cow::into_owned);
        return_to::check(&shared.config, return_to.as_deref())?;
        let token = token::logout_token(&shared.engine, caller.session.id);
        let url = shared.config.url(&format!("/self-service/logout?token={}", token.expose()));
        let url = match &return_to {
            Some(return_to) => with_parameter(&url, "return_to", &encoded(return_to)),
            None => url,
        };
        Ok::<_, Status>(respond::json(StatusCode::OK, &json!({"logout_url": url, "logout_token": token.expose()})))
    };
    match link.await {
        Ok(response) => response,
        Err(status) => asked.fail(&shared, status).await,
    }
}

/// `GET /self-service/logout`: ends the session that the token was made for, which must be the one of the cookie.
async fn follow(State(shared): State<Arc<Shared>>, asked: Asked) -> Response {
    let ended = async {
        let context = shared.context(&asked.client);
        let token =
            asked.query.get("token").ok_or_else(|| Status::bad_request("The query parameter token is missing"))?;
        let caller = shared.in_browser(&context, &asked).await?;
        if token::read_logout_token(&shared.engine, &token) != Some(caller.session.id) {
            return Err(Status::new(StatusCode::FORBIDDEN, "The token is of another session"));
        }
        // Who asks for the head of an answer looks whether a link leads anywhere.
        if asked.method != Method::HEAD {
            shared.end(&context, &caller.session).await?;
        }
        Ok(())
    };
    if let Err(status) = ended.await {
        return asked.fail(&shared, status).await;
    }
    let return_to = asked.query.get("return_to");
    let after = shared.config.logout_return_url.as_deref();
    let mut response = if asked.wants.is_json {
        respond::empty(StatusCode::NO_CONTENT)
    } else {
        asked.redirect(&return_to::continue_url(&shared.config, return_to.as_deref(), after))
    };
    if asked.method != Method::HEAD {
        session::clear_cookie(&shared, &mut response);
        Csrf::renewed(&shared).put(&shared.config, &mut response);
    }
    response
}

/// The body of a native client that signs out.
#[derive(Deserialize)]
struct NativeLogout<'a> {
    #[serde(borrow, default)]
    session_token: Option<Text<'a>>,
}

/// `DELETE /self-service/logout/api`
async fn end_natively(State(shared): State<Arc<Shared>>, asked: Asked, headers: HeaderMap, body: Body) -> Response {
    let ended = async {
        let unreadable = |_| Status::bad_request("The body must be a JSON object with the session_token");
        let received = Received::read(Accepts::Json, &headers, body).await.map_err(unreadable)?;
        if received.is_empty() {
            return Err(Status::bad_request("The body must be a JSON object with the session_token"));
        }
        let request: NativeLogout<'_> = received.decode().map_err(unreadable)?;
        let token = request.session_token.as_deref().unwrap_or_default();
        let session = token::read_session_token(&shared.engine, token);
        let session = session.ok_or_else(|| Status::new(StatusCode::FORBIDDEN, "The session_token is none of ours"))?;
        let context = shared.context(&asked.client);
        match shared.engine.end_sessions(&context, session, Sessions::This).await {
            // Who signs out twice is signed out.
            Ok(()) | Err(Error::Refused { refusal: Refusal::SessionEnded, flow: _ }) => Ok(()),
            Err(error) => Err(Status::of(error)),
        }
    };
    match ended.await {
        Ok(()) => respond::empty(StatusCode::NO_CONTENT),
        Err(status) => status.into_response(),
    }
}

impl Shared {
    /// Whom the cookie of a browser signs in.
    ///
    /// # Errors
    /// `session_inactive`.
    async fn in_browser(&self, context: &Context<'_>, asked: &Asked) -> Result<Caller, Status> {
        let presented = session::session_cookie(self, &asked.headers).map(|session| Presented { session });
        self.caller(context, presented).await?.ok_or_else(Status::session_inactive)
    }
}
