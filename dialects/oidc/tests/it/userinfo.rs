//! Userinfo.

use std::time::Duration;

use engine::{IdentityChange, IdentityState};
use serde_json::json;

use crate::support::{Mounted, SCOPE};

#[tokio::test]
async fn it_says_what_the_scope_allows() {
    let mounted = Mounted::new().await;
    let ada = mounted.person("ada@example.com").await;
    let traits = json!({"firstName": "Ada", "family_name": "Lovelace", "name": {"first": "A"}, "nickname": "", "locale": "en-GB", "x": 1});
    let change = IdentityChange { traits: Some(traits.to_string()), ..IdentityChange::default() };
    mounted.world.clock.advance(Duration::from_secs(7));
    mounted.world.engine.change_identity(&mounted.world.context(), ada, change).await.unwrap();
    let updated_at = mounted.context().now.seconds();
    mounted.world.clock.advance(Duration::from_secs(7));
    for (scope, expected) in [
        ("openid", json!({"sub": ada.to_string()})),
        ("openid email", json!({"sub": ada.to_string(), "email": "ada@example.com", "email_verified": true})),
        (
            "openid profile",
            json!({
                "sub": ada.to_string(), "given_name": "Ada", "family_name": "Lovelace", "locale": "en-GB",
                "preferred_username": "ada@example.com", "updated_at": updated_at,
            }),
        ),
    ] {
        let token = mounted.tokens(scope).await.text("access_token");
        let answer = mounted.user_info(&token).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, expected), "{scope}");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
    }
}

#[tokio::test]
async fn a_token_comes_in_the_header_or_in_a_form_and_never_in_the_path() {
    let mounted = Mounted::new().await;
    let token = mounted.tokens(SCOPE).await.text("access_token");
    let bearer = format!("bearer {token}");
    let header = [("authorization", bearer.as_str())];
    let path = "/oidc/v1/userinfo";
    assert_eq!(mounted.get(path, &header).await.status, 200);
    assert_eq!(mounted.post(path, &[], &header).await.status, 200);
    assert_eq!(mounted.post(path, &[("access_token", &token)], &[]).await.status, 200);
    let twice = mounted.post(path, &[("access_token", &token)], &header).await;
    assert_eq!(twice.error(), (400, "invalid_request".to_owned()));
    let in_query = mounted.get(&format!("{path}?access_token={token}"), &[]).await;
    assert_eq!(in_query.error(), (401, "invalid_request".to_owned()));
    assert_eq!(in_query.header("www-authenticate"), "Bearer");
}

#[tokio::test]
async fn st_55_what_is_no_live_access_token_is_worth_nothing() {
    let mounted = Mounted::new().await;
    let tokens = mounted.tokens(SCOPE).await;
    let access = tokens.text("access_token");
    let (message, _) = access.rsplit_once('.').unwrap();
    for token in ["x", "a.b.c", &format!("{message}.AAAA"), &tokens.text("id_token"), &tokens.text("refresh_token")] {
        let answer = mounted.user_info(token).await;
        assert_eq!(answer.error(), (401, "invalid_token".to_owned()), "{token}");
        assert!(answer.header("www-authenticate").starts_with("Bearer error=\"invalid_token\""));
    }
    assert_eq!(mounted.user_info(&access).await.status, 200);
    mounted.world.clock.advance(Duration::from_mins(15));
    assert_eq!(mounted.user_info(&access).await.status, 401);
}

#[tokio::test]
async fn who_may_not_sign_in_any_more_is_nobody() {
    let mounted = Mounted::new().await;
    let tokens = mounted.tokens(SCOPE).await;
    let ada = mounted.person("ada@example.com").await;
    let change = IdentityChange { state: Some(IdentityState::Inactive), ..IdentityChange::default() };
    mounted.world.engine.change_identity(&mounted.world.context(), ada, change).await.unwrap();
    assert_eq!(mounted.user_info(&tokens.text("access_token")).await.status, 401);
    let refreshed = mounted.refresh(&tokens.text("refresh_token"), &[]).await;
    assert_eq!(refreshed.error(), (400, "invalid_grant".to_owned()));
}
