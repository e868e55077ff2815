//! Mailed links, and whoever else follows them: ST-37.

use http::Method;
use serde_json::json;

use crate::support::{ADA, CSRF_COOKIE, Mounted, Visitor};
use crate::verifying::{API, BROWSER, read, submit};

/// A browser's flow in which a code was sent: its id, the link's path, the code.
async fn sent(mounted: &Mounted, browser: &Visitor<'_>) -> (String, String, String) {
    let (id, token) = browser.begin_in_browser("").await;
    let body = json!({"method": "code", "email": ADA, "csrf_token": token});
    browser.submit(&id, &body).await.is(303);
    let code = mounted.code(ADA).await;
    (id.clone(), format!("/self-service/verification?code={code}&flow={id}"), code)
}

#[tokio::test]
async fn a_link_fills_in_the_code_for_the_browser_that_opens_it() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let (first, other) = (mounted.browser(), mounted.browser());
    let (id, link, code) = sent(&mounted, &first).await;
    for _ in 0..2 {
        let before = other.cookie(CSRF_COOKIE);
        let clicked = other.get(&link).await.is(303);
        assert_eq!(clicked.location(), format!("https://ui.test/verification?flow={id}"));
        assert_ne!(other.cookie(CSRF_COOKIE), before);
    }
    let seen = other.see(&id).await.is(200);
    assert_eq!((seen.state().as_str(), seen.messages()), ("sent_email", vec![1_080_003]));
    assert_eq!(
        seen.nodes(),
        [
            "method:hidden=code",
            &format!("code:text={code}!"),
            "method:submit=code",
            "csrf_token:hidden=*!",
            "email:submit=ada@example.org"
        ]
    );
    // The first browser has lost it.
    assert_eq!(first.see(&id).await.error(), (403, "security_csrf_violation".to_owned(), String::new()));
    let token = seen.value_of("csrf_token");
    other.submit(&id, &json!({"method": "code", "code": code, "csrf_token": token})).await.is(303);
    assert_eq!(other.see(&id).await.is(200).state(), "passed_challenge");
    let late = other.get(&link).await.is(303);
    assert_ne!(late.leads_to(), id);
    assert_eq!(other.see(&late.leads_to()).await.is(200).messages(), [4_070_002]);
}

#[tokio::test]
async fn a_link_of_a_native_clients_flow_opens_in_a_browser_too() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let (id, code) = mounted.sent(ADA).await;
    let browser = mounted.browser();
    browser.get(&format!("/self-service/verification?code={code}&flow={id}")).await.is(303);
    let seen = browser.see(&id).await.is(200);
    let expected = [
        "method:hidden=code".to_owned(),
        format!("code:text={code}!"),
        "method:submit=code".to_owned(),
        "email:submit=ada@example.org".to_owned(),
        "csrf_token:hidden=*!".to_owned(),
    ];
    assert_eq!(seen.nodes(), expected);
    // JSON does not change where a link leads.
    let clicked = mounted.native().get(&format!("/self-service/verification?code=anything&flow={id}")).await.is(303);
    assert_eq!(clicked.leads_to(), id);
    assert_eq!(mounted.native().see(&id).await.nodes()[1], "code:text=anything!");
    assert_eq!(mounted.native().bring(&id, &code).await.is(200).state(), "passed_challenge");
}

#[tokio::test]
async fn a_link_before_a_code_was_asked_for_leads_to_the_page_and_fills_in_nothing() {
    let mounted = Mounted::new().await;
    let browser = mounted.browser();
    let (id, _) = browser.begin_in_browser("").await;
    browser.get(&format!("/self-service/verification?code=12345678&flow={id}")).await.is(303);
    let seen = browser.see(&id).await.is(200);
    assert_eq!(seen.nodes(), ["email:email!", "method:submit=code", "csrf_token:hidden=*!"]);
}

#[tokio::test]
async fn a_code_that_a_link_brought_is_kept_sealed_and_far_too_long_a_one_not_at_all() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let (id, code) = mounted.sent(ADA).await;
    mounted.browser().get(&format!("/self-service/verification?code={code}&flow={id}")).await.is(303);
    let memo = mounted.engine().flow(mounted.handle(&id)).await.unwrap().memo.unwrap();
    assert!(!memo.contains(&code), "{memo}");
    let long = "1".repeat(65);
    mounted.browser().get(&format!("/self-service/verification?code={long}&flow={id}")).await.is(303);
    assert_eq!(mounted.native().see(&id).await.nodes()[1], "code:text!");
}

#[tokio::test]
async fn st_37_whoever_only_looks_spends_nothing_and_changes_nothing() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let browser = mounted.browser();
    let (id, link, code) = sent(&mounted, &browser).await;
    let before = mounted.engine().flow(mounted.handle(&id)).await.unwrap();
    let scanner = mounted.browser();
    mounted.world.calls.take_calls();
    // HEAD of everything that GET answers.
    for path in [link.as_str(), &submit(&id), &read(&id), API, BROWSER] {
        let head = scanner.ask(scanner.request(Method::HEAD, path, &[], "")).await;
        assert!(matches!(head.status, 200 | 303 | 403), "{path}: {head}");
        assert!(
            head.header("location").is_empty() || head.location().starts_with("https://ui.test/verification?flow=")
        );
    }
    assert_eq!(scanner.ask(scanner.request(Method::OPTIONS, &link, &[], "")).await.status, 405);
    let writes: Vec<_> = mounted.world.calls.take_calls().into_iter().filter(|call| *call != "flow").collect();
    assert_eq!(writes, [] as [&str; 0]);
    // A GET that is no link, with and without an address in it, of a browser's flow and of a native client's.
    let native = mounted.native().begin().await;
    for path in [
        submit(&id),
        format!("{}&method=code&email={ADA}", submit(&id)),
        submit(&native),
        format!("{}&method=code&email={ADA}", submit(&native)),
        format!("{}&method=link&token=abc", submit(&native)),
    ] {
        for visitor in [&scanner, &mounted.native()] {
            mounted.world.calls.take_calls();
            let answer = visitor.get(&path).await;
            assert!(matches!(answer.status, 303 | 400 | 403), "{path}: {answer}");
            let calls = mounted.world.calls.take_calls();
            // What an error page shows is kept for it.
            assert!(calls == ["flow"] || answer.location().starts_with("https://ui.test/error?"), "{path}: {calls:?}");
        }
    }
    assert_eq!(mounted.engine().flow(mounted.handle(&id)).await.unwrap(), before);
    assert_eq!(mounted.mails(ADA).await.len(), 1);
    // However often the link itself is opened, beforehand and by whom: the code is there.
    for headers in [&[][..], &[("sec-purpose", "prefetch")], &[("purpose", "prefetch")]] {
        for _ in 0..10 {
            scanner.ask(scanner.request(Method::GET, &link, headers, "")).await.is(303);
        }
    }
    let flow = mounted.engine().flow(mounted.handle(&id)).await.unwrap();
    assert_eq!(flow.challenge, before.challenge);
    assert!(!mounted.is_verified(ADA).await);
    assert_eq!(mounted.native().bring(&id, &code).await.is(200).state(), "passed_challenge");
}
