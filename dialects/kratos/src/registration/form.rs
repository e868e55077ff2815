//! What a registration shows: the traits, then how to sign in with them, then the code.

use engine::FlowState;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::Shared;
use crate::config::RegistrationStyle;
use crate::entry::{self, Entry, Phrases};
use crate::flow::{Journey, Kind, State};
use crate::identity::leaf;
use crate::schema::Trait;
use crate::ui::{Group, InputType, Message, Node, Phrase, Ui};

/// What is kept of the form.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Form {
    /// Who it will be, as it was typed; once a code is out, whom the code is for.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(super) traits: Map<String, Value>,
    /// Which screen is shown.
    pub(super) screen: Screen,
    /// The traits that something is wrong with: they are not hidden.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) wrong: Vec<String>,
    /// Whether what was sent last was refused: the fields stand in another order then.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_refused: bool,
}

/// A part of the way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Screen {
    /// Who it will be.
    #[default]
    Profile,
    /// How whoever it will be signs in.
    Credentials,
    /// The code.
    Code,
}

impl Form {
    /// Shows `screen` with `traits` in it.
    pub(super) fn show(&mut self, screen: Screen, traits: Map<String, Value>) {
        *self = Self { traits, screen, ..Self::default() };
    }
}

/// What registrations have besides what every flow has.
#[derive(Debug, Serialize)]
pub(crate) struct More {
    organization_id: Option<Uuid>,
}

impl Entry for Form {
    const KIND: Kind = Kind::Registration;
    const PHRASES: Phrases = Phrases {
        wrong_code: Phrase::WrongRegistrationCode,
        passed: Phrase::RegistrationPassed,
        expired: Phrase::RegistrationExpired,
        no_method: Phrase::NoRegistrationMethod,
    };
    type More = More;

    fn ui(shared: &Shared, journey: &Journey<Self>, token: Option<&str>) -> Ui {
        let nodes = nodes(shared, journey, token);
        let mut ui = Ui::form(Kind::Registration.submit_url(&shared.config, journey.id), nodes);
        for (node, message) in entry::notes(journey) {
            ui.say(Group::Default, node, &message);
        }
        ui
    }

    fn state(journey: &Journey<Self>) -> State {
        match (journey.flow.state, journey.memo.form.screen) {
            (FlowState::Passed, _) => State::PassedChallenge,
            (FlowState::Sent, Screen::Code) => State::SentEmail,
            (FlowState::Open | FlowState::Sent, _) => State::ChooseMethod,
        }
    }

    fn more(_journey: &Journey<Self>) -> More {
        More { organization_id: None }
    }

    fn refuse(&mut self, _has_code: bool) {
        self.is_refused = true;
    }

    fn shows_token(_journey: &Journey<Self>) -> bool {
        true
    }

    fn renewed(&self) -> Self {
        Self::default()
    }
}

fn nodes(shared: &Shared, journey: &Journey<Form>, token: Option<&str>) -> Vec<Node> {
    let form = &journey.memo.form;
    let in_steps = shared.config.registration_style == RegistrationStyle::ProfileFirst;
    let offers_code = shared.config.code.passwordless_enabled;
    let is_hidden = form.screen != Screen::Profile;
    let traits = shared.config.default_schema.traits.iter().map(|it| trait_node(it, form, is_hidden));
    let mut nodes: Vec<_> = token.map(Node::csrf_token).into_iter().chain(traits).collect();
    let submit =
        |value: &str, group, label: Phrase| Node::input(group, "method", InputType::Submit).value(value).label(label);
    let screen =
        |value: &str| Node::input(Group::Profile, "screen", InputType::Submit).value(value).label(Phrase::Back);
    match form.screen {
        Screen::Profile if in_steps => nodes.push(submit("profile", Group::Profile, Phrase::SignUp)),
        Screen::Profile => {
            nodes.extend(offers_code.then(|| submit("code", Group::Code, Phrase::SendRegistrationCode)));
        }
        Screen::Credentials => {
            nodes.extend(offers_code.then(|| submit("code", Group::Code, Phrase::SendRegistrationCode)));
            nodes.push(screen("previous"));
        }
        Screen::Code => {
            nodes.extend(code_nodes(shared, journey));
            nodes.extend(in_steps.then(|| screen("credential-selection")));
        }
    }
    nodes
}

fn code_nodes(shared: &Shared, journey: &Journey<Form>) -> [Node; 4] {
    let hidden = Node::input(Group::Code, "method", InputType::Hidden).value("code");
    let hint = shared.config.profile.has_autocomplete().then_some("one-time-code");
    let code = Node::input(Group::Code, "code", InputType::Text).required().autocomplete(hint);
    let code = code.label(Phrase::RegistrationCode);
    let go_on = Node::input(Group::Code, "method", InputType::Submit).value("code").label(Phrase::Continue);
    let resend = Node::input(Group::Code, "resend", InputType::Submit).value("code").label(Phrase::ResendCode);
    let is_refused = journey.memo.form.is_refused || journey.memo.is_missed(journey.moment());
    if is_refused { [code, resend, hidden, go_on] } else { [hidden, code, go_on, resend] }
}

/// The field of a trait.
fn trait_node(it: &Trait, form: &Form, is_hidden: bool) -> Node {
    let path = it.path.join(".");
    let name = format!("traits.{path}");
    let is_email = it.format.as_deref() == Some("email");
    let shown = match (it.kind.as_str(), it.format.as_deref()) {
        _ if is_hidden && !form.wrong.contains(&path) => InputType::Hidden,
        ("boolean", _) => InputType::Checkbox,
        ("number" | "integer", _) => InputType::Number,
        (_, Some("email")) => InputType::Email,
        (_, Some("tel")) => InputType::Tel,
        (_, _) => InputType::Text,
    };
    let title = it.title.clone().unwrap_or_default();
    let label = Message::from(Phrase::Titled).with("title", title).with("name", name.clone());
    let node = Node::input(Group::Default, &name, shown).autocomplete(is_email.then_some("email")).label(label);
    let node = if it.required { node.required() } else { node };
    match leaf(&form.traits, &it.path) {
        Some(value) => node.value(value.clone()),
        None => node,
    }
}
