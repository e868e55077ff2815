//! Revocation.

use std::time::Duration;

use crate::support::{Mounted, SCOPE, SECRET};

async fn revoke(mounted: &Mounted, token: &str, client: &[(&str, &str)]) -> crate::support::Answer {
    let mut form = client.to_vec();
    form.push(("token", token));
    mounted.post("/oauth/v2/revoke", &form, &[]).await
}

#[tokio::test]
async fn either_token_ends_the_whole_grant_and_a_hint_does_not_matter() {
    let mounted = Mounted::new().await;
    for (name, hint) in [
        ("refresh_token", "refresh_token"),
        ("refresh_token", "access_token"),
        ("access_token", "access_token"),
        ("access_token", "nonsense"),
    ] {
        let tokens = mounted.tokens(SCOPE).await;
        let client = [("client_id", "app"), ("token_type_hint", hint)];
        let answer = revoke(&mounted, &tokens.text(name), &client).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, ""), "{name}");
        assert_eq!(mounted.user_info(&tokens.text("access_token")).await.status, 401);
        let refreshed = mounted.refresh(&tokens.text("refresh_token"), &[]).await;
        assert_eq!(refreshed.error(), (400, "invalid_grant".to_owned()));
        // Once more is no error.
        assert_eq!(revoke(&mounted, &tokens.text(name), &client).await.status, 200);
    }
}

#[tokio::test]
async fn what_is_worth_nothing_is_as_good_as_revoked() {
    let mounted = Mounted::new().await;
    let tokens = mounted.tokens(SCOPE).await;
    for token in ["x", &tokens.text("id_token")] {
        assert_eq!(revoke(&mounted, token, &[("client_id", "app")]).await.status, 200);
    }
    assert_eq!(mounted.user_info(&tokens.text("access_token")).await.status, 200);
    mounted.world.clock.advance(Duration::from_hours(1));
    assert_eq!(revoke(&mounted, &tokens.text("access_token"), &[("client_id", "app")]).await.status, 200);
    assert_eq!(mounted.refresh(&tokens.text("refresh_token"), &[]).await.status, 200);
    let answer = mounted.post("/oauth/v2/revoke", &[("client_id", "app")], &[]).await;
    assert_eq!(answer.error(), (400, "invalid_request".to_owned()));
}

#[tokio::test]
async fn another_applications_token_is_not_touched() {
    let mounted = Mounted::new().await;
    let tokens = mounted.tokens(SCOPE).await;
    for client in [&[("client_id", "other")][..], &[("client_id", "web"), ("client_secret", SECRET)]] {
        for name in ["access_token", "refresh_token"] {
            let answer = revoke(&mounted, &tokens.text(name), client).await;
            assert_eq!(answer.error(), (400, "invalid_grant".to_owned()), "{name}");
        }
    }
    assert_eq!(mounted.user_info(&tokens.text("access_token")).await.status, 200);
}

#[tokio::test]
async fn a_token_that_was_replaced_still_gives_its_grant_back() {
    let mounted = Mounted::new().await;
    let first = mounted.tokens(SCOPE).await.text("refresh_token");
    let second = mounted.refresh(&first, &[]).await;
    assert_eq!(revoke(&mounted, &first, &[("client_id", "app")]).await.status, 200);
    assert_eq!(mounted.user_info(&second.text("access_token")).await.status, 401);
}
