//! What the original was asked and answered (`conformance/zitadel/recorded.json`), asked again here: status, code, id and shape agree,
//! or the difference stands in `differences.json` beside it and in the README.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::body::Body;
use engine::{IdentityChange, IdentityState};
use http::{HeaderName, Method};
use serde::Deserialize;
use serde_json::Value;
use testkit::world::unlimited;

use crate::support::{ADA, Answer, BOB, EVE, Mounted, PROJECT, SignedIn, with_headers};

#[derive(Deserialize)]
struct Recording {
    exchanges: Vec<Exchange>,
}

#[derive(Deserialize)]
struct Exchange {
    id: String,
    name: String,
    request: Asked,
    response: Answered,
}

#[derive(Deserialize)]
struct Asked {
    method: String,
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Option<Value>,
}

#[derive(Deserialize)]
struct Answered {
    status: u16,
    #[serde(default)]
    body: Option<Value>,
}

/// Where this surface answers otherwise than recorded, and what.
#[derive(Deserialize)]
struct Differences {
    members: Members,
    exchanges: Vec<Difference>,
}

/// Members of answers that only one of the two has.
#[derive(Deserialize)]
struct Members {
    ours: Vec<String>,
    theirs: Vec<String>,
}

#[derive(Deserialize)]
struct Difference {
    id: String,
    status: u16,
    code: u64,
    detail: String,
    /// The configuration with which it agrees.
    #[serde(default)]
    unless: Option<String>,
    why: String,
}

static DIFFERENCES: LazyLock<Differences> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../../conformance/zitadel/differences.json")).unwrap());

fn difference(id: &str) -> Option<&'static Difference> {
    DIFFERENCES.exchanges.iter().find(|difference| difference.id == id)
}

fn exchanges() -> Vec<Exchange> {
    let text = include_str!("../../../../conformance/zitadel/recorded.json");
    serde_json::from_str::<Recording>(text).unwrap().exchanges
}

fn exchange(id: &str) -> Exchange {
    exchanges().into_iter().find(|exchange| exchange.id == id).unwrap()
}

/// What the placeholders of a request stand for.
type Bound<'a> = [(&'a str, &'a str)];

