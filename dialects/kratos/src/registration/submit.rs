//! What comes of a submission to a registration: another screen, a code that is sent, or one that is brought back.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use engine::{
    Account, Address, Attempt, CodeFormat, Disclosure, Error, FlowState, IdentityChange, Naming, NewChallenge, Purpose,
    Refusal, ResendMode, Strangers, VerifiableAddress, Verified, WantedAddress,
};
use http::StatusCode;
use serde_json::{Map, Value, json};
use web::respond;

use super::form::{Form, Screen};
use super::offered;
use crate::Shared;
use crate::body::Submission;
use crate::config::RegistrationStyle;
use crate::csrf::Csrf;
use crate::entry::{Entry, Visit};
use crate::error::Status;
use crate::flow::written;
use crate::holder::{UNANSWERABLE, is_withheld};
use crate::identity::{self, Audience, IdentityBody, Roles};
use crate::request::Asked;
use crate::session;
use crate::signed_in::{Arrival, Next, Shown, Welcome};
use crate::traits::{self, Problem};
use crate::ui::{Message, Phrase};
use crate::verification::{self, SentFlow};

/// `POST /self-service/registration`
pub(super) async fn submit(State(shared): State<Arc<Shared>>, asked: Asked, body: Body) -> Response {
    if let Err(status) = offered(&shared) {
        return asked.fail(&shared, status).await;
    }
    let (visit, submission) = match Visit::<Form>::begin(&shared, &asked, body).await {
        Ok(begun) => begun,
        Err(response) => return response,
    };
    match Box::pin(take(visit, &submission)).await {
        Ok(response) | Err(response) => response,
    }
}

/// Takes a submission that could be read; both ends are answers.
async fn take(visit: Visit<'_, Form>, submission: &Submission) -> Result<Response, Response> {
    let visit = visit.check(submission).await?;
    let config = &visit.shared.config;
    let read = submission.object("traits").map(|traits| traits.cloned().unwrap_or_default());
    let payload = submission.object("transient_payload").map(|payload| payload.cloned().unwrap_or_default());
    let (sent, payload) = match (read, payload) {
        (Ok(sent), Ok(payload)) => (traits::of_form(&config.default_schema, sent), payload),
        (Err(status), _) | (_, Err(status)) => {
            return Ok(visit.tell(None, Message::problem(status.reason())).await);
        }
    };
    if traits::are_too_long(&sent) {
        return Ok(visit.tell(None, Message::problem("The form is too long")).await);
    }
    let in_steps = config.registration_style == RegistrationStyle::ProfileFirst;
    let screen = submission.get("screen");
    let method = submission.get("method");
    Ok(match method.as_deref() {
        _ if visit.journey.flow.state == FlowState::Passed => visit.tell(None, Form::PHRASES.passed).await,
        Some("profile") if in_steps => profile(visit, screen.as_deref(), sent, payload).await,
        Some("code") if config.code.passwordless_enabled => by_code(visit, submission, sent, payload).await,
        // The button that leads back from the code names its screen and nothing else.
        None if in_steps && screen.is_some() => profile(visit, screen.as_deref(), sent, payload).await,
        Some(_) | None => visit.tell(None, Form::PHRASES.no_method).await,
    })
}

/// From who it will be to how he signs in, or back.
async fn profile(
    mut visit: Visit<'_, Form>,
    screen: Option<&str>,
    sent: Map<String, Value>,
    payload: Map<String, Value>,
) -> Response {
    if screen == Some("previous") {
        visit.journey.memo.form.show(Screen::Profile, sent);
        visit.say(Vec::new());
        return visit.keep(None).await;
    }
    if let Err(problems) = traits::check(&visit.shared.config.default_schema, &sent) {
        visit.journey.memo.form.show(Screen::Profile, sent);
        return wrong(visit, &problems).await;
    }
    visit.journey.memo.form.show(Screen::Credentials, sent);
    visit.say(vec![(None, Phrase::ChooseCredential.into())]);
    visit.keep(Some(payload)).await
}

/// Says what is wrong with the traits.
async fn wrong(mut visit: Visit<'_, Form>, problems: &[Problem]) -> Response {
    let names = problems.iter().filter_map(Problem::name).map(str::to_owned);
    visit.journey.memo.form.wrong = names.collect();
    visit.tell_all(problems.iter().map(Problem::note).collect()).await
}

