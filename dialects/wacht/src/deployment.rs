//! What the kit is configured with, and what is well known. None of it changes while the process runs.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Value, json};
use web::{App, respond};

use crate::attempt::{MOST_SIGN_INS, SIGN_IN_LIFE};
use crate::cookie::KEPT;
use crate::error::Status;
use crate::page::Pages;
use crate::visit::{Data, Visit, success};
use crate::wire::Time;
use crate::{ALGORITHM, Mode, Shared};

/// How long verifiers may keep the keys.
const KEYS_KEPT: Duration = Duration::from_mins(5);

/// The begin of a P-256 key as a `SubjectPublicKeyInfo` (RFC 5480), up to the two coordinates.
const P256_PREFIX: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// `GET /deployment`
pub(crate) async fn read(visit: Visit) -> Response {
    visit.respond(Ok(Data::Deployment))
}

/// `GET /.well-known/jwks.json`: bare, because any verifier reads it.
pub(crate) async fn key_set(State(shared): State<Arc<Shared>>) -> Response {
    let keys = shared.engine.jwks(&shared.project.id, ALGORITHM);
    respond::public(respond::JSON, keys.to_vec(), KEYS_KEPT)
}

/// `GET /.well-known/jwk`
pub(crate) async fn keys(State(shared): State<Arc<Shared>>) -> Response {
    let keys = shared.engine.jwks(&shared.project.id, ALGORITHM);
    let Ok(mut keys) = serde_json::from_slice::<Value>(&keys) else { return Status::internal().into_response() };
    let Some(public_key) = keys.pointer("/keys/0").and_then(pem) else { return Status::internal().into_response() };
    if let Some(keys) = keys.as_object_mut() {
        keys.insert("public_key".to_owned(), public_key.into());
    }
    success(&keys, None::<&()>)
}

/// `GET /.well-known/meta`
pub(crate) async fn meta(State(shared): State<Arc<Shared>>) -> Response {
    success(shared.deployment.get("ui_settings").unwrap_or(&Value::Null), None::<&()>)
}

#[derive(Deserialize)]
struct Point {
    x: String,
    y: String,
}

/// A key of P-256 in PEM.
fn pem(key: &Value) -> Option<String> {
    let Point { x, y } = Point::deserialize(key).ok()?;
    let mut der = P256_PREFIX.to_vec();
    for coordinate in [x, y] {
        der.extend(URL_SAFE_NO_PAD.decode(coordinate).ok()?);
    }
    let text = STANDARD.encode(der);
    // Lines of 64 characters (RFC 7468); what is in them is ASCII.
    let lines: Vec<_> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    Some(format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n")))
}

/// What `GET /deployment` says.
pub(crate) fn deployment(app: &App, mode: Mode, pages: &Pages, token_life: Duration) -> Value {
    let project = &app.project;
    let up_since = Time(app.engine.now());
    let key = STANDARD.encode(&app.origin);
    let publishable_key = match mode {
        Mode::Production => format!("pk_live_{key}"),
        Mode::Staging => format!("pk_test_{key}"),
    };
    let off = json!({"enabled": false, "required": false});
    let optional = json!({"enabled": true, "required": false});
    json!({
        "id": project.id.as_str(),
        "project_id": project.id.as_str(),
        "created_at": up_since,
        "updated_at": up_since,
        "mode": mode,
        "maintenance_mode": false,
        "backend_host": app.origin,
        "frontend_host": pages.front_end_host(),
        "publishable_key": publishable_key,
        "auth_settings": {
            "first_factor": "email_otp",
            "auth_factors_enabled": {
                "email_password": false,
                "username_password": false,
                "email_otp": true,
                "email_magic_link": false,
                "phone_otp": false,
                "web3_wallet": false,
                "backup_code": false,
                "authenticator": false,
            },
            "first_name": optional,
            "last_name": optional,
            "username": off,
            "email_address": {
                "enabled": true,
                "required": true,
                "verify_signup": true,
                "otp_verification_allowed": true,
                "magic_link_verification_allowed": false,
            },
            "phone_number": {
                "enabled": false,
                "required": false,
                "verify_signup": false,
                "sms_verification_allowed": false,
                "whatsapp_verification_allowed": false,
            },
            "password": off,
            "magic_link": {"enabled": false, "require_same_device": false},
            "passkey": {"enabled": false, "prompt_registration_on_auth": false, "allow_autofill": false},
            "multi_session_support": {
                "enabled": true,
                "max_accounts_per_session": MOST_SIGN_INS,
                "max_sessions_per_account": 0,
            },
            "second_factor_policy": "none",
            "session_token_lifetime": token_life.as_secs(),
            "session_validity_period": SIGN_IN_LIFE.as_secs(),
            "session_inactive_timeout": KEPT.as_secs(),
        },
        "restrictions": {"sign_up_mode": if project.policy.sign_up { "public" } else { "restricted" }},
        "social_connections": [],
        "ui_settings": {
            "app_name": project.name,
            "sign_in_page_url": "",
            "sign_up_page_url": "",
            "after_signin_redirect_url": "",
            "after_signup_redirect_url": "",
            "after_sign_out_one_page_url": "",
            "after_sign_out_all_page_url": "",
            "support_page_url": "",
            "waitlist_page_url": "",
            "logo_image_url": "",
            "favicon_image_url": "",
        },
        "b2b_settings": {
            "organizations_enabled": false,
            "workspaces_enabled": false,
            "ip_allowlist_per_org_enabled": false,
            "ip_allowlist_per_workspace_enabled": false,
        },
    })
}
