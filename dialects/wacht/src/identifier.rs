//! What the kit's forms ask about an identifier before they go on. Only development tells whether somebody has it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use engine::Address;
use http::{HeaderMap, Uri};
use serde::Serialize;
use web::body::query;

use crate::error::Status;
use crate::visit::{Data, Visit};
use crate::wire::{EmptyRequest, IdentifierRequest, given};
use crate::{Shared, receive};

/// Whether somebody has an identifier, in the words of each source.
#[derive(Serialize)]
pub(crate) struct Availability {
    exists: bool,
    available: bool,
    identifier_type: &'static str,
    identifier: String,
}

/// How somebody signs in who has no single sign-on.
#[derive(Serialize)]
pub(crate) struct Strategy {
    strategy: &'static str,
}

/// `GET` and `POST /auth/identifier-availability`
pub(crate) async fn availability(
    State(shared): State<Arc<Shared>>,
    visit: Visit,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let outcome = shared.availability(&visit, &uri, &headers, body).await;
    visit.respond(outcome.map(Data::Availability))
}

/// `POST /auth/identify`
pub(crate) async fn identify(visit: Visit, headers: HeaderMap, body: Body) -> Response {
    let outcome = async {
        let received = receive(&headers, body).await?;
        let EmptyRequest {} = received.decode().map_err(|error| Status::of_body(&error))?;
        Ok(Data::Strategy(Strategy { strategy: "password" }))
    };
    let outcome = outcome.await;
    visit.respond(outcome)
}

impl Shared {
    async fn availability(
        &self,
        visit: &Visit,
        uri: &Uri,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Availability, Status> {
        let received = receive(headers, body).await?;
        let body: IdentifierRequest<'_> = received.decode().map_err(|error| Status::of_body(&error))?;
        let query: IdentifierRequest<'_> = query(uri).map_err(|error| Status::of_body(&error))?;
        let identifier = given(query.identifier.as_ref()).or(given(body.identifier.as_ref()));
        let (identifier_type, identifier) = match given(query.kind.as_ref()).or(given(body.kind.as_ref())) {
            Some("email") => ("email", identifier),
            Some("username") => ("username", identifier),
            Some(_) => return Err(Status::identifier_missing()),
            None => match (given(body.email.as_ref()), given(body.username.as_ref())) {
                (Some(email), None) => ("email", Some(email)),
                (None, username) => ("username", username),
                (Some(_), Some(_)) => return Err(Status::identifier_missing()),
            },
        };
        let identifier = identifier.ok_or_else(Status::identifier_missing)?;
        let exists = match Address::email(identifier) {
            Ok(address) if identifier_type == "email" => self.is_known(visit, &address).await?,
            Ok(_) | Err(_) => false,
        };
        Ok(Availability { exists, available: !exists, identifier_type, identifier: identifier.to_owned() })
    }
}
