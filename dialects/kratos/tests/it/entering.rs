//! How tests sign in, sign up and run the operator's side.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::Policy;
use http::Method;
use serde_json::{Value, json};
use testkit::world::unlimited;

use crate::support::{Answer, Mounted, Visitor, ask};

/// A schema with a name, an address to sign in with and one to be reached at, and nothing else.
const PERSON: &str = r#"{"properties": {"traits": {"type": "object", "additionalProperties": false, "required": ["email"],
    "properties": {
        "email": {"type": "string", "format": "email", "title": "Mail", "ory.sh/kratos": {
            "credentials": {"code": {"identifier": true, "via": "email"}},
            "verification": {"via": "email"}, "recovery": {"via": "email"}}},
        "name": {"type": "string", "title": "Name"},
        "backup": {"type": "string", "format": "email", "title": "Backup", "ory.sh/kratos": {
            "verification": {"via": "email"}}},
        "age": {"type": "integer", "title": "Age"},
        "news": {"type": "boolean", "title": "News"}}}}}"#;

/// The line of the configuration that others are put behind.
pub(crate) const VERSION: &str = "version: v26.2.0\n";

/// A policy under which it is told who has an account, as in development.
pub(crate) fn telling() -> Policy {
    Policy { reveals_accounts: true, ..unlimited() }
}

/// The configuration with [`PERSON`] in it.
pub(crate) fn with_person() -> String {
    let schema = STANDARD.encode(PERSON);
    format!("{VERSION}identity: {{default_schema_id: person, schemas: [{{id: person, url: \"base64://{schema}\"}}]}}\n")
}

/// Where the flow `id` of `kind` is submitted.
pub(crate) fn submit(kind: &str, id: &str) -> String {
    format!("/self-service/{kind}?flow={id}")
}

impl Answer {
    /// As text, with what differs between any two flows and people taken out.
    pub(crate) fn masked(&self, id: &str, email: &str) -> String {
        let text = self.to_string().replace(id, "ID").replace(email, "EMAIL");
        self.cookies().into_iter().fold(text, |text, (_, value)| text.replace(&value, "COOKIE"))
    }
}

impl Visitor<'_> {
    /// Begins a native client's flow.
    pub(crate) async fn enter(&self, kind: &str) -> String {
        self.get(&format!("/self-service/{kind}/api")).await.is(200).id()
    }

    /// Begins a browser's flow: its id and a token for it. A page reads it as a script does.
    pub(crate) async fn enter_in_browser(&self, kind: &str) -> (String, String) {
        let path = format!("/self-service/{kind}/browser");
        let request = self.request(Method::GET, &path, &[("accept", "application/json")], "");
        let flow = self.ask(request).await.is(200);
        (flow.id(), flow.value_of("csrf_token"))
    }

    /// Reads a flow as a page does to show it.
    pub(crate) async fn look(&self, kind: &str, id: &str) -> Answer {
        let path = format!("/self-service/{kind}/flows?id={id}");
        self.ask(self.request(Method::GET, &path, &[("accept", "application/json")], "")).await
    }

    /// Submits JSON to a flow.
    pub(crate) async fn hand_in(&self, kind: &str, id: &str, body: &Value) -> Answer {
        self.post(&submit(kind, id), body).await
    }

    /// Asks for a code to sign in with, or brings one.
    pub(crate) async fn log_in(&self, id: &str, email: &str, code: Option<&str>) -> Answer {
        self.hand_in("login", id, &json!({"method": "code", "identifier": email, "code": code})).await
    }

    /// Asks for a code to sign up with, or brings one.
    pub(crate) async fn register(&self, id: &str, traits: &Value, code: Option<&str>) -> Answer {
        self.hand_in("registration", id, &json!({"method": "code", "traits": traits, "code": code})).await
    }

    /// Who is signed in by `headers` and the cookies of this client.
    pub(crate) async fn whoami(&self, headers: &[(&str, &str)]) -> Answer {
        self.ask(self.request(Method::GET, "/sessions/whoami", headers, "")).await
    }

    /// Signs `email` in by a script of a page.
    pub(crate) async fn sign_in(&self, mounted: &Mounted, email: &str) -> Answer {
        let (id, token) = self.enter_in_browser("login").await;
        let body = json!({"method": "code", "identifier": email, "csrf_token": token});
        self.hand_in("login", &id, &body).await.is(400);
        let code = mounted.code(email).await;
        let body = json!({"method": "code", "identifier": email, "csrf_token": token, "code": code});
        self.hand_in("login", &id, &body).await.is(200)
    }
}

impl Mounted {
    /// A native client's login in which a code was sent to `email`: its id and the code.
    pub(crate) async fn login_sent(&self, email: &str) -> (String, String) {
        let id = self.native().enter("login").await;
        self.native().log_in(&id, email, None).await.is(400);
        (id, self.code(email).await)
    }

    /// The answer to a native client that has signed `email` in, and its token.
    pub(crate) async fn signed_in(&self, email: &str) -> (Answer, String) {
        let (id, code) = self.login_sent(email).await;
        let answer = self.native().log_in(&id, email, Some(&code)).await.is(200);
        let token = answer.json()["session_token"].as_str().unwrap().to_owned();
        (answer, token)
    }

    /// A native client's registration in which a code was sent for `traits`: its id and the code.
    pub(crate) async fn registration_sent(&self, traits: &Value) -> (String, String) {
        let id = self.native().enter("registration").await;
        self.native().register(&id, traits, None).await.is(400);
        (id, self.code(traits["email"].as_str().unwrap()).await)
    }

    /// What the operator's listener answers; `null` is no body.
    pub(crate) async fn operate(&self, method: Method, path: &str, body: Value) -> Answer {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        self.operate_text(method, path, "application/json", &text).await
    }

    /// The same with a body of any kind.
    pub(crate) async fn operate_text(&self, method: Method, path: &str, content_type: &str, body: &str) -> Answer {
        let request = self.native().request(method, path, &[("content-type", content_type)], body.to_owned());
        ask(self.surface().administration.as_ref().unwrap().router.clone(), request).await
    }

    /// The identity that the operator makes of `traits`: its public id.
    pub(crate) async fn added(&self, traits: Value) -> String {
        self.operate(Method::POST, "/admin/identities", json!({"traits": traits})).await.is(201).id()
    }

    /// What the operator sees of an identity.
    pub(crate) async fn seen(&self, id: &str) -> Value {
        self.operate(Method::GET, &format!("/admin/identities/{id}"), Value::Null).await.is(200).json()
    }
}
