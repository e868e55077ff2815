//! Flows as clients get them, and how they are kept.
//!
//! What a flow is and how far it is, the engine knows. What it was begun with and what was said in it is in its [`Memo`]. What a
//! client sees is made of both each time it is shown.

use engine::{Context, Error, Flow, Handle, NewFlow, Project, Purpose, Refusal};
use http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;
use web::respond;

use crate::body::Submission;
use crate::config::{Config, FlowConfig};
use crate::csrf::Csrf;
use crate::error::Status;
use crate::memo::{FlowType, Memo, Moment};
use crate::redirect::with_parameter;
use crate::request::Asked;
use crate::ui::Ui;
use crate::{NAME, Shared};

/// What a flow is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// To sign in.
    Login,
    /// To have an account.
    Registration,
    /// To prove an address.
    Verification,
}

impl Kind {
    /// Its name: in paths, and as the slot of its flows.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Registration => "registration",
            Self::Verification => "verification",
        }
    }

    /// What passing its flows means to the engine.
    const fn purpose(self) -> Purpose {
        match self {
            Self::Login => Purpose::SignIn,
            Self::Registration => Purpose::SignUp,
            Self::Verification => Purpose::VerifyAddress,
        }
    }

    /// How the engine finds the flow `id`.
    pub(crate) fn handle(self, project: &Project, id: Uuid) -> Handle {
        Handle::new(NAME, &project.id, self.name(), id.as_bytes())
    }

    /// Where the flow `id` is submitted.
    pub(crate) fn submit_url(self, config: &Config, id: Uuid) -> String {
        format!("{}/self-service/{}?flow={id}", config.public.text, self.name())
    }

    /// Where the flow `id` is read.
    pub(crate) fn read_url(self, config: &Config, id: Uuid) -> String {
        format!("{}/self-service/{}/flows?id={id}", config.public.text, self.name())
    }

    /// Where a flow like this one is begun.
    pub(crate) fn begin_url(self, config: &Config, flow_type: FlowType) -> String {
        let how = match flow_type {
            FlowType::Api => "api",
            FlowType::Browser => "browser",
        };
        format!("{}/self-service/{}/{how}", config.public.text, self.name())
    }
}

impl Config {
    /// What is configured for flows of `kind`.
    pub(crate) const fn flow(&self, kind: Kind) -> &FlowConfig {
        match kind {
            Kind::Login => &self.login,
            Kind::Registration => &self.registration,
            Kind::Verification => &self.verification,
        }
    }
}

/// A flow, its name, and what is kept of it.
#[derive(Debug, Clone)]
pub(crate) struct Journey<F> {
    pub(crate) id: Uuid,
    pub(crate) flow: Flow,
    pub(crate) memo: Memo<F>,
}

impl<F: Serialize + DeserializeOwned> Journey<F> {
    /// The flow `id`, whatever has become of it; nothing where there is none.
    pub(crate) async fn read(shared: &Shared, kind: Kind, id: Uuid) -> Result<Option<Self>, Status> {
        let handle = kind.handle(&shared.project, id);
        match shared.engine.flow(handle).await {
            Ok(flow) => Self::of(id, flow).map(Some),
            Err(Error::Refused { refusal: Refusal::FlowNotFound, flow: _ }) => Ok(None),
            Err(error) => Err(Status::of(error)),
        }
    }

    /// The flow `id` as the engine has it.
    pub(crate) fn of(id: Uuid, flow: Flow) -> Result<Self, Status> {
        let memo = flow.memo.as_deref().and_then(|memo| serde_json::from_str(memo).ok());
        let Some(memo) = memo else {
            tracing::error!(dialect = NAME, flow = flow.id.get(), "the memo of a flow cannot be read");
            return Err(Status::internal());
        };
        Ok(Self { id, flow, memo })
    }

    /// Begins a flow: one write.
    pub(crate) async fn open(
        shared: &Shared,
        context: &Context<'_>,
        kind: Kind,
        memo: Memo<F>,
    ) -> Result<Self, Status> {
        let id = shared.engine.random_uuid();
        let new = NewFlow {
            handle: kind.handle(&shared.project, id),
            purpose: kind.purpose(),
            attributes: None,
            memo: Some(written(&memo)?),
            flow_life: shared.config.flow(kind).lifespan,
            device: None,
        };
        let flow = shared.engine.open_flow(context, new).await.map_err(Status::of)?;
        Ok(Self { id, flow, memo })
    }

    /// Keeps what was said in it: one write.
    pub(crate) async fn keep(&self, shared: &Shared) -> Result<(), Status> {
        let memo = written(&self.memo)?;
        shared.engine.annotate(self.flow.handle, memo).await.map_err(Status::of)
    }

    /// How far it is, for what is said from now on.
    pub(crate) fn moment(&self) -> Moment {
        Moment::of(&self.flow)
    }

