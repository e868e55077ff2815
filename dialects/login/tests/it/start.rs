//! `POST /v1/login`.

use std::time::Duration;

use engine::{Address, Policy, SendLimit};
use testkit::world::unlimited;

use crate::support::{EMAIL, FIRST_TOKEN, Mounted, SECOND_TOKEN, ada, blamed, whole};

/// Sign-up is off, as `serve` has it; messages are not limited.
fn closed() -> Policy {
    Policy { sign_up: false, ..unlimited() }
}

#[tokio::test]
async fn a_start_answers_with_a_token_and_that_a_code_is_awaited() {
    let mounted = Mounted::new().await;
    let first = mounted.start(EMAIL).await;
    assert_eq!(
        first.to_string(),
        whole(200, 0, "", &format!(r#"{{"auth_flow_token":"{FIRST_TOKEN}","email_code":{{}}}}"#))
    );
    let second = mounted.start(EMAIL).await;
    assert_eq!(second.body, format!(r#"{{"auth_flow_token":"{SECOND_TOKEN}","email_code":{{}}}}"#));
}

#[tokio::test]
async fn answers_spell_names_as_the_original_server_does_where_they_are_told_to() {
    let mounted = Mounted::with(unlimited(), "json_names = 'camel'").await;
    let answer = mounted.start(EMAIL).await;
    assert_eq!(
        answer.to_string(),
        whole(200, 0, "", &format!(r#"{{"authFlowToken":"{FIRST_TOKEN}","emailCode":{{}}}}"#))
    );
}

#[tokio::test]
async fn a_start_is_one_operation_of_the_store() {
    let mounted = Mounted::new().await;
    mounted.start(EMAIL).await;
    assert_eq!(mounted.world.calls.take_calls(), ["start"]);
}

#[tokio::test]
async fn an_address_is_read_as_people_type_it() {
    let mounted = Mounted::new().await;
    for typed in ["Ada@Example.COM", "  ada@example.com ", r"\u0061da@example.com", r"ada@example.com\n"] {
        let answer = mounted.start(typed).await;
        assert_eq!(answer.status, 200, "{typed}: {}", answer.body);
        assert_eq!(mounted.world.engine.inbox(Some(ada())).await.unwrap().len(), 1, "{typed}");
        mounted.world.engine.empty_inbox().await.unwrap();
    }
}

#[tokio::test]
async fn each_start_opens_a_flow_that_disturbs_no_other() {
    let mounted = Mounted::new().await;
    let first = mounted.start(EMAIL).await.token();
    let code = mounted.code().await;
    for _ in 0..3 {
        mounted.start(EMAIL).await;
    }
    let answer = mounted.email_code(&first, &code).await;
    assert!(answer.body.contains("success"), "{}", answer.body);
}

#[tokio::test]
async fn st_15_what_is_not_one_address_is_refused_and_nothing_is_written() {
    let mounted = Mounted::new().await;
    for typed in
        ["a", "@", "a@", "a@b", "a@x,b@y", "a@example.com b@example.com", "<a@example.com>", r"a\u0000@example.com"]
    {
        let answer = mounted.start(typed).await;
        assert_eq!(
            answer.to_string(),
            whole(400, 3, "", &blamed("email", "email must be an e-mail address")),
            "{typed}"
        );
    }
    for body in
        ["", "{}", r#"{"email":null}"#, r#"{"email":""}"#, r#"{"email":" \t\n"}"#, r#"{"e-mail":"a@example.com"}"#]
    {
        let answer = mounted.post("/v1/login", body).await;
        assert_eq!(answer.to_string(), whole(400, 3, "", &blamed("email", "email is required")), "{body}");
    }
    assert!(mounted.world.calls.take_calls().is_empty());
}

#[tokio::test]
async fn st_34_an_address_nobody_owns_gets_the_same_answer_and_no_mail() {
    let mounted = Mounted::with(Policy { sign_up: false, ..Policy::default() }, "").await;
    let world = &mounted.world;
    let unknown = Address::email("bob@example.com").unwrap();
    world.engine.register(world.project(), ada()).await.unwrap();
    world.calls.take_calls();

    // The first is answered, the second is too soon, for both alike.
    let mut answers = Vec::new();
    for email in [EMAIL, unknown.as_str()] {
        let first = mounted.start(email).await;
        let second = mounted.start(email).await;
        assert_eq!(world.calls.take_calls(), ["start", "start"], "{email}");
        answers.push((first.to_string().replace(&first.token(), "token"), second.to_string()));
    }
    assert_eq!(answers[0], answers[1]);
    assert!(answers[0].1.starts_with("429\n"), "{}", answers[0].1);

    let owed = world.engine.lease_messages(10).await.unwrap();
    let recipients: Vec<_> = owed.iter().map(|message| &message.recipient).collect();
    assert_eq!(recipients, [&ada()]);
}

#[tokio::test]
async fn st_34_a_code_for_an_address_nobody_owns_is_never_right() {
    let mounted = Mounted::with(closed(), "").await;
    let token = mounted.start("bob@example.com").await.token();
    assert_eq!(mounted.world.code(&Address::email("bob@example.com").unwrap()).await, None);
    let answer = mounted.email_code(&token, "000000").await;
    assert_eq!(answer.to_string(), whole(200, 0, "", &crate::support::invalid_code(&token)));
}

#[tokio::test]
async fn too_many_messages_to_an_address_are_refused_and_the_wait_is_told_in_whole_seconds_rounded_up() {
    let limit = SendLimit { apart: Duration::from_secs(30), ..SendLimit::default() };
    let mounted = Mounted::with(Policy { send_limit: Some(limit), ..unlimited() }, "").await;
    assert_eq!(mounted.start(EMAIL).await.status, 200);
    let began = mounted.world.engine.now();
    for (elapsed, seconds) in
        [(0, 30), (1, 30), (999, 30), (1_000, 29), (10_001, 20), (28_999, 2), (29_000, 1), (29_999, 1)]
    {
        mounted.world.clock.set(began.plus(Duration::from_millis(elapsed)));
        let body = format!(
            r#"{{"code":8,"grpc-code":"RESOURCE_EXHAUSTED","message":"too many login attempts","details":[{{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"{seconds}s"}}]}}"#
        );
        let more = format!("retry-after: {seconds}\n");
        assert_eq!(mounted.start(EMAIL).await.to_string(), whole(429, 8, &more, &body), "after {elapsed} ms");
    }
    mounted.world.clock.set(began.plus(Duration::from_secs(30)));
    assert_eq!(mounted.start(EMAIL).await.status, 200);
}

#[tokio::test]
async fn what_an_address_was_sent_too_often_still_ends_in_a_sign_in() {
    let mounted = Mounted::with(Policy { sign_up: true, ..Policy::default() }, "").await;
    let token = mounted.start(EMAIL).await.token();
    assert_eq!(mounted.start(EMAIL).await.status, 429);
    let answer = mounted.email_code(&token, &mounted.code().await).await;
    assert!(answer.body.contains("success"), "{}", answer.body);
}
