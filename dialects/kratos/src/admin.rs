//! Identities, on the operator's listener: added, found, changed and erased.

mod change;
mod list;
mod patch;
mod wire;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use engine::{Error, IdentityId, IdentityState, NewIdentity, Refusal, WantedAddress};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::Value;
use web::respond;

use crate::Shared;
use crate::error::Status;
use crate::identity::{self, Audience, IdentityBody, Kept};
use crate::request::Asked;
use crate::routes::only;
use crate::schema::Schema;
use crate::traits;

use change::Wanted;
use wire::{CreateIdentityBody, UpdateIdentityBody};

/// The routes of identities, below `/admin` and without it.
pub(crate) fn routes() -> Router<Arc<Shared>> {
    let all = only("GET, HEAD, POST", get(list::list).post(create));
    let one = only("DELETE, GET, HEAD, PATCH, PUT", get(read).put(update).patch(patch::patch).delete(erase));
    Router::new().route("/identities", all).route("/identities/{id}", one)
}

/// What operators are told of somebody, and whether there is metadata for them where there is none.
const fn told(says_no_metadata: bool) -> Audience {
    Audience::Operator { says_no_metadata, with_configuration: false }
}

/// `POST /admin/identities`
async fn create(State(shared): State<Arc<Shared>>, asked: Asked, headers: HeaderMap, body: Body) -> Response {
    let created = async {
        let body: CreateIdentityBody = wire::read(&headers, body).await?;
        let schema = schema(&shared, body.schema_id.as_deref())?;
        let traits = body.traits.ok_or_else(|| Status::bad_request("traits is missing"))?;
        let addresses = traits::check(schema, &traits).map_err(|problems| wrong(&problems))?;
        wire::refuse_credentials(body.credentials.as_ref())?;
        let verified = body.verifiable_addresses.unwrap_or_default();
        let wanted = |address: engine::Address| {
            let named = verified.iter().find(|it| it.names(&address));
            WantedAddress { verified: named.map(|it| it.verified), address }
        };
        let kept = Kept {
            schema_id: Some(schema.id.clone()),
            metadata_public: body.metadata_public,
            metadata_admin: body.metadata_admin,
            external_id: body.external_id.filter(|id| !id.is_empty()),
            organization_id: body.organization_id,
            state_changed_at: None,
        };
        let new = NewIdentity {
            traits: Value::Object(traits).to_string(),
            metadata: kept.written_into("{}")?,
            state: state(body.state.as_deref())?.unwrap_or(IdentityState::Active),
            addresses: addresses.into_iter().map(|(address, _)| wanted(address)).collect(),
        };
        let context = shared.context(&asked.client);
        let account = shared.engine.create_identity(&context, new).await.map_err(|error| match error {
            Error::Refused { refusal: Refusal::AddressTaken, flow: _ } => {
                Status::conflict("Another identity has one of these addresses already")
            }
            error => Status::of(error),
        })?;
        Ok::<_, Status>(IdentityBody::new(&shared, &account, told(false)))
    };
    match created.await {
        Ok(body) => {
            let base = shared.config.admin.as_ref().map_or("", |admin| admin.text.as_str());
            let location = HeaderValue::try_from(format!("{base}/identities/{}", body.id()));
            let mut response = respond::json(StatusCode::CREATED, &body);
            if let Ok(location) = location {
                response.headers_mut().insert(http::header::LOCATION, location);
            }
            response
        }
        Err(status) => status.into_response(),
    }
}

/// `GET /admin/identities/{id}`
async fn read(State(shared): State<Arc<Shared>>, Path(id): Path<String>, asked: Asked) -> Response {
    let found = async {
        let context = shared.context(&asked.client);
        let account = shared.engine.identity(&context, named(&shared, &id)?).await.map_err(Status::of)?;
        let with_configuration = list::includes_configuration(&asked);
        let audience = Audience::Operator { says_no_metadata: true, with_configuration };
        Ok::<_, Status>(IdentityBody::new(&shared, &account, audience))
    };
    found.await.map_or_else(Status::into_response, |body| respond::json(StatusCode::OK, &body))
}

/// `PUT /admin/identities/{id}`: everything that is said of it, in the place of what was.
async fn update(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    asked: Asked,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let changed = async {
        let body: UpdateIdentityBody = wire::read(&headers, body).await?;
        wire::refuse_credentials(body.credentials.as_ref())?;
        let schema_id = body.schema_id.ok_or_else(|| Status::bad_request("schema_id is missing"))?;
        let wanted = Wanted {
            schema: schema(&shared, Some(&schema_id))?,
            traits: body.traits.ok_or_else(|| Status::bad_request("traits is missing"))?,
            state: state(body.state.as_deref())?,
            metadata_public: body.metadata_public,
            metadata_admin: body.metadata_admin,
            external_id: body.external_id,
            organization_id: body.organization_id,
            verified: Vec::new(),
        };
        let context = shared.context(&asked.client);
        let account = shared.engine.identity(&context, named(&shared, &id)?).await.map_err(Status::of)?;
        let account = change::change(&shared, &context, &account, wanted).await?;
        Ok::<_, Status>(IdentityBody::new(&shared, &account, told(false)))
    };
    changed.await.map_or_else(Status::into_response, |body| respond::json(StatusCode::OK, &body))
}

/// `DELETE /admin/identities/{id}`
async fn erase(State(shared): State<Arc<Shared>>, Path(id): Path<String>, asked: Asked) -> Response {
    let erased = async {
        let context = shared.context(&asked.client);
        shared.engine.erase_identity(&context, named(&shared, &id)?).await.map_err(Status::of)
    };
    erased.await.map_or_else(Status::into_response, |()| respond::empty(StatusCode::NO_CONTENT))
}

/// The identity that a path names; what is none of our ids is nobody's.
fn named(shared: &Shared, id: &str) -> Result<IdentityId, Status> {
    identity::read_public_id(&shared.engine, id).ok_or_else(Status::no_such_thing)
}

/// The schema `id`, or the default one.
fn schema<'a>(shared: &'a Shared, id: Option<&str>) -> Result<&'a Schema, Status> {
    match id.filter(|id| !id.is_empty()) {
        None => Ok(&shared.config.default_schema),
        Some(id) => {
            shared.config.schema(id).ok_or_else(|| Status::bad_request("There is no identity schema of this name"))
        }
    }
}

/// Whether an identity may sign in, if that is said.
fn state(name: Option<&str>) -> Result<Option<IdentityState>, Status> {
    let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(None) };
    let known = [IdentityState::Active, IdentityState::Inactive].into_iter();
    let known = known.into_iter().find(|state| identity::state_name(*state) == name);
    known.map(Some).ok_or_else(|| Status::bad_request("state must be active or inactive"))
}

/// What is wrong with traits.
fn wrong(problems: &[traits::Problem]) -> Status {
    let reasons: Vec<_> = problems.iter().map(traits::Problem::reason).collect();
    Status::bad_request(reasons.join("; "))
}
