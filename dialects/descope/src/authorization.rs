//! Who asks, as the `authorization` header says: a project, and perhaps a token.

use engine::{Project, ProjectId, Projects};
use http::{HeaderMap, HeaderName, header};

use crate::error::Status;

/// Names the cookie that holds the refresh token, where it is not the usual one.
const COOKIE_NAME: HeaderName = HeaderName::from_static("x-descope-refresh-cookie-name");
/// The usual one.
const REFRESH_COOKIE: &str = "DSR";
/// Says where a browser's request comes from (W3C Fetch Metadata); pages cannot write it.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// A request's authorization: `Bearer <project>[:<JWT or authentication management key>[:<authentication management key>]]`.
pub(crate) struct Authorization<'a> {
    /// The project.
    pub(crate) project: &'a Project,
    /// The JWT of the second part. Whether it is worth anything is looked at by the routes that need one, and by no other.
    token: Option<&'a str>,
}

impl<'a> Authorization<'a> {
    /// Reads `headers`. No I/O: projects are configuration.
    pub(crate) fn read(projects: &'a Projects, headers: &'a HeaderMap) -> Result<Self, Status> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let value = values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok());
        let (scheme, parts) = value.and_then(|value| value.trim().split_once(' ')).ok_or_else(Status::unauthorized)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Status::unauthorized());
        }
        let mut parts = parts.trim().split(':');
        let project = parts.next().filter(|project| !project.is_empty()).ok_or_else(Status::unauthorized)?;
        let project = projects.get(&ProjectId::new(project)).ok_or_else(Status::project_not_found)?;
        Ok(Self { project, token: parts.next().filter(|part| is_jwt(part)) })
    }

    /// The session token, which only the header carries.
    pub(crate) fn session_token(&self) -> Result<&'a str, Status> {
        self.token.ok_or_else(|| Status::token_missing("session token"))
    }

    /// What may show that the caller is on a device that an address knows: a refresh token, over or not, if there is one.
    pub(crate) fn device_token(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        self.token.or_else(|| cookie(headers))
    }

    /// The refresh token, from the header or else from its cookie.
    pub(crate) fn refresh_token(&self, headers: &'a HeaderMap) -> Result<&'a str, Status> {
        self.token.or_else(|| cookie(headers)).ok_or_else(|| Status::token_missing("refresh token"))
    }
}

/// Whether `text` has the three segments of a JWT. Management keys have no dots.
fn is_jwt(text: &str) -> bool {
    text.split('.').count() == 3
}

/// The token that a cookie holds. A browser sends cookies with what any page asks, and any page may read the answer: so not where the
/// page is of another site.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    if headers.get(FETCH_SITE).is_some_and(|site| site == "cross-site") {
        return None;
    }
    let name = headers.get(COOKIE_NAME).and_then(|name| name.to_str().ok()).map(str::trim);
    let name = name.filter(|name| !name.is_empty()).unwrap_or(REFRESH_COOKIE);
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, value)| *key == name && is_jwt(value)).map(|(_, value)| value)
}