    /// Whether its life is over.
    pub(crate) fn is_expired(&self, context: &Context<'_>) -> bool {
        context.now >= self.flow.expires_at
    }
}

/// A memo as it is kept.
pub(crate) fn written<F: Serialize>(memo: &Memo<F>) -> Result<String, Status> {
    serde_json::to_string(memo).map_err(|_| Status::internal())
}

/// A flow as clients get it; `M` is what flows of one kind have besides.
#[derive(Debug, Serialize)]
pub(crate) struct FlowBody<'a, M> {
    pub(crate) id: Uuid,
    #[serde(rename = "type")]
    pub(crate) flow_type: FlowType,
    pub(crate) expires_at: String,
    pub(crate) issued_at: String,
    pub(crate) request_url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) return_to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) active: Option<&'static str>,
    pub(crate) ui: Ui,
    pub(crate) state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) transient_payload: Option<Value>,
    #[serde(flatten)]
    pub(crate) more: M,
}

/// Nothing besides.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct NoMore {}

/// How far a flow is, as clients are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    ChooseMethod,
    SentEmail,
    PassedChallenge,
}

impl<'a, M> FlowBody<'a, M> {
    /// The body of `journey`, shown as `ui`.
    pub(crate) fn new<F>(journey: &'a Journey<F>, active: Option<&'static str>, ui: Ui, state: State, more: M) -> Self {
        let Journey { id, flow, memo } = journey;
        Self {
            id: *id,
            flow_type: memo.flow_type,
            expires_at: flow.expires_at.rfc3339(),
            issued_at: flow.issued_at.rfc3339(),
            request_url: &memo.request_url,
            return_to: memo.return_to.as_deref(),
            active,
            ui,
            state,
            transient_payload: None,
            more,
        }
    }
}

/// The token for a form of `memo`'s flow, in an answer to whoever has the cookie `csrf`. Who has another one, or none, gets one that
/// is good for nothing: the flow's own would be a stranger's.
pub(crate) fn token_for<F>(shared: &Shared, memo: &Memo<F>, csrf: Option<&Csrf>) -> String {
    let nobodys = Csrf::renewed(shared);
    let own = csrf.filter(|csrf| memo.belongs_to(Some(csrf)));
    own.unwrap_or(&nobodys).token(shared)
}

/// An error that a client is told, where it is none of those that a flow shows: JSON for native clients and whoever wants it, else the
/// error page.
pub(crate) async fn fail(
    shared: &Shared,
    asked: &Asked,
    flow_type: FlowType,
    status: Status,
) -> axum::response::Response {
    match flow_type {
        FlowType::Api => status.into_response(),
        FlowType::Browser => asked.fail(shared, status).await,
    }
}

/// A flow with the status that goes with it.
pub(crate) fn respond_with<M: Serialize>(status: StatusCode, body: &FlowBody<'_, M>) -> axum::response::Response {
    respond::json(status, body)
}

/// The page at `ui_url` that shows the flow `id`.
pub(crate) fn page_url(ui_url: &str, id: Uuid) -> String {
    with_parameter(ui_url, "flow", &id.to_string())
}

/// The parameters of a query that may be a code or a token: a URL that is kept goes without them.
const SECRETS: [&str; 2] = ["code", "token"];

/// The longest URL that is kept of a request; of a longer one, what stands before its query.
const LONGEST_URL: usize = 4096;

/// `url` as it may be kept: without codes and tokens.
pub(crate) fn kept_url(url: &str) -> String {
    let Some((before, query)) = url.split_once('?') else {
        return url.to_owned();
    };
    let is_secret = |parameter: &str| {
        let named = Submission::of_query(parameter);
        SECRETS.iter().any(|name| named.get(name).is_some())
    };
    let kept: Vec<_> = query.split('&').filter(|parameter| !is_secret(parameter)).collect();
    if kept.is_empty() || url.len() > LONGEST_URL { before.to_owned() } else { format!("{before}?{}", kept.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_kept_without_codes_and_tokens() {
        for (url, kept) in [
            ("https://a.test/x", "https://a.test/x"),
            ("https://a.test/x?", "https://a.test/x?"),
            ("https://a.test/x?flow=1&colour=red", "https://a.test/x?flow=1&colour=red"),
            ("https://a.test/x?code=123456&flow=1", "https://a.test/x?flow=1"),
            ("https://a.test/x?flow=1&token=abc", "https://a.test/x?flow=1"),
            ("https://a.test/x?code=123456", "https://a.test/x"),
            ("https://a.test/x?c%6Fde=123456&flow=1", "https://a.test/x?flow=1"),
        ] {
            assert_eq!(kept_url(url), kept);
        }
        assert_eq!(kept_url(&format!("https://a.test/x?y={}", "z".repeat(5000))), "https://a.test/x");
    }
}
