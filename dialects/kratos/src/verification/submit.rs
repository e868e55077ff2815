//! What comes of a submission: an address, a code, a mailed link, or something that cannot be read.
//!
//! Each is read, one operation of the engine decides it, and the flow is shown as it is then. What went wrong is said in the flow.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State as Extracted;
use axum::response::Response;
use engine::{Address, Attempt, Context, Error, Flow, FlowState, Refusal};
use http::header::RETRY_AFTER;
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Map, Value};

use super::replacement::{Because, expired};
use super::{Form, Journeying, body, challenge};
use crate::Shared;
use crate::body::Submission;
use crate::csrf::{self, Csrf, FromBrowser};
use crate::error::Status;
use crate::flow::{self, Journey, Kind, respond_with, written};
use crate::memo::{FlowType, seal_code};
use crate::request::Asked;
use crate::session::Presented;
use crate::ui::{Message, Phrase};

/// The longest value that is kept to be typed again or quoted; of a longer one, its beginning.
const LONGEST_QUOTE: usize = 1024;

/// `POST` and `GET /self-service/verification`
pub(super) async fn submit(Extracted(shared): Extracted<Arc<Shared>>, asked: Asked, body: Body) -> Response {
    let Some(id) = asked.flow_id() else {
        let status = Status::bad_request("The query parameter flow must be the id of a verification flow");
        return asked.fail(&shared, status).await;
    };
    let journey = match Journey::read(&shared, Kind::Verification, id).await {
        Ok(Some(journey)) => journey,
        Ok(None) => {
            let status = Status::not_found("There is no such verification flow, or not any more: begin a new one");
            return asked.fail(&shared, status).await;
        }
        Err(status) => return asked.fail(&shared, status).await,
    };
    let context = shared.known_context(&asked.client, Presented::of(&shared, &asked.headers));
    let csrf = Csrf::sent(&shared.config, &asked.headers);
    let turn = Turn { shared: &shared, asked: &asked, context, csrf, journey };
    // Whoever asks for the head of an answer looks whether a link leads anywhere, and nothing comes of it.
    if asked.method == Method::HEAD {
        return turn.to_page(&turn.journey);
    }
    if turn.journey.is_expired(&turn.context) {
        return turn.restart().await;
    }
    let submission = if asked.is_read() {
        asked.query.clone()
    } else {
        match Submission::read(&asked.query, &asked.headers, body).await {
            Ok(submission) => submission,
            Err(status) if status.is_shown_in_flow() => {
                return turn.tell(None, Message::problem(status.reason())).await;
            }
            Err(status) => return turn.fail(status).await,
        }
    };
    turn.take(&submission).await
}

/// One submission to one flow.
pub(super) struct Turn<'a> {
    pub(super) shared: &'a Shared,
    pub(super) asked: &'a Asked,
    pub(super) context: Context<'a>,
    /// The cookie that came with it.
    pub(super) csrf: Option<Csrf>,
    pub(super) journey: Journeying,
}

