//! Registration by a code: beginning and reading. What comes of a submission is in `submit.rs`, what is seen in `form.rs`, what a form
//! must hold in `traits.rs`.

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
use crate::{Shared, routes};

use form::Form;

/// The routes of registration.
pub(crate) fn routes(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    Router::new()
        .route("/self-service/registration/browser", csrf::protected(shared, get(begin_in_browser)))
        .route("/self-service/registration/api", routes::only("GET, HEAD", get(begin_natively)))
        .route("/self-service/registration/flows", csrf::protected(shared, get(read)))
        .route("/self-service/registration", routes::only("POST", post(submit::submit)))
}

/// `GET /self-service/registration/browser`
async fn begin_in_browser(
    State(shared): State<Arc<Shared>>,
    Extension(csrf): Extension<Csrf>,
    asked: Asked,
) -> Response {
    begin(&shared, &asked, Some(&csrf)).await
}

/// `GET /self-service/registration/api`
async fn begin_natively(State(shared): State<Arc<Shared>>, asked: Asked) -> Response {
    begin(&shared, &asked, None).await
}

async fn begin(shared: &Arc<Shared>, asked: &Asked, csrf: Option<&Csrf>) -> Response {
    let wants_json = csrf.is_none() || asked.wants.accepts_json;
    let begun = async {
        offered(shared)?;
        entry::is_signed_in(shared, asked).await
    };
    match begun.await {
        Ok(true) => {
            let return_to = asked.query.get("return_to").map(Cow::into_owned);
            entry::already_here(shared, asked, return_to.as_deref(), wants_json)
        }
        Ok(false) => entry::begin(shared, asked, csrf, Form::default(), None).await,
        Err(status) if wants_json => status.into_response(),
        Err(status) => asked.fail(shared, status).await,
    }
}

/// `GET /self-service/registration/flows`
async fn read(State(shared): State<Arc<Shared>>, Extension(csrf): Extension<Csrf>, asked: Asked) -> Response {
    match offered(&shared) {
        Ok(()) => entry::read::<Form>(&shared, &asked, &csrf).await,
        Err(status) => status.into_response(),
    }
}

/// Whether strangers may have an account: both the file and the project's policy must say so.
fn offered(shared: &Shared) -> Result<(), Status> {
    if shared.config.registration.enabled && shared.project.policy.sign_up {
        return Ok(());
    }
    Err(Status::flow_disabled("Registration is not offered here"))
}
