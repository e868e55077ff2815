//! What comes of a submission to a login: a code is sent, or one is brought back.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use engine::{
    Account, Address, Attempt, CodeFormat, Disclosure, Error, FlowState, Naming, NewChallenge, Purpose, Refusal,
    ResendMode, Strangers, Verified,
};
use serde_json::{Map, Value};

use super::form::Form;
use crate::Shared;
use crate::body::Submission;
use crate::csrf::Csrf;
use crate::entry::{Visit, quoted};
use crate::error::Status;
use crate::flow::written;
use crate::holder::{UNANSWERABLE, is_withheld};
use crate::identity;
use crate::request::Asked;
use crate::session;
use crate::signed_in::{Arrival, Welcome};
use crate::ui::{Message, Phrase};

/// `POST /self-service/login`
pub(super) async fn submit(State(shared): State<Arc<Shared>>, asked: Asked, body: Body) -> Response {
    let (visit, submission) = match Visit::<Form>::begin(&shared, &asked, body).await {
        Ok(begun) => begun,
        Err(response) => return response,
    };
    match Box::pin(take(visit, &submission)).await {
        Ok(response) | Err(response) => response,
    }
}

/// Takes a submission that could be read; both ends are answers.
async fn take(mut visit: Visit<'_, Form>, submission: &Submission) -> Result<Response, Response> {
    let identifier = submission.get("identifier").or_else(|| submission.get("address"));
    let identifier = identifier.map(|identifier| quoted(&identifier).to_lowercase()).unwrap_or_default();
    visit.journey.memo.form.identifier.clone_from(&identifier);
    let visit = visit.check(submission).await?;
    let is_by_code = submission.get("method").is_some_and(|method| method == "code");
    if !is_by_code || !visit.shared.config.code.passwordless_enabled {
        return Ok(visit.tell(None, Phrase::NoLoginMethod).await);
    }
    let payload = match submission.object("transient_payload") {
        Ok(payload) => payload.cloned().unwrap_or_default(),
        Err(status) => return Ok(visit.tell(None, Message::problem(status.reason().to_owned())).await),
    };
    if visit.journey.flow.state == FlowState::Passed {
        return Ok(visit.tell(None, Phrase::LoginPassed).await);
    }
    if identifier.trim().is_empty() {
        let missing = Message::from(Phrase::Missing).with("property", "identifier");
        return Ok(visit.tell(Some("identifier"), missing).await);
    }
    let Ok(address) = Address::email(&identifier) else {
        return Ok(visit.tell(None, Phrase::UnknownAccount).await);
    };
    let code = submission.get("code").filter(|_| submission.get("resend").is_none() && visit.has_code());
    Ok(match code {
        Some(code) => verify(visit, &address, &code).await,
        None => send(visit, address, identifier, payload).await,
    })
}

/// A code goes to `address`, if anybody signs in with it.
async fn send(
    mut visit: Visit<'_, Form>,
    address: Address,
    identifier: String,
    payload: Map<String, Value>,
) -> Response {
    let is_withheld = match is_withheld(visit.shared, &visit.context, &address).await {
        Ok(is_withheld) => is_withheld,
        Err(status) => return visit.fail(status).await,
    };
    if is_withheld && visit.context.project.policy.reveals_accounts {
        return visit.tell(None, Phrase::UnknownAccount).await;
    }
    let (purpose, identity) = if is_withheld { UNANSWERABLE } else { (Purpose::SignIn, None) };
    let moment = visit.journey.moment();
    let mut memo = visit.journey.memo.clone();
    let was_missed = memo.is_missed(moment);
    memo.form.send(identifier, was_missed);
    memo.begin(Phrase::LoginCodeSent, moment);
    let text = match written(&memo) {
        Ok(text) => text,
        Err(status) => return visit.fail(status).await,
    };
    let config = &visit.shared.config;
    let challenge = NewChallenge {
        handle: visit.journey.flow.handle,
        device: None,
        naming: Naming::Secret,
        purpose,
        address,
        identity,
        change: None,
        attributes: None,
        memo: Some(text),
        disclosure: Disclosure::Telling,
        strangers: Strangers::Silent,
        format: CodeFormat::SIX_DIGITS,
        mode: ResendMode::NewCode,
        flow_life: config.login.lifespan,
        code_life: config.code.lifespan,
        max_attempts: Some(config.code.max_submissions),
        link: None,
    };
    match visit.shared.engine.start_challenge(&visit.context, challenge).await {
        Ok(started) => {
            visit.journey.flow = started.flow;
            visit.journey.memo = memo;
            visit.shown(Some(payload))
        }
        Err(Error::Refused { refusal: Refusal::IdentityNotFound, flow: _ }) => {
            visit.tell(None, Phrase::UnknownAccount).await
        }
        Err(Error::Refused { refusal, flow: _ }) => visit.refused(refusal).await,
        Err(error @ Error::Failed(_)) => visit.fail(Status::of(error)).await,
    }
}

/// A code was brought back.
async fn verify(mut visit: Visit<'_, Form>, address: &Address, code: &str) -> Response {
    let asked_for = visit.journey.flow.challenge.as_ref().map(|challenge| &challenge.address);
    if asked_for != Some(address) {
        // The code was sent to somebody else.
        return visit.tell(None, Phrase::WrongLoginCode).await;
    }
    let terms = match session::terms(visit.shared, visit.asked) {
        Ok(terms) => terms,
        Err(status) => return visit.fail(status).await,
    };
    let handles = [visit.journey.flow.handle];
    let attempt = Attempt { handles: &handles, code, session: Some(terms) };
    match visit.shared.engine.verify(&visit.context, attempt).await {
        Ok(verified) => welcome(visit, verified).await,
        Err(Error::Refused { refusal: Refusal::IdentityInactive, flow }) => {
            let identity = flow.and_then(|flow| flow.identity);
            let status = Status::of(Refusal::IdentityInactive.into());
            let named = identity.map(|id| identity::public_id(&visit.shared.engine, id).to_string());
            let status = named.map_or(status.clone(), |id| status.with_detail("identity_id", id));
            visit.fail(status).await
        }
        Err(Error::Refused { refusal, flow }) => {
            if let Some(flow) = flow {
                visit.journey.flow = *flow;
            }
            visit.refused(refusal).await
        }
        Err(error @ Error::Failed(_)) => visit.fail(Status::of(error)).await,
    }
}

/// The code was right. Who has shown that it is he goes on with a new session in the place of the old one: an id that somebody may have
/// seen before is worth nothing afterwards.
async fn welcome(visit: Visit<'_, Form>, verified: Verified) -> Response {
    let Verified { identity, addresses, session: Some(session), .. } = verified else {
        return visit.fail(Status::internal()).await;
    };
    let before = visit.caller.as_ref().filter(|caller| caller.account.identity.id == identity.id);
    if let Some(before) = before
        && let Err(status) = visit.shared.end(&visit.context, &before.session).await
    {
        return visit.fail(status).await;
    }
    // Who was signed in already is who he was: what other pages show is his still.
    let csrf = before.is_none().then(|| Csrf::renewed(visit.shared));
    let account = Account { identity, addresses };
    let after = visit.shared.config.login.after_return_url.as_deref();
    Welcome { session: &session, account: &account, arrival: Arrival::Login, csrf, after }.answer(&visit)
}
