//! The form of a verification by code.

use super::{Group, InputType, Message, Node, Phrase, Ui};

/// What is known of a verification when it is shown.
#[derive(Debug)]
pub(crate) struct Verification<'a> {
    /// Where the form goes.
    pub(crate) submit: String,
    /// How far it is.
    pub(crate) stage: Stage<'a>,
    /// The token against forged requests; none for native clients, until something goes wrong.
    pub(crate) csrf_token: Option<&'a str>,
    /// Whether the token has a place of its own in the form, which it has where a browser began.
    pub(crate) is_browsers: bool,
    /// The address as it was typed last, where it is to be typed again.
    pub(crate) retyped: Option<&'a str>,
    /// What a browser is told to fill the code in from.
    pub(crate) autocomplete: Option<&'static str>,
    /// What is to be said, and about which node.
    pub(crate) notes: Vec<(Option<&'a str>, Message)>,
}

/// How far a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage<'a> {
    /// An address is asked for.
    ChooseMethod,
    /// A code is on its way, or would be.
    SentEmail {
        /// Where to, as it was typed.
        email: &'a str,
        /// The code that a mailed link brought.
        code: Option<&'a str>,
    },
    /// Done.
    Passed {
        /// Where it goes on.
        continue_url: &'a str,
    },
}

