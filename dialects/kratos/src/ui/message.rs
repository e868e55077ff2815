//! The catalogue: every message and label by its number, with its type, its context, and a sentence of our own.
//!
//! Clients go by the number and the context. Numbers, types, contexts and the labels of one or two words are the original's; sentences
//! are not.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a sentence is about: the members that clients may put into words of their own.
pub(crate) type Facts = Map<String, Value>;

/// A message or a label, as clients get it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Text {
    id: u32,
    #[serde(rename = "text")]
    sentence: String,
    #[serde(rename = "type")]
    tone: Tone,
    #[serde(skip_serializing_if = "Map::is_empty")]
    context: Facts,
}

/// How a message is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Tone {
    Info,
    Success,
    Error,
}

/// A message without its sentence: what is kept of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Message {
    #[serde(rename = "id")]
    pub(crate) phrase: Phrase,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) context: Facts,
}

impl From<Phrase> for Message {
    fn from(phrase: Phrase) -> Self {
        Self { phrase, context: Facts::new() }
    }
}

impl Message {
    /// The message with one more fact.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.context.insert(name.to_owned(), value.into());
        self
    }

    /// [`Phrase::Problem`], because of `reason`.
    pub(crate) fn problem(reason: impl Into<String>) -> Self {
        Self::from(Phrase::Problem).with("reason", reason.into())
    }

    /// As clients get it.
    pub(crate) fn text(&self) -> Text {
        let Self { phrase, context } = self;
        Text { id: phrase.id(), sentence: phrase.sentence(context), tone: phrase.tone(), context: context.clone() }
    }
}

