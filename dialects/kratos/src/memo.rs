//! What is kept of a flow besides what the engine keeps of every flow: facts, from which what clients see is made each time.
//!
//! Nothing secret is in here: of the cookie's secret its digest, and a code that a mailed link brought only sealed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::{Engine, Flow, FlowState, Secret};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::csrf::Csrf;
use crate::ui::{Message, Phrase};

/// Who began a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FlowType {
    /// A native client.
    Api,
    /// A browser, or a script in one.
    Browser,
}

/// The facts of a flow; `F` are those of its form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Memo<F> {
    #[serde(rename = "type")]
    pub(crate) flow_type: FlowType,
    /// What the flow was begun with.
    pub(crate) request_url: String,
    /// Where it shall go on, as it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) return_to: Option<String>,
    /// What the browser that it belongs to is known by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) binding: Option<String>,
    /// What was said to a client, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    notes: Vec<Note>,
    /// How many wrong codes had been tried when the last one was sent.
    #[serde(default, skip_serializing_if = "is_zero")]
    guesses: u8,
    pub(crate) form: F,
}

/// Something said, when, and about which node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Note {
    #[serde(flatten)]
    message: Message,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    #[serde(flatten)]
    moment: Moment,
}

/// How far a flow was. A wrong code and a passed flow begin a new one: what was said before about the whole is over then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Moment {
    /// How many wrong codes had been tried.
    #[serde(default, skip_serializing_if = "is_zero")]
    guesses: u8,
    /// Whether it had passed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    passed: bool,
}

impl Moment {
    /// Where `flow` is.
    pub(crate) fn of(flow: &Flow) -> Self {
        let guesses = flow.challenge.as_ref().map_or(0, |challenge| challenge.attempts);
        Self { guesses, passed: flow.state == FlowState::Passed }
    }
}

/// How many notes are kept: a client that errs more often sees the newest.
const MOST_NOTES: usize = 16;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
const fn is_zero(number: &u8) -> bool {
    *number == 0
}

impl<F> Memo<F> {
    /// The memo of a flow in which nothing happened yet.
    pub(crate) const fn new(flow_type: FlowType, request_url: String, return_to: Option<String>, form: F) -> Self {
        Self { flow_type, request_url, return_to, binding: None, notes: Vec::new(), guesses: 0, form }
    }

    /// Has the flow belong to the browser that has this cookie.
    pub(crate) fn bind(&mut self, csrf: &Csrf) {
        self.binding = Some(csrf.binding());
    }

    /// Whether it belongs to the browser that has this cookie.
    pub(crate) fn belongs_to(&self, csrf: Option<&Csrf>) -> bool {
        csrf.zip(self.binding.as_deref()).is_some_and(|(csrf, binding)| csrf.is_bound_to(binding))
    }

    /// Says one thing about the whole, in the place of all that was said before, there and on nodes: a code was sent.
    pub(crate) fn begin(&mut self, message: impl Into<Message>, moment: Moment) {
        self.notes = vec![Note { message: message.into(), node: None, moment }];
        self.guesses = moment.guesses;
    }

    /// Says nothing any more.
    pub(crate) fn hush(&mut self, moment: Moment) {
        self.notes.clear();
        self.guesses = moment.guesses;
    }

    /// Says one thing about the whole in the place of the others; what is said of nodes stays.
    pub(crate) fn replace(&mut self, message: impl Into<Message>, moment: Moment) {
        self.notes.retain(|note| note.node.is_some());
        self.add(None, message, moment);
    }

    /// Says one thing more, about `node` or the whole.
    pub(crate) fn add(&mut self, node: Option<&str>, message: impl Into<Message>, moment: Moment) {
        if self.notes.len() >= MOST_NOTES {
            self.notes.remove(0);
        }
        self.notes.push(Note { message: message.into(), node: node.map(str::to_owned), moment });
    }

    /// Forgets what was said about `node`: another takes its place.
    pub(crate) fn clear(&mut self, node: &str) {
        self.notes.retain(|note| note.node.as_deref() != Some(node));
    }

    /// Whether there was a wrong code since something was said last.
    pub(crate) const fn is_missed(&self, moment: Moment) -> bool {
        !moment.passed && moment.guesses > self.guesses
    }

    /// What is to be said at `moment` where only the last thing counts, and about which nodes: `wrong`, if there was a wrong code since.
    pub(crate) fn last(&self, moment: Moment, wrong: Phrase) -> Vec<(Option<&str>, Message)> {
        if self.is_missed(moment) {
            return vec![(None, wrong.into())];
        }
        let kept = self.notes.iter().filter(|note| note.moment.passed == moment.passed);
        kept.map(|note| (note.node.as_deref(), note.message.clone())).collect()
    }

    /// What is to be said at `moment`, and about which nodes. Wrong codes are counted by the engine and by nothing else: that there
    /// was one since the last send is seen there, and `wrong` is said.
    pub(crate) fn notes(&self, moment: Moment, wrong: Phrase, passed: Phrase) -> Vec<(Option<&str>, Message)> {
        let first = match moment {
            Moment { passed: true, .. } => Some(passed),
            Moment { guesses, .. } if guesses > self.guesses => Some(wrong),
            Moment { .. } => None,
        };
        // A form that is over has none of the fields that something was said about.
        let is_over = |note: &Note| note.moment != moment && (note.node.is_none() || moment.passed);
        let kept = self.notes.iter().filter(|note| !is_over(note));
        let kept = kept.map(|note| (note.node.as_deref(), note.message.clone()));
        first.map(|phrase| (None, phrase.into())).into_iter().chain(kept).collect()
    }
}

