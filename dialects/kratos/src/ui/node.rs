//! One element of a user interface: a field, a button, a link.
//!
//! Clients read these with closed sets of words and refuse a whole flow for one they do not know: nothing outside these is sent.

use serde::Serialize;
use serde_json::Value;

use super::message::{Message, Phrase, Text};

/// A field, a button, or a link, and what is to be said about it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Node {
    #[serde(rename = "type")]
    kind: Kind,
    group: Group,
    attributes: Attributes,
    messages: Vec<Text>,
    meta: Meta,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Input,
    A,
}

/// Which method a node belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Group {
    Default,
    Code,
    Profile,
}

/// What kind of field or button.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum InputType {
    Text,
    Email,
    Tel,
    Number,
    Checkbox,
    Hidden,
    Submit,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
enum Attributes {
    Input(Input),
    Anchor(Anchor),
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Input {
    name: String,
    #[serde(rename = "type")]
    kind: InputType,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    autocomplete: Option<&'static str>,
    disabled: bool,
    node_type: Kind,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Anchor {
    href: String,
    title: Text,
    id: &'static str,
    node_type: Kind,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Meta {
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<Text>,
}

impl Node {
    /// A field or button of `group`, called `name`.
    pub(crate) fn input(group: Group, name: &str, input_type: InputType) -> Self {
        let input = Input {
            name: name.to_owned(),
            kind: input_type,
            value: None,
            required: false,
            autocomplete: None,
            disabled: false,
            node_type: Kind::Input,
        };
        let attributes = Attributes::Input(input);
        Self { kind: Kind::Input, group, attributes, messages: Vec::new(), meta: Meta { label: None } }
    }

    /// A link of `group` that says `title`.
    pub(crate) fn anchor(group: Group, id: &'static str, href: &str, title: Phrase) -> Self {
        let title = Message::from(title).text();
        let meta = Meta { label: Some(title.clone()) };
        let attributes = Attributes::Anchor(Anchor { href: href.to_owned(), title, id, node_type: Kind::A });
        Self { kind: Kind::A, group, attributes, messages: Vec::new(), meta }
    }

    /// The token against requests from other pages.
    pub(crate) fn csrf_token(value: &str) -> Self {
        Self::input(Group::Default, "csrf_token", InputType::Hidden).value(value).required()
    }

    /// The node with a value in it.
    pub(crate) fn value(self, value: impl Into<Value>) -> Self {
        self.with_input(|input| input.value = Some(value.into()))
    }

    /// The node, which must be filled in.
    pub(crate) fn required(self) -> Self {
        self.with_input(|input| input.required = true)
    }

    /// The node with a hint at what a browser may fill in.
    pub(crate) fn autocomplete(self, hint: Option<&'static str>) -> Self {
        self.with_input(|input| input.autocomplete = hint)
    }

    /// The node with a label.
    pub(crate) fn label(mut self, label: impl Into<Message>) -> Self {
        self.meta.label = Some(label.into().text());
        self
    }

    /// The name of the field or the id of the link.
    pub(crate) fn name(&self) -> &str {
        match &self.attributes {
            Attributes::Input(input) => &input.name,
            Attributes::Anchor(anchor) => anchor.id,
        }
    }

    /// Adds something to be said about it.
    pub(crate) fn say(&mut self, message: &Message) {
        self.messages.push(message.text());
    }

    fn with_input(mut self, change: impl FnOnce(&mut Input)) -> Self {
        if let Attributes::Input(input) = &mut self.attributes {
            change(input);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(node: &Node) -> String {
        serde_json::to_string(node).unwrap()
    }

    #[test]
    fn a_field_has_all_five_members_and_of_its_attributes_those_that_say_something() {
        let node = Node::input(Group::Code, "email", InputType::Email).required().label(Phrase::Email);
        assert_eq!(
            json(&node),
            concat!(
                r#"{"type":"input","group":"code","attributes":{"name":"email","type":"email","required":true,"disabled":false,"#,
                r#""node_type":"input"},"messages":[],"meta":{"label":{"id":1070007,"text":"Email","type":"info"}}}"#,
            )
        );
        let node = Node::csrf_token("");
        assert_eq!(
            json(&node),
            concat!(
                r#"{"type":"input","group":"default","attributes":{"name":"csrf_token","type":"hidden","value":"","required":true,"#,
                r#""disabled":false,"node_type":"input"},"messages":[],"meta":{}}"#,
            )
        );
    }

    #[test]
    fn a_link_says_its_title_twice() {
        let node = Node::anchor(Group::Code, "continue", "https://app.example.com/", Phrase::Continue);
        assert_eq!(
            json(&node),
            concat!(
                r#"{"type":"a","group":"code","attributes":{"href":"https://app.example.com/","title":{"id":1070009,"#,
                r#""text":"Continue","type":"info"},"id":"continue","node_type":"a"},"messages":[],"#,
                r#""meta":{"label":{"id":1070009,"text":"Continue","type":"info"}}}"#,
            )
        );
    }
}
