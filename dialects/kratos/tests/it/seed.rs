//! The published request, as JSON and as a form, for both kinds of flow; and the answers, to the byte.

use serde_json::json;

use crate::support::{ADA, CSRF_COOKIE, Mounted};
use crate::verifying::{API, BROWSER, submit};

/// The nodes of a native client's form, while an address is asked for.
const ADDRESS_NODES: &str = concat!(
    r#"{"type":"input","group":"code","attributes":{"name":"email","type":"email","required":true,"disabled":false,"node_type":"input"},"#,
    r#""messages":[],"meta":{"label":{"id":1070007,"text":"Email","type":"info"}}},"#,
    r#"{"type":"input","group":"code","attributes":{"name":"method","type":"submit","value":"code","disabled":false,"node_type":"input"},"#,
    r#""messages":[],"meta":{"label":{"id":1070009,"text":"Continue","type":"info"}}}"#,
);

/// The nodes once a code is on its way to Ada.
const CODE_NODES: &str = concat!(
    r#"{"type":"input","group":"code","attributes":{"name":"method","type":"hidden","value":"code","disabled":false,"node_type":"input"},"#,
    r#""messages":[],"meta":{}},"#,
    r#"{"type":"input","group":"code","attributes":{"name":"code","type":"text","required":true,"disabled":false,"node_type":"input"},"#,
    r#""messages":[],"meta":{"label":{"id":1070011,"text":"Verification code","type":"info"}}},"#,
    r#"{"type":"input","group":"code","attributes":{"name":"method","type":"submit","value":"code","disabled":false,"node_type":"input"},"#,
    r#""messages":[],"meta":{"label":{"id":1070009,"text":"Continue","type":"info"}}},"#,
    r#"{"type":"input","group":"code","attributes":{"name":"email","type":"submit","value":"ada@example.org","disabled":false,"#,
    r#""node_type":"input"},"messages":[],"meta":{"label":{"id":1070008,"text":"Resend code","type":"info"}}}"#,
);

/// The nodes at the end.
const END_NODES: &str = concat!(
    r#"{"type":"input","group":"default","attributes":{"name":"csrf_token","type":"hidden","value":"","required":true,"disabled":false,"#,
    r#""node_type":"input"},"messages":[],"meta":{}},"#,
    r#"{"type":"a","group":"code","attributes":{"href":"https://ui.test/","title":{"id":1070009,"text":"Continue","type":"info"},"#,
    r#""id":"continue","node_type":"a"},"messages":[],"meta":{"label":{"id":1070009,"text":"Continue","type":"info"}}}"#,
);

/// A native client's flow, all of it.
fn flow(id: &str, action: &str, method: &str, nodes: &str, messages: &str, state: &str) -> String {
    format!(
        concat!(
            r#"{{"id":"{id}","type":"api","expires_at":"2026-03-01T13:00:00.000Z","issued_at":"2026-03-01T12:00:00.000Z","#,
            r#""request_url":"https://accounts.test/self-service/verification/api","active":"code","#,
            r#""ui":{{"action":"{action}","method":"{method}","nodes":[{nodes}]{messages}}},"state":"{state}"}}"#,
        ),
        id = id,
        action = action,
        method = method,
        nodes = nodes,
        messages = messages,
        state = state,
    )
}

#[tokio::test]
async fn a_native_client_verifies_an_address_to_the_byte() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let native = mounted.native();
    let begun = native.get(API).await.is(200);
    let id = begun.id();
    let action = format!("https://accounts.test{}", submit(&id));
    assert_eq!(begun.body, flow(&id, &action, "POST", ADDRESS_NODES, "", "choose_method"));
    assert_eq!(begun.header("content-type"), "application/json; charset=utf-8");
    assert_eq!(begun.cookies(), []);

    let sent = native.send(&id, ADA).await.is(200);
    let said = concat!(
        r#","messages":[{"id":1080003,"text":"If that address belongs to an account, a message with a code is on its way to it. "#,
        r#"Nothing there? Look for a typing error, or ask again.","type":"info"}]"#,
    );
    assert_eq!(sent.body, flow(&id, &action, "POST", CODE_NODES, said, "sent_email"));

    let passed = native.bring(&id, &mounted.code(ADA).await).await.is(200);
    let said = r#","messages":[{"id":1080002,"text":"Your email address is verified.","type":"success"}]"#;
    let expected = flow(&id, "https://ui.test/", "GET", END_NODES, said, "passed_challenge");
    assert_eq!(passed.body, expected);
    assert_eq!(native.see(&id).await.is(200).body, expected);
    assert!(mounted.is_verified(ADA).await);
}

