//! How tests verify addresses.

use serde_json::{Value, json};

use crate::support::{Answer, Mounted, Visitor};

/// Where native clients begin.
pub(crate) const API: &str = "/self-service/verification/api";
/// Where browsers do.
pub(crate) const BROWSER: &str = "/self-service/verification/browser";

/// Where the flow `id` is submitted.
pub(crate) fn submit(id: &str) -> String {
    format!("/self-service/verification?flow={id}")
}

/// Where the flow `id` is read.
pub(crate) fn read(id: &str) -> String {
    format!("/self-service/verification/flows?id={id}")
}

impl Visitor<'_> {
    /// Begins a native client's flow.
    pub(crate) async fn begin(&self) -> String {
        self.get(API).await.is(200).id()
    }

    /// Begins a browser's flow: its id and a token for it. A page reads it as a script does.
    pub(crate) async fn begin_in_browser(&self, query: &str) -> (String, String) {
        let request =
            self.request(http::Method::GET, &format!("{BROWSER}{query}"), &[("accept", "application/json")], "");
        let flow = self.ask(request).await.is(200);
        (flow.id(), flow.value_of("csrf_token"))
    }

    /// Reads the flow `id`, as a page does to show it.
    pub(crate) async fn see(&self, id: &str) -> Answer {
        let request = self.request(http::Method::GET, &read(id), &[("accept", "application/json")], "");
        self.ask(request).await
    }

    /// Submits to the flow `id`.
    pub(crate) async fn submit(&self, id: &str, body: &Value) -> Answer {
        self.post(&submit(id), body).await
    }

    /// Gives an address.
    pub(crate) async fn send(&self, id: &str, email: &str) -> Answer {
        self.submit(id, &json!({"method": "code", "email": email})).await
    }

    /// Brings a code back.
    pub(crate) async fn bring(&self, id: &str, code: &str) -> Answer {
        self.submit(id, &json!({"method": "code", "code": code})).await
    }
}

impl Mounted {
    /// A native client's flow in which a code was sent to `email`: its id and the code.
    pub(crate) async fn sent(&self, email: &str) -> (String, String) {
        let id = self.native().begin().await;
        self.native().send(&id, email).await.is(200);
        (id, self.code(email).await)
    }
}
