//! The API over JSON, as grpc-gateway frames it: paths and verbs, bodies whatever their content type, statuses, headers.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Serialize;
use web::{Accepts, BodyError, Client, Failure, Received, respond};

use crate::Shared;
use crate::error::{Code, Status};
use crate::message::{ResendMyEmailVerificationRequest, SetMyEmailRequest, VerifyMyEmailRequest};
use crate::origins::Origins;

/// What the paths of the API's versions begin with. The second has no routes, and says so in the API's shape.
pub(crate) const VERSIONS: [&str; 2] = ["/auth/v1", "/auth/v2"];

/// The content type of requests, whatever they call it, and of answers.
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// The type of an error's one detail.
const ERROR_DETAIL: &str = "type.googleapis.com/zitadel.v1.ErrorDetail";

/// The routes. Nothing is named twice: the verb and the path are the method.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let origins = shared.origins.clone();
    Router::new()
        .route("/auth/v1/users/me", get(get_my_user))
        .route("/auth/v1/users/me/email", get(get_my_email).put(set_my_email))
        .route("/auth/v1/users/me/email/_resend_verification", post(resend_my_email_verification))
        .route("/auth/v1/users/me/email/_verify", post(verify_my_email))
        .fallback(|| async { failure(Failure::NotFound) })
        .method_not_allowed_fallback(|| async { failure(Failure::WrongVerb) })
        .layer(from_fn_with_state(origins, frame))
        .with_state(shared)
}

/// `GET /auth/v1/users/me`
async fn get_my_user(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
) -> Response {
    let answer = async { shared.get_my_user(&shared.authenticate(shared.context(&client), &headers).await?).await };
    shared.respond(answer.await.map_err(Refused::from))
}

/// `GET /auth/v1/users/me/email`
async fn get_my_email(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
) -> Response {
    let answer = async { shared.get_my_email(&shared.authenticate(shared.context(&client), &headers).await?).await };
    shared.respond(answer.await.map_err(Refused::from))
}

/// `PUT /auth/v1/users/me/email`
async fn set_my_email(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = async {
        let received = receive(&headers, body).await?;
        let request: SetMyEmailRequest<'_> = received.decode()?;
        let call = shared.authenticate(shared.context(&client), &headers).await?;
        Ok(shared.set_my_email(&call, &request).await?)
    };
    shared.respond(answer.await)
}

/// `POST /auth/v1/users/me/email/_resend_verification`
async fn resend_my_email_verification(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = async {
        let received = receive(&headers, body).await?;
        let request: ResendMyEmailVerificationRequest = received.decode()?;
        let call = shared.authenticate(shared.context(&client), &headers).await?;
        Ok(shared.resend_my_email_verification(&call, &request).await?)
    };
    shared.respond(answer.await)
}

/// `POST /auth/v1/users/me/email/_verify`
async fn verify_my_email(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = async {
        let received = receive(&headers, body).await?;
        let request: VerifyMyEmailRequest<'_> = received.decode()?;
        let call = shared.authenticate(shared.context(&client), &headers).await?;
        Ok(shared.verify_my_email(&call, &request).await?)
    };
    shared.respond(answer.await)
}

/// An error with the HTTP status it is said with, which is its code's, but for what only HTTP knows.
struct Refused {
    http: StatusCode,
    status: Status,
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Self { http: http_status(status.code), status }
    }
}

impl From<BodyError> for Refused {
    /// The words say where and what, and never quote.
    fn from(error: BodyError) -> Self {
        let http = match error {
            BodyError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::ContentEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            BodyError::ContentType
            | BodyError::Interrupted
            | BodyError::Encoding
            | BodyError::Syntax(_)
            | BodyError::NotAnObject
            | BodyError::TooDeep
            | BodyError::Missing { field: _ }
            | BodyError::Duplicate { field: _ }
            | BodyError::WrongType { position: _ } => StatusCode::BAD_REQUEST,
        };
        Self { http, status: Status::of_frame(Code::InvalidArgument, error.to_string()) }
    }
}

/// The HTTP status of a code: grpc-gateway's table (`runtime/errors.go`).
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::InvalidArgument | Code::FailedPrecondition => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
    }
}