#[tokio::test]
async fn the_published_request_is_understood_in_every_form_of_it() {
    for content_type in ["application/json", "application/json; charset=utf-8", "application/x-www-form-urlencoded"] {
        let mounted = Mounted::new().await;
        mounted.person(ADA).await;
        let (id, code) = mounted.sent(ADA).await;
        let body = if content_type.starts_with("application/json") {
            json!({"code": code, "csrf_token": "", "method": "code", "token": null, "link": ""}).to_string()
        } else {
            format!("code={code}&csrf_token=&method=code&colour=red")
        };
        let answer = mounted.native().post_text(&submit(&id), content_type, &body).await.is(200);
        assert_eq!(
            (answer.state().as_str(), answer.messages()),
            ("passed_challenge", vec![1_080_002]),
            "{content_type}"
        );
    }
}

#[tokio::test]
async fn a_multipart_form_is_read() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let (id, code) = mounted.sent(ADA).await;
    let part =
        |name: &str, value: &str| format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    let body = format!("{}{}--x--\r\n", part("method", "code"), part("code", &code));
    let answer = mounted.native().post_text(&submit(&id), "multipart/form-data; boundary=x", &body).await.is(200);
    assert_eq!(answer.state(), "passed_challenge");
}

#[tokio::test]
async fn a_browser_goes_from_page_to_page_and_its_page_reads_the_flow() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let browser = mounted.browser();
    let begun = browser.get(BROWSER).await.is(303);
    let id = begun.leads_to();
    let page = format!("https://ui.test/verification?flow={id}");
    assert_eq!(begun.location(), page);
    let cookies = begun.cookies();
    assert_eq!(cookies.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), [CSRF_COOKIE]);
    let line = begun.header("set-cookie").split_once(';').unwrap().1;
    assert_eq!(line, " Path=/; Max-Age=31536000; HttpOnly; Secure; SameSite=Lax");

    let seen = browser.see(&id).await.is(200);
    assert_eq!(seen.nodes(), ["email:email!", "method:submit=code", "csrf_token:hidden=*!"]);
    let token = seen.value_of("csrf_token").replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let form = format!("method=code&email=ada%40example.org&csrf_token={token}");
    let sent = browser.post_form(&submit(&id), &form).await.is(303);
    assert_eq!((sent.location(), sent.cookies()), (page.as_str(), vec![]));
    let seen = browser.see(&id).await.is(200);
    assert_eq!(
        seen.nodes(),
        [
            "method:hidden=code",
            "code:text!",
            "method:submit=code",
            "csrf_token:hidden=*!",
            "email:submit=ada@example.org"
        ]
    );
    assert_eq!((seen.state().as_str(), seen.messages()), ("sent_email", vec![1_080_003]));

    let code = mounted.code(ADA).await;
    let passed = browser.post_form(&submit(&id), &format!("method=code&code={code}&csrf_token={token}")).await.is(303);
    assert_eq!((passed.location(), passed.cookies()), (page.as_str(), vec![]));
    let seen = browser.see(&id).await.is(200);
    assert_eq!((seen.state().as_str(), seen.messages()), ("passed_challenge", vec![1_080_002]));
    assert_eq!(seen.nodes(), ["csrf_token:hidden=*!", "continue:a"]);
    assert!(mounted.is_verified(ADA).await);
}

#[tokio::test]
async fn a_mail_names_the_flow_and_carries_the_code() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let (id, code) = mounted.sent(ADA).await;
    let mails = mounted.mails(ADA).await;
    let links: Vec<_> = mails.iter().map(|mail| mail.link.as_ref().unwrap().expose().as_str()).collect();
    assert_eq!(links, [format!("https://accounts.test/self-service/verification?code={code}&flow={id}")]);
}

#[tokio::test]
async fn every_step_is_a_read_and_one_write() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let native = mounted.native();
    mounted.world.calls.take_calls();
    let id = native.begin().await;
    assert_eq!(mounted.world.calls.take_calls(), ["open_flow"]);
    native.send(&id, ADA).await.is(200);
    assert_eq!(mounted.world.calls.take_calls(), ["flow", "start"]);
    let code = mounted.code(ADA).await;
    mounted.world.calls.take_calls();
    for (tried, expected) in [("000000x", "sent_email"), (code.as_str(), "passed_challenge")] {
        let stored = mounted.world.events.stored();
        assert_eq!(native.bring(&id, tried).await.is(200).state(), expected);
        assert_eq!(mounted.world.calls.take_calls(), ["flow", "verify"]);
        assert_eq!(mounted.world.events.stored() - stored, 1);
    }
    native.see(&id).await.is(200);
    assert_eq!(mounted.world.calls.take_calls(), ["flow"]);
}
