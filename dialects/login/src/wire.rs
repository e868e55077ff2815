//! The bodies, named after the messages of the API.

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;
use web::Text;

/// How an answer spells names of two words. A request may spell them either way, always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Names {
    /// `auth_flow_token`: as the API's documentation prints answers.
    Proto,
    /// `authFlowToken`: as its server does.
    Camel,
}

#[derive(Debug, Deserialize)]
pub(crate) struct LoginRequest<'a> {
    #[serde(borrow, default)]
    pub(crate) email: Option<Text<'a>>,
}

/// No `Debug`: it holds a code.
#[derive(Deserialize)]
pub(crate) struct EmailCodeRequest<'a> {
    #[serde(borrow, default, alias = "authFlowToken")]
    pub(crate) auth_flow_token: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) code: Option<Text<'a>>,
}

/// `NextAuthFlowResponse`: the flow, and exactly one way on.
pub(crate) struct NextAuthFlowResponse<'a> {
    pub(crate) names: Names,
    pub(crate) auth_flow_token: Uuid,
    pub(crate) next: Next<'a>,
}

/// The way on.
pub(crate) enum Next<'a> {
    /// A code is awaited. An empty message, whose presence is the signal.
    EmailCode,
    /// The code was right.
    Success {
        /// The JWT.
        token: &'a str,
    },
    /// It was not, for whatever reason.
    InvalidCode,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct Success<'a> {
    token: &'a str,
}

#[derive(Serialize)]
struct Failure {
    reason: &'static str,
}

impl Serialize for NextAuthFlowResponse<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (token, email_code) = match self.names {
            Names::Proto => ("auth_flow_token", "email_code"),
            Names::Camel => ("authFlowToken", "emailCode"),
        };
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry(token, &self.auth_flow_token)?;
        match &self.next {
            Next::EmailCode => map.serialize_entry(email_code, &Empty {})?,
            Next::Success { token } => map.serialize_entry("success", &Success { token })?,
            Next::InvalidCode => map.serialize_entry("failure", &Failure { reason: "INVALID_CODE" })?,
        }
        map.end()
    }
}

/// The claims of a token.
#[derive(Debug, Serialize)]
pub(crate) struct Claims<'a> {
    pub(crate) iss: &'a str,
    pub(crate) sub: Uuid,
    pub(crate) aud: [&'static str; 1],
    pub(crate) iat: i64,
    pub(crate) nbf: i64,
    pub(crate) exp: i64,
    pub(crate) jti: Uuid,
    pub(crate) auth_time: i64,
    pub(crate) amr: [&'static str; 1],
    pub(crate) email: &'a str,
    pub(crate) email_verified: bool,
}
