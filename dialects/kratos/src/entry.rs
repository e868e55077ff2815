//! What login and registration have in common: how they begin, how they are read, and what can go wrong in both.

mod visit;

use std::borrow::Cow;
use std::sync::Arc;

use axum::response::Response;
use engine::Timestamp;
use http::{Method, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use web::respond;

use crate::Shared;
use crate::csrf::{self, Csrf};
use crate::error::Status;
use crate::flow::{FlowBody, Journey, Kind, State, kept_url, page_url, respond_with, token_for};
use crate::memo::{FlowType, Memo, Moment};
use crate::redirect::{encoded, with_parameter};
use crate::request::Asked;
use crate::return_to;
use crate::session::Presented;
use crate::ui::{Message, Phrase, Ui};

pub(crate) use visit::{Visit, quoted};

/// What is kept of the form of a flow that ends in somebody being signed in or registered.
pub(crate) trait Entry: Clone + Default + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Which flows have it.
    const KIND: Kind;
    /// What is said in them.
    const PHRASES: Phrases;
    /// What they have besides what every flow has.
    type More: Serialize;

    /// The form as it is shown, with `token` against forged requests: none for native clients until something went wrong.
    fn ui(shared: &Shared, journey: &Journey<Self>, token: Option<&str>) -> Ui;

    /// How far the flow is.
    fn state(journey: &Journey<Self>) -> State;

    /// What it has besides.
    fn more(journey: &Journey<Self>) -> Self::More;

    /// Something was wrong with what was sent: notes how the form looks from now on. `has_code` where a code is out.
    fn refuse(&mut self, has_code: bool);

    /// Whether the form of a native client has a token, if only an empty one.
    fn shows_token(journey: &Journey<Self>) -> bool;

    /// Whether whoever is signed in already may go on.
    fn welcomes_back(&self) -> bool {
        false
    }

    /// What of it the flow has that takes its place.
    fn renewed(&self) -> Self;
}

/// What is said in flows of one kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Phrases {
    /// The code is wrong.
    pub(crate) wrong_code: Phrase,
    /// The flow is over.
    pub(crate) passed: Phrase,
    /// It was there for too long.
    pub(crate) expired: Phrase,
    /// It has no such method.
    pub(crate) no_method: Phrase,
}

/// Begins a flow and shows it: to a browser its page, to whoever wants JSON the flow. `csrf` is the cookie of a browser.
pub(crate) async fn begin<F: Entry>(
    shared: &Shared,
    asked: &Asked,
    csrf: Option<&Csrf>,
    form: F,
    first: Option<Phrase>,
) -> Response {
    let wants_json = csrf.is_none() || asked.wants.accepts_json;
    let journey = match open(shared, asked, csrf, form, first).await {
        Ok(journey) => journey,
        Err(status) if wants_json => return status.into_response(),
        Err(status) => return asked.fail(shared, status).await,
    };
    let ui_url = &shared.config.flow(F::KIND).ui_url;
    match journey {
        Some(journey) if wants_json => show(shared, &journey, csrf),
        Some(journey) => asked.redirect(&page_url(ui_url, journey.id)),
        // Only the head of an answer is asked for: nothing comes to be.
        None if wants_json => {
            let mut response = respond::empty(StatusCode::OK);
            response.headers_mut().insert(header::CONTENT_TYPE, respond::JSON);
            response
        }
        None => asked.redirect(&page_url(ui_url, shared.engine.random_uuid())),
    }
}

async fn open<F: Entry>(
    shared: &Shared,
    asked: &Asked,
    csrf: Option<&Csrf>,
    form: F,
    first: Option<Phrase>,
) -> Result<Option<Journey<F>>, Status> {
    let return_to = asked.query.get("return_to").map(Cow::into_owned);
    return_to::check(&shared.config, return_to.as_deref())?;
    if asked.method == Method::HEAD {
        return Ok(None);
    }
    let flow_type = if csrf.is_some() { FlowType::Browser } else { FlowType::Api };
    let mut memo = Memo::new(flow_type, kept_url(&asked.url), return_to, form);
    if let Some(csrf) = csrf {
        memo.bind(csrf);
    }
    if let Some(first) = first {
        memo.begin(first, Moment::default());
    }
    let context = shared.context(&asked.client);
    Journey::open(shared, &context, F::KIND, memo).await.map(Some)
}