impl Turn<'_> {
    /// Takes a submission that could be read.
    async fn take(self, submission: &Submission) -> Response {
        if !self.shared.config.code.enabled {
            return self.fail(Status::not_found("Verification by code is not offered here")).await;
        }
        let payload = match submission.object("transient_payload") {
            Ok(payload) => payload.cloned().unwrap_or_default(),
            Err(status) => return self.fail(status).await,
        };
        let [method, email, code] = ["method", "email", "code"].map(|name| submission.get(name));
        let malformed = email.as_deref().filter(|email| !is_email(email));
        let unknown = method.as_deref().filter(|method| !matches!(*method, "code" | "link"));
        if malformed.is_some() || unknown.is_some() {
            return self.tell_of_fields(malformed, unknown).await;
        }
        // A code names its method by itself.
        let is_code = method.as_deref().map_or(code.is_some(), |method| method == "code");
        if !is_code {
            return self.retype(email, None, Phrase::NoVerificationMethod.into()).await;
        }
        if self.journey.flow.state == FlowState::Passed {
            return self.replace(Because::Replaced, self.over()).await;
        }
        match (code, email) {
            (Some(code), _) if self.asked.is_read() => self.follow(&code).await,
            (Some(code), _) => self.verify(&code, payload).await,
            (None, Some(email)) => self.send(email, submission).await,
            (None, None) => {
                let missing = Message::from(Phrase::Missing).with("property", "email");
                self.retype(None, Some("email"), missing).await
            }
        }
    }

    /// A mailed link was opened: the code is filled in, and the flow belongs to the browser that opened it. Nothing is spent.
    async fn follow(mut self, code: &str) -> Response {
        let csrf = Csrf::renewed(self.shared);
        let Journey { id, flow, memo } = &mut self.journey;
        memo.bind(&csrf);
        memo.form.shows_token = memo.flow_type == FlowType::Api;
        if flow.state == FlowState::Sent {
            memo.form.code = match seal_code(&self.shared.engine, *id, code) {
                Ok(sealed) => sealed,
                Err(error) => return self.fail(Status::of(error)).await,
            };
        }
        if let Err(status) = self.journey.keep(self.shared).await {
            return self.fail(status).await;
        }
        let mut response = self.to_page(&self.journey);
        csrf.put(&self.shared.config, &mut response);
        response
    }

    /// A code was brought back: one operation of the engine.
    async fn verify(mut self, code: &str, payload: Map<String, Value>) -> Response {
        if self.journey.flow.state == FlowState::Open {
            // Nothing was asked, so nothing is right.
            let moment = self.journey.moment();
            self.journey.memo.replace(Phrase::WrongVerificationCode, moment);
            return match self.journey.keep(self.shared).await {
                Ok(()) => self.advanced(Some(payload)),
                Err(status) => self.fail(status).await,
            };
        }
        let handles = [self.journey.flow.handle];
        let attempt = Attempt { handles: &handles, code, session: None };
        match self.shared.engine.verify(&self.context, attempt).await {
            Ok(verified) => {
                self.journey.flow = verified.flow;
                self.passed().await
            }
            Err(Error::Refused { refusal, flow }) => self.refused(refusal, flow, payload).await,
            Err(error @ Error::Failed(_)) => self.fail(Status::of(error)).await,
        }
    }

    /// The code was right. Whoever brought it without the cookie that the flow belongs to has read the mail, and sees the end of it.
    async fn passed(mut self) -> Response {
        let is_browsers = self.journey.memo.flow_type == FlowType::Browser;
        if !is_browsers || self.journey.memo.belongs_to(self.csrf.as_ref()) {
            return self.advanced(None);
        }
        let csrf = self.csrf.take().unwrap_or_else(|| Csrf::renewed(self.shared));
        self.journey.memo.bind(&csrf);
        if let Err(status) = self.journey.keep(self.shared).await {
            return self.fail(status).await;
        }
        self.csrf = Some(csrf.clone());
        let mut response = self.advanced(None);
        csrf.put(&self.shared.config, &mut response);
        response
    }

    /// The code did not pass. `flow` is what has become of the flow.
    async fn refused(mut self, refusal: Refusal, flow: Option<Box<Flow>>, payload: Map<String, Value>) -> Response {
        if let Some(flow) = flow {
            self.journey.flow = *flow;
        }
        match refusal {
            Refusal::CodeMismatch { left: _ } if self.journey.memo.is_missed(self.journey.moment()) => {
                self.advanced(Some(payload))
            }
            Refusal::CodeExpired if self.shared.config.profile.replaces_flow_of_expired_code() => {
                let ended = self.journey.flow.challenge.as_ref().map(|challenge| challenge.expires_at);
                let ended = ended.unwrap_or(self.context.now);
                self.replace(Because::Expired(ended), expired(ended)).await
            }
            // What was not compared was not counted, and looks like a wrong one.
            Refusal::CodeMismatch { left: _ } | Refusal::CodeExpired => {
                let moment = self.journey.moment();
                self.journey.memo.replace(Phrase::WrongVerificationCode, moment);
                match self.journey.keep(self.shared).await {
                    Ok(()) => self.advanced(Some(payload)),
                    Err(status) => self.fail(status).await,
                }
            }
            // Right, and whose address it was is gone, or has changed it. That is not told from a wrong code, but the flow is over.
            Refusal::IdentityNotFound | Refusal::AddressTaken | Refusal::IdentityInactive => {
                self.journey.memo.form.is_void = true;
                match self.journey.keep(self.shared).await {
                    Ok(()) => self.advanced(Some(payload)),
                    Err(status) => self.fail(status).await,
                }
            }
            Refusal::FlowExpired => self.restart().await,
            Refusal::FlowPassed => self.replace(Because::Replaced, Phrase::VerificationPassed.into()).await,
            Refusal::AttemptsExhausted => self.replace(Because::Replaced, exhausted()).await,
            Refusal::FlowNotFound
            | Refusal::AddressMalformed
            | Refusal::SessionEnded
            | Refusal::TokenInvalid
            | Refusal::TokenReused
            | Refusal::IdentityChanged
            | Refusal::TicketInvalid
            | Refusal::TicketReused
            | Refusal::TooSoon { .. } => self.fail(Status::of(refusal.into())).await,
        }
    }

    /// An address was given: a code goes to it, if it is anybody's. One operation of the engine.
    async fn send(mut self, email: Cow<'_, str>, submission: &Submission) -> Response {
        if let Err(refused) = self.check(submission) {
            return match refused {
                Unwelcome::Forged(status) => self.fail(status).await,
                Unwelcome::Browser(reason) => self.retype(Some(email), None, Message::problem(reason)).await,
            };
        }
        if self.asked.is_read() {
            let reason = "An address is sent with POST: nothing is mailed because somebody opened a link";
            return self.retype(Some(email), None, Message::problem(reason)).await;
        }
        let Ok(address) = Address::email(&email) else {
            return self.tell_of_fields(Some(&email), None).await;
        };
        let moment = self.journey.moment();
        let Journey { id, flow: _, memo } = &mut self.journey;
        memo.form = Form { email: Some(email.into_owned()), ..Form::default() };
        memo.begin(Phrase::VerificationCodeSent, moment);
        let memo = match written(memo) {
            Ok(memo) => memo,
            Err(status) => return self.fail(status).await,
        };
        let challenge = challenge(self.shared, *id, address, memo);
        match self.shared.engine.start_challenge(&self.context, challenge).await {
            Ok(started) => {
                self.journey.flow = started.flow;
                self.advanced(None)
            }
            Err(Error::Refused { refusal, flow: _ }) => self.not_sent(refusal).await,
            Err(error @ Error::Failed(_)) => self.fail(Status::of(error)).await,
        }
    }

    /// No code was sent.
    async fn not_sent(mut self, refusal: Refusal) -> Response {
        match refusal {
            Refusal::TooSoon { retry_after } => {
                // As it was before: what is kept is what the engine has.
                self.journey = match Journey::of(self.journey.id, self.journey.flow) {
                    Ok(journey) => journey,
                    Err(status) => return status.into_response(),
                };
                let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
                let reason =
                    format!("Too many messages were sent to this address. Please ask again in {seconds} seconds.");
                let mut response = self.tell(None, Message::problem(reason)).await;
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
                response
            }
            Refusal::FlowExpired => self.restart().await,
            Refusal::FlowPassed => self.replace(Because::Replaced, Phrase::VerificationPassed.into()).await,
            // A code that were sent now could not pass any more.
            Refusal::AttemptsExhausted => self.replace(Because::Replaced, exhausted()).await,
            Refusal::CodeExpired
            | Refusal::FlowNotFound
            | Refusal::CodeMismatch { .. }
            | Refusal::AddressMalformed
            | Refusal::AddressTaken
            | Refusal::IdentityNotFound
            | Refusal::IdentityInactive
            | Refusal::SessionEnded
            | Refusal::TokenInvalid
            | Refusal::TokenReused
            | Refusal::IdentityChanged
            | Refusal::TicketInvalid
            | Refusal::TicketReused => self.fail(Status::of(refusal.into())).await,
        }
    }

    /// Whether whoever gives an address may: a browser with its cookie and a token made from it, or no browser at all.
    fn check(&self, submission: &Submission) -> Result<(), Unwelcome> {
        let headers = &self.asked.headers;
        match self.journey.memo.flow_type {
            FlowType::Browser => {
                let token = submission.get("csrf_token");
                let checked = csrf::check_token(&self.shared.config, headers, token.as_deref());
                checked.map(|_| ()).map_err(|refused| Unwelcome::Forged(Status::csrf(refused)))
            }
            FlowType::Api => csrf::check_native(headers).map_err(|from| {
                Unwelcome::Browser(match from {
                    FromBrowser::Origin => "A native client's flow takes nothing from a browser: the request has an Origin header. \
                                            Begin a browser's flow."
                        .to_owned(),
                    FromBrowser::Cookies(names) => format!(
                        "A native client's flow takes nothing from a browser: the request has cookies ({}). Begin a browser's flow.",
                        names.join(", ")
                    ),
                })
            }),
        }
    }

    /// Why a flow that has passed takes nothing more.
    fn over(&self) -> Message {
        let is_void = self.journey.memo.form.is_void;
        if is_void { Phrase::WrongVerificationCode.into() } else { Phrase::VerificationPassed.into() }
    }

    /// Says what is wrong with the fields, and leaves them as they are.
    async fn tell_of_fields(mut self, email: Option<&str>, method: Option<&str>) -> Response {
        let moment = self.journey.moment();
        if let Some(email) = email {
            let message = Message::from(Phrase::NoEmail).with("value", quoted(email));
            self.journey.memo.add(Some("email"), message, moment);
        }
        if method.is_some() {
            let message = Message::problem("method must be one of: code, link");
            self.journey.memo.add(Some("method"), message, moment);
        }
        self.told().await
    }

    /// Says one thing more, and leaves the fields as they are.
    async fn tell(mut self, node: Option<&str>, message: Message) -> Response {
        let moment = self.journey.moment();
        self.journey.memo.add(node, message, moment);
        self.told().await
    }

    /// Says one thing more, and asks for the address again.
    async fn retype(mut self, email: Option<Cow<'_, str>>, node: Option<&str>, message: Message) -> Response {
        let moment = self.journey.moment();
        let memo = &mut self.journey.memo;
        memo.form.retyped = Some(quoted(email.as_deref().unwrap_or_default()).to_owned());
        memo.form.shows_token = memo.flow_type == FlowType::Api;
        memo.clear("email");
        memo.add(node, message, moment);
        self.told().await
    }

    /// The flow with what was said last: to a page, or with 400. A read keeps nothing of it.
    async fn told(&self) -> Response {
        if !self.asked.is_read()
            && let Err(status) = self.journey.keep(self.shared).await
        {
            return self.fail(status).await;
        }
        if self.journey.memo.flow_type == FlowType::Browser && !self.asked.wants.is_json {
            return self.to_page(&self.journey);
        }
        respond_with(StatusCode::BAD_REQUEST, &body(self.shared, &self.journey, self.csrf.as_ref()))
    }

    /// The flow as it is now: to a page, or with 200. With a wrong code what was sent beside it comes back, as in the original.
    fn advanced(&self, payload: Option<Map<String, Value>>) -> Response {
        if self.asked.wants.is_browser {
            return self.to_page(&self.journey);
        }
        let mut body = body(self.shared, &self.journey, self.csrf.as_ref());
        body.transient_payload = payload.map(Value::Object);
        respond_with(StatusCode::OK, &body)
    }

    /// An error that no flow shows.
    pub(super) async fn fail(&self, status: Status) -> Response {
        flow::fail(self.shared, self.asked, self.journey.memo.flow_type, status).await
    }
}

/// Why an address is not taken from whoever sends it.
enum Unwelcome {
    /// The request may be another site's.
    Forged(Status),
    /// A browser sends it to a native client's flow.
    Browser(String),
}

/// That five codes were wrong.
fn exhausted() -> Message {
    Message::problem("Too many wrong codes were tried. Please ask for a new one.")
}

/// Whether `text` is an e-mail address and nothing else: the original takes none with white space around it.
fn is_email(text: &str) -> bool {
    !text.contains(char::is_whitespace) && Address::email(text).is_ok()
}

/// As much of `text` as is kept.
fn quoted(text: &str) -> &str {
    let end =
        text.char_indices().map(|(at, letter)| at + letter.len_utf8()).take_while(|end| *end <= LONGEST_QUOTE).last();
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}
