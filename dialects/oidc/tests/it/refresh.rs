//! Refresh tokens: each is good once, with a grace for parallel calls and lost answers.

use std::time::Duration;

use engine::GRACE;

use crate::support::{Mounted, SCOPE, SECRET};

#[tokio::test]
async fn a_refresh_token_is_worth_new_tokens_and_another_refresh_token() {
    let mounted = Mounted::new().await;
    let first = mounted.tokens(SCOPE).await;
    let before = mounted.claims(&first.text("id_token")).await;
    mounted.world.clock.advance(Duration::from_hours(1));
    assert_eq!(mounted.user_info(&first.text("access_token")).await.error(), (401, "invalid_token".to_owned()));
    let second = mounted.refresh(&first.text("refresh_token"), &[]).await;
    assert_eq!(second.status, 200, "{second}");
    assert_ne!(second.text("refresh_token"), first.text("refresh_token"));
    assert_eq!(second.json()["scope"], SCOPE);
    let after = mounted.claims(&second.text("id_token")).await;
    for name in ["iss", "sub", "aud", "azp", "auth_time", "sid", "amr"] {
        assert_eq!(after[name], before[name], "{name}");
    }
    assert_eq!(after.get("nonce"), None);
    assert_eq!(mounted.user_info(&second.text("access_token")).await.status, 200);
}

#[tokio::test]
async fn st_62_four_parallel_refreshes_and_a_lost_answer_keep_the_session() {
    let mounted = Mounted::new().await;
    let token = mounted.tokens(SCOPE).await.text("refresh_token");
    let refresh = || mounted.refresh(&token, &[]);
    let (a, b, c, d) = tokio::join!(refresh(), refresh(), refresh(), refresh());
    for answer in [&a, &b, &c, &d] {
        assert_eq!(answer.status, 200, "{answer}");
    }
    mounted.world.clock.advance(GRACE.saturating_sub(Duration::from_millis(1)));
    let again = mounted.refresh(&token, &[]).await; // the answer was lost
    assert_eq!(mounted.refresh(&again.text("refresh_token"), &[]).await.status, 200);
}

#[tokio::test]
async fn st_62_a_truly_old_token_ends_the_session() {
    let mounted = Mounted::new().await;
    let old = mounted.tokens(SCOPE).await.text("refresh_token");
    let tokens = mounted.refresh(&old, &[]).await;
    mounted.world.clock.advance(GRACE);
    assert_eq!(mounted.refresh(&old, &[]).await.error(), (400, "invalid_grant".to_owned()));
    let newest = mounted.refresh(&tokens.text("refresh_token"), &[]).await;
    assert_eq!(newest.error(), (400, "invalid_grant".to_owned()));
    assert_eq!(mounted.user_info(&tokens.text("access_token")).await.status, 401);
}

#[tokio::test]
async fn another_applications_refresh_token_is_worth_nothing_and_stays_as_it_is() {
    let mounted = Mounted::new().await;
    let token = mounted.tokens(SCOPE).await.text("refresh_token");
    mounted.world.clock.advance(Duration::from_hours(1));
    mounted.world.calls.take_calls();
    for changes in [&[("client_id", "other")][..], &[("client_id", "web"), ("client_secret", SECRET)]] {
        assert_eq!(mounted.refresh(&token, changes).await.error(), (400, "invalid_grant".to_owned()));
    }
    assert!(mounted.world.calls.take_calls().is_empty(), "the store was not even asked");
    assert_eq!(mounted.refresh(&token, &[]).await.status, 200);
}

#[tokio::test]
async fn a_scope_becomes_narrower_for_once_and_never_wider() {
    let mounted = Mounted::new().await;
    let token = mounted.tokens("openid email offline_access").await.text("refresh_token");
    let wider = mounted.refresh(&token, &[("scope", "openid profile")]).await;
    assert_eq!(wider.error(), (400, "invalid_scope".to_owned()));
    let narrower = mounted.refresh(&token, &[("scope", "email")]).await;
    assert_eq!(narrower.json()["scope"], "email");
    assert_eq!(narrower.json().get("id_token"), None);
    assert_eq!(mounted.user_info(&narrower.text("access_token")).await.error(), (403, "insufficient_scope".to_owned()));
    let whole = mounted.refresh(&narrower.text("refresh_token"), &[]).await;
    assert_eq!(whole.json()["scope"], "openid email offline_access");
}

#[tokio::test]
async fn what_is_no_refresh_token_is_refused() {
    let mounted = Mounted::new().await;
    let tokens = mounted.tokens(SCOPE).await;
    let refresh = tokens.text("refresh_token");
    let turned = if refresh.ends_with('A') { "B" } else { "A" };
    let altered = format!("{}{turned}", &refresh[..refresh.len() - 1]);
    for token in ["x", &altered, &tokens.text("access_token"), &tokens.text("id_token")] {
        assert_eq!(mounted.refresh(token, &[]).await.error(), (400, "invalid_grant".to_owned()), "{token}");
    }
    assert_eq!(mounted.refresh("x", &[("refresh_token", "")]).await.error(), (400, "invalid_request".to_owned()));
}

#[tokio::test]
async fn a_session_ends_in_time_whatever_is_refreshed() {
    let mounted = Mounted::new().await;
    let mut token = mounted.tokens(SCOPE).await.text("refresh_token");
    for _ in 0..3 {
        mounted.world.clock.advance(Duration::from_hours(24 * 10) - Duration::from_mins(1));
        token = mounted.refresh(&token, &[]).await.text("refresh_token");
    }
    // Tokens end with it.
    assert_eq!(mounted.refresh(&token, &[]).await.json()["expires_in"], 180);
    mounted.world.clock.advance(Duration::from_mins(3));
    assert_eq!(mounted.refresh(&token, &[]).await.error(), (400, "invalid_grant".to_owned()));
}
