//! Where a verification goes on: ST-14.

use serde_json::json;

use crate::support::{ADA, Mounted};
use crate::verifying::{API, BROWSER, read, submit};

/// `text` as the value of a parameter.
fn parameter(text: &str) -> String {
    text.bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02X}"))
}

/// Where a flow that began with `query` goes on.
async fn end(mounted: &Mounted, query: &str) -> String {
    let native = mounted.native();
    let id = native.get(&format!("{API}{query}")).await.is(200).id();
    native.send(&id, ADA).await.is(200);
    let passed = native.bring(&id, &mounted.code(ADA).await).await.is(200).json();
    assert_eq!(passed["ui"]["action"], passed["ui"]["nodes"][1]["attributes"]["href"]);
    passed["ui"]["action"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_place_that_is_allowed_is_told_back_and_gone_to() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    for (given, gone_to) in [
        ("https://ui.test/welcome", "https://ui.test/welcome"),
        ("https://app.test/inside/page?x=1", "https://app.test/inside/page?x=1"),
        ("/welcome", "https://ui.test/welcome"),
        ("https://accounts.test/self-service/login/browser", "https://accounts.test/self-service/login/browser"),
    ] {
        let flow = mounted.native().get(&format!("{API}?return_to={given}")).await.is(200).json();
        assert_eq!(flow["return_to"], given);
        assert_eq!(flow["request_url"], format!("https://accounts.test{API}?return_to={given}"));
        assert_eq!(end(&mounted, &format!("?return_to={given}")).await, gone_to);
    }
    assert_eq!(end(&mounted, "").await, "https://ui.test/");
    assert_eq!(end(&mounted, "?return_to=").await, "https://ui.test/");
}

#[tokio::test]
async fn a_configured_end_is_gone_to_unless_another_was_asked_for() {
    let after = "ui_url: https://ui.test/verification, after: {default_browser_return_url: https://ui.test/verified}";
    let mounted = Mounted::with(&[("ui_url: https://ui.test/verification", after)]).await;
    mounted.person(ADA).await;
    assert_eq!(end(&mounted, "").await, "https://ui.test/verified");
    assert_eq!(end(&mounted, "?return_to=https://ui.test/chosen").await, "https://ui.test/chosen");
}

#[tokio::test]
async fn st_14_no_verification_ends_anywhere_else() {
    let mounted = Mounted::new().await;
    for place in [
        "https://evil.test/",
        "https://ui.test@evil.test/",
        "https://ui.test:pass@evil.test/",
        "https://ui.test.evil.test/",
        "https://evil.test\\@ui.test/",
        "https:\\\\evil.test/",
        "//evil.test/",
        "/\\evil.test/",
        "\\\\evil.test",
        "https:///evil.test",
        "http://ui.test/",
        "https://ui.test:444/",
        "https://ui.test\t.evil.test/",
        "https://evil.test/\r\nset-cookie: a=b",
        "https://evil.test%2f@ui.test/",
        "https://uı.test/",
        "https://xn--u-eka.test/",
        "https://2130706433/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://app.test/inside/../outside",
        "https://app.test/inside/%2e%2e/outside",
        "https://app.test/",
        "https://evil.test#https://ui.test/",
        "https://evil.test?https://ui.test/",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)//https://ui.test/",
        "data:text/html,x",
        "http:https://ui.test/",
    ] {
        for (path, visitor) in [(API, &mounted.native()), (BROWSER, &mounted.script()), (BROWSER, &mounted.browser())] {
            let answer = visitor.get(&format!("{path}?return_to={}", parameter(place))).await;
            assert_eq!((answer.status, answer.location()), (400, ""), "{place:?}");
            let error = answer.error().1;
            assert!(error.is_empty() || error == "self_service_flow_return_to_forbidden", "{place:?}");
        }
    }
    let calls = mounted.world.calls.take_calls();
    assert_eq!(calls, [] as [&str; 0]);
    let refused = mounted.native().get(&format!("{API}?return_to=https://evil.test/")).await;
    assert_eq!(refused.error().1, "self_service_flow_return_to_forbidden");
}

#[tokio::test]
async fn below_a_path_everything_carries_it_and_either_way_in_works() {
    let mounted = Mounted::with(&[("https://accounts.test/", "https://accounts.test/auth")]).await;
    mounted.person(ADA).await;
    let native = mounted.native();
    for prefix in ["", "/auth"] {
        let flow = native.get(&format!("{prefix}{API}")).await.is(200);
        let id = flow.id();
        assert_eq!(flow.json()["ui"]["action"], format!("https://accounts.test/auth{}", submit(&id)));
        assert_eq!(flow.json()["request_url"], format!("https://accounts.test{prefix}{API}"));
        let path = format!("{prefix}{}", submit(&id));
        native.post(&path, &json!({"method": "code", "email": ADA})).await.is(200);
        let mail = mounted.mails(ADA).await.remove(0);
        let link = mail.link.unwrap();
        assert!(link.expose().starts_with("https://accounts.test/auth/self-service/verification?code="));
        let code = mounted.code(ADA).await;
        native.post(&path, &json!({"code": code})).await.is(200);
        native.get(&format!("{prefix}{}", read(&id))).await.is(200);
    }
}