async fn by_code(
    mut visit: Visit<'_, Form>,
    submission: &Submission,
    sent: Map<String, Value>,
    payload: Map<String, Value>,
) -> Response {
    let schema = &visit.shared.config.default_schema;
    if !schema.traits.iter().any(|it| it.signs_in) {
        return visit.tell(None, Phrase::NoIdentifier).await;
    }
    let addresses = match traits::check(schema, &sent) {
        Ok(addresses) => addresses,
        Err(problems) => {
            // Whom a code that is out was sent for stays what it is.
            if !visit.has_code() {
                visit.journey.memo.form.traits = sent;
            }
            return wrong(visit, &problems).await;
        }
    };
    let Some(identifier) = addresses.iter().find(|(_, roles)| roles.is_identifier).map(|(address, _)| address.clone())
    else {
        return visit.tell(None, Phrase::NoIdentifier).await;
    };
    let code = submission.get("code").filter(|_| submission.get("resend").is_none() && visit.has_code());
    match code {
        Some(_) if sent != visit.journey.memo.form.traits => visit.tell(None, Phrase::OtherTraits).await,
        Some(code) => verify(visit, &code, addresses).await,
        None => send(visit, identifier, sent, payload).await,
    }
}

/// A code goes to `address`, unless somebody has proved that it is his.
async fn send(
    mut visit: Visit<'_, Form>,
    address: Address,
    sent: Map<String, Value>,
    payload: Map<String, Value>,
) -> Response {
    let is_withheld = match is_withheld(visit.shared, &visit.context, &address).await {
        Ok(is_withheld) => is_withheld,
        Err(status) => return visit.fail(status).await,
    };
    if is_withheld && visit.context.project.policy.reveals_accounts {
        return not_sent(visit, sent, Refusal::AddressTaken).await;
    }
    let (purpose, identity) = if is_withheld { UNANSWERABLE } else { (Purpose::SignUp, None) };
    let moment = visit.journey.moment();
    let attributes = Value::Object(sent.clone()).to_string();
    let mut memo = visit.journey.memo.clone();
    memo.form.show(Screen::Code, sent.clone());
    memo.begin(Phrase::RegistrationCodeSent, moment);
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
        attributes: Some(attributes),
        memo: Some(text),
        disclosure: Disclosure::Telling,
        strangers: Strangers::Silent,
        format: CodeFormat::SIX_DIGITS,
        mode: ResendMode::NewCode,
        flow_life: config.registration.lifespan,
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
        Err(Error::Refused { refusal, flow: _ }) => not_sent(visit, sent, refusal).await,
        Err(error @ Error::Failed(_)) => visit.fail(Status::of(error)).await,
    }
}

/// No code was sent. Whom one that is out was sent for stays what it is.
async fn not_sent(mut visit: Visit<'_, Form>, sent: Map<String, Value>, refusal: Refusal) -> Response {
    if !visit.has_code() {
        visit.journey.memo.form.traits = sent;
    }
    match refusal {
        Refusal::AddressTaken => visit.tell(None, Phrase::Taken).await,
        refusal => visit.refused(refusal).await,
    }
}

/// A code was brought back.
async fn verify(mut visit: Visit<'_, Form>, code: &str, addresses: Vec<(Address, Roles)>) -> Response {
    let terms = visit.shared.config.registration_signs_in.then(|| session::terms(visit.shared, visit.asked));
    let terms = match terms.transpose() {
        Ok(terms) => terms,
        Err(status) => return visit.fail(status).await,
    };
    let handles = [visit.journey.flow.handle];
    let attempt = Attempt { handles: &handles, code, session: terms };
    match visit.shared.engine.verify(&visit.context, attempt).await {
        Ok(verified) => registered(visit, verified, addresses).await,
        Err(Error::Refused { refusal, flow }) => {
            if let Some(flow) = flow {
                visit.journey.flow = *flow;
            }
            if refusal == Refusal::AddressTaken {
                return visit.tell(None, Phrase::Taken).await;
            }
            visit.refused(refusal).await
        }
        Err(error @ Error::Failed(_)) => visit.fail(Status::of(error)).await,
    }
}