impl Verification<'_> {
    /// The form.
    pub(crate) fn ui(self) -> Ui {
        let mut ui = match self.stage {
            Stage::Passed { continue_url } => Ui::end(continue_url.to_owned(), self.end(continue_url)),
            Stage::ChooseMethod | Stage::SentEmail { .. } => Ui::form(self.submit.clone(), self.fields()),
        };
        for (node, message) in &self.notes {
            ui.say(Group::Code, *node, message);
        }
        ui
    }

    fn end(&self, continue_url: &str) -> Vec<Node> {
        let token = Node::csrf_token(self.csrf_token.unwrap_or_default());
        vec![token, Node::anchor(Group::Code, "continue", continue_url, Phrase::Continue)]
    }

    fn fields(&self) -> Vec<Node> {
        let token = self.csrf_token.map(Node::csrf_token);
        let (own_place, added) = if self.is_browsers { (token, None) } else { (None, token) };
        let go_on = Node::input(Group::Code, "method", InputType::Submit).value("code").label(Phrase::Continue);
        let mut nodes = Vec::with_capacity(6);
        match self.stage {
            Stage::SentEmail { email, code } => {
                let resend =
                    Node::input(Group::Code, "email", InputType::Submit).value(email).label(Phrase::ResendCode);
                nodes.push(Node::input(Group::Code, "method", InputType::Hidden).value("code"));
                nodes.push(self.code(code));
                nodes.push(go_on);
                nodes.extend(own_place);
                nodes.push(self.email().unwrap_or(resend));
            }
            Stage::ChooseMethod | Stage::Passed { .. } => {
                let email = Node::input(Group::Code, "email", InputType::Email).required().label(Phrase::Email);
                nodes.push(self.email().unwrap_or(email));
                nodes.push(go_on);
                nodes.extend(own_place);
            }
        }
        nodes.extend(added);
        nodes
    }

    fn code(&self, code: Option<&str>) -> Node {
        let field = Node::input(Group::Code, "code", InputType::Text).required().autocomplete(self.autocomplete);
        let field = field.label(Phrase::VerificationCode);
        match code {
            Some(code) => field.value(code),
            None => field,
        }
    }

    /// The field for an address that has to be typed again.
    fn email(&self) -> Option<Node> {
        let field = Node::input(Group::Code, "email", InputType::Email).required().label(Phrase::Email);
        self.retyped.map(|retyped| field.value(retyped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The nodes as `name:type=value!` with the numbers of what is said about them.
    fn outline(ui: &Ui) -> Vec<String> {
        let ui = serde_json::to_value(ui).unwrap();
        let nodes = ui["nodes"].as_array().unwrap().iter().map(|node| {
            let attributes = &node["attributes"];
            let name = attributes["name"].as_str().or(attributes["id"].as_str()).unwrap();
            let input_type = attributes["type"].as_str().or(node["type"].as_str()).unwrap();
            let value = attributes["value"].as_str().map(|value| format!("={value}")).unwrap_or_default();
            let required = if attributes["required"] == true { "!" } else { "" };
            let said: Vec<_> = node["messages"].as_array().unwrap().iter().map(|said| said["id"].to_string()).collect();
            let said = if said.is_empty() { String::new() } else { format!(" {}", said.join(" ")) };
            format!("{name}:{input_type}{value}{required}{said}")
        });
        nodes.collect()
    }

    fn of(stage: Stage<'_>) -> Verification<'_> {
        Verification {
            submit: "https://a.test/self-service/verification?flow=1".to_owned(),
            stage,
            csrf_token: None,
            is_browsers: false,
            retyped: None,
            autocomplete: None,
            notes: Vec::new(),
        }
    }

    const SENT: Stage<'_> = Stage::SentEmail { email: "Ada@example.org", code: None };

    #[test]
    fn native_clients_have_no_token_in_their_form() {
        assert_eq!(outline(&of(Stage::ChooseMethod).ui()), ["email:email!", "method:submit=code"]);
        assert_eq!(
            outline(&of(SENT).ui()),
            ["method:hidden=code", "code:text!", "method:submit=code", "email:submit=Ada@example.org"]
        );
    }

    #[test]
    fn a_browsers_token_has_its_place() {
        let browser = |stage| Verification { csrf_token: Some("T"), is_browsers: true, ..of(stage) };
        let expected = ["email:email!", "method:submit=code", "csrf_token:hidden=T!"];
        assert_eq!(outline(&browser(Stage::ChooseMethod).ui()), expected);
        let stage = Stage::SentEmail { email: "a@b.test", code: Some("123456") };
        assert_eq!(
            outline(&browser(stage).ui()),
            [
                "method:hidden=code",
                "code:text=123456!",
                "method:submit=code",
                "csrf_token:hidden=T!",
                "email:submit=a@b.test"
            ]
        );
    }

    #[test]
    fn what_is_to_be_typed_again_stands_where_the_button_was_and_a_token_comes_to_the_end() {
        let wrong = Verification { csrf_token: Some(""), retyped: Some(""), ..of(SENT) };
        assert_eq!(
            outline(&wrong.ui()),
            ["method:hidden=code", "code:text!", "method:submit=code", "email:email=!", "csrf_token:hidden=!"]
        );
        let wrong = Verification { csrf_token: Some(""), retyped: Some("x@y.test"), ..of(Stage::ChooseMethod) };
        assert_eq!(outline(&wrong.ui()), ["email:email=x@y.test!", "method:submit=code", "csrf_token:hidden=!"]);
    }

    #[test]
    fn the_end_is_a_link_in_a_form_that_asks_for_it() {
        let ui = of(Stage::Passed { continue_url: "https://app.test/in" }).ui();
        assert_eq!((ui.action.as_str(), ui.method), ("https://app.test/in", "GET"));
        assert_eq!(outline(&ui), ["csrf_token:hidden=!", "continue:a"]);
    }

    #[test]
    fn what_is_said_stands_on_the_first_node_of_that_name_or_on_top() {
        let said = |phrase| Message::from(phrase);
        let notes = vec![
            (None, said(Phrase::VerificationCodeSent)),
            (Some("method"), said(Phrase::Problem)),
            (Some("email"), said(Phrase::NoEmail)),
            (Some("email"), said(Phrase::Missing)),
        ];
        let ui = Verification { notes: notes.clone(), ..of(SENT) }.ui();
        assert_eq!(
            outline(&ui),
            [
                "method:hidden=code 4000001",
                "code:text!",
                "method:submit=code",
                "email:submit=Ada@example.org 4000040 4000002"
            ]
        );
        assert_eq!(serde_json::to_value(&ui.messages).unwrap()[0]["id"], 1_080_003);
        // At the end there is no field for an address any more.
        let ui = Verification { notes, ..of(Stage::Passed { continue_url: "https://app.test/" }) }.ui();
        assert_eq!(
            outline(&ui),
            ["csrf_token:hidden=!", "continue:a", "method:text 4000001", "email:text 4000040 4000002"]
        );
    }
}
