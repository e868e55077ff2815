//! What the kit and servers read: tokens, keys, the user, the deployment.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use serde_json::{Value, json};

use crate::support::{ADA, BOB, Kind, Mounted, ORIGIN};

/// A JWT's header and claims, verified with the published keys by a library that is not ours.
async fn verified(mounted: &Mounted, token: &str) -> (Value, Value) {
    let keys = mounted.browser().get("/.well-known/jwks.json").await;
    let keys: JwkSet = serde_json::from_str(&keys.body).unwrap();
    let header = jsonwebtoken::decode_header(token).unwrap();
    let key = DecodingKey::from_jwk(keys.find(header.kid.as_deref().unwrap()).unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_issuer(&[ORIGIN]);
    validation.validate_exp = false;
    let claims = jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap().claims;
    (serde_json::to_value(header).unwrap(), claims)
}

#[tokio::test]
async fn a_session_is_exchanged_for_a_jwt() {
    let mounted = Mounted::new().await;
    mounted.has_account(ADA).await;
    let browser = mounted.browser();
    browser.get("/session/token").await.refused(401, "NOT_AUTHENTICATED");
    let session = browser.signs(Kind::SignIn, ADA).await.session();
    mounted.world.clock.advance(Duration::from_millis(1_500));
    for path in ["/session/token", "/session/token?template=default", "/session/token?template="] {
        let data = browser.get(path).await.ok().json()["data"].clone();
        let now = mounted.world.engine.now().seconds();
        assert_eq!(data["expires"], (now + 60) * 1000);
        assert_eq!(data["expires_at"], "2026-03-01T12:01:06Z");
        let (header, claims) = verified(&mounted, data["token"].as_str().unwrap()).await;
        assert_eq!((&header["alg"], &header["typ"]), (&json!("ES256"), &json!("JWT")));
        let expected = json!({
            "iss": ORIGIN, "sub": session["active_signin"]["user_id"], "sid": session["id"], "iat": now, "exp": now + 60,
            "permissions": {"organization": [], "workspace": []}
        });
        assert_eq!(claims, expected);
    }
    browser.get("/session/token?template=admin").await.refused(404, "VALIDATION_ERROR");
    for _ in 0..4 {
        mounted.world.clock.advance(Duration::from_hours(6 * 24));
        browser.get("/session").await.ok();
    }
    mounted.world.clock.advance(Duration::from_hours(6 * 24) - Duration::from_secs(21));
    let (_, claims) =
        verified(&mounted, browser.get("/session/token").await.ok().json()["data"]["token"].as_str().unwrap()).await;
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 20, "no longer than the sign-in");
}

#[tokio::test]
async fn the_jwt_is_about_who_is_active() {
    let mounted = Mounted::new().await;
    let browser = mounted.browser();
    for email in [ADA, BOB] {
        let session = browser.signs(Kind::SignUp, email).await.session();
        let token = browser.get("/session/token").await.ok().json()["data"]["token"].as_str().unwrap().to_owned();
        assert_eq!(verified(&mounted, &token).await.1["sub"], session["active_signin"]["user_id"]);
        assert_eq!(browser.get("/me").await.ok().json()["data"]["primary_email_address"]["email"], email);
    }
}