/// The longest code that is filled in for whoever follows a mailed link.
const LONGEST_CODE: usize = 64;

/// What a code is sealed for: filling in the form of this one flow.
fn place(id: Uuid) -> String {
    format!("kratos/code/{id}")
}

/// `code` for the memo of the flow `id`; nothing for what is far too long to be one.
pub(crate) fn seal_code(engine: &Engine, id: Uuid, code: &str) -> engine::Result<Option<String>> {
    if code.len() > LONGEST_CODE {
        return Ok(None);
    }
    Ok(Some(URL_SAFE_NO_PAD.encode(engine.seal(&place(id), code.as_bytes())?)))
}

/// The code that was sealed for the flow `id`; nothing once the key is gone.
pub(crate) fn open_code(engine: &Engine, id: Uuid, sealed: &str) -> Option<Secret<String>> {
    let opened = engine.open_sealed(&place(id), &URL_SAFE_NO_PAD.decode(sealed).ok()?)?;
    String::from_utf8(opened.expose().clone()).ok().map(Secret::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: fn(u8) -> Moment = |guesses| Moment { guesses, passed: false };

    fn memo() -> Memo<()> {
        Memo::new(FlowType::Api, "https://a.test/self-service/verification/api".to_owned(), None, ())
    }

    fn said(memo: &Memo<()>, moment: Moment) -> Vec<(Option<&str>, u32)> {
        let notes = memo.notes(moment, Phrase::WrongVerificationCode, Phrase::Verified);
        notes.into_iter().map(|(node, message)| (node, message.phrase.id())).collect()
    }

    #[test]
    fn a_fresh_memo_is_small_and_reads_back() {
        let text = serde_json::to_string(&memo()).unwrap();
        assert_eq!(text, r#"{"type":"api","request_url":"https://a.test/self-service/verification/api","form":null}"#);
        let mut full = memo();
        full.binding = Some("digest".to_owned());
        full.begin(Phrase::VerificationCodeSent, AT(2));
        full.add(Some("email"), Message::from(Phrase::NoEmail).with("value", "x"), AT(3));
        let text = serde_json::to_string(&full).unwrap();
        assert_eq!(serde_json::from_str::<Memo<()>>(&text).unwrap(), full);
        assert!(text.ends_with(concat!(
            r#""notes":[{"id":1080003,"guesses":2},{"id":4000040,"context":{"value":"x"},"node":"email","guesses":3}],"#,
            r#""guesses":2,"form":null}"#
        )), "{text}");
    }

    #[test]
    fn errors_add_up_and_a_sent_code_ends_them() {
        let mut memo = memo();
        memo.add(None, Message::problem("r"), AT(0));
        memo.add(Some("email"), Phrase::Missing, AT(0));
        memo.add(None, Phrase::NoVerificationMethod, AT(0));
        assert_eq!(said(&memo, AT(0)), [(None, 4_000_001), (Some("email"), 4_000_002), (None, 4_010_006)]);
        memo.begin(Phrase::VerificationCodeSent, AT(0));
        assert_eq!(said(&memo, AT(0)), [(None, 1_080_003)]);
    }

    #[test]
    fn a_wrong_code_is_seen_in_the_count_and_ends_what_was_said_about_the_whole() {
        let mut memo = memo();
        memo.begin(Phrase::VerificationCodeSent, AT(0));
        memo.add(None, Message::problem("r"), AT(0));
        memo.add(Some("email"), Phrase::NoEmail, AT(0));
        assert_eq!(said(&memo, AT(1)), [(None, 4_070_006), (Some("email"), 4_000_040)]);
        memo.add(None, Message::problem("s"), AT(1));
        assert_eq!(said(&memo, AT(1)), [(None, 4_070_006), (Some("email"), 4_000_040), (None, 4_000_001)]);
        assert_eq!(said(&memo, AT(2)), [(None, 4_070_006), (Some("email"), 4_000_040)]);
        // The count is not reset by another send; what is said is.
        memo.begin(Phrase::VerificationCodeSent, AT(2));
        assert_eq!(said(&memo, AT(2)), [(None, 1_080_003)]);
        assert_eq!(said(&memo, AT(3)), [(None, 4_070_006)]);
    }

    #[test]
    fn a_passed_flow_says_so_and_what_comes_after() {
        let mut memo = memo();
        memo.begin(Phrase::VerificationCodeSent, AT(0));
        memo.add(Some("email"), Phrase::NoEmail, AT(0));
        let passed = Moment { guesses: 0, passed: true };
        assert_eq!(said(&memo, passed), [(None, 1_080_002)]);
        memo.add(None, Message::problem("r"), passed);
        assert_eq!(said(&memo, passed), [(None, 1_080_002), (None, 4_000_001)]);
    }

    #[test]
    fn no_more_is_kept_than_anybody_reads() {
        let mut memo = memo();
        for _ in 0..100 {
            memo.add(None, Message::problem("r"), AT(0));
        }
        assert_eq!(said(&memo, AT(0)).len(), MOST_NOTES);
    }
}
