//! Verification of an address by a code: beginning, reading, and what a client sees of it. What comes of a submission is in `submit.rs`.

mod replacement;
mod submit;

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State as Extracted;
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use engine::{
    Address, CodeFormat, Context, Disclosure, FlowState, IdentityId, Naming, NewChallenge, Purpose, ResendMode, Secret,
    Strangers,
};
use http::{Method, StatusCode, header};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use web::respond;

use crate::csrf::{self, Csrf};
use crate::error::Status;
use crate::flow::{FlowBody, Journey, Kind, NoMore, State, kept_url, page_url, respond_with, token_for, written};
use crate::memo::{FlowType, Memo, Moment, open_code};
use crate::redirect::encoded;
use crate::request::Asked;
use crate::return_to;
use crate::ui::{Phrase, Stage, Ui, Verification};
use crate::{Shared, routes};

/// What is kept of the form.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Form {
    /// Where the code went, as it was typed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) email: Option<String>,
    /// The address as it was typed last, where it has to be typed again.
    #[serde(skip_serializing_if = "Option::is_none")]
    retyped: Option<String>,
    /// Whether a native client's form has a field for a token, which is so once something went wrong.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    shows_token: bool,
    /// The code that a mailed link brought, sealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// The code was right, and by then the address was nobody's any more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_void: bool,
}

/// A verification.
type Journeying = Journey<Form>;

/// The routes of a verification.
pub(crate) fn routes(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    Router::new()
        .route("/self-service/verification/browser", csrf::protected(shared, get(begin_in_browser)))
        .route("/self-service/verification/api", routes::only("GET, HEAD", get(begin_natively)))
        .route("/self-service/verification/flows", csrf::protected(shared, get(read)))
        .route("/self-service/verification", routes::only("GET, HEAD, POST", get(submit::submit).post(submit::submit)))
}

/// `GET /self-service/verification/browser`
async fn begin_in_browser(
    Extracted(shared): Extracted<Arc<Shared>>,
    Extension(csrf): Extension<Csrf>,
    asked: Asked,
) -> Response {
    if !shared.config.verification.enabled {
        let disabled = disabled();
        return if asked.wants.accepts_json { disabled.into_response() } else { asked.fail(&shared, disabled).await };
    }
    let wants_json = asked.wants.accepts_json;
    let page = |id: Uuid| asked.redirect(&page_url(&shared.config.verification.ui_url, id));
    let begun = match begin(&shared, &asked, Some(&csrf)).await {
        Ok(begun) => begun,
        // Told to browsers, too, as the original does.
        Err(status) => return status.into_response(),
    };
    match begun {
        Some(journey) if wants_json => shown(&shared, &journey, Some(&csrf)),
        Some(journey) => page(journey.id),
        None if wants_json => nothing_kept(),
        None => page(shared.engine.random_uuid()),
    }
}

/// `GET /self-service/verification/api`
async fn begin_natively(Extracted(shared): Extracted<Arc<Shared>>, asked: Asked) -> Response {
    if !shared.config.verification.enabled {
        return asked.fail(&shared, disabled()).await;
    }
    match begin(&shared, &asked, None).await {
        Ok(Some(journey)) => shown(&shared, &journey, None),
        Ok(None) => nothing_kept(),
        Err(status) => status.into_response(),
    }
}

/// `GET /self-service/verification/flows`
async fn read(Extracted(shared): Extracted<Arc<Shared>>, Extension(csrf): Extension<Csrf>, asked: Asked) -> Response {
    if !shared.config.verification.enabled {
        return asked.fail(&shared, disabled()).await;
    }
    match readable(&shared, &asked).await {
        Ok(journey) => shown(&shared, &journey, Some(&csrf)),
        Err(status) => status.into_response(),
    }
}

/// Begins a flow; with a cookie, for the browser that has it. Nothing comes to be where only the head of the answer is asked for.
async fn begin(shared: &Shared, asked: &Asked, csrf: Option<&Csrf>) -> Result<Option<Journeying>, Status> {
    let return_to = asked.query.get("return_to").map(Cow::into_owned);
    return_to::check(&shared.config, return_to.as_deref())?;
    if asked.method == Method::HEAD {
        return Ok(None);
    }
    let flow_type = if csrf.is_some() { FlowType::Browser } else { FlowType::Api };
    let mut memo = Memo::new(flow_type, kept_url(&asked.url), return_to, Form::default());
    if let Some(csrf) = csrf {
        memo.bind(csrf);
    }
    let context = shared.context(&asked.client);
    Journey::open(shared, &context, Kind::Verification, memo).await.map(Some)
}

/// A flow that another one begins for an address that came up in it.
#[derive(Debug)]
pub(crate) struct SentFlow {
    /// The type of that other flow.
    pub(crate) flow_type: FlowType,
    /// What that other flow was begun with.
    pub(crate) request_url: String,
    pub(crate) return_to: Option<String>,
    /// The browser it belongs to, for a browser's flow.
    pub(crate) binding: Option<String>,
    pub(crate) address: Address,
    /// Whose address it is.
    pub(crate) identity: IdentityId,
}

/// Begins a flow in which a code has been sent already: one operation of the engine.
pub(crate) async fn begin_sent(shared: &Shared, context: &Context<'_>, flow: SentFlow) -> Result<Uuid, Status> {
    let SentFlow { flow_type, request_url, return_to, binding, address, identity } = flow;
    let form = Form { email: Some(address.as_str().to_owned()), ..Form::default() };
    let mut memo = Memo::new(flow_type, request_url, return_to, form);
    memo.binding = binding;
    memo.begin(Phrase::VerificationCodeSent, Moment::default());
    let id = shared.engine.random_uuid();
    let challenge = NewChallenge { identity: Some(identity), ..challenge(shared, id, address, written(&memo)?) };
    shared.engine.start_challenge(context, challenge).await.map_err(Status::of)?;
    Ok(id)
}

