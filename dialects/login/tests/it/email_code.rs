//! `POST /v1/login/email-code`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::VerificationOutcome;
use http::Method;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use testkit::world::{other_than, unlimited};

use crate::support::{Answer, EMAIL, FIRST_TOKEN, Mounted, NOBODYS_TOKEN, ORIGIN, bare, blamed, invalid_code, whole};

/// The identity and the session of the first sign-in in a fresh world.
const FIRST_SUBJECT: &str = "04450dc7-0000-8000-9ef9-cdc2ec3d1864";
const FIRST_SESSION: &str = "04450dc7-0000-8000-9134-f724b7d5febc";

/// One part of a JWT as text.
fn part(jwt: &str, index: usize) -> String {
    let part = jwt.split('.').nth(index).unwrap();
    String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn claims(answer: &Answer) -> serde_json::Value {
    serde_json::from_str(&part(&answer.jwt(), 1)).unwrap()
}

/// What a stock library reads in the JWT of `answer`, verified against the keys that the surface publishes. The tests' clock
/// stands still, so times are not the library's to judge.
async fn verified(mounted: &Mounted, answer: &Answer) -> serde_json::Value {
    let keys: JwkSet =
        serde_json::from_str(&mounted.ask(bare(Method::GET, "/.well-known/jwks.json")).await.body).unwrap();
    let jwt = answer.jwt();
    let key = keys.find(&decode_header(&jwt).unwrap().kid.unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&["api"]);
    validation.set_issuer(&[ORIGIN]);
    validation.validate_exp = false;
    decode::<serde_json::Value>(&jwt, &DecodingKey::from_jwk(key).unwrap(), &validation).unwrap().claims
}

#[tokio::test]
async fn the_right_code_is_answered_with_a_token() {
    let mounted = Mounted::new().await;
    let token = mounted.start(EMAIL).await.token();
    let answer = mounted.email_code(&token, &mounted.code().await).await;
    let body = format!(r#"{{"auth_flow_token":"{FIRST_TOKEN}","success":{{"token":"{}"}}}}"#, answer.jwt());
    assert_eq!(answer.to_string(), whole(200, 0, "", &body));
}

#[tokio::test]
async fn the_token_says_who_for_whom_since_when_and_until_when() {
    let mounted = Mounted::new().await;
    let token = mounted.start("Ada@Example.COM").await.token();
    let answer = mounted.email_code(&token, &mounted.code().await).await;
    let keys: serde_json::Value =
        serde_json::from_str(&mounted.ask(bare(Method::GET, "/.well-known/jwks.json")).await.body).unwrap();
    let kid = keys["keys"][0]["kid"].as_str().unwrap();
    let jwt = answer.jwt();
    assert_eq!(part(&jwt, 0), format!(r#"{{"alg":"ES256","kid":"{kid}","typ":"JWT"}}"#));
    assert_eq!(
        part(&jwt, 1),
        format!(
            r#"{{"iss":"https://login.example.com","sub":"{FIRST_SUBJECT}","aud":["api"],"iat":1772366400,"nbf":1772366400,"exp":1772452800,"jti":"{FIRST_SESSION}","auth_time":1772366400,"amr":["otp"],"email":"ada@example.com","email_verified":true}}"#
        )
    );
    assert_eq!(jwt.split('.').count(), 3);
    assert_eq!(verified(&mounted, &answer).await, claims(&answer));
}

#[tokio::test]
async fn a_token_lives_as_long_as_the_configuration_says() {
    for (hours, seconds) in [(1, 3_600), (720, 2_592_000)] {
        let mounted = Mounted::with(unlimited(), &format!("token_life_hours = {hours}")).await;
        let token = mounted.start(EMAIL).await.token();
        let claims = claims(&mounted.email_code(&token, &mounted.code().await).await);
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), seconds);
    }
}

#[tokio::test]
async fn whoever_comes_back_is_the_same_person_in_another_session() {
    let mounted = Mounted::new().await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let token = mounted.start(EMAIL).await.token();
        seen.push(claims(&mounted.email_code(&token, &mounted.code().await).await));
        mounted.world.clock.advance(Duration::from_mins(1));
    }
    assert_eq!(seen[0]["sub"], seen[1]["sub"]);
    assert_ne!(seen[0]["jti"], seen[1]["jti"]);
    let session = mounted.world.engine.read_public_id("session", seen[1]["jti"].as_str().unwrap().parse().unwrap());
    assert!(session.is_some());
}

#[tokio::test]
async fn a_request_may_spell_names_either_way_whatever_answers_do() {
    for (section, is_camel) in [("", false), ("json_names = 'camel'", true)] {
        for name in ["auth_flow_token", "authFlowToken"] {
            let mounted = Mounted::with(unlimited(), section).await;
            let token = mounted.start(EMAIL).await.token();
            let code = mounted.code().await;
            for (code, is_right) in [(other_than(&code), false), (code, true)] {
                let body = format!(r#"{{"{name}":"{token}","code":"{code}"}}"#);
                let answer = mounted.post("/v1/login/email-code", &body).await;
                let spelled = if is_camel { "authFlowToken" } else { "auth_flow_token" };
                let next = if is_right {
                    format!(r#""success":{{"token":"{}"}}"#, answer.jwt())
                } else {
                    r#""failure":{"reason":"INVALID_CODE"}"#.to_owned()
                };
                assert_eq!(answer.body, format!(r#"{{"{spelled}":"{token}",{next}}}"#), "{section} {name}");
            }
        }
    }
}

#[tokio::test]
async fn unknown_fields_are_ignored_and_null_is_unset() {
    let mounted = Mounted::new().await;
    let token = mounted.start(EMAIL).await.token();
    let code = mounted.code().await;
    let body = format!(r#"{{"extra":[{{"deep":1}}],"code":"{code}","authFlowToken":"{token}","email":7}}"#);
    assert!(mounted.post("/v1/login/email-code", &body).await.body.contains("success"));
    let body = format!(r#"{{"auth_flow_token":"{token}","code":null}}"#);
    assert_eq!(mounted.post("/v1/login/email-code", &body).await.body, blamed("code", "code is required"));
}

#[tokio::test]
async fn a_code_is_read_as_people_type_it_and_a_token_in_any_spelling_of_a_uuid() {
    let mounted = Mounted::new().await;
    for spelled in [str::to_owned, str::to_uppercase, |text: &str| text.replace('-', "")] {
        let token = mounted.start(EMAIL).await.token();
        let code = mounted.code().await;
        let typed = format!(" {}-{}\\n", &code[..3], &code[3..]);
        let answer = mounted.email_code(&spelled(&token), &typed).await;
        assert!(answer.body.starts_with(&format!(r#"{{"auth_flow_token":"{token}","success""#)), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_token_that_is_no_uuid_and_a_code_that_is_empty_are_refused_by_name_and_nothing_is_counted() {
    let mounted = Mounted::new().await;
    let token = mounted.start(EMAIL).await.token();
    mounted.world.calls.take_calls();
    for (body, field, message) in [
        ("{}".to_owned(), "auth_flow_token", "auth_flow_token is required"),
        (r#"{"code":"123456"}"#.to_owned(), "auth_flow_token", "auth_flow_token is required"),
        (r#"{"auth_flow_token":" ","code":"1"}"#.to_owned(), "auth_flow_token", "auth_flow_token is required"),
        (r#"{"auth_flow_token":"x","code":"1"}"#.to_owned(), "auth_flow_token", "auth_flow_token must be a UUID"),
        (
            format!(r#"{{"auth_flow_token":"{token}0","code":"1"}}"#),
            "auth_flow_token",
            "auth_flow_token must be a UUID",
        ),
        (format!(r#"{{"auth_flow_token":"{token}"}}"#), "code", "code is required"),
        (format!(r#"{{"auth_flow_token":"{token}","code":""}}"#), "code", "code is required"),
        (format!(r#"{{"auth_flow_token":"{token}","code":" \t"}}"#), "code", "code is required"),
    ] {
        let answer = mounted.post("/v1/login/email-code", &body).await;
        assert_eq!(answer.to_string(), whole(400, 3, "", &blamed(field, message)), "{body}");
    }
    assert!(mounted.world.calls.take_calls().is_empty());
}

#[tokio::test]
async fn a_verification_is_one_operation_of_the_store() {
    let mounted = Mounted::new().await;
    let token = mounted.start(EMAIL).await.token();
    let code = mounted.code().await;
    mounted.world.calls.take_calls();
    mounted.email_code(&token, &other_than(&code)).await;
    mounted.email_code(&token, &code).await;
    mounted.email_code(&token, &code).await;
    assert_eq!(mounted.world.calls.take_calls(), ["verify", "verify", "verify"]);
}

/// Whatever is wrong, the answer is the same to the byte but for the token that was sent.
#[tokio::test]
async fn st_34_every_reason_why_a_code_is_not_right_gets_the_same_answer() {
    let mounted = Mounted::new().await;
    let events = &mounted.world.events;
    let said = |token: &str| whole(200, 0, "", &invalid_code(token));

    let token = mounted.start(EMAIL).await.token();
    let code = mounted.code().await;
    for typed in [other_than(&code).as_str(), "x", "1234567", "０", "\u{1f511}"] {
        assert_eq!(mounted.email_code(&token, typed).await.to_string(), said(&token), "{typed}");
    }
    assert_eq!(events.verified(VerificationOutcome::Mismatch), 5);
    assert_eq!(mounted.email_code(&token, &code).await.to_string(), said(&token), "exhausted");
    assert_eq!(events.verified(VerificationOutcome::Exhausted), 1);

    assert_eq!(mounted.email_code(NOBODYS_TOKEN, &code).await.to_string(), said(NOBODYS_TOKEN), "unknown");
    assert_eq!(events.verified(VerificationOutcome::NotFound), 1);

    let token = mounted.start(EMAIL).await.token();
    let code = mounted.code().await;
    assert!(mounted.email_code(&token, &code).await.body.contains("success"));
    assert_eq!(mounted.email_code(&token, &code).await.to_string(), said(&token), "passed");
    assert_eq!(events.verified(VerificationOutcome::Replayed), 1);

    let token = mounted.start(EMAIL).await.token();
    let code = mounted.code().await;
    mounted.world.clock.advance(Duration::from_mins(10));
    assert_eq!(mounted.email_code(&token, &code).await.to_string(), said(&token), "expired");
    assert_eq!(events.verified(VerificationOutcome::Expired), 1);
}

#[tokio::test]
async fn st_01_the_fifth_wrong_guess_ends_a_flow_and_the_fourth_does_not() {
    let mounted = Mounted::new().await;
    for (wrong, succeeds) in [(4, true), (5, false)] {
        let token = mounted.start(EMAIL).await.token();
        let code = mounted.code().await;
        for _ in 0..wrong {
            mounted.email_code(&token, &other_than(&code)).await;
        }
        assert_eq!(mounted.email_code(&token, &code).await.body.contains("success"), succeeds, "after {wrong}");
    }
}

#[tokio::test]
async fn a_code_is_right_until_the_millisecond_its_life_ends() {
    for (elapsed, succeeds) in [(0, true), (599_999, true), (600_000, false), (600_001, false)] {
        let mounted = Mounted::new().await;
        let token = mounted.start(EMAIL).await.token();
        let code = mounted.code().await;
        mounted.world.clock.advance(Duration::from_millis(elapsed));
        let answer = mounted.email_code(&token, &code).await;
        assert_eq!(answer.body.contains("success"), succeeds, "after {elapsed} ms");
    }
}

#[tokio::test]
async fn st_06_a_code_is_right_once() {
    let mounted = Mounted::new().await;
    let token = mounted.start(EMAIL).await.token();
    let code = mounted.code().await;
    assert!(mounted.email_code(&token, &code).await.body.contains("success"));
    for _ in 0..2 {
        assert_eq!(mounted.email_code(&token, &code).await.body, invalid_code(&token));
    }
}

#[tokio::test]
async fn st_28_the_code_of_one_flow_is_not_that_of_another() {
    let mounted = Mounted::new().await;
    let hers = mounted.start(EMAIL).await.token();
    let code = mounted.code().await;
    let his = mounted.start("bob@example.com").await.token();
    assert_eq!(mounted.email_code(&his, &code).await.body, invalid_code(&his));
    assert!(mounted.email_code(&hers, &code).await.body.contains("success"));
}

#[tokio::test]
async fn st_23_no_answer_tells_a_code() {
    let mounted = Mounted::new().await;
    let started = mounted.start(EMAIL).await;
    let code = mounted.code().await;
    let token = started.token();
    let mut answers = vec![started];
    for typed in [other_than(&code), code.clone(), code.clone()] {
        answers.push(mounted.email_code(&token, &typed).await);
    }
    answers.push(mounted.post("/v1/login/email-code", &format!(r#"{{"code":{code}}}"#)).await);
    answers.push(mounted.post("/v1/login/email-code", &format!(r#"{{"code":"{code}""#)).await);
    answers.push(mounted.post("/v1/login/email-code", &format!(r#"{{"auth_flow_token":"{code}","code":"1"}}"#)).await);
    for answer in answers {
        assert!(!answer.to_string().contains(&code), "{answer}");
    }
}