/// Shows the flow that `?id=` names to whoever may read it.
pub(crate) async fn read<F: Entry>(shared: &Shared, asked: &Asked, csrf: &Csrf) -> Response {
    let readable = readable::<F>(shared, asked).await;
    readable.map_or_else(Status::into_response, |journey| show(shared, &journey, Some(csrf)))
}

async fn readable<F: Entry>(shared: &Shared, asked: &Asked) -> Result<Journey<F>, Status> {
    let id = asked.query.get("id").and_then(|id| id.parse().ok()).ok_or_else(Status::no_such_thing)?;
    let journey = Journey::<F>::read(shared, F::KIND, id).await?.ok_or_else(Status::no_such_thing)?;
    let memo = &journey.memo;
    // Before anything is told of it, and also once it has expired.
    if memo.flow_type == FlowType::Browser {
        let binding = memo.binding.as_deref().unwrap_or_default();
        csrf::check_binding(&shared.config, &asked.headers, binding).map_err(Status::csrf)?;
    }
    if !journey.is_expired(&shared.context(&asked.client)) {
        return Ok(journey);
    }
    let again = F::KIND.begin_url(&shared.config, memo.flow_type);
    let gone = Status::flow_expired_on_read();
    Err(match memo.flow_type {
        FlowType::Api => gone.with_detail("api", again),
        FlowType::Browser => {
            let return_to = memo.return_to.as_deref().unwrap_or_default();
            let again =
                if return_to.is_empty() { again } else { with_parameter(&again, "return_to", &encoded(return_to)) };
            gone.with_detail("redirect_to", again).with_detail("return_to", return_to)
        }
    })
}

/// The flow as whoever has the cookie `csrf` sees it, with 200.
fn show<F: Entry>(shared: &Shared, journey: &Journey<F>, csrf: Option<&Csrf>) -> Response {
    respond_with(StatusCode::OK, &body(shared, journey, csrf))
}

/// The flow as whoever has the cookie `csrf` sees it.
fn body<'a, F: Entry>(shared: &Shared, journey: &'a Journey<F>, csrf: Option<&Csrf>) -> FlowBody<'a, F::More> {
    let token = match journey.memo.flow_type {
        FlowType::Browser => Some(token_for(shared, &journey.memo, csrf)),
        FlowType::Api => F::shows_token(journey).then(String::new),
    };
    let state = F::state(journey);
    let active = (state != State::ChooseMethod).then_some("code");
    FlowBody::new(journey, active, F::ui(shared, journey, token.as_deref()), state, F::more(journey))
}

/// What is said of the flow, and about which nodes: only the last thing.
pub(crate) fn notes<F: Entry>(journey: &Journey<F>) -> Vec<(Option<&str>, Message)> {
    journey.memo.last(journey.moment(), F::PHRASES.wrong_code)
}

/// That something ended at `at`.
fn expired(phrase: Phrase, at: Timestamp) -> Message {
    Message::from(phrase).with("expired_at", at.rfc3339()).with("expired_at_unix", at.seconds())
}

/// What whoever is signed in already gets: JSON, or the page that he was on his way to.
pub(crate) fn already_here(shared: &Shared, asked: &Asked, return_to: Option<&str>, wants_json: bool) -> Response {
    if wants_json {
        return Status::session_already_available().into_response();
    }
    asked.redirect(&return_to::continue_url(&shared.config, return_to, None))
}

/// Whether whoever asks is signed in.
pub(crate) async fn is_signed_in(shared: &Arc<Shared>, asked: &Asked) -> Result<bool, Status> {
    let context = shared.context(&asked.client);
    Ok(shared.caller(&context, Presented::of(shared, &asked.headers)).await?.is_some())
}
