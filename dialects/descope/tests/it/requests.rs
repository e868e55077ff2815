//! What is read from a request, and what is said to one that cannot be read.

use http::Method;
use serde_json::json;

use crate::support::{ADA, Mounted, PROJECT, jwt, post, with_headers};

const SIGN_IN: &str = "/v1/auth/otp/signin/email";
const SIGN_UP: &str = "/v1/auth/otp/signup/email";
const UPDATE: &str = "/v1/auth/otp/update/email";
const VERIFY: &str = "/v1/auth/otp/verify/email";

#[tokio::test]
async fn a_field_that_is_missing_empty_or_null_is_named() {
    let mounted = Mounted::new().await;
    let token = mounted.signed_in(ADA).await.refresh_jwt();
    mounted.world.calls.take_calls();
    for (path, body, field) in [
        (SIGN_IN, "", "loginId"),
        (SIGN_IN, "{}", "loginId"),
        (SIGN_IN, r#"{"loginId":null}"#, "loginId"),
        (SIGN_IN, r#"{"loginId":"  "}"#, "loginId"),
        (SIGN_UP, r#"{"email":"a@example.com"}"#, "loginId"),
        ("/v1/auth/otp/signup-in/email", "{}", "loginId"),
        (VERIFY, "{}", "loginId"),
        (VERIFY, r#"{"code":"123456"}"#, "loginId"),
        (VERIFY, r#"{"loginId":"a@example.com"}"#, "code"),
        (VERIFY, r#"{"loginId":"a@example.com","code":""}"#, "code"),
        (VERIFY, r#"{"loginId":"a@example.com","code":null}"#, "code"),
        (UPDATE, r#"{"email":"a@example.com"}"#, "loginId"),
        (UPDATE, r#"{"loginId":"a@example.com","email":""}"#, "email"),
    ] {
        let answer = mounted.post_as(&token, path, body).await.refused(400, "E011003");
        assert_eq!(answer.json()["errorMessage"], format!("The {field} field is required"), "{path} {body}");
        assert_eq!(answer.json()["errorDescription"], "Request is invalid");
    }
    assert!(mounted.world.calls.take_calls().is_empty());
}

#[tokio::test]
async fn a_login_id_that_is_no_address_is_named() {
    let mounted = Mounted::new().await;
    let token = mounted.signed_in(ADA).await.refresh_jwt();
    mounted.world.calls.take_calls();
    for (path, body, field) in [
        (SIGN_IN, json!({"loginId": "+4930123456"}), "loginId"),
        (SIGN_IN, json!({"loginId": "ada"}), "loginId"),
        (SIGN_UP, json!({"loginId": "a@b@example.com"}), "loginId"),
        (VERIFY, json!({"loginId": "ada", "code": "123456"}), "loginId"),
        (UPDATE, json!({"loginId": ADA, "email": "bob"}), "email"),
        (UPDATE, json!({"loginId": "ada", "email": "bob@example.com"}), "loginId"),
    ] {
        let answer = mounted.post_as(&token, path, &body.to_string()).await.refused(400, "E011003");
        assert_eq!(answer.json()["errorMessage"], format!("The {field} field must be a valid email address"));
    }
    assert!(mounted.world.calls.take_calls().is_empty());
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_malformed_and_nothing_is_written() {
    let mounted = Mounted::new().await;
    let token = mounted.signed_in(ADA).await.refresh_jwt();
    mounted.world.calls.take_calls();
    let deep = format!(r#"{{"loginId":"{ADA}","x":{}{}}}"#, "[".repeat(40), "]".repeat(40));
    for path in [SIGN_IN, SIGN_UP, UPDATE, VERIFY, "/v1/auth/refresh", "/v1/auth/logout", "/v1/auth/validate"] {
        for body in ["[]", "null", "hello", "{", r#"{"loginId":"#, "[1]", "\u{0}", deep.as_str()] {
            let answer = mounted.post_as(&token, path, body).await.refused(400, "E011001");
            assert_eq!(answer.json()["errorDescription"], "Request is malformed", "{path} {body}");
            assert_eq!(answer.header("content-type"), "application/json; charset=utf-8");
        }
    }
    for (path, body) in [
        (SIGN_IN, r#"{"loginId":7}"#),
        (SIGN_IN, r#"{"loginId":["a@example.com"]}"#),
        (SIGN_IN, r#"{"loginId":"a@example.com","identifier":"b@example.com"}"#),
        (SIGN_IN, r#"{"loginId":"a@example.com","loginId":"b@example.com"}"#),
        (SIGN_IN, r#"{"loginId":"a@example.com","loginOptions":"x"}"#),
        (SIGN_IN, r#"{"loginId":"a@example.com","loginOptions":{"customClaims":[]}}"#),
        (SIGN_UP, r#"{"loginId":"a@example.com","user":[]}"#),
        (SIGN_UP, r#"{"loginId":"a@example.com","user":{"name":{}}}"#),
        (VERIFY, r#"{"loginId":"a@example.com","code":123456}"#),
        (UPDATE, r#"{"loginId":"ada@example.com","email":"b@example.com","addToLoginIDs":"yes"}"#),
    ] {
        mounted.post_as(&token, path, body).await.refused(400, "E011001");
    }
    let bearer = format!("Bearer {PROJECT}");
    for headers in [
        vec![("authorization", bearer.as_str())],
        vec![("authorization", bearer.as_str()), ("content-type", "text/plain")],
        vec![("authorization", bearer.as_str()), ("content-type", "application/x-www-form-urlencoded")],
    ] {
        let body = r#"{"loginId":"ada@example.com"}"#;
        mounted.ask(with_headers(Method::POST, SIGN_IN, &headers, body)).await.refused(400, "E011001");
    }
    let headers =
        [("authorization", bearer.as_str()), ("content-type", "application/json"), ("content-encoding", "gzip")];
    mounted.ask(with_headers(Method::POST, SIGN_IN, &headers, "{}")).await.refused(415, "E011001");
    let large = json!({"loginId": ADA, "x": "x".repeat(70_000)}).to_string();
    mounted.post(SIGN_IN, &large).await.refused(413, "E011001");
    let invalid = with_headers(Method::POST, SIGN_IN, &headers[..2], vec![b'{', b'"', 0xff, b'"', b'}']);
    mounted.ask(invalid).await.refused(400, "E011001");
    assert!(mounted.world.calls.take_calls().is_empty());
}

#[tokio::test]
async fn what_nobody_needs_is_ignored() {
    let mounted = Mounted::new().await;
    let body = json!({
        "loginId": ADA, "email": null, "phone": null, "fpData": {"a": [1]}, "providerId": "x", "templateId": null,
        "user": {"loginId": ADA, "name": null, "picture": null, "customAttributes": {}, "email": null, "phone": ""},
        "loginOptions": {"stepup": false, "mfa": null, "customClaims": null, "templateOptions": {"a": 1}, "tenantId": "",
                         "revokeOtherSessions": false, "ssoAppId": "x", "revokeOtherSessionsTypes": []}
    });
    mounted.post(&format!("{SIGN_UP}?dcs=t&dcr=f&userId="), &body.to_string()).await.ok();
    let body = json!({"loginId": ADA, "code": mounted.code(ADA).await, "more": []});
    let answer = mounted.post(VERIFY, &body.to_string()).await.ok();
    assert!(jwt(&answer.session_jwt()).1.get("nsec").is_none());
    for body in ["", "{}", r#"{"externalToken":"x"}"#] {
        mounted.post_as(&answer.refresh_jwt(), "/v1/auth/refresh?dcs=t", body).await.ok();
    }
}

#[tokio::test]
async fn an_option_that_is_not_served_is_refused_and_not_forgotten() {
    let mounted = Mounted::new().await;
    let token = mounted.signed_in(ADA).await.refresh_jwt();
    mounted.world.calls.take_calls();
    for (option, value) in
        [("stepup", json!(true)), ("mfa", json!(true)), ("tenantId", json!("T1")), ("revokeOtherSessions", json!(true))]
    {
        let body = json!({"loginId": ADA, "loginOptions": {option: value}}).to_string();
        for path in [SIGN_IN, SIGN_UP, "/v1/auth/otp/signup-in/email"] {
            let answer = mounted.post_as(&token, path, &body).await.refused(400, "E011004");
            assert_eq!(answer.json()["errorMessage"], format!("The {option} option is not supported"));
        }
    }
    for option in ["stepup", "mfa"] {
        let body = json!({"loginId": ADA, "loginOptions": {option: true}}).to_string();
        mounted.post(SIGN_IN, &body).await.refused(401, "E011002");
    }
    let body = json!({"loginId": ADA, "email": "b@example.com", "mfa": true}).to_string();
    mounted.post_as(&token, UPDATE, &body).await.refused(400, "E011004");
    assert!(mounted.world.calls.take_calls().is_empty());
}

#[tokio::test]
async fn what_is_remembered_of_strangers_is_bounded() {
    let mounted = Mounted::new().await;
    let many: serde_json::Map<_, _> = (0..101).map(|n| (format!("k{n}"), json!(1))).collect();
    let heavy: serde_json::Map<_, _> = (0..10).map(|n| (format!("k{n}"), json!("x".repeat(500)))).collect();
    for claims in [
        json!(many),
        json!(heavy),
        json!({"k".repeat(61): 1}),
        json!({"k": "x".repeat(501)}),
        json!({"k": ["x".repeat(500)]}),
    ] {
        let body = json!({"loginId": ADA, "loginOptions": {"customClaims": claims}}).to_string();
        let answer = mounted.post(SIGN_IN, &body).await.refused(400, "E011003");
        assert_eq!(answer.json()["errorMessage"], "The customClaims field is too large");
    }
    let body = json!({"loginId": ADA, "user": {"givenName": "x".repeat(257)}}).to_string();
    mounted.post(SIGN_UP, &body).await.refused(400, "E011003");
    for phone in ["123", "+0123", "+12", "+1234567890123456", "+49 30 12"] {
        let body = json!({"loginId": ADA, "user": {"phone": phone}}).to_string();
        let answer = mounted.post(SIGN_UP, &body).await.refused(400, "E011003");
        assert_eq!(answer.json()["errorMessage"], "The phone field must be a valid phone number");
    }
    assert!(mounted.world.calls.take_calls().is_empty());
    let most: serde_json::Map<_, _> = (0..100).map(|n| (format!("k{n}"), json!(n))).collect();
    let body = json!({"loginId": ADA, "loginOptions": {"customClaims": most}}).to_string();
    mounted.post(SIGN_IN, &body).await.ok();
}

#[tokio::test]
async fn who_names_no_project_is_refused_before_anything_is_read_or_asked() {
    let mounted = Mounted::new().await;
    let body = r#"{"loginId":"ada@example.com","code":"123456"}"#;
    let json = ("content-type", "application/json");
    for path in [SIGN_IN, SIGN_UP, UPDATE, VERIFY, "/v1/auth/refresh", "/v1/auth/try-refresh", "/v1/auth/logout"] {
        for authorization in ["", "Bearer", "Bearer ", "Basic UDE6", "P1", "Bearer :x", "Bearer\u{9}P1"] {
            let headers = [json, ("authorization", authorization)];
            mounted.ask(with_headers(Method::POST, path, &headers, body)).await.refused(401, "E011002");
        }
        let twice = [json, ("authorization", "Bearer P1"), ("authorization", "Bearer P1")];
        mounted.ask(with_headers(Method::POST, path, &twice, body)).await.refused(401, "E011002");
        mounted.ask(with_headers(Method::POST, path, &[json], body)).await.refused(401, "E011002");
        for project in ["P0", "p1", "P1 ", "P1%20", "P2countersigndev000000000000", "*", "P1x:y"] {
            if project.trim() != "P1" {
                mounted.ask(post(path, project, body)).await.refused(401, "E011008");
            }
        }
    }
    assert!(mounted.world.calls.take_calls().is_empty());
}

#[tokio::test]
async fn a_token_that_is_not_needed_is_not_looked_at() {
    let mounted = Mounted::new().await;
    let ended = mounted.signed_in(ADA).await.refresh_jwt();
    mounted.post_as(&ended, "/v1/auth/logout", "").await.ok();
    for second in ["", "not-a-jwt", "a.b.c", "a.b.c:management-key", "x:y:z", ended.as_str()] {
        let bearer = format!("{PROJECT}:{second}");
        let body = json!({"loginId": ADA}).to_string();
        mounted.ask(post(SIGN_IN, &bearer, &body)).await.ok();
        let body = json!({"loginId": ADA, "code": mounted.code(ADA).await}).to_string();
        mounted.ask(post(VERIFY, &bearer, &body)).await.ok();
    }
    let body = json!({"loginId": ADA}).to_string();
    let headers = [("content-type", "application/json"), ("authorization", "bearer   P1")];
    mounted.ask(with_headers(Method::POST, SIGN_IN, &headers, body)).await.ok();
}
