//! Identities by an operator's hand.

use http::Method;
use serde_json::{Value, json};

use crate::entering::{VERSION, with_person};
use crate::support::{ADA, Answer, BOB, Mounted};

const ALL: &str = "/admin/identities";
const UNKNOWN: &str = "6d1f0c4e-8a5d-4b6e-9f0a-2b1c3d4e5f60";

async fn with_schema() -> Mounted {
    Mounted::with(&[(VERSION, &with_person())]).await
}

fn one(id: &str) -> String {
    format!("{ALL}/{id}")
}

/// An error without an id.
#[track_caller]
fn is_refused(answer: &Answer, status: u16) {
    assert_eq!(answer.error(), (status, String::new(), String::new()), "{answer}");
}

#[tokio::test]
async fn an_identity_is_added_with_all_that_is_said_of_it() {
    let mounted = with_schema().await;
    let body = json!({
        "schema_id": "person",
        "traits": {"email": "ADA@Example.org", "name": "Ada", "backup": BOB},
        "verifiable_addresses": [{"value": "ada@example.org", "via": "email", "verified": true, "status": "completed"}],
        "recovery_addresses": [{"value": "ada@example.org", "via": "email"}],
        "metadata_public": {"plan": "free"},
        "metadata_admin": {"note": "vip"},
        "external_id": "ada-1",
        "organization_id": UNKNOWN,
        "credentials": {},
    });
    let added = mounted.operate(Method::POST, ALL, body).await.is(201);
    let id = added.id();
    assert_eq!(added.location(), format!("http://admin.test/identities/{id}"));
    let seen = added.json();
    for (member, expected) in [
        ("traits", json!({"email": "ADA@Example.org", "name": "Ada", "backup": BOB})),
        ("schema_id", json!("person")),
        ("schema_url", json!("https://accounts.test/schemas/cGVyc29u")),
        ("state", json!("active")),
        ("metadata_public", json!({"plan": "free"})),
        ("metadata_admin", json!({"note": "vip"})),
        ("external_id", json!("ada-1")),
        ("organization_id", json!(UNKNOWN)),
    ] {
        assert_eq!(seen[member], expected, "{member}");
    }
    let addresses: Vec<_> = seen["verifiable_addresses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|own| (&own["value"], &own["status"], own.get("verified_at").is_some()))
        .collect();
    assert_eq!(addresses, [(&json!(ADA), &json!("completed"), true), (&json!(BOB), &json!("pending"), false)]);
    assert_eq!(seen["recovery_addresses"].as_array().unwrap().len(), 1);
    assert_eq!(seen["credentials"]["code"]["identifiers"], json!([ADA]));
    assert!(seen["credentials"]["code"].get("config").is_none());
    assert_eq!(mounted.seen(&id).await, seen);
    let with = mounted
        .operate(Method::GET, &format!("{}?include_credential=code", one(&id)), Value::Null)
        .await
        .is(200)
        .json();
    assert_eq!(with["credentials"]["code"]["config"], json!({"addresses": [{"channel": "email", "address": ADA}]}));
    // The same without `/admin`.
    assert_eq!(mounted.operate(Method::GET, &format!("/identities/{id}"), Value::Null).await.is(200).json(), seen);
    // Whoever it is sees nothing that is for operators.
    let (answer, _) = mounted.signed_in(ADA).await;
    let own = &answer.json()["session"]["identity"];
    assert!(own.get("metadata_admin").is_none() && own.get("credentials").is_none(), "{own}");
    assert_eq!(own["metadata_public"], json!({"plan": "free"}));
}

#[tokio::test]
async fn what_is_not_said_is_as_usual() {
    let mounted = with_schema().await;
    let seen = mounted.operate(Method::POST, ALL, json!({"traits": {"email": ADA}})).await.is(201).json();
    assert!(seen.get("metadata_admin").is_none() && seen.get("external_id").is_none(), "{seen}");
    assert_eq!((&seen["metadata_public"], &seen["organization_id"]), (&Value::Null, &Value::Null));
    assert_eq!(seen["verifiable_addresses"][0]["status"], "pending");
    let read = mounted.seen(seen["id"].as_str().unwrap()).await;
    assert_eq!(read["metadata_admin"], Value::Null);
    assert!(read.as_object().unwrap().contains_key("metadata_admin"));
    let inactive = json!({"traits": {"email": BOB}, "state": "inactive"});
    assert_eq!(mounted.operate(Method::POST, ALL, inactive).await.is(201).json()["state"], "inactive");
}

#[tokio::test]
async fn what_cannot_be_added_is_refused_and_nothing_comes_of_it() {
    let mounted = with_schema().await;
    mounted.added(json!({"email": ADA, "backup": BOB})).await;
    for taken in [ADA, BOB, "ADA@example.ORG"] {
        is_refused(&mounted.operate(Method::POST, ALL, json!({"traits": {"email": taken}})).await, 409);
    }
    let traits = json!({"email": "c@example.org"});
    for body in [
        json!({"traits": {"email": "nope"}}),
        json!({"traits": {"email": "c@example.org", "shoe": 42}}),
        json!({"traits": {"name": "Eve"}}),
        json!({"traits": [1]}),
        json!({"schema_id": "person"}),
        json!({"traits": traits, "colour": "red"}),
        json!({"traits": traits, "schema_id": "robot"}),
        json!({"traits": traits, "state": "asleep"}),
        json!({"traits": traits, "organization_id": "x"}),
        json!({"traits": traits, "credentials": {"password": {"config": {"password": "hunter2"}}}}),
        json!({"traits": traits, "credentials": [1]}),
        json!([1]),
        Value::Null,
    ] {
        is_refused(&mounted.operate(Method::POST, ALL, body).await, 400);
    }
    let text = json!({"traits": traits}).to_string();
    // Nothing that a form of a web page could send.
    for kind in ["text/plain", "application/x-www-form-urlencoded"] {
        is_refused(&mounted.operate_text(Method::POST, ALL, kind, &text).await, 400);
    }
    let listed = mounted.operate(Method::GET, ALL, Value::Null).await.is(200).json();
    assert_eq!(listed.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn identities_are_found_by_id_by_identifier_and_page_by_page() {
    let mounted = with_schema().await;
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        let traits = json!({"email": format!("{name}@example.org"), "backup": format!("{name}@backup.example")});
        ids.push(mounted.added(traits).await);
    }
    let list = async |query: &str| {
        let answer = mounted.operate(Method::GET, &format!("{ALL}{query}"), Value::Null).await.is(200);
        let found: Vec<_> =
            answer.json().as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect();
        (found, answer)
    };
    assert_eq!(list("").await.0, ids);
    let (first, answer) = list("?page_size=2").await;
    assert_eq!(first, ids[..2]);
    let link = answer.header("link");
    assert!(
        link.starts_with(&format!(
            "<{ALL}?page_size=2&page_token=00000000-0000-0000-0000-000000000000>; rel=\"first\""
        )),
        "{link}"
    );
    let next = link.split(['<', '>']).nth(3).unwrap().strip_prefix(ALL).unwrap().to_owned();
    let (second, answer) = list(&next).await;
    assert_eq!((second, answer.header("link").contains("next")), (ids[2..].to_vec(), false));
    // A page that is exactly full is the last one if nothing comes after it.
    assert!(!list("?page_size=3").await.1.header("link").contains("next"));
    assert_eq!(list("?page_token=00000000-0000-0000-0000-000000000000").await.0, ids);
    let (old, answer) = list("?per_page=2&page=1").await;
    assert_eq!((old, answer.header("x-total-count")), (ids[2..].to_vec(), "3"));

    assert_eq!(list("?credentials_identifier=B@example.org").await.0, ids[1..2]);
    for nobody in ["b@backup.example", "nobody@example.org", "x"] {
        assert!(list(&format!("?credentials_identifier={nobody}")).await.0.is_empty(), "{nobody}");
    }
    let two = format!("?ids={}&ids={UNKNOWN}&ids={}&ids=x", ids[2], ids[0]);
    assert_eq!(list(&two).await.0, [ids[2].clone(), ids[0].clone()]);
    for refused in [
        "?page_token=x",
        "?organization_id=x",
        "?preview_credentials_identifier_similar=b",
        "?ids=x&credentials_identifier=y",
    ] {
        is_refused(&mounted.operate(Method::GET, &format!("{ALL}{refused}"), Value::Null).await, 400);
    }
    for unknown in [UNKNOWN, "nonsense"] {
        is_refused(&mounted.operate(Method::GET, &one(unknown), Value::Null).await, 404);
    }
}

#[tokio::test]
async fn an_update_takes_the_place_of_what_was_and_a_new_address_is_unproved() {
    let mounted = with_schema().await;
    let body = json!({
        "traits": {"email": ADA, "backup": "b@example.org"}, "metadata_admin": {"a": 1}, "metadata_public": {"b": 2},
        "verifiable_addresses": [{"value": ADA, "verified": true}, {"value": "b@example.org", "verified": true}],
    });
    let id = mounted.operate(Method::POST, ALL, body).await.is(201).id();
    let before = mounted.seen(&id).await;
    mounted.world.clock.advance(std::time::Duration::from_secs(1));
    let update = async |body: Value| mounted.operate(Method::PUT, &one(&id), body).await;
    let body = json!({"schema_id": "person", "traits": {"email": "new@example.org", "backup": "b@example.org"}, "state": "active"});
    let seen = update(body).await.is(200).json();
    assert!(seen.get("metadata_admin").is_none(), "{seen}");
    assert_eq!(seen["metadata_public"], Value::Null);
    assert_eq!(seen["state_changed_at"], before["state_changed_at"]);
    assert_ne!(seen["updated_at"], before["updated_at"]);
    let verified = |seen: &Value| -> Vec<_> {
        let all = seen["verifiable_addresses"].as_array().unwrap().iter();
        all.map(|own| (own["value"].as_str().unwrap().to_owned(), own["verified"].as_bool().unwrap())).collect()
    };
    assert_eq!(verified(&seen), [("b@example.org".to_owned(), true), ("new@example.org".to_owned(), false)]);
    assert_eq!(mounted.mails("new@example.org").await.len(), 0);
    // Whoever has the old address has nothing any more.
    mounted.added(json!({"email": ADA})).await;

    let body = json!({"schema_id": "person", "traits": {"email": "new@example.org"}, "state": "inactive"});
    let seen = update(body).await.is(200).json();
    assert_eq!(seen["state"], "inactive");
    assert_ne!(seen["state_changed_at"], before["state_changed_at"]);
    let body = json!({"schema_id": "person", "traits": {"email": "new@example.org"}});
    assert_eq!(update(body).await.is(200).json()["state"], "inactive");
    for (body, status) in [
        (json!({"schema_id": "person", "traits": {"email": ADA}}), 409),
        (json!({"traits": {"email": "new@example.org"}}), 400),
        (json!({"schema_id": "person"}), 400),
        (json!({"schema_id": "robot", "traits": {"email": "new@example.org"}}), 400),
        (json!({"schema_id": "person", "traits": {"email": "nope"}}), 400),
        (json!({"schema_id": "person", "traits": {"email": "new@example.org"}, "verifiable_addresses": []}), 400),
    ] {
        is_refused(&update(body).await, status);
    }
    let body = json!({"schema_id": "person", "traits": {"email": BOB}});
    is_refused(&mounted.operate(Method::PUT, &one(UNKNOWN), body).await, 404);
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_nothing_else() {
    let mounted = with_schema().await;
    let body = json!({"traits": {"email": ADA}, "metadata_admin": {"a": 1}, "external_id": "x"});
    let id = mounted.operate(Method::POST, ALL, body).await.is(201).id();
    let patch = async |operations: Value| mounted.operate(Method::PATCH, &one(&id), operations).await;
    let verified = |value: bool| json!([{"op": "replace", "path": "/verifiable_addresses/0/verified", "value": value}]);
    let seen = patch(verified(true)).await.is(200).json();
    let address = &seen["verifiable_addresses"][0];
    assert_eq!((&address["verified"], &address["status"]), (&json!(true), &json!("completed")));
    assert!(address.get("verified_at").is_some());
    assert_eq!((&seen["metadata_admin"], &seen["external_id"]), (&json!({"a": 1}), &json!("x")));
    assert_eq!(mounted.seen(&id).await, seen);
    let seen = patch(verified(false)).await.is(200).json();
    assert!(seen["verifiable_addresses"][0].get("verified_at").is_none(), "{seen}");

    let operations = json!([
        {"op": "test", "path": "/traits/email", "value": ADA},
        {"op": "add", "path": "/traits/name", "value": "Ada"},
        {"op": "replace", "path": "/state", "value": "inactive"},
        {"op": "add", "path": "/metadata_public", "value": {"plan": "free"}},
        {"op": "remove", "path": "/metadata_admin"},
    ]);
    let seen = patch(operations).await.is(200).json();
    assert_eq!((&seen["traits"], &seen["state"]), (&json!({"email": ADA, "name": "Ada"}), &json!("inactive")));
    assert_eq!((&seen["metadata_public"], &seen["metadata_admin"]), (&json!({"plan": "free"}), &Value::Null));
    let seen = patch(json!([{"op": "replace", "path": "/traits/email", "value": BOB}])).await.is(200).json();
    let address = &seen["verifiable_addresses"][0];
    assert_eq!((&address["value"], &address["status"]), (&json!(BOB), &json!("pending")));

    mounted.added(json!({"email": ADA})).await;
    let before = mounted.seen(&id).await;
    for (operations, status) in [
        (json!([{"op": "replace", "path": "/traits/nothing", "value": 1}]), 400),
        (json!([{"op": "replace", "path": "/traits/email", "value": "nope"}]), 400),
        (json!([{"op": "replace", "path": "/traits", "value": "nope"}]), 400),
        (json!([{"op": "remove", "path": "/traits"}]), 400),
        (json!([{"op": "replace", "path": "/id", "value": UNKNOWN}]), 400),
        (json!([{"op": "replace", "path": "/ID", "value": UNKNOWN}]), 400),
        (json!([{"op": "remove", "path": "/credentials/code/identifiers/0"}]), 400),
        (json!([{"op": "move", "from": "/credentials", "path": "/metadata_public"}]), 400),
        (json!([{"op": "add", "path": "/stateChangedAt", "value": "now"}]), 400),
        (json!([{"op": "fly", "path": "/traits/name"}]), 400),
        (json!({"op": "remove", "path": "/traits/name"}), 400),
        (Value::Null, 400),
        (json!([{"op": "replace", "path": "/traits/email", "value": ADA}]), 409),
    ] {
        is_refused(&patch(operations).await, status);
    }
    is_refused(&mounted.operate_text(Method::PATCH, &one(&id), "text/plain", "[]").await, 400);
    is_refused(&mounted.operate(Method::PATCH, &one(UNKNOWN), json!([])).await, 404);
    assert_eq!(mounted.seen(&id).await, before);
}

/// An identity that another surface or an operator made has an address and no trait that says so.
#[tokio::test]
async fn an_address_that_no_trait_holds_stays_until_traits_name_another() {
    let mounted = with_schema().await;
    mounted.person(ADA).await;
    let listed = mounted.operate(Method::GET, ALL, Value::Null).await.is(200).json();
    let id = listed[0]["id"].as_str().unwrap();
    assert_eq!(listed[0]["credentials"]["code"]["identifiers"], json!([ADA]));
    let patch = async |operations: Value| mounted.operate(Method::PATCH, &one(id), operations).await;
    // The schema demands an address, and so does a change of anything.
    is_refused(&patch(json!([{"op": "replace", "path": "/state", "value": "inactive"}])).await, 400);
    let seen = patch(json!([{"op": "add", "path": "/traits/email", "value": ADA}])).await.is(200).json();
    assert_eq!(seen["verifiable_addresses"].as_array().unwrap().len(), 1);
    mounted.signed_in(ADA).await;
    patch(json!([{"op": "replace", "path": "/traits/email", "value": BOB}])).await.is(200);
    assert!(mounted.engine().owner(mounted.world.project(), &crate::support::address(ADA)).await.is_err());
}

#[tokio::test]
async fn an_erased_identity_is_gone_with_its_sessions_and_its_address_is_free() {
    let mounted = with_schema().await;
    let id = mounted.added(json!({"email": ADA})).await;
    let (_, token) = mounted.signed_in(ADA).await;
    let (flow, code) = mounted.login_sent(ADA).await;
    assert_eq!(mounted.operate(Method::DELETE, &one(&id), Value::Null).await.is(204).body, "");
    is_refused(&mounted.operate(Method::DELETE, &one(&id), Value::Null).await, 404);
    is_refused(&mounted.operate(Method::DELETE, &one("nonsense"), Value::Null).await, 404);
    mounted.native().whoami(&[("x-session-token", &token)]).await.is(401);
    assert_ne!(mounted.native().log_in(&flow, ADA, Some(&code)).await.status, 200);
    mounted.added(json!({"email": ADA})).await;
}

#[tokio::test]
async fn what_other_surfaces_keep_about_an_identity_stays() {
    let mounted = with_schema().await;
    let context = mounted.world.context();
    let wanted = engine::WantedAddress { address: crate::support::address(ADA), verified: None };
    let new = engine::NewIdentity {
        traits: json!({"email": ADA}).to_string(),
        metadata: json!({"elsewhere": {"plan": 7}}).to_string(),
        state: engine::IdentityState::Active,
        addresses: vec![wanted],
    };
    let account = mounted.engine().create_identity(&context, new).await.unwrap();
    let listed = mounted.operate(Method::GET, ALL, Value::Null).await.is(200).json();
    let body = json!({"schema_id": "person", "traits": {"email": ADA}, "metadata_admin": {"note": 1}});
    mounted.operate(Method::PUT, &one(listed[0]["id"].as_str().unwrap()), body).await.is(200);
    let identity = mounted.engine().identity(&context, account.identity.id).await.unwrap().identity;
    let metadata: Value = serde_json::from_str(&identity.metadata).unwrap();
    assert_eq!(
        (&metadata["elsewhere"], &metadata["kratos"]["metadata_admin"]),
        (&json!({"plan": 7}), &json!({"note": 1}))
    );
}
