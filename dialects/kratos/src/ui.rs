//! What a client shows of a flow: a pure function of the flow's facts. Nothing of it is kept; the facts are, in the memo.

mod message;
mod node;
mod verification;

use serde::Serialize;

pub(crate) use message::{Message, Phrase, Text};
pub(crate) use node::{Group, InputType, Node};
pub(crate) use verification::{Stage, Verification};

/// Where a form goes, what is in it, and what is to be said.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Ui {
    pub(crate) action: String,
    pub(crate) method: &'static str,
    pub(crate) nodes: Vec<Node>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) messages: Vec<Text>,
}

impl Ui {
    /// A form that is sent to `action`.
    pub(crate) fn form(action: String, nodes: Vec<Node>) -> Self {
        Self { action, method: "POST", nodes, messages: Vec::new() }
    }

    /// The end of a flow: from here it goes on at `action`.
    pub(crate) fn end(action: String, nodes: Vec<Node>) -> Self {
        Self { action, method: "GET", nodes, messages: Vec::new() }
    }

    /// Says something about the first node called `node`, or about the whole.
    ///
    /// A field that is not there comes to be: what is said about it must be seen.
    pub(crate) fn say(&mut self, group: Group, node: Option<&str>, message: &Message) {
        let Some(name) = node else {
            self.messages.push(message.text());
            return;
        };
        if let Some(node) = self.nodes.iter_mut().find(|node| node.name() == name) {
            node.say(message);
            return;
        }
        let mut node = Node::input(group, name, InputType::Text);
        node.say(message);
        self.nodes.push(node);
    }
}
