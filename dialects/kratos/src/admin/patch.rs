//! `PATCH /admin/identities/{id}`: a JSON patch (RFC 6902) of what an operator sees of an identity.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::response::Response;
use engine::Account;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use json_patch::{Patch, PatchOperation};
use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;
use web::respond;

use super::change::{self, Wanted};
use super::wire::VerifiableAddressInput;
use super::{named, schema, state, told};
use crate::Shared;
use crate::error::Status;
use crate::identity::IdentityBody;
use crate::request::Asked;

/// What nobody changes: who it is, when it was last said whether it may sign in, and what follows from its addresses.
const FIXED: [&str; 3] = ["id", "statechangedat", "credentials"];

/// The handler.
pub(super) async fn patch(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    asked: Asked,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let patched = async {
        let patch = read(&headers, body).await?;
        let context = shared.context(&asked.client);
        let account = shared.engine.identity(&context, named(&shared, &id)?).await.map_err(Status::of)?;
        let wanted = patched(&shared, &account, &patch)?;
        let wanted = Wanted {
            schema: schema(&shared, Some(&wanted.schema_id))?,
            traits: wanted.traits,
            state: state(Some(&wanted.state))?,
            metadata_public: wanted.metadata_public,
            metadata_admin: wanted.metadata_admin,
            external_id: wanted.external_id,
            organization_id: wanted.organization_id,
            verified: wanted.verifiable_addresses,
        };
        let account = change::change(&shared, &context, &account, wanted).await?;
        Ok::<_, Status>(IdentityBody::new(&shared, &account, told(true)))
    };
    patched.await.map_or_else(Status::into_response, |body| respond::json(StatusCode::OK, &body))
}

/// What of a patched identity is looked at. The rest follows from these, or is of no consequence.
#[derive(Debug, Deserialize)]
struct Patched {
    schema_id: String,
    state: String,
    traits: Map<String, Value>,
    #[serde(default)]
    metadata_public: Option<Value>,
    #[serde(default)]
    metadata_admin: Option<Value>,
    #[serde(default)]
    external_id: Option<String>,
    #[serde(default)]
    organization_id: Option<Uuid>,
    #[serde(default)]
    verifiable_addresses: Vec<VerifiableAddressInput>,
}

/// Reads a patch. It comes as JSON, so that no form of a web page can send one.
async fn read(headers: &HeaderMap, body: Body) -> Result<Patch, Status> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !matches!(kind, "application/json" | "application/json-patch+json") {
        return Err(Status::unreadable("The body was not read: its content type must be application/json"));
    }
    let bytes = to_bytes(body, web::body::LIMIT).await.map_err(|_| Status::body_too_large())?;
    serde_json::from_slice(&bytes).map_err(|_| Status::bad_request("The body is no JSON patch: a list of operations"))
}

/// The identity as `patch` makes it.
fn patched(shared: &Shared, account: &Account, patch: &Patch) -> Result<Patched, Status> {
    if patch.0.iter().any(is_of_the_fixed) {
        return Err(Status::bad_request("The patch changes what cannot be changed: the id, or credentials"));
    }
    let mut document =
        serde_json::to_value(IdentityBody::new(shared, account, told(true))).map_err(|_| Status::internal())?;
    json_patch::patch(&mut document, patch)
        .map_err(|error| Status::bad_request(format!("Operation {} of the patch cannot be done", error.operation)))?;
    serde_json::from_value(document)
        .map_err(|_| Status::bad_request("With this patch the identity would not be one any more"))
}

/// Whether an operation touches what nobody changes. Nothing is taken from there either: what is moved away is gone.
fn is_of_the_fixed(operation: &PatchOperation) -> bool {
    let taken_from = match operation {
        PatchOperation::Move(operation) => Some(operation.from.as_str()),
        PatchOperation::Add(_)
        | PatchOperation::Remove(_)
        | PatchOperation::Replace(_)
        | PatchOperation::Copy(_)
        | PatchOperation::Test(_) => None,
    };
    let paths = [Some(operation.path().as_str()), taken_from];
    paths.into_iter().flatten().any(|path| {
        let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        FIXED.iter().any(|fixed| first.eq_ignore_ascii_case(fixed))
    })
}
