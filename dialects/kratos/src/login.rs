//! Login by a code: beginning and reading. What comes of a submission is in `submit.rs`, what is seen in `form.rs`.

mod form;
mod submit;

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};

use crate::csrf::{self, Csrf};
use crate::entry;
use crate::error::Status;
use crate::request::Asked;
use crate::ui::Phrase;
use crate::{Shared, routes};

use form::Form;

/// The routes of login.
pub(crate) fn routes(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    Router::new()
        .route("/self-service/login/browser", csrf::protected(shared, get(begin_in_browser)))
        .route("/self-service/login/api", routes::only("GET, HEAD", get(begin_natively)))
        .route("/self-service/login/flows", csrf::protected(shared, get(read)))
        .route("/self-service/login", routes::only("POST", post(submit::submit)))
}

/// `GET /self-service/login/browser`
async fn begin_in_browser(
    State(shared): State<Arc<Shared>>,
    Extension(csrf): Extension<Csrf>,
    asked: Asked,
) -> Response {
    begin(&shared, &asked, Some(&csrf)).await
}

/// `GET /self-service/login/api`
async fn begin_natively(State(shared): State<Arc<Shared>>, asked: Asked) -> Response {
    begin(&shared, &asked, None).await
}

async fn begin(shared: &Arc<Shared>, asked: &Asked, csrf: Option<&Csrf>) -> Response {
    let wants_json = csrf.is_none() || asked.wants.accepts_json;
    let refresh = asked.query.get("refresh").is_some_and(|refresh| refresh == "true");
    let begun = async {
        match asked.query.get("aal").as_deref() {
            None | Some("aal1") => {}
            Some("aal2") => return Err(Status::bad_request("A second factor is not offered here")),
            Some(_) => return Err(Status::bad_request("The query parameter aal must be aal1 or aal2")),
        }
        entry::is_signed_in(shared, asked).await
    };
    match begun.await {
        Ok(true) if !refresh => {
            let return_to = asked.query.get("return_to").map(Cow::into_owned);
            entry::already_here(shared, asked, return_to.as_deref(), wants_json)
        }
        Ok(is_signed_in) => {
            // Who is not signed in has nothing to confirm.
            let refresh = refresh && is_signed_in;
            entry::begin(shared, asked, csrf, Form::new(refresh), refresh.then_some(Phrase::LoginRefresh)).await
        }
        Err(status) if wants_json => status.into_response(),
        Err(status) => asked.fail(shared, status).await,
    }
}

/// `GET /self-service/login/flows`
async fn read(State(shared): State<Arc<Shared>>, Extension(csrf): Extension<Csrf>, asked: Asked) -> Response {
    entry::read::<Form>(&shared, &asked, &csrf).await
}
