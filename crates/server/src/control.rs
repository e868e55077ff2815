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

/// Asks for an identity that owns an address it has yet to prove.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AddIdentity {
    pub(crate) project: String,
    pub(crate) address: String,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct IdentityAdded {
    /// The identity's number.
    pub(crate) id: i64,
    /// Whether it was not there before.
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
    Router::new().route("/identities", post(add)).with_state(engine)
}

async fn add(
    State(engine): State<Arc<Engine>>,
    Json(request): Json<AddIdentity>,
) -> Result<Json<IdentityAdded>, (StatusCode, String)> {
    add_identity(&engine, &request).await.map(Json).map_err(|sentence| (StatusCode::UNPROCESSABLE_ENTITY, sentence))
}

/// Adds the identity; a sentence on failure.
pub(crate) async fn add_identity(engine: &Engine, request: &AddIdentity) -> Result<IdentityAdded, String> {
    let project = ProjectId::new(&request.project);
    if engine.projects().get(&project).is_none() {
        return Err(format!("the running server has no project {project}"));
    }
    let address = Address::email(&request.address).map_err(|_| "that is no e-mail address".to_owned())?;
    match engine.register(&project, address).await {
        Ok(Registered::Added(owner)) => Ok(IdentityAdded { id: owner.identity.id.get(), is_new: true }),
        Ok(Registered::Taken(owner)) => Ok(IdentityAdded { id: owner.identity.id.get(), is_new: false }),
        Err(engine::Error::Failed(fault)) => Err(fault.report()),
        Err(engine::Error::Refused { refusal, .. }) => Err(format!("refused: {refusal:?}")),
    }
}

/// Asks the server that holds `database`; `None` if none runs.
pub(crate) async fn ask(database: &Path, request: &AddIdentity) -> Result<Option<IdentityAdded>, CommandError> {
    let Ok(stream) = UnixStream::connect(socket_path(database)).await else {
        return Ok(None);
    };
    let failed =
        |error: &dyn std::fmt::Display| CommandError::Other(format!("the running server did not answer: {error}"));
    let body = serde_json::to_vec(request).map_err(|error| failed(&error))?;
    let request = http::Request::post("/identities")
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
