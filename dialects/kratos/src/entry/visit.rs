//! One submission to a login or a registration: what is checked before it is looked at, and how it is answered.

use axum::body::Body;
use axum::response::Response;
use engine::{Context, FlowState, Refusal, Timestamp};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use serde_json::{Map, Value};

use super::{Entry, already_here, body, expired};
use crate::Shared;
use crate::body::Submission;
use crate::csrf::{self, Csrf, FromBrowser};
use crate::error::Status;
use crate::flow::{self, Journey, page_url, respond_with};
use crate::memo::{FlowType, Memo, Moment};
use crate::request::Asked;
use crate::session::Presented;
use crate::ui::Message;

/// The longest value that is kept to be typed again or quoted; of a longer one, its beginning.
const LONGEST_QUOTE: usize = 1024;

/// One submission to one flow.
pub(crate) struct Visit<'a, F> {
    pub(crate) shared: &'a Shared,
    pub(crate) asked: &'a Asked,
    pub(crate) context: Context<'a>,
    /// The cookie that came with it.
    csrf: Option<Csrf>,
    pub(crate) journey: Journey<F>,
    /// Who is signed in already.
    pub(crate) caller: Option<engine::Caller>,
}

impl<'a, F: Entry> Visit<'a, F> {
    /// Finds the flow and reads what was sent to it; or the answer to what goes no further.
    pub(crate) async fn begin(
        shared: &'a Shared,
        asked: &'a Asked,
        sent: Body,
    ) -> Result<(Visit<'a, F>, Submission), Response> {
        let visit: Self = match Self::find(shared, asked).await {
            Ok(visit) => visit,
            Err(status) => return Err(asked.fail(shared, status).await),
        };
        let memo = &visit.journey.memo;
        if visit.caller.is_some() && !memo.form.welcomes_back() {
            return Err(already_here(shared, asked, memo.return_to.as_deref(), visit.wants_json()));
        }
        if visit.journey.is_expired(&visit.context) {
            let at = visit.journey.flow.expires_at;
            return Err(visit.expire(at).await);
        }
        match Submission::read(&asked.query, &asked.headers, sent).await {
            Ok(submission) => Ok((visit, submission)),
            Err(status) if status.is_shown_in_flow() => Err(visit.tell(None, Message::problem(status.reason())).await),
            Err(status) => Err(visit.fail(status).await),
        }
    }

    async fn find(shared: &'a Shared, asked: &'a Asked) -> Result<Self, Status> {
        let no_flow = || Status::bad_request("The query parameter flow must be the id of a flow");
        let id = asked.flow_id().ok_or_else(no_flow)?;
        let journey = Journey::read(shared, F::KIND, id).await?.ok_or_else(Status::no_such_thing)?;
        let presented = Presented::of(shared, &asked.headers);
        let context = shared.known_context(&asked.client, presented);
        let csrf = Csrf::sent(&shared.config, &asked.headers);
        let caller = shared.caller(&context, presented).await?;
        Ok(Self { shared, asked, context, csrf, journey, caller })
    }

    /// Whether the answer is JSON, and not a page.
    pub(crate) fn wants_json(&self) -> bool {
        self.journey.memo.flow_type == FlowType::Api || self.asked.wants.is_json
    }

    /// Checks who sends `submission`: a browser with its cookie and a token made from it, or no browser at all.
    pub(crate) async fn check(self, submission: &Submission) -> Result<Self, Response> {
        let headers = &self.asked.headers;
        let reason = match self.journey.memo.flow_type {
            FlowType::Browser => {
                let token = submission.get("csrf_token");
                return match csrf::check_token(&self.shared.config, headers, token.as_deref()) {
                    Ok(_) => Ok(self),
                    Err(refused) => Err(self.fail(Status::csrf(refused)).await),
                };
            }
            FlowType::Api => match csrf::check_native(headers) {
                Ok(()) => return Ok(self),
                Err(FromBrowser::Origin) => {
                    "A native client's flow takes nothing from a browser: the request has an Origin header".to_owned()
                }
                Err(FromBrowser::Cookies(names)) => {
                    let names = names.join(", ");
                    format!("A native client's flow takes nothing from a browser: the request has cookies ({names})")
                }
            },
        };
        Err(self.tell(None, Message::problem(reason)).await)
    }

    /// Whether a code is out in the flow.
    pub(crate) fn has_code(&self) -> bool {
        self.journey.flow.state != FlowState::Open
    }

    /// Says one thing, in the place of all that was said before, and shows the form as it is after a refusal.
    pub(crate) async fn tell(self, node: Option<&str>, message: impl Into<Message>) -> Response {
        self.tell_all(vec![(node.map(str::to_owned), message.into())]).await
    }