/// A code for whoever owns `address`, in the flow `id`.
fn challenge(shared: &Shared, id: Uuid, address: Address, memo: String) -> NewChallenge {
    let config = &shared.config;
    NewChallenge {
        handle: Kind::Verification.handle(&shared.project, id),
        naming: Naming::Secret,
        purpose: Purpose::VerifyAddress,
        address,
        identity: None,
        change: None,
        attributes: None,
        memo: Some(memo),
        disclosure: Disclosure::Uniform,
        strangers: if config.verification.notifies_unknown { Strangers::Told } else { Strangers::Silent },
        format: CodeFormat::SIX_DIGITS,
        mode: ResendMode::NewCode,
        flow_life: config.verification.lifespan,
        link: Some(config.url(&format!("/self-service/verification?code={{code}}&flow={id}")).into()),
        code_life: config.code.lifespan,
        max_attempts: Some(config.code.max_submissions),
        device: None,
    }
}

/// The flow that `?id=` names, if whoever asks may read it.
async fn readable(shared: &Shared, asked: &Asked) -> Result<Journeying, Status> {
    let id = asked.query.get("id").and_then(|id| id.parse().ok()).ok_or_else(Status::no_such_thing)?;
    let journey: Journeying = Journey::read(shared, Kind::Verification, id).await?.ok_or_else(Status::no_such_thing)?;
    let config = &shared.config;
    let memo = &journey.memo;
    // Before anything is told of it, and also once it has expired.
    if memo.flow_type == FlowType::Browser {
        let binding = memo.binding.as_deref().unwrap_or_default();
        csrf::check_binding(config, &asked.headers, binding).map_err(Status::csrf)?;
    }
    if !journey.is_expired(&shared.context(&asked.client)) {
        return Ok(journey);
    }
    let again = Kind::Verification.begin_url(config, memo.flow_type);
    let gone = Status::flow_gone();
    Err(match memo.flow_type {
        FlowType::Api => gone.with_detail("api", again),
        FlowType::Browser => {
            let return_to = memo.return_to.as_deref().unwrap_or_default();
            let again = if return_to.is_empty() { again } else { format!("{again}?return_to={}", encoded(return_to)) };
            gone.with_detail("redirect_to", again).with_detail("return_to", return_to)
        }
    })
}

/// The flow as whoever has the cookie `csrf` sees it, with 200.
fn shown(shared: &Shared, journey: &Journeying, csrf: Option<&Csrf>) -> Response {
    respond_with(StatusCode::OK, &body(shared, journey, csrf))
}

/// The flow as whoever has the cookie `csrf` sees it.
fn body<'a>(shared: &Shared, journey: &'a Journeying, csrf: Option<&Csrf>) -> FlowBody<'a, NoMore> {
    let state = match journey.flow.state {
        FlowState::Open => State::ChooseMethod,
        FlowState::Passed if !journey.memo.form.is_void => State::PassedChallenge,
        FlowState::Sent | FlowState::Passed => State::SentEmail,
    };
    FlowBody::new(journey, Some("code"), ui(shared, journey, state, csrf), state, NoMore {})
}

fn ui(shared: &Shared, journey: &Journeying, state: State, csrf: Option<&Csrf>) -> Ui {
    let config = &shared.config;
    let Journey { id, flow, memo } = journey;
    let form = &memo.form;
    let is_browsers = memo.flow_type == FlowType::Browser;
    let has_token = is_browsers || form.shows_token || state == State::PassedChallenge;
    let token = has_token.then(|| if memo.binding.is_some() { token_for(shared, memo, csrf) } else { String::new() });
    let code = form.code.as_deref().and_then(|sealed| open_code(&shared.engine, *id, sealed));
    let asked_for = flow.challenge.as_ref().map(|challenge| challenge.address.as_str());
    let after = config.verification.after_return_url.as_deref();
    let continue_url = return_to::continue_url(config, memo.return_to.as_deref(), after);
    let shown = match state {
        State::ChooseMethod => Stage::ChooseMethod,
        State::SentEmail => Stage::SentEmail {
            email: form.email.as_deref().or(asked_for).unwrap_or_default(),
            code: code.as_ref().map(|code: &Secret<String>| code.expose().as_str()),
        },
        State::PassedChallenge => Stage::Passed { continue_url: &continue_url },
    };
    let passed = if form.is_void { Phrase::WrongVerificationCode } else { Phrase::Verified };
    Verification {
        submit: Kind::Verification.submit_url(config, *id),
        stage: shown,
        csrf_token: token.as_deref(),
        is_browsers,
        retyped: form.retyped.as_deref(),
        autocomplete: config.profile.has_autocomplete().then_some("one-time-code"),
        code_length: journey.code_length(),
        notes: memo.notes(journey.moment(), Phrase::WrongVerificationCode, passed),
    }
    .ui()
}

/// The head of an answer that would be a flow, if one had been begun.
fn nothing_kept() -> Response {
    let mut response = respond::empty(StatusCode::OK);
    response.headers_mut().insert(header::CONTENT_TYPE, respond::JSON);
    *response.body_mut() = Body::empty();
    response
}

fn disabled() -> Status {
    Status::bad_request("Verification is not offered here")
}