/// The identity is there. It is given its other addresses, which nobody has proved.
async fn registered(visit: Visit<'_, Form>, verified: Verified, addresses: Vec<(Address, Roles)>) -> Response {
    let Verified { identity, addresses: owned, session, .. } = verified;
    let account = Account { identity, addresses: owned };
    let account = match with_others(&visit, account, addresses).await {
        Ok(account) => account,
        Err(status) => return visit.fail(status).await,
    };
    // A browser that is signed in has a new cookie, and what is to be verified next belongs to whoever has that.
    let csrf = session.as_ref().map(|_| Csrf::renewed(visit.shared));
    let (account, shown) = match verify_others(&visit, account, csrf.as_ref()).await {
        Ok(asked) => asked,
        Err(status) => return visit.fail(status).await,
    };
    let config = &visit.shared.config;
    let after = config.registration.after_return_url.as_deref();
    let shown = shown.filter(|_| config.registration_shows_verification);
    if let Some(session) = session {
        let arrival = Arrival::Registered(shown);
        return Welcome { session: &session, account: &account, arrival, csrf, after }.answer(&visit);
    }
    let next = Next::of(&visit, after, shown.as_ref());
    if !visit.wants_json() {
        return visit.asked.redirect(&next.url);
    }
    let identity = IdentityBody::new(visit.shared, &account, Audience::Itself);
    let continue_with = next.continue_with;
    respond::json(StatusCode::OK, &json!({"identity": identity, "continue_with": continue_with}))
}

/// Sends a code to each address that nobody has proved, and says which flow the first of them is verified in.
async fn verify_others(
    visit: &Visit<'_, Form>,
    account: Account,
    csrf: Option<&Csrf>,
) -> Result<(Account, Option<Shown>), Status> {
    let shared = visit.shared;
    let traits = identity::object(&account.identity.traits);
    let schema = &shared.config.default_schema;
    let is_asked = |own: &&VerifiableAddress| {
        own.verified_at.is_none() && identity::roles(schema, &traits, &own.address).is_verifiable
    };
    let others: Vec<_> = account.addresses.iter().filter(is_asked).map(|own| own.address.clone()).collect();
    if others.is_empty() || !shared.config.verification.enabled {
        return Ok((account, None));
    }
    let memo = &visit.journey.memo;
    let mut first = None;
    for address in others {
        let flow = SentFlow {
            flow_type: memo.flow_type,
            request_url: memo.request_url.clone(),
            return_to: memo.return_to.clone(),
            binding: memo.binding.clone().map(|old| csrf.map_or(old, Csrf::binding)),
            address: address.clone(),
            identity: account.identity.id,
        };
        // Whoever has registered has registered, also where his other address was sent too many messages.
        if let Ok(flow) = verification::begin_sent(shared, &visit.context, flow).await {
            first.get_or_insert(Shown { flow, address });
        }
    }
    // Now they have been asked.
    let account = shared.engine.identity(&visit.context, account.identity.id).await.map_err(Status::of)?;
    Ok((account, first))
}

/// `account` with the other addresses of its traits. One that is somebody else's is left out: it stays a trait, and is good for nothing.
async fn with_others(
    visit: &Visit<'_, Form>,
    account: Account,
    addresses: Vec<(Address, Roles)>,
) -> Result<Account, Status> {
    let is_there = |address: &Address| account.find(address).is_some();
    if addresses.iter().all(|(address, _)| is_there(address)) {
        return Ok(account);
    }
    let wanted = |address| WantedAddress { address, verified: None };
    let mut all: Vec<_> = account.addresses.iter().map(|own| wanted(own.address.clone())).collect();
    all.extend(addresses.into_iter().map(|(address, _)| address).filter(|address| !is_there(address)).map(wanted));
    let change = IdentityChange { addresses: Some(all), ..IdentityChange::default() };
    match visit.shared.engine.change_identity(&visit.context, account.identity.id, change).await {
        Ok(account) => Ok(account),
        Err(Error::Refused { refusal: Refusal::AddressTaken, flow: _ }) => Ok(account),
        Err(error) => Err(Status::of(error)),
    }
}
