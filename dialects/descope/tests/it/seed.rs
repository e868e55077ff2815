//! The published request, byte for byte but for its project, login id and code, and the published answer.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::support::{ADA, Mounted, PROJECT, jwt, with_headers};

/// The answer as published, member by member; a string, number or truth stands for its type.
const PUBLISHED: &str = r#"{
  "sessionJwt": "string",
  "refreshJwt": "string",
  "cookieDomain": "string",
  "cookiePath": "string",
  "cookieMaxAge": 0,
  "cookieExpiration": 0,
  "user": {
    "loginIds": ["string"],
    "userId": "string",
    "name": "string",
    "email": "string",
    "phone": "string",
    "verifiedEmail": true,
    "verifiedPhone": true,
    "roleNames": ["string"],
    "userTenants": [{"tenantId": "string", "roleNames": ["string"], "tenantName": "string"}],
    "status": "string",
    "externalIds": ["string"],
    "picture": "string",
    "test": false,
    "customAttributes": {},
    "createdTime": 0,
    "TOTP": false,
    "SAML": false,
    "OAuth": {},
    "webauthn": true,
    "password": true,
    "ssoAppIds": ["string"],
    "givenName": "string",
    "middleName": "string",
    "familyName": "string",
    "editable": true
  },
  "firstSeen": true
}"#;

/// Whether `actual` has all that `published` has, of the same types.
fn has_shape(published: &Value, actual: &Value) -> bool {
    match (published, actual) {
        (Value::Object(published), Value::Object(actual)) => {
            published.iter().all(|(name, value)| actual.get(name).is_some_and(|actual| has_shape(value, actual)))
        }
        (Value::Array(published), Value::Array(actual)) => actual.iter().all(|actual| has_shape(&published[0], actual)),
        (Value::String(_), Value::String(_)) | (Value::Bool(_), Value::Bool(_)) => true,
        (Value::Number(_), Value::Number(actual)) => actual.as_i64().is_some_and(|it| i32::try_from(it).is_ok()),
        _ => false,
    }
}

#[tokio::test]
async fn the_published_request_gets_the_published_answer() {
    let mounted = Mounted::new().await;
    mounted.world.clock.advance(Duration::from_millis(789));
    mounted.start("signup-in", ADA).await.ok();
    let code = mounted.code(ADA).await;
    let body = format!("{{\n  \"loginId\": \"{ADA}\",\n  \"code\": \"{code}\"\n}}");
    let authorization = format!("Bearer {PROJECT}");
    let headers = [("Content-Type", "application/json"), ("Authorization", authorization.as_str())];
    let answer = mounted.ask(with_headers(Method::POST, "/v1/auth/otp/verify/email", &headers, body)).await.ok();

    assert_eq!(answer.header("content-type"), "application/json; charset=utf-8");
    assert_eq!(answer.header("cache-control"), "no-store");
    let body = answer.json();
    assert!(has_shape(&serde_json::from_str(PUBLISHED).unwrap(), &body), "{body}");

    // Besides the two tokens, to the byte.
    let (session_jwt, refresh_jwt) = (answer.session_jwt(), answer.refresh_jwt());
    let user_id = body["user"]["userId"].as_str().unwrap();
    let expected = format!(
        concat!(
            r#"{{"sessionJwt":"{session_jwt}","refreshJwt":"{refresh_jwt}","cookieDomain":"","cookiePath":"/","#,
            r#""cookieMaxAge":2419200,"cookieExpiration":1774785600,"#,
            r#""user":{{"loginIds":["ada@example.com"],"userId":"{user_id}","name":"","#,
            r#""email":"ada@example.com","phone":"","verifiedEmail":true,"verifiedPhone":false,"roleNames":[],"#,
            r#""userTenants":[],"status":"enabled","externalIds":["ada@example.com"],"picture":"","test":false,"#,
            r#""customAttributes":{{}},"createdTime":1772366400,"TOTP":false,"SAML":false,"OAuth":{{}},"webauthn":false,"#,
            r#""password":false,"ssoAppIds":[],"givenName":"","middleName":"","familyName":"","editable":true,"SCIM":false,"#,
            r#""push":false,"permissions":[],"OIDC":false,"consentExpiration":0}},"firstSeen":true,"idpResponse":null,"#,
            r#""sessionExpiration":1772367000,"claims":{{}},"externalToken":"","tenantSSOID":"","trustedDeviceJwt":"","#,
            r#""nextRefreshSeconds":0,"cookieName":"","sessionCookieName":"","sessionCookieDomain":""}}"#,
        ),
        session_jwt = session_jwt,
        refresh_jwt = refresh_jwt,
        user_id = user_id,
    );
    assert_eq!(answer.body, expected);
    assert_eq!((user_id.len(), &user_id[..1]), (28, "U"));
    assert!(user_id.bytes().all(|byte| byte.is_ascii_alphanumeric()));

    let (header, claims) = jwt(&session_jwt);
    let (kid, sid) = (header["kid"].clone(), claims["sid"].clone());
    assert_eq!(header, json!({"alg": "RS256", "kid": kid, "typ": "JWT"}));
    assert_eq!(
        claims,
        json!({
            "amr": ["email"], "drn": "DS", "exp": 1_772_367_000, "iat": 1_772_366_400, "iss": PROJECT,
            "rexp": "2026-03-29T12:00:00Z", "sid": sid, "sub": user_id
        })
    );
    let (header, claims) = jwt(&refresh_jwt);
    assert_eq!(header, json!({"alg": "RS256", "kid": kid, "typ": "JWT"}));
    assert_eq!(
        claims,
        json!({
            "amr": ["email"], "drn": "DSR", "exp": 1_774_785_600, "gen": 0, "iat": 1_772_366_400, "iss": PROJECT,
            "sid": sid, "sub": user_id
        })
    );
}

#[tokio::test]
async fn a_start_answers_where_a_code_went_and_how_often_it_may_be_tried() {
    let mounted = Mounted::new().await;
    let answer = mounted.start("signup", ADA).await.ok();
    assert_eq!(answer.body, r#"{"maskedEmail":"a***@example.com","verificationAttempts":5}"#);
}

#[tokio::test]
async fn a_verification_is_one_operation_of_the_store_and_two_signatures() {
    let mounted = Mounted::new().await;
    mounted.start("signup-in", ADA).await.ok();
    assert_eq!(mounted.world.calls.take_calls(), ["start"]);
    let code = mounted.code(ADA).await;
    mounted.world.calls.take_calls();
    let stored = mounted.world.events.stored();
    let answer = mounted.verify(ADA, &code).await.ok();
    assert_eq!(mounted.world.calls.take_calls(), ["verify"]);
    assert_eq!(mounted.world.events.stored() - stored, 1);
    let signatures: Vec<_> = answer.body.split('"').filter(|text| text.split('.').count() == 3).collect();
    assert_eq!(signatures, [answer.session_jwt(), answer.refresh_jwt()]);
}