/// What happens outside of the handlers, in the surface's shape.
pub(crate) fn failure(failure: Failure) -> Response {
    let (http, status) = match failure {
        Failure::NotFound => (StatusCode::NOT_FOUND, Status::of_frame(Code::NotFound, "Not Found")),
        Failure::WrongVerb => {
            (StatusCode::METHOD_NOT_ALLOWED, Status::of_frame(Code::Unimplemented, "Method Not Allowed"))
        }
        Failure::TimedOut => {
            let text = "the request did not arrive in time";
            (StatusCode::REQUEST_TIMEOUT, Status::of_frame(Code::DeadlineExceeded, text))
        }
        Failure::BodyTooLarge => {
            let Refused { http, status } = Refused::from(BodyError::TooLarge);
            (http, status)
        }
        Failure::Panicked => (StatusCode::INTERNAL_SERVER_ERROR, Status::internal()),
        Failure::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, Status::unavailable()),
    };
    let mut response = error(http, &status);
    response.headers_mut().insert("x-robots-tag", HeaderValue::from_static("none"));
    response
}

/// Reads a body as JSON, whatever its content type: the original looks at none.
async fn receive(headers: &HeaderMap, body: Body) -> Result<Received, BodyError> {
    let mut headers = headers.clone();
    headers.insert(header::CONTENT_TYPE, JSON);
    Received::read(Accepts::Json, &headers, body).await
}

impl Shared {
    /// The answer as it goes out.
    fn respond<T: Serialize>(&self, answer: Result<T, Refused>) -> Response {
        let mut response = match answer {
            Ok(message) => {
                let mut response = respond::json(StatusCode::OK, &message);
                response.headers_mut().insert(header::CONTENT_TYPE, JSON);
                response
            }
            Err(Refused { http, status }) => {
                let mut response = error(http, &status);
                if http == StatusCode::UNAUTHORIZED {
                    response.headers_mut().extend(self.challenge(&status).map(|it| (header::WWW_AUTHENTICATE, it)));
                }
                response
            }
        };
        let headers = response.headers_mut();
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        // RFC 9111, 5.3: 0 lies in the past.
        headers.insert(header::EXPIRES, HeaderValue::from_static("0"));
        response
    }

    /// What a client should have brought (RFC 6750, 3). Nothing is called an error where no token came.
    fn challenge(&self, status: &Status) -> Option<HeaderValue> {
        let mut value = format!("Bearer realm=\"{}\"", self.issuer);
        if status.is_token_invalid() {
            value.push_str(", error=\"invalid_token\", error_description=\"");
            value.push_str(&status.message());
            value.push('"');
        }
        HeaderValue::try_from(value).ok()
    }
}

/// The JSON of `google.rpc.Status`. An error without an id has no details.
#[derive(Serialize)]
struct ErrorBody<'a> {
    code: u8,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<[ErrorDetail<'a>; 1]>,
}

#[derive(Serialize)]
struct ErrorDetail<'a> {
    #[serde(rename = "@type")]
    kind: &'static str,
    id: &'static str,
    message: &'a str,
}

fn error(http: StatusCode, status: &Status) -> Response {
    let details = status.id.map(|id| [ErrorDetail { kind: ERROR_DETAIL, id, message: &status.text }]);
    let body = ErrorBody { code: status.code as u8, message: &status.message(), details };
    let mut response = respond::json(http, &body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, JSON);
    if let Some(wait) = status.retry_after {
        // Rounded up: who comes back then is not early.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// What every answer has, and what browsers ask before they call (Fetch, 3.3): no credentials, because none ride on a browser here.
async fn frame(State(origins): State<Origins>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).filter(|origin| origins.allows(origin)).cloned();
    let is_preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ORIGIN)
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if is_preflight { preflight(request.headers()) } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.insert("x-robots-tag", HeaderValue::from_static("none"));
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if !is_preflight {
            let exposed = HeaderValue::from_static("Content-Length, Location, Retry-After, WWW-Authenticate");
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }
    response
}

/// Whatever is asked for is allowed: what an answer is worth, a token decides.
fn preflight(asked: &HeaderMap) -> Response {
    let mut response = respond::empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    for (ask, answer) in [
        (header::ACCESS_CONTROL_REQUEST_METHOD, header::ACCESS_CONTROL_ALLOW_METHODS),
        (header::ACCESS_CONTROL_REQUEST_HEADERS, header::ACCESS_CONTROL_ALLOW_HEADERS),
    ] {
        if let Some(value) = asked.get(&ask) {
            headers.insert(answer, value.clone());
        }
        headers.append(header::VARY, HeaderValue::from(ask));
    }
    response
}
