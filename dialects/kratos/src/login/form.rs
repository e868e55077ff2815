//! What a login shows: whom to sign in, then the code.

use engine::FlowState;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Shared;
use crate::entry::{self, Entry, Phrases};
use crate::flow::{Journey, Kind, State};
use crate::ui::{Group, InputType, Message, Node, Phrase, Ui};

/// What is kept of the form.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Form {
    /// Whether somebody who is signed in shows that it is he.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    refresh: bool,
    /// Whom to sign in, as it was typed last.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) identifier: String,
    /// Whether what was sent last was refused: the fields stand in another order then.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_refused: bool,
    /// Whether that has happened since a code was sent first: who it is is not asked for in so many words any more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_settled: bool,
}

impl Form {
    /// The form of a new flow.
    pub(super) fn new(refresh: bool) -> Self {
        Self { refresh, ..Self::default() }
    }

    /// A code is sent to `identifier`; `was_missed` where one was wrong before.
    pub(super) fn send(&mut self, identifier: String, was_missed: bool) {
        self.identifier = identifier;
        self.is_refused = false;
        self.is_settled |= was_missed;
    }
}

/// What logins have besides what every flow has.
#[derive(Debug, Serialize)]
pub(crate) struct More {
    organization_id: Option<Uuid>,
    created_at: String,
    updated_at: String,
    refresh: bool,
    requested_aal: &'static str,
}

impl Entry for Form {
    const KIND: Kind = Kind::Login;
    const PHRASES: Phrases = Phrases {
        wrong_code: Phrase::WrongLoginCode,
        passed: Phrase::LoginPassed,
        expired: Phrase::LoginExpired,
        no_method: Phrase::NoLoginMethod,
    };
    type More = More;

    fn ui(shared: &Shared, journey: &Journey<Self>, token: Option<&str>) -> Ui {
        let nodes = nodes(shared, journey, token);
        let mut ui = Ui::form(Kind::Login.submit_url(&shared.config, journey.id), nodes);
        for (node, message) in entry::notes(journey) {
            ui.say(Group::Default, node, &message);
        }
        ui
    }

    fn state(journey: &Journey<Self>) -> State {
        match journey.flow.state {
            FlowState::Open => State::ChooseMethod,
            FlowState::Sent => State::SentEmail,
            FlowState::Passed => State::PassedChallenge,
        }
    }

    fn more(journey: &Journey<Self>) -> More {
        let flow = &journey.flow;
        let updated_at = flow.challenge.as_ref().map_or(flow.issued_at, |challenge| challenge.sent_at);
        More {
            organization_id: None,
            created_at: flow.issued_at.rfc3339(),
            updated_at: updated_at.rfc3339(),
            refresh: journey.memo.form.refresh,
            requested_aal: "aal1",
        }
    }

    fn refuse(&mut self, has_code: bool) {
        self.is_refused = true;
        self.is_settled |= has_code;
    }

    fn shows_token(journey: &Journey<Self>) -> bool {
        is_refused(journey)
    }

    fn welcomes_back(&self) -> bool {
        self.refresh
    }

    fn renewed(&self) -> Self {
        Self::new(self.refresh)
    }
}

/// Whether what was sent last was refused, a wrong code among it.
fn is_refused(journey: &Journey<Form>) -> bool {
    journey.memo.form.is_refused || journey.memo.is_missed(journey.moment())
}

fn nodes(shared: &Shared, journey: &Journey<Form>, token: Option<&str>) -> Vec<Node> {
    let form = &journey.memo.form;
    let token = token.map(Node::csrf_token);
    let method = |label: Phrase| Node::input(Group::Code, "method", InputType::Submit).value("code").label(label);
    if journey.flow.state == FlowState::Open {
        let identifier = Node::input(Group::Default, "identifier", InputType::Text).required();
        let identifier = identifier.value(form.identifier.as_str()).label(identifier_label(shared));
        let send = shared.config.code.passwordless_enabled.then(|| method(Phrase::SendLoginCode));
        return token.into_iter().chain([identifier]).chain(send).collect();
    }
    let identifier = Node::input(Group::Default, "identifier", InputType::Hidden).value(form.identifier.as_str());
    let hidden = Node::input(Group::Code, "method", InputType::Hidden).value("code");
    let hint = shared.config.profile.has_autocomplete().then_some("one-time-code");
    let code = Node::input(Group::Code, "code", InputType::Text).required().autocomplete(hint).label(Phrase::LoginCode);
    let resend = Node::input(Group::Code, "resend", InputType::Submit).value("code").label(Phrase::ResendCode);
    if is_refused(journey) {
        let rest = [identifier, code, resend, hidden, method(Phrase::Continue)];
        return token.into_iter().chain(rest).collect();
    }
    let identifier = if form.is_settled { identifier } else { identifier.required().label(identifier_label(shared)) };
    let rest = [identifier, hidden, code, method(Phrase::Continue), resend];
    rest.into_iter().chain(token).collect()
}

/// What people sign in with, as the default schema calls it.
fn identifier_label(shared: &Shared) -> Message {
    let named = shared.config.default_schema.traits.iter().find(|it| it.signs_in);
    let titled = named.and_then(|it| Some((it, it.title.as_deref()?)));
    match titled {
        Some((it, title)) => {
            Message::from(Phrase::Titled).with("title", title).with("name", format!("traits.{}", it.path.join(".")))
        }
        None => Phrase::Identifier.into(),
    }
}