#[tokio::test]
async fn me_is_the_whole_user_and_everybody_has_every_member() {
    let mounted = Mounted::new().await;
    let browser = mounted.browser();
    for path in ["/me", "/me/organization-memberships", "/me/workspace-memberships"] {
        browser.get(path).await.refused(401, "NOT_AUTHENTICATED");
    }
    let session = browser.signs(Kind::SignUp, ADA).await.session();
    let user = browser.get("/me").await.ok().json()["data"].clone();
    assert_eq!(user, session["active_signin"]["user"]);
    let (id, email) = (user["id"].clone(), user["primary_email_address"]["id"].clone());
    let address = json!({
        "id": email, "email": ADA, "email_address": ADA, "is_primary": true, "primary": true, "verified": true,
        "verified_at": "2026-03-01T12:00:00Z", "verification_strategy": "otp",
        "created_at": "2026-03-01T12:00:00Z", "updated_at": "2026-03-01T12:00:00Z"
    });
    let expected = json!({
        "id": id, "created_at": "2026-03-01T12:00:00Z", "updated_at": "2026-03-01T12:00:00Z", "first_name": "Ada",
        "last_name": "", "username": "", "availability": "away", "has_profile_picture": false, "profile_picture_url": "",
        "schema_version": "v1", "disabled": false, "primary_email_address_id": email, "primary_phone_number_id": null,
        "primary_email_address": address, "primary_phone_number": null, "second_factor_policy": "none",
        "user_email_addresses": [address], "user_phone_numbers": [], "social_connections": [], "segments": [],
        "user_authenticator": null, "has_password": false, "has_passkeys": false, "backup_codes_generated": false,
        "public_metadata": {}, "active_organization_membership_id": null, "active_workspace_membership_id": null,
        "last_password_reset_at": null
    });
    assert_eq!(user, expected);
    for path in ["/me/organization-memberships", "/me/workspace-memberships"] {
        assert_eq!(browser.get(path).await.ok().json()["data"], json!([]));
    }
}

#[tokio::test]
async fn the_deployment_says_what_is_served() {
    let mounted = Mounted::production().await;
    let deployment = mounted.browser().get("/deployment").await.ok().json()["data"].clone();
    assert_eq!(deployment["mode"], "production");
    assert_eq!(deployment["backend_host"], ORIGIN);
    assert_eq!(deployment["frontend_host"], "app.example.com");
    let key = deployment["publishable_key"].as_str().unwrap().strip_prefix("pk_live_").unwrap();
    assert!(!key.contains('_'));
    assert_eq!(STANDARD.decode(key).unwrap(), ORIGIN.as_bytes());
    let settings = &deployment["auth_settings"];
    assert_eq!(settings["first_factor"], "email_otp");
    let enabled: Vec<_> =
        settings["auth_factors_enabled"].as_object().unwrap().iter().filter(|(_, on)| **on == json!(true)).collect();
    assert_eq!(enabled.len(), 1);
    assert_eq!(settings["multi_session_support"]["max_accounts_per_session"], 10);
    assert_eq!(
        (
            &settings["session_token_lifetime"],
            &settings["session_validity_period"],
            &settings["session_inactive_timeout"]
        ),
        (&json!(60), &json!(2_592_000), &json!(604_800))
    );
    assert_eq!(
        (&deployment["social_connections"], &deployment["ui_settings"]["app_name"]),
        (&json!([]), &json!("Test"))
    );
    let meta = mounted.browser().get("/.well-known/meta").await.ok().json();
    assert_eq!((&meta["data"], &meta["session"]), (&deployment["ui_settings"], &Value::Null));
}

#[tokio::test]
async fn the_keys_are_published_bare_and_in_an_envelope_with_pem() {
    let mounted = Mounted::production().await;
    let bare = mounted.browser().get("/.well-known/jwks.json").await;
    assert_eq!(bare.header("cache-control"), "public, max-age=300");
    let bare: Value = bare.json();
    let wrapped = mounted.browser().get("/.well-known/jwk").await.ok().json();
    assert_eq!(wrapped["data"]["keys"], bare["keys"]);
    let pem = wrapped["data"]["public_key"].as_str().unwrap();
    let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----\n") && pem.ends_with("\n-----END PUBLIC KEY-----\n"));
    let der = STANDARD.decode(text).unwrap();
    assert_eq!(der.len(), 91);
    // The last 64 bytes are the point: it verifies what the set does.
    let url_safe = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    assert_eq!(
        (url_safe.encode(&der[27..59]), url_safe.encode(&der[59..])),
        (bare["keys"][0]["x"].as_str().unwrap().to_owned(), bare["keys"][0]["y"].as_str().unwrap().to_owned())
    );
}
