//! The bodies that operators send.

use axum::body::Body;
use engine::Address;
use http::HeaderMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use uuid::Uuid;
use web::{Accepts, BodyError, Received};

use crate::error::Status;

/// Adds an identity. What it says about recovery is what the schema says, so that is not looked at.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub(super) struct CreateIdentityBody {
    pub(super) schema_id: Option<String>,
    pub(super) traits: Option<Map<String, Value>>,
    pub(super) credentials: Option<Value>,
    pub(super) verifiable_addresses: Option<Vec<VerifiableAddressInput>>,
    #[serde(rename = "recovery_addresses")]
    _recovery_addresses: Option<Value>,
    pub(super) metadata_public: Option<Value>,
    pub(super) metadata_admin: Option<Value>,
    pub(super) state: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) organization_id: Option<Uuid>,
}

/// Says everything of an identity anew.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct UpdateIdentityBody {
    pub(super) schema_id: Option<String>,
    pub(super) traits: Option<Map<String, Value>>,
    pub(super) credentials: Option<Value>,
    pub(super) metadata_public: Option<Value>,
    pub(super) metadata_admin: Option<Value>,
    pub(super) state: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) organization_id: Option<Uuid>,
}

/// What an operator says of an address.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct VerifiableAddressInput {
    value: String,
    #[serde(default)]
    pub(super) verified: bool,
}

impl VerifiableAddressInput {
    /// Whether it is about `address`.
    pub(super) fn names(&self, address: &Address) -> bool {
        Address::email(&self.value).is_ok_and(|own| own == *address)
    }
}

/// Reads a JSON object.
pub(super) async fn read<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, Status> {
    let received = Received::read(Accepts::Json, headers, body).await.map_err(|error| refused(&error))?;
    if received.is_empty() {
        return Err(Status::unreadable("EOF"));
    }
    received.decode().map_err(|error| refused(&error))
}

/// What is said of a body that cannot be read.
pub(super) fn refused(error: &BodyError) -> Status {
    match error {
        BodyError::TooLarge => Status::body_too_large(),
        BodyError::ContentType
        | BodyError::ContentEncoding
        | BodyError::Interrupted
        | BodyError::Encoding
        | BodyError::Syntax(_)
        | BodyError::NotAnObject
        | BodyError::TooDeep
        | BodyError::Missing { field: _ }
        | BodyError::Duplicate { field: _ }
        | BodyError::WrongType { position: _ } => Status::unreadable(format!("The body was not read: {error}")),
    }
}

/// Refuses what cannot be kept: people here have nothing but their addresses to sign in with.
pub(super) fn refuse_credentials(credentials: Option<&Value>) -> Result<(), Status> {
    let is_nothing = credentials.and_then(Value::as_object).is_none_or(|kinds| kinds.values().all(Value::is_null));
    if is_nothing && credentials.is_none_or(Value::is_object) {
        return Ok(());
    }
    Err(Status::bad_request("credentials cannot be imported: identities sign in here by codes, and that needs none"))
}
