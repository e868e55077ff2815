//! The control socket: how the command line reaches the running server, which holds the database's lock.
//!
//! A Unix socket beside the database, for its owner only. It speaks HTTP, so that the same loop serves it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use engine::{Address, Engine, ProjectId, Registered};
use http::StatusCode;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;

use crate::cli::CommandError;

/// What is asked of the running server about an address.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AddressRequest {
    pub(crate) project: String,
    pub(crate) address: String,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// An identity that owns the address, which it has yet to prove.
    AddIdentity,
    /// That what was guessed about the address and sent to it is forgiven.
    Unlock,
}

impl Order {
    const fn path(self) -> &'static str {
        match self {
            Self::AddIdentity => "/identities",
            Self::Unlock => "/unlocked",
        }
    }
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Obeyed {
    /// The identity's number, if there is one.
    pub(crate) id: Option<i64>,
    /// Whether anything is now as it was not before.
    pub(crate) is_new: bool,
}

/// Where the socket of a database is.
pub(crate) fn socket_path(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(".sock");
    path.into()
}

/// What the socket answers.
pub(crate) fn router(engine: Arc<Engine>) -> Router {
    Router::new()
        .route(Order::AddIdentity.path(), post(add))
        .route(Order::Unlock.path(), post(unlock))
        .with_state(engine)
}

type Answer = Result<Json<Obeyed>, (StatusCode, String)>;

async fn add(State(engine): State<Arc<Engine>>, Json(request): Json<AddressRequest>) -> Answer {
    answer(obey(&engine, Order::AddIdentity, &request).await)
}

async fn unlock(State(engine): State<Arc<Engine>>, Json(request): Json<AddressRequest>) -> Answer {
    answer(obey(&engine, Order::Unlock, &request).await)
}

fn answer(result: Result<Obeyed, String>) -> Answer {
    result.map(Json).map_err(|sentence| (StatusCode::UNPROCESSABLE_ENTITY, sentence))
}

/// Does what is asked; a sentence on failure.
pub(crate) async fn obey(engine: &Engine, order: Order, request: &AddressRequest) -> Result<Obeyed, String> {
    let project = ProjectId::new(&request.project);
    if engine.projects().get(&project).is_none() {
        return Err(format!("the running server has no project {project}"));
    }
    let address = Address::email(&request.address).map_err(|_| "that is no e-mail address".to_owned())?;
    let done = match order {
        Order::AddIdentity => engine.register(&project, address).await.map(|registered| match registered {
            Registered::Added(account) => Obeyed { id: Some(account.identity.id.get()), is_new: true },
            Registered::Taken(owner) => Obeyed { id: Some(owner.identity.id.get()), is_new: false },
        }),
        Order::Unlock => engine.forgive(&project, &address).await.map(|()| Obeyed { id: None, is_new: true }),
    };
    match done {
        Ok(obeyed) => Ok(obeyed),
        Err(engine::Error::Failed(fault)) => Err(fault.report()),
        Err(engine::Error::Refused { refusal, .. }) => Err(format!("refused: {refusal:?}")),
    }
}

/// Asks the server that holds `database`; `None` if none runs.
pub(crate) async fn ask(
    database: &Path,
    order: Order,
    request: &AddressRequest,
) -> Result<Option<Obeyed>, CommandError> {
    let Ok(stream) = UnixStream::connect(socket_path(database)).await else {
        return Ok(None);
    };
    let failed =
        |error: &dyn std::fmt::Display| CommandError::Other(format!("the running server did not answer: {error}"));
    let body = serde_json::to_vec(request).map_err(|error| failed(&error))?;
    let request = http::Request::post(order.path())
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| failed(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        Ok::<_, hyper::Error>((status, response.into_body().collect().await?.to_bytes()))
    };
    let answer = tokio::select! {
        answer = exchange => answer,
        ended = connection => Err(ended.err().ok_or_else(|| failed(&"the connection ended"))?),
    };
    let (status, body) = answer.map_err(|error| failed(&error))?;
    if !status.is_success() {
        return Err(CommandError::Other(String::from_utf8_lossy(&body).into_owned()));
    }
    serde_json::from_slice(&body).map(Some).map_err(|error| failed(&error))
}
