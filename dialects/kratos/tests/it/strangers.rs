//! Who cannot find out who has an account (ST-34) or when his guesses are not compared any more (ST-08), and who cannot have our mails
//! say where he is (ST-13).

use engine::MessageKind;
use http::Method;
use serde_json::json;

use crate::support::{ADA, Answer, Mounted, NOBODY};
use crate::verifying::{API, BROWSER, submit};

/// The answer as text with what differs between any two flows taken out.
fn masked(answer: &Answer, id: &str, email: &str) -> String {
    let text = answer.to_string().replace(id, "ID").replace(email, "EMAIL");
    let replacement = if answer.status == 410 { answer.error().2 } else { String::new() };
    let text = if replacement.is_empty() { text } else { text.replace(&replacement, "NEXT") };
    // Of the cookie only its value is random.
    answer.cookies().into_iter().fold(text, |text, (_, value)| text.replace(&value, "COOKIE"))
}

/// All that somebody sees who verifies `email` without reading its mail, and all that it costs.
async fn seen(mounted: &Mounted, email: &str) -> (Vec<String>, Vec<&'static str>, usize) {
    let native = mounted.native();
    mounted.world.calls.take_calls();
    mounted.world.events.take();
    let id = native.begin().await;
    let mut answers = vec![native.send(&id, email).await, native.send(&id, "asdf").await];
    for _ in 0..6 {
        answers.push(native.bring(&id, "00000x").await);
    }
    answers.push(native.see(&id).await);
    answers.push(native.send(&id, email).await);
    let answers = answers.iter().map(|answer| masked(answer, &id, email)).collect();
    (answers, mounted.world.calls.take_calls(), mounted.world.events.take().len())
}

#[tokio::test]
async fn st_34_a_known_address_and_an_unknown_one_are_alike_to_the_byte() {
    for told in ["enabled: true", "enabled: true, notify_unknown_recipients: true"] {
        let changes = [("verification: {enabled: true", format!("verification: {{{told}"))];
        let changes: Vec<_> = changes.iter().map(|(old, new)| (*old, new.as_str())).collect();
        let mounted = Mounted::with(&changes).await;
        // As long as the other, or the length of an answer would differ.
        mounted.person("amanda@example.org").await;
        let known = seen(&mounted, "amanda@example.org").await;
        let unknown = seen(&mounted, NOBODY).await;
        assert_eq!(known, unknown);
        assert!(known.0[0].starts_with("200\n") && known.0[7].starts_with("410\n"), "{:?}", known.0);
    }
}

#[tokio::test]
async fn somebody_without_an_account_is_written_to_only_if_the_operator_wants_it() {
    let mounted = Mounted::new().await;
    let native = mounted.native();
    native.send(&native.begin().await, NOBODY).await.is(200);
    assert_eq!(mounted.mails(NOBODY).await.len(), 0);
    let told = ("verification: {enabled: true", "verification: {enabled: true, notify_unknown_recipients: true");
    let mounted = Mounted::with(&[told]).await;
    let native = mounted.native();
    let id = native.begin().await;
    native.send(&id, NOBODY).await.is(200);
    let kinds: Vec<_> = mounted.mails(NOBODY).await.into_iter().map(|mail| mail.message.kind).collect();
    assert_eq!(kinds, [MessageKind::NoAccount]);
}

#[tokio::test]
async fn st_13_no_header_gets_into_a_mail_or_a_link() {
    let lies: [&[(&str, &str)]; 6] = [
        &[("host", "evil.test")],
        &[("x-forwarded-host", "evil.test")],
        &[("forwarded", "host=evil.test;proto=http")],
        &[("x-forwarded-proto", "http"), ("x-forwarded-port", "81")],
        &[("x-original-url", "https://evil.test/"), ("x-rewrite-url", "/evil")],
        &[("x-forwarded-prefix", "/evil"), ("referer", "https://evil.test/"), ("host", "evil.test:81")],
    ];
    for lie in lies {
        let mounted = Mounted::new().await;
        mounted.person(ADA).await;
        let (native, browser) = (mounted.native(), mounted.browser());
        let json = |path: &str, body: String| {
            let headers: Vec<_> = lie.iter().copied().chain([("content-type", "application/json")]).collect();
            native.request(Method::POST, path, &headers, body)
        };
        let begun = native.ask(native.request(Method::GET, API, lie, "")).await.is(200);
        let id = begun.id();
        assert_eq!(begun.json()["ui"]["action"], format!("https://accounts.test{}", submit(&id)), "{lie:?}");
        let page = browser.ask(browser.request(Method::GET, BROWSER, lie, "")).await.is(303);
        assert!(page.location().starts_with("https://ui.test/verification?flow="), "{lie:?}");
        let sent = json(&submit(&id), json!({"method": "code", "email": ADA}).to_string());
        native.ask(sent).await.is(200);
        let (code, mail) = (mounted.code(ADA).await, mounted.mails(ADA).await.remove(0));
        let expected = format!("https://accounts.test/self-service/verification?code={code}&flow={id}");
        assert_eq!(mail.link.unwrap().expose(), &expected, "{lie:?}");
        let passed = native.ask(json(&submit(&id), json!({"code": code}).to_string())).await.is(200).json();
        assert_eq!(passed["ui"]["action"], "https://ui.test/", "{lie:?}");
        let again = native.ask(json(&submit(&id), json!({"code": code}).to_string())).await;
        let next = native.ask(native.request(Method::GET, &crate::verifying::read(&again.error().2), lie, "")).await;
        assert!(!next.is(200).body.contains("evil"), "{lie:?}");
    }
}

#[tokio::test]
async fn st_08_a_code_that_is_not_compared_looks_like_a_wrong_one() {
    for kind in ["login", "verification", "registration"] {
        let mounted = Mounted::new().await;
        let email = if kind == "registration" { NOBODY } else { ADA };
        if email == ADA {
            mounted.person(ADA).await;
        }
        let native = mounted.native();
        let [first, second] = [native.enter(kind).await, native.enter(kind).await];
        let mut body = match kind {
            "login" => json!({"method": "code", "identifier": email}),
            "registration" => json!({"method": "code", "traits": {"email": email}}),
            _ => json!({"method": "code", "email": email}),
        };
        for id in [&first, &second] {
            native.hand_in(kind, id, &body).await;
        }
        body["code"] = "00000x".into();
        let seen = async |id: &str| {
            let answers = [native.hand_in(kind, id, &body).await, native.look(kind, id).await];
            answers.map(|answer| answer.masked(id, email))
        };
        let compared = seen(&first).await;
        for _ in 0..4 {
            native.hand_in(kind, &first, &body).await;
        }
        for _ in 0..2 {
            assert_eq!(seen(&second).await, compared, "{kind}");
        }
    }
}
