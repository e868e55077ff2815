//! Somebody who asks: he keeps cookies, as a browser does, and remembers every answer.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};
use testkit::server::{Answer, Client, Request};

/// Cookies by their names.
pub(crate) type Cookies = BTreeMap<String, String>;

/// Somebody who asks.
pub(crate) struct Visitor {
    client: Client,
    pub(crate) cookies: Cookies,
    /// Every answer since it was last forgotten.
    pub(crate) answers: Vec<Answer>,
    /// What he adds to every JSON body: what nobody should believe.
    claims: Map<String, Value>,
}

impl Visitor {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, cookies: Cookies::new(), answers: Vec::new(), claims: Map::new() }
    }

    /// The same, who says of himself what `claims` say.
    pub(crate) fn claiming(mut self, claims: &Value) -> Self {
        self.claims = claims.as_object().unwrap().clone();
        self
    }

    /// Sends `request` with the cookies there are, and keeps those that come.
    pub(crate) async fn send(&mut self, request: Request) -> Answer {
        let request = with_cookies(request, &self.cookies);
        self.send_as_is(&request).await
    }

    /// Sends `request` as it is: with the cookies that it has.
    pub(crate) async fn send_as_is(&mut self, request: &Request) -> Answer {
        let answer = self.client.send(request).await;
        keep(&mut self.cookies, &answer);
        self.answers.push(answer.clone());
        answer
    }

    /// A request of JSON, and of all that he claims.
    pub(crate) fn json(&self, method: &str, path: &str, mut body: Value) -> Request {
        body.as_object_mut().unwrap().extend(self.claims.clone());
        Request::new(method, path).header("content-type", "application/json").body(body.to_string())
    }
}

/// `request` with `cookies`, if there are any.
pub(crate) fn with_cookies(request: Request, cookies: &Cookies) -> Request {
    if cookies.is_empty() {
        return request;
    }
    let pairs: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    request.header("cookie", &pairs.join("; "))
}

/// Keeps the cookies that `answer` sets, and drops those that it takes away.
pub(crate) fn keep(cookies: &mut Cookies, answer: &Answer) {
    for (_, line) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
        let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
        if line.contains("Max-Age=0") {
            cookies.remove(name);
        } else {
            cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}

/// `text` as it stands in a query or a form.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").unwrap();
        }
    }
    escaped
}