impl Exchange {
    /// Asks it, with `bound` in the place of its placeholders.
    async fn ask(&self, mounted: &Mounted, bound: &Bound<'_>) -> Answer {
        let fill = |text: &str| {
            let filled = bound.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
            assert!(!filled.contains(":1>") && !filled.contains(":2>"), "{}: {filled} is not filled in", self.id);
            repeated(&filled)
        };
        let headers: Vec<_> = self.request.headers.iter().map(|(name, value)| (name.as_str(), fill(value))).collect();
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let body = match &self.request.body {
            None => String::new(),
            Some(Value::String(text)) if text == "<5 MB>" => format!(r#"{{"code":"{}"}}"#, "A".repeat(5_000_000)),
            Some(Value::String(text)) => fill(text),
            Some(body) => fill(&body.to_string()),
        };
        let method: Method = self.request.method.parse().unwrap();
        for (name, _) in &headers {
            name.parse::<HeaderName>().unwrap();
        }
        mounted.ask(with_headers(method, &self.request.path, &headers, Body::from(body))).await
    }

    /// What of `answer` is not as it was recorded, in words.
    fn misfits(&self, answer: &Answer) -> Vec<String> {
        let mut misfits = Vec::new();
        if answer.status.as_u16() != self.response.status {
            misfits.push(format!("status {} instead of {}", answer.status.as_u16(), self.response.status));
        }
        match &self.response.body {
            Some(recorded) => compare("body", recorded, &answer.json(), &mut misfits),
            None if self.request.method != "HEAD" && !answer.body.is_empty() => misfits.push("a body".to_owned()),
            None => {}
        }
        misfits
    }

    /// Fails unless `answer` is as recorded, or as the difference there is says.
    #[track_caller]
    fn check(&self, difference: Option<&Difference>, answer: &Answer) {
        let (misfits, id, name) = (self.misfits(answer), &self.id, &self.name);
        match difference {
            None => assert!(misfits.is_empty(), "{id}, {name}: {misfits:?}\n{answer}"),
            Some(Difference { status, code, detail, why, .. }) => {
                assert!(!misfits.is_empty(), "{id}, {name}: it agrees after all ({why})");
                assert_eq!(answer.error(), (*status, *code, detail.clone()), "{id}, {name}: {why}");
            }
        }
    }
}

/// `{repeated n times}` written out.
fn repeated(text: &str) -> String {
    let Some((before, rest)) = text.split_once("{repeated ") else { return text.to_owned() };
    let (times, rest) = rest.split_once(" times}").unwrap();
    let symbol = before.chars().last().unwrap().to_string();
    let more = symbol.repeat(times.parse::<usize>().unwrap() - 1);
    format!("{before}{more}{}", repeated(rest))
}

fn compare(at: &str, recorded: &Value, actual: &Value, misfits: &mut Vec<String>) {
    let Members { ours, theirs } = &DIFFERENCES.members;
    match (recorded, actual) {
        (Value::Object(recorded), Value::Object(actual)) => {
            for (name, value) in recorded.iter().filter(|(name, _)| !theirs.contains(name)) {
                match actual.get(name) {
                    Some(actual) => compare(&format!("{at}.{name}"), value, actual, misfits),
                    None => misfits.push(format!("{at}.{name} is missing")),
                }
            }
            let more = actual.keys().filter(|name| !recorded.contains_key(*name) && !ours.contains(name));
            misfits.extend(more.map(|name| format!("{at}.{name} was not there")));
        }
        (Value::Array(recorded), Value::Array(actual)) if recorded.len() == actual.len() => {
            for (recorded, actual) in recorded.iter().zip(actual) {
                compare(at, recorded, actual, misfits);
            }
        }
        (Value::String(recorded), Value::String(actual)) if fits(at, recorded, actual) => {}
        (recorded, actual) if recorded == actual => {}
        (recorded, actual) => misfits.push(format!("{at} is {actual} instead of {recorded}")),
    }
}

/// Whether `actual` may stand where `recorded` does.
fn fits(at: &str, recorded: &str, actual: &str) -> bool {
    let is_number = !actual.is_empty() && actual.bytes().all(|byte| byte.is_ascii_digit());
    match recorded {
        "<time>" => actual.starts_with("2026-03-") && actual.ends_with('Z'),
        "<org:1>" => actual == PROJECT,
        "<user:1>" => is_number,
        "<email:1>" | "<username:1>" => actual.contains('@'),
        _ if at.ends_with(".sequence") => is_number,
        // A name that an original user had, and that ours did not say.
        "Ann" | "Tester" | "Ann Tester" => !actual.is_empty(),
        _ => {
            let mut rest = actual;
            let mut pieces = recorded.split("<text>").peekable();
            let first = pieces.next().unwrap_or_default();
            let Some(behind) = rest.strip_prefix(first) else { return false };
            rest = behind;
            while let Some(piece) = pieces.next() {
                let at_end = pieces.peek().is_none();
                let found =
                    if at_end { rest.strip_suffix(piece) } else { rest.split_once(piece).map(|(text, _)| text) };
                let Some(text) = found.filter(|text| !text.is_empty()) else { return false };
                rest = if at_end { "" } else { &rest[text.len() + piece.len()..] };
            }
            rest.is_empty()
        }
    }
}

/// Somebody with an address he has not proved yet, for which a code is out; and what placeholders then stand for.
async fn stage(section: &str) -> (Mounted, SignedIn, String) {
    let mounted = Mounted::with(unlimited(), section).await;
    let user = mounted.signed_in(ADA).await;
    let change = IdentityChange {
        revision: None,
        traits: Some(r#"{"given_name":"Ann","family_name":"Tester"}"#.to_owned()),
        metadata: None,
        state: None,
        addresses: None,
    };
    mounted.engine().change_identity(&mounted.context(), user.identity, change).await.unwrap();
    let mut claims = mounted.claims(user.session, user.identity);
    claims.scope.push_str(" urn:zitadel:iam:org:project:id:zitadel:aud");
    mounted.set(&mounted.sign(&claims), BOB).await.ok();
    let code = mounted.code(BOB).await;
    (mounted, user, code)
}

/// Each on a stage of its own, because five wrong codes end a question here.
#[tokio::test]
async fn what_was_asked_over_json_gets_the_recorded_answers() {
    let mut played = 0;
    for exchange in exchanges().iter().filter(|exchange| exchange.id.starts_with("auth-v1-json/")) {
        let number: u32 = exchange.id.rsplit('/').next().unwrap().parse().unwrap();
        let difference = difference(&exchange.id);
        let section = difference.and_then(|difference| difference.unless.as_deref()).unwrap_or_default();
        let (mounted, user, code) = stage(section).await;
        if (74..=79).contains(&number) {
            mounted.verify(&user.token, &code).await.ok();
        }
        let mut id_token = serde_json::to_value(mounted.claims(user.session, user.identity)).unwrap();
        id_token.as_object_mut().unwrap().remove("typ");
        let id_token = mounted.sign(&id_token);
        let altered = format!("{}AAAA", &user.token[..user.token.len() - 4]);
        let lower_case = code.to_lowercase();
        let bound = [
            ("<access-token, last four characters altered>", altered.as_str()),
            ("<access-token:1>", user.token.as_str()),
            ("<access-token:2>", user.token.as_str()),
            ("<id-token:1>", id_token.as_str()),
            ("<session-token:1>", "an opaque one"),
            ("<token:service-pat>", "an opaque one"),
            ("<org:1>", PROJECT),
            ("<email:1>", BOB),
            ("UAF24FA9F@EXAMPLE.TEST", "BOB@EXAMPLE.COM"),
            ("<code:1>", lower_case.as_str()),
            ("<code:2>", code.as_str()),
        ];
        let answer = exchange.ask(&mounted, &bound).await;
        exchange.check(difference.filter(|_| section.is_empty()), &answer);
        if !section.is_empty() {
            let (mounted, user, _) = stage("").await;
            let bound = [("<access-token:1>", user.token.as_str()), ("<access-token:2>", user.token.as_str())];
            let answer = exchange.ask(&mounted, &bound).await;
            exchange.check(difference, &answer);
        }
        played += 1;
    }
    assert_eq!(played, 64);
}

#[tokio::test]
async fn the_life_of_a_code_goes_as_recorded() {
    let (mounted, user, code) = stage("").await;
    let mut codes = vec![code];
    for (number, mailed_to) in
        [(1, Some(BOB)), (2, None), (3, Some(BOB)), (4, None), (5, Some(EVE)), (6, None), (8, Some(BOB))]
    {
        mounted.pass(5);
        let exchange = exchange(&format!("auth-v1-codes/{number}"));
        let bound = [
            ("<access-token:1>", user.token.as_str()),
            ("<code:1>", codes[0].as_str()),
            ("<code:2>", codes.get(1).map_or("", String::as_str)),
            ("<email:1>", EVE),
            ("<email:2>", BOB),
        ];
        exchange.check(None, &exchange.ask(&mounted, &bound).await);
        if let Some(address) = mailed_to {
            codes.push(mounted.code(address).await);
        }
    }
    let exchange = exchange("auth-v1-codes/9");
    let bound = [("<access-token:1>", user.token.as_str()), ("<code:4>", codes.last().unwrap())];
    exchange.check(None, &exchange.ask(&mounted, &bound).await);
}

#[tokio::test]
async fn the_end_of_a_code_goes_as_recorded() {
    let (mounted, user, code) = stage("").await;
    mounted.pass(3600);
    let token = mounted.renewed(&user);
    for number in [13, 15] {
        let exchange = exchange(&format!("auth-v1-codes/{number}"));
        let bound = [("<access-token:2>", token.as_str()), ("<code:6>", code.as_str())];
        exchange.check(None, &exchange.ask(&mounted, &bound).await);
    }
}

#[tokio::test]
async fn the_end_of_a_user_goes_as_recorded() {
    let mounted = Mounted::new().await;
    let user = mounted.signed_in(ADA).await;
    let play = async |number: u32| {
        let exchange = exchange(&format!("auth-v1-codes/{number}"));
        let bound = [("<access-token:3>", user.token.as_str()), ("<email:3>", BOB)];
        exchange.check(None, &exchange.ask(&mounted, &bound).await);
    };
    play(16).await;
    play(18).await;
    let state = Some(IdentityState::Inactive);
    let change = IdentityChange { revision: None, traits: None, metadata: None, state, addresses: None };
    mounted.engine().change_identity(&mounted.context(), user.identity, change).await.unwrap();
    play(20).await;
    play(22).await;
    mounted.engine().erase_identity(&mounted.context(), user.identity).await.unwrap();
    play(25).await;
}

#[tokio::test]
async fn an_address_of_another_user_and_a_large_body_go_as_recorded() {
    let (mounted, user, _) = stage("").await;
    mounted.signed_in(EVE).await;
    let bound =
        [("<access-token:1>", user.token.as_str()), ("<access-token:2>", user.token.as_str()), ("<email:1>", EVE)];
    for id in ["races-and-mails/8", "races-and-mails/14"] {
        let exchange = exchange(id);
        exchange.check(difference(id), &exchange.ask(&mounted, &bound).await);
    }
}

/// A difference from nothing recorded would be one that nobody looks at.
#[test]
fn every_difference_is_one_from_something_recorded() {
    let known: Vec<_> = exchanges().into_iter().map(|exchange| exchange.id).collect();
    for difference in &DIFFERENCES.exchanges {
        assert!(known.contains(&difference.id), "{}", difference.id);
        assert!(!difference.why.is_empty());
    }
}
