//! The published request, byte for byte but for its host and token, and the published answer.

use std::time::Duration;

use http::Method;

use crate::support::{ADA, BOB, Mounted, PROJECT, with_headers};

#[tokio::test]
async fn the_published_request_gets_the_published_answer() {
    let mounted = Mounted::new().await;
    mounted.world.clock.advance(Duration::from_millis(517));
    let ada = mounted.signed_in(ADA).await;
    mounted.pass(60);
    mounted.set(&ada.token, BOB).await.ok();
    let code = mounted.code(BOB).await;
    assert_eq!(code.len(), 6);
    assert!(code.bytes().all(|symbol| symbol.is_ascii_uppercase() || symbol.is_ascii_digit()), "{code}");

    mounted.pass(60);
    let authorization = format!("Bearer {}", ada.token);
    let headers = [
        ("Content-Type", "application/json"),
        ("Accept", "application/json"),
        ("Authorization", authorization.as_str()),
    ];
    // The code that is printed there is somebody else's: it is compared, and wrong.
    let printed = "{\n\"code\": \"H83J3\"\n}";
    let answer = mounted.ask(with_headers(Method::POST, "/auth/v1/users/me/email/_verify", &headers, printed)).await;
    assert_eq!(
        answer.refused(400, 3, "COMMAND-Gdsgs").body,
        concat!(
            r#"{"code":3,"message":"Code is invalid (COMMAND-Gdsgs)","details":[{"#,
            r#""@type":"type.googleapis.com/zitadel.v1.ErrorDetail","id":"COMMAND-Gdsgs","message":"Code is invalid"}]}"#,
        )
    );

    let body = printed.replace("H83J3", &code);
    let answer = mounted.ask(with_headers(Method::POST, "/auth/v1/users/me/email/_verify", &headers, body)).await.ok();
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    let expected = concat!(
        r#"{"details":{"sequence":"2","creationDate":"2026-03-01T12:00:00.517Z","#,
        r#""changeDate":"2026-03-01T12:02:00.517Z","resourceOwner":"P1"}}"#,
    );
    assert_eq!(answer.body, expected);
    assert_eq!(answer.json()["details"]["resourceOwner"], PROJECT);
    assert_eq!(mounted.shown(&ada.token).await, (BOB.to_owned(), true));
}
