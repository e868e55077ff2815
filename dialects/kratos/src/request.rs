//! What every handler wants to know of a request, read once.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, OriginalUri};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, Method, Uri};
use web::RequestOrigin;

use crate::Shared;
use crate::body::Submission;
use crate::error::Status;
use crate::negotiation::Client;

/// A request without its body.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// What its sender wants.
    pub(crate) wants: Client,
    /// Who sends it.
    pub(crate) client: web::Client,
    /// Its verb.
    pub(crate) method: Method,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// The parameters of its query; what cannot be read is not there.
    pub(crate) query: Submission,
    /// The URL it was sent to, as its sender sees it: goes back into answers to him, and never into a mail or a link.
    pub(crate) url: String,
}

impl FromRequestParts<Arc<Shared>> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Infallible> {
        let target = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |OriginalUri(uri)| uri);
        let origin = parts.extensions.get::<RequestOrigin>().map(RequestOrigin::as_str);
        let url = format!("{}{}", origin.unwrap_or(&shared.config.public.origin), path_and_query(target));
        Ok(Self {
            wants: Client::of(&parts.headers),
            client: parts.extensions.get::<web::Client>().cloned().unwrap_or_default(),
            method: parts.method.clone(),
            headers: parts.headers.clone(),
            query: Submission::of_query(parts.uri.query().unwrap_or_default()),
            url,
        })
    }
}

fn path_and_query(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", |target| target.as_str())
}

impl Asked {
    /// Whether it only reads: `GET` or `HEAD`.
    pub(crate) fn is_read(&self) -> bool {
        self.method.is_safe()
    }

    /// The flow that `?flow=` names.
    pub(crate) fn flow_id(&self) -> Option<uuid::Uuid> {
        self.query.get("flow")?.parse().ok()
    }

    /// 303 to `location`, with a small page where a browser might show it.
    pub(crate) fn redirect(&self, location: &str) -> Response {
        crate::redirect::see_other(self.is_read(), location)
    }

    /// An error that no flow can show: JSON for who wants it, else the error page.
    pub(crate) async fn fail(&self, shared: &Shared, status: Status) -> Response {
        if self.wants.is_json {
            status.into_response()
        } else {
            crate::error_page::hand_off(shared, self, status).await
        }
    }
}