/// Makes the catalogue: name, number, type, sentence. A sentence in parentheses is the value of that fact.
macro_rules! catalogue {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $tone:ident, $sentence:tt;)+) => {
        /// What can be said.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(into = "u32", try_from = "u32")]
        pub(crate) enum Phrase {
            $($(#[$doc])* $name,)+
        }

        impl Phrase {
            /// Its number.
            pub(crate) const fn id(self) -> u32 {
                match self { $(Self::$name => $id,)+ }
            }

            const fn tone(self) -> Tone {
                match self { $(Self::$name => Tone::$tone,)+ }
            }

            fn sentence(self, context: &Facts) -> String {
                match self { $(Self::$name => catalogue!(@ context $sentence),)+ }
            }
        }

        impl TryFrom<u32> for Phrase {
            type Error = &'static str;

            fn try_from(id: u32) -> Result<Self, Self::Error> {
                match id {
                    $($id => Ok(Self::$name),)+
                    _ => Err("no such message"),
                }
            }
        }
    };
    (@ $context:ident ($fact:literal)) => { fact($context, $fact) };
    (@ $context:ident [$before:literal $fact:literal $after:literal]) => {
        format!(concat!($before, "{}", $after), fact($context, $fact))
    };
    (@ $context:ident $sentence:literal) => { $sentence.to_owned() };
}

catalogue! {
    /// Whoever is signed in shall show that it is he.
    LoginRefresh = 1_010_003, Info, "Please confirm that it is you.";
    /// Said to everybody who asks where accounts are not told.
    LoginCodeSent = 1_010_014, Info,
        "A message with a code is on its way to your address. Nothing there? Look for a typing error, or ask again.";
    /// Asks for a code to sign in with.
    SendLoginCode = 1_010_015, Info, "Send sign in code";
    /// Ends the first step of a registration.
    SignUp = 1_040_001, Info, "Sign up";
    /// A code is on its way to whoever wants an account.
    RegistrationCodeSent = 1_040_005, Info,
        "A message with a code is on its way to your address. Nothing there? Look for a typing error, or ask again.";
    /// Asks for a code to sign up with.
    SendRegistrationCode = 1_040_006, Info, "Send sign up code";
    /// Goes back a step.
    Back = 1_040_008, Info, "Back";
    /// The second step of a registration.
    ChooseCredential = 1_040_009, Info, "How would you like to sign in from now on?";
    /// A trait, by the title that its schema gives it.
    Titled = 1_070_002, Info, ("title");
    /// What somebody signs in with, where its schema gives it no title.
    Identifier = 1_070_004, Info, "ID";
    /// The address to verify.
    Email = 1_070_007, Info, "Email";
    /// Sends another code.
    ResendCode = 1_070_008, Info, "Resend code";
    /// Goes on.
    Continue = 1_070_009, Info, "Continue";
    /// The code that was mailed to verify an address.
    VerificationCode = 1_070_011, Info, "Verification code";
    /// The code that was mailed to sign up.
    RegistrationCode = 1_070_012, Info, "Registration code";
    /// The code that was mailed to sign in.
    LoginCode = 1_070_013, Info, "Login code";
    /// The address is proved.
    Verified = 1_080_002, Success, "Your email address is verified.";
    /// Said to everybody who asks, whether or not anybody has the address.
    VerificationCodeSent = 1_080_003, Info,
        "If that address belongs to an account, a message with a code is on its way to it. Nothing there? Look for a typing error, or ask again.";
    /// Something is wrong that has no number of its own.
    Problem = 4_000_001, Error, ("reason");
    /// A field that must be there is not.
    Missing = 4_000_002, Error, ["Please fill in " "property" "."];
    /// Somebody signs in with that already.
    Taken = 4_000_007, Error, "There is an account with this address already. Please sign in.";
    /// The schema says of no trait that people sign in with it.
    NoIdentifier = 4_000_009, Error, "Nothing in this form is something to sign in with.";
    /// Nobody, or nobody who signs in by code.
    UnknownAccount = 4_000_035, Error, "There is no account with this address, or it does not sign in by code.";
    /// The form that came with the code is not the one that the code was sent for.
    OtherTraits = 4_000_036, Error, "The form has changed since the code was sent. Please ask for a new code.";
    /// Not an e-mail address.
    NoEmail = 4_000_040, Error, ["“" "value" "” is not an email address."];
    /// The login was there for too long.
    LoginExpired = 4_010_001, Error, ["The sign-in ran out at " "expired_at" ". Please start again."];
    /// No method to sign in with, or one that is not on offer.
    NoLoginMethod = 4_010_002, Error, "This way of signing in is unknown. Which method was meant?";
    /// No method to sign up with, or one that is not on offer.
    NoRegistrationMethod = 4_010_003, Error, "This way of signing up is unknown. Which method was meant?";
    /// No method, or one that is not on offer.
    NoVerificationMethod = 4_010_006, Error, "This way of verifying an address is unknown. Which method was meant?";
    /// The login has been passed.
    LoginPassed = 4_010_007, Error, "This sign-in is done already. Please start again.";
    /// The code to sign in does not pass.
    WrongLoginCode = 4_010_008, Error, "This code is wrong or was used already. Only the newest code counts.";
    /// The registration was there for too long.
    RegistrationExpired = 4_040_001, Error, ["The registration ran out at " "expired_at" ". Please start again."];
    /// The registration has been passed.
    RegistrationPassed = 4_040_002, Error, "This registration is done already. Please start again.";
    /// The code to sign up does not pass.
    WrongRegistrationCode = 4_040_003, Error, "This code is wrong or was used already. Only the newest code counts.";
    /// The flow has been passed.
    VerificationPassed = 4_070_002, Error, "That was verified already. Start again if there is more to verify.";
    /// The flow, or its code, was there for too long.
    VerificationExpired = 4_070_005, Error, ["The verification ran out at " "expired_at" ". Please start again."];
    /// The code does not pass.
    WrongVerificationCode = 4_070_006, Error, "This code is wrong or was used already. Only the newest code counts.";
}

impl From<Phrase> for u32 {
    fn from(phrase: Phrase) -> Self {
        phrase.id()
    }
}

/// The text of a fact; empty where it is absent.
fn fact(context: &Facts, name: &str) -> String {
    context.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_has_its_number_its_sentence_its_type_and_its_context() {
        let message = Message::from(Phrase::Missing).with("property", "email");
        let text = serde_json::to_value(message.text()).unwrap();
        let expected = json!({
            "id": 4_000_002, "text": "Please fill in email.", "type": "error", "context": {"property": "email"}
        });
        assert_eq!(text, expected);
        // Without facts there is no context, and a label is an `info`.
        let text = serde_json::to_string(&Message::from(Phrase::ResendCode).text()).unwrap();
        assert_eq!(text, r#"{"id":1070008,"text":"Resend code","type":"info"}"#);
    }

    #[test]
    fn a_reason_is_the_sentence() {
        let text = serde_json::to_value(Message::problem("The body is empty.").text()).unwrap();
        assert_eq!(
            (&text["text"], &text["context"]),
            (&json!("The body is empty."), &json!({"reason": "The body is empty."}))
        );
    }

    #[test]
    fn what_is_kept_of_a_message_has_no_sentence_and_reads_back() {
        let message = Message::from(Phrase::NoEmail).with("value", "asdf");
        let kept = serde_json::to_string(&message).unwrap();
        assert_eq!(kept, r#"{"id":4000040,"context":{"value":"asdf"}}"#);
        assert_eq!(serde_json::from_str::<Message>(&kept).unwrap(), message);
        assert!(serde_json::from_str::<Message>(r#"{"id":1}"#).is_err());
    }
}