    /// Says several things at once.
    pub(crate) async fn tell_all(mut self, messages: Vec<(Option<String>, Message)>) -> Response {
        let has_code = self.has_code();
        self.journey.memo.form.refuse(has_code);
        self.say(messages);
        self.keep(None).await
    }

    /// Says these things, in the place of all that was said before.
    pub(crate) fn say(&mut self, messages: Vec<(Option<String>, Message)>) {
        let moment = self.journey.moment();
        let memo = &mut self.journey.memo;
        memo.hush(moment);
        for (node, message) in messages {
            memo.add(node.as_deref(), message, moment);
        }
    }

    /// Keeps what has become of the flow, and shows it.
    pub(crate) async fn keep(self, payload: Option<Map<String, Value>>) -> Response {
        match self.journey.keep(self.shared).await {
            Ok(()) => self.shown(payload),
            Err(status) => self.fail(status).await,
        }
    }

    /// The flow as it is now, to a page or with 400: there is more to be done. `payload` is what was sent beside the rest.
    pub(crate) fn shown(&self, payload: Option<Map<String, Value>>) -> Response {
        if !self.wants_json() {
            let ui_url = &self.shared.config.flow(F::KIND).ui_url;
            return self.asked.redirect(&page_url(ui_url, self.journey.id));
        }
        let mut body = body(self.shared, &self.journey, self.csrf.as_ref());
        body.transient_payload = payload.map(Value::Object);
        respond_with(StatusCode::BAD_REQUEST, &body)
    }

    /// The flow, or its code, ended at `at`: another one like it takes its place.
    pub(crate) async fn expire(&self, at: Timestamp) -> Response {
        let old = &self.journey.memo;
        let form = old.form.renewed();
        let mut memo = Memo::new(old.flow_type, old.request_url.clone(), old.return_to.clone(), form);
        memo.binding.clone_from(&old.binding);
        memo.begin(expired(F::PHRASES.expired, at), Moment::default());
        match Journey::open(self.shared, &self.context, F::KIND, memo).await {
            Ok(new) if self.wants_json() => Status::flow_expired(at, self.context.now, new.id).into_response(),
            Ok(new) => self.asked.redirect(&page_url(&self.shared.config.flow(F::KIND).ui_url, new.id)),
            Err(status) => self.fail(status).await,
        }
    }

    /// A send or a code was refused for a reason that is the same in every flow.
    pub(crate) async fn refused(self, refusal: Refusal) -> Response {
        let code_ended =
            self.journey.flow.challenge.as_ref().map_or(self.context.now, |challenge| challenge.expires_at);
        match refusal {
            // The engine has counted it, and that is seen.
            Refusal::CodeMismatch { left: _ } if self.journey.memo.is_missed(self.journey.moment()) => self.shown(None),
            Refusal::CodeExpired if self.shared.config.profile.replaces_flow_of_expired_code() => {
                self.expire(code_ended).await
            }
            // What was not compared was not counted; or it was right, but whoever had the address has it no more. Neither is told from a
            // wrong code.
            Refusal::CodeMismatch { left: _ } | Refusal::CodeExpired | Refusal::IdentityNotFound => {
                self.tell(None, F::PHRASES.wrong_code).await
            }
            Refusal::FlowExpired => self.expire(self.journey.flow.expires_at).await,
            Refusal::FlowPassed => self.tell(None, F::PHRASES.passed).await,
            Refusal::AttemptsExhausted => {
                let reason = "Too many wrong codes were tried. Please start again.";
                self.tell(None, Message::problem(reason)).await
            }
            Refusal::TooSoon { retry_after } => {
                let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
                let reason =
                    format!("Too many messages were sent to this address. Please ask again in {seconds} seconds.");
                let mut response = self.tell(None, Message::problem(reason)).await;
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
                response
            }
            Refusal::IdentityInactive
            | Refusal::FlowNotFound
            | Refusal::AddressMalformed
            | Refusal::AddressTaken
            | Refusal::SessionEnded
            | Refusal::TokenInvalid
            | Refusal::TokenReused
            | Refusal::IdentityChanged
            | Refusal::TicketInvalid
            | Refusal::TicketReused => self.fail(Status::of(refusal.into())).await,
        }
    }

    /// An error that no flow shows.
    pub(crate) async fn fail(&self, status: Status) -> Response {
        flow::fail(self.shared, self.asked, self.journey.memo.flow_type, status).await
    }
}

/// As much of `text` as is kept.
pub(crate) fn quoted(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LONGEST_QUOTE)).unwrap_or_default()
}
