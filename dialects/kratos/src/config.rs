//! What the surface is told: the original's own configuration file, as far as it concerns what is served here.

use std::path::Path;
use std::time::Duration;

use web::ConfigError;
use web::cookie::Scope;
use web::csrf::cookie_name;

use crate::cors::Cors;
use crate::routes::is_ours;
use crate::schema::Schema;

mod document;
mod duration;
mod known;
mod read;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

/// Which version's wire is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Exactly v26.2.0: what `version: v26.2.0` in the file says.
    V26_2,
    /// The same with what came after it and harms no older client.
    Newest,
}

impl Profile {
    /// Whether fields for codes say `autocomplete: one-time-code`.
    pub(crate) fn has_autocomplete(self) -> bool {
        self == Self::Newest
    }

    /// Whether a code that came too late ends the flow; else it is answered as a wrong one.
    pub(crate) fn replaces_flow_of_expired_code(self) -> bool {
        self == Self::V26_2
    }
}

/// A base URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BaseUrl {
    /// Without a slash at its end, as in `https://accounts.example.org/auth`: what links begin with.
    pub(crate) text: String,
    /// Scheme, host and port, as in `https://accounts.example.org`.
    pub(crate) origin: String,
    /// The path, as in `/auth`; empty where there is none.
    pub(crate) path: String,
}

/// One kind of self-service flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FlowConfig {
    /// Whether it is offered.
    pub(crate) enabled: bool,
    /// The page that renders it.
    pub(crate) ui_url: String,
    /// How long a flow lives.
    pub(crate) lifespan: Duration,
    /// Where it ends, unless `return_to` says otherwise.
    pub(crate) after_return_url: Option<String>,
    /// Whether somebody whose address nobody has an account with is told that it was asked about.
    pub(crate) notifies_unknown: bool,
}

/// In how many steps somebody registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RegistrationStyle {
    /// Who it will be first, then how he signs in.
    ProfileFirst,
    /// Both at once.
    Unified,
}

/// `selfservice.methods.code`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CodeConfig {
    /// Whether addresses are verified by codes.
    pub(crate) enabled: bool,
    /// Whether people sign up and in by codes.
    pub(crate) passwordless_enabled: bool,
    /// How long a code lives; as long as the project says unless given.
    pub(crate) lifespan: Option<Duration>,
    /// How many codes a flow takes, right or wrong. At most five.
    pub(crate) max_submissions: u8,
}

/// `session`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionConfig {
    /// How long a session lives.
    pub(crate) lifespan: Duration,
    /// The name of its cookie.
    pub(crate) cookie_name: String,
    /// Whether the cookie outlives the browser's window.
    pub(crate) is_persistent: bool,
    /// Where the cookie goes.
    pub(crate) scope: Scope,
}

/// Everything the surface is told.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Which version's wire is spoken.
    pub(crate) profile: Profile,
    /// `serve.public.base_url`.
    pub(crate) public: BaseUrl,
    /// `serve.admin.base_url`; without one, nobody is sent there.
    pub(crate) admin: Option<BaseUrl>,
    /// `serve.public.cors`, if it is on.
    pub(crate) cors: Option<Cors>,
    /// The name of the anti-CSRF cookie.
    pub(crate) csrf_cookie: String,
    /// Where flows end that have no other end.
    pub(crate) default_return_url: String,
    /// Where `return_to` may point.
    pub(crate) allowed_return_urls: Vec<String>,
    /// The page that shows errors.
    pub(crate) error_ui_url: String,
    /// `selfservice.flows.verification`.
    pub(crate) verification: FlowConfig,
    /// `selfservice.flows.login`.
    pub(crate) login: FlowConfig,
    /// `selfservice.flows.registration`.
    pub(crate) registration: FlowConfig,
    /// `selfservice.flows.registration.style`.
    pub(crate) registration_style: RegistrationStyle,
    /// Whether whoever has registered is signed in: the hook `session`.
    pub(crate) registration_signs_in: bool,
    /// Whether whoever has registered is shown the verification of his other addresses: the hook `show_verification_ui`.
    pub(crate) registration_shows_verification: bool,
    /// `selfservice.flows.logout.after.default_browser_return_url`.
    pub(crate) logout_return_url: Option<String>,
    /// `selfservice.methods.code`.
    pub(crate) code: CodeConfig,
    /// `session`.
    pub(crate) session: SessionConfig,
    /// `cookies`: where the anti-CSRF cookie goes.
    pub(crate) cookies: Scope,
    /// `identity.schemas`, never empty.
    pub(crate) schemas: Vec<Schema>,
    /// `identity.default_schema_id`, one of the schemas.
    pub(crate) default_schema: Schema,
    /// `courier.smtp.from_address`, with its `from_name`.
    pub(crate) sender: Option<String>,
    /// What the file says and is not done, in words for the operator.
    pub(crate) warnings: Vec<String>,
}

impl Config {
    /// Reads the file `path`; files that it names are found from its folder. `origin` is where the server is unless the file says
    /// otherwise.
    ///
    /// # Errors
    /// What is wrong with the file, in words for the operator.
    pub(crate) fn from_file(path: &Path, origin: &str) -> Result<Self, ConfigError> {
        let place = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::new(crate::CONFIG_PLACE, format!("cannot read {place}: {error}")))?;
        read::config(&text, path.parent().unwrap_or(Path::new("")), origin)
            .map_err(|problem| ConfigError::new(place, problem))
    }

    /// What is so without a file: everything a developer needs to begin with.
    ///
    /// # Errors
    /// Never, unless `origin` is none.
    pub(crate) fn of_development(origin: &str) -> Result<Self, ConfigError> {
        read::config("", Path::new(""), origin).map_err(|problem| ConfigError::new(crate::CONFIG_PLACE, problem))
    }

    /// The schema `id`.
    pub(crate) fn schema(&self, id: &str) -> Option<&Schema> {
        self.schemas.iter().find(|schema| schema.id == id)
    }

    /// `{base}` and `path`, which begins with a slash.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.public.text)
    }
}

impl BaseUrl {
    /// Reads `http://` or `https://`, a host and perhaps a path.
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("{text:?} {what}");
        let uri: http::Uri = text.parse().map_err(|_| wrong("is no URL"))?;
        let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"));
        let (Some(scheme), Some(authority)) = (scheme, uri.authority()) else {
            return Err(wrong("must begin with http:// or https:// and name a host"));
        };
        if uri.query().is_some() || text.contains(['@', '#']) {
            return Err(wrong("must be a scheme, a host, perhaps a port and a path, and nothing else"));
        }
        let path = uri.path().trim_end_matches('/').to_owned();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
        if !path.bytes().all(is_plain) || path.contains("//") || is_ours(&path) {
            return Err(wrong("has a path below which nothing can be served"));
        }
        let origin = format!("{scheme}://{authority}");
        Ok(Self { text: format!("{origin}{path}"), origin, path })
    }
}

/// The name of the anti-CSRF cookie of the server at `base_url`, as it is written in the file.
fn csrf_cookie(base_url: &str) -> String {
    cookie_name("csrf_token_", base_url)
}
