//! `GET /admin/identities`: all of them in pages, or those that are named.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use engine::{Account, Address, Context, Error, IdentityId, Refusal};
use http::{HeaderMap, StatusCode};
use web::respond;

use crate::Shared;
use crate::error::Status;
use crate::identity::{self, Audience, IdentityBody, Kept};
use crate::page::{self, Names, Numbered};
use crate::request::Asked;

const PATH: &str = "/admin/identities";

/// How many are named at most.
const MOST_NAMED: usize = 500;

/// How many are taken at a time where all are walked through.
const STRIDE: u32 = 1000;

/// Whether it is asked where codes go to.
pub(super) fn includes_configuration(asked: &Asked) -> bool {
    asked.query.get("include_credential").is_some_and(|kind| kind == "code")
}

/// The handler.
pub(super) async fn list(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery, asked: Asked) -> Response {
    let mut headers = HeaderMap::new();
    let found = find(&shared, &asked, query.as_deref().unwrap_or_default(), &mut headers).await;
    let accounts = match found {
        Ok(accounts) => accounts,
        Err(status) => return status.into_response(),
    };
    let with_configuration = includes_configuration(&asked);
    let audience = Audience::Operator { says_no_metadata: true, with_configuration };
    let bodies: Vec<_> = accounts.iter().map(|account| IdentityBody::new(&shared, account, audience)).collect();
    let mut response = respond::json(StatusCode::OK, &bodies);
    response.headers_mut().extend(headers);
    response
}

async fn find(shared: &Shared, asked: &Asked, query: &str, headers: &mut HeaderMap) -> Result<Vec<Account>, Status> {
    let context = shared.context(&asked.client);
    let ids: Vec<_> = query.split('&').filter_map(|pair| pair.strip_prefix("ids=")).collect();
    let identifier = asked.query.get("credentials_identifier");
    for name in ["preview_credentials_identifier_similar", "organization_id"] {
        if asked.query.get(name).is_some() {
            return Err(Status::bad_request(format!("The query parameter {name} is not supported")));
        }
    }
    match (ids.as_slice(), identifier) {
        ([], None) if asked.query.get("page").is_some() => numbered(shared, &context, asked, headers).await,
        ([], None) => page(shared, &context, asked, headers).await,
        ([], Some(identifier)) => {
            let size = page::size(&asked.query).to_string();
            let parameters = [("credentials_identifier", &*identifier), ("page_size", &size)];
            page::put_keyset(PATH, &parameters, None, headers);
            by_identifier(shared, &context, &identifier).await
        }
        (ids, None) => named(shared, &context, ids).await,
        (_, Some(_)) => {
            Err(Status::bad_request("The query parameters ids and credentials_identifier exclude each other"))
        }
    }
}

/// The page that a token of the page before names.
async fn page(
    shared: &Shared,
    context: &Context<'_>,
    asked: &Asked,
    headers: &mut HeaderMap,
) -> Result<Vec<Account>, Status> {
    let size = page::size(&asked.query);
    let after = match asked.query.get("page_token") {
        None => None,
        Some(token) if token == page::BEGINNING => None,
        Some(token) => {
            let last = identity::read_public_id(&shared.engine, &token);
            Some(last.ok_or_else(|| Status::bad_request("The query parameter page_token is none of ours"))?)
        }
    };
    // One more than is shown: whether there is a next page.
    let limit = u32::try_from(size.saturating_add(1)).unwrap_or(u32::MAX);
    let mut accounts = shared.engine.identities(context, after, limit).await.map_err(Status::of)?;
    let has_more = accounts.len() > size;
    accounts.truncate(size);
    let last = accounts.last().filter(|_| has_more);
    let next = last.map(|account| identity::public_id(&shared.engine, account.identity.id).to_string());
    page::put_keyset(PATH, &[("page_size", &size.to_string())], next.as_deref(), headers);
    Ok(accounts)
}

/// A page by its number, as it was asked for before there were tokens. How many there are in all is part of the answer, so all are
/// walked through.
async fn numbered(
    shared: &Shared,
    context: &Context<'_>,
    asked: &Asked,
    headers: &mut HeaderMap,
) -> Result<Vec<Account>, Status> {
    let page = Numbered::of(&asked.query);
    let mut shown = Vec::new();
    let (mut total, mut after): (usize, Option<IdentityId>) = (0, None);
    loop {
        let accounts = shared.engine.identities(context, after, STRIDE).await.map_err(Status::of)?;
        let Some(last) = accounts.last() else { break };
        after = Some(last.identity.id);
        let count = accounts.len();
        let skipped = page.skipped().saturating_sub(total);
        let room = page.size.saturating_sub(shown.len());
        shown.extend(accounts.into_iter().skip(skipped).take(room));
        total += count;
    }
    page.put_links(PATH, total, Names::Old, headers);
    Ok(shown)
}

/// Whoever signs in with `identifier`.
async fn by_identifier(shared: &Shared, context: &Context<'_>, identifier: &str) -> Result<Vec<Account>, Status> {
    let Ok(address) = Address::email(identifier) else { return Ok(Vec::new()) };
    let owner = match shared.engine.owner(&shared.project.id, &address).await {
        Ok(owner) => owner.identity,
        Err(Error::Refused { refusal: Refusal::IdentityNotFound, flow: _ }) => return Ok(Vec::new()),
        Err(error) => return Err(Status::of(error)),
    };
    let schema = Kept::of(&owner);
    let schema = schema.schema(&shared.config);
    if !identity::roles(schema, &identity::object(&owner.traits), &address).is_identifier {
        return Ok(Vec::new());
    }
    one(shared, context, owner.id).await
}

/// Those of `ids` that there are, in that order.
async fn named(shared: &Shared, context: &Context<'_>, ids: &[&str]) -> Result<Vec<Account>, Status> {
    if ids.len() > MOST_NAMED {
        return Err(Status::bad_request(format!("No more than {MOST_NAMED} ids are looked up at once")));
    }
    let mut accounts = Vec::new();
    for id in ids {
        if let Some(id) = identity::read_public_id(&shared.engine, id) {
            accounts.extend(one(shared, context, id).await?);
        }
    }
    Ok(accounts)
}

async fn one(shared: &Shared, context: &Context<'_>, id: IdentityId) -> Result<Vec<Account>, Status> {
    match shared.engine.identity(context, id).await {
        Ok(account) => Ok(vec![account]),
        Err(Error::Refused { refusal: Refusal::IdentityNotFound, flow: _ }) => Ok(Vec::new()),
        Err(error) => Err(Status::of(error)),
    }
}
