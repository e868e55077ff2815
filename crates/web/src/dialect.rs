//! How a surface is mounted: it is given an [`App`] and its own section of the configuration, and gives a [`Surface`].
//!
//! A surface owns path prefixes and everything below them: its routes, what it says to unknown paths and wrong verbs,
//! and, through [`Surface::failure`], what is said in its name when something happens outside of its handlers. So one
//! port serves many surfaces and each answers in its own shape only.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use serde::de::DeserializeOwned;

/// One wire-compatible surface.
pub trait Dialect: Send + Sync {
    /// Its name: in the configuration, in metrics, in flows. Lower case, never changed.
    fn name(&self) -> &'static str;

    /// What it signs tokens with: every project has a key for each before the surface is mounted. None unless it says so.
    fn algorithms(&self) -> &'static [engine::Algorithm] {
        &[]
    }

    /// The file of its original that it can be configured with. None unless it says so.
    fn config_file(&self) -> Option<ConfigFile> {
        None
    }

    /// Who mails are from, where `section` names a file that says so. Only asked in development: elsewhere the server's own
    /// configuration must say.
    ///
    /// # Errors
    /// As [`Dialect::mount`].
    fn sender(&self, _section: &toml::Table) -> Result<Option<String>, ConfigError> {
        Ok(None)
    }

    /// How the codes look that it sends while short ones may be guessed. Six digits unless it says otherwise.
    fn code_formats(&self) -> &'static [engine::CodeFormat] {
        &[engine::CodeFormat::SIX_DIGITS]
    }

    /// Makes the surface from `section`, what stands under `[dialects.<name>]` (empty where nothing does).
    ///
    /// # Errors
    /// Whatever is wrong with `section`, in words for the operator. It must not be reported later than here.
    fn mount(&self, app: App, section: toml::Table) -> Result<Surface, ConfigError>;
}

/// An option of a surface's section that names a file of the original's. The server finds a relative path from where it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigFile {
    /// The key in the section.
    pub key: &'static str,
    /// The flag of `countersign dev` that stands for it, without dashes. Who gives it wants this surface at the root, too.
    pub flag: &'static str,
    /// What the flag is for, in one line.
    pub about: &'static str,
}

/// All that a surface is given.
#[derive(Clone)]
pub struct App {
    /// Where every check lives.
    pub engine: Arc<engine::Engine>,
    /// The project that the surface serves unless a request names another.
    pub project: Arc<engine::Project>,
    /// The public origin, as in `https://login.example.com`: without a slash at its end. What issuers and mailed links
    /// are made of; never taken from a request.
    pub origin: String,
    /// Whether this is `countersign dev`.
    pub development: bool,
}

impl fmt::Debug for App {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("App")
            .field("project", &self.project.id)
            .field("origin", &self.origin)
            .field("development", &self.development)
            .finish_non_exhaustive()
    }
}

/// A mounted surface.
#[derive(Debug)]
pub struct Surface {
    /// Its dialect's name.
    pub name: &'static str,
    /// The path prefixes it owns, as in `/v1/login`, which owns `/v1/login` and `/v1/login/…` but not `/v1/logins`. Over
    /// all surfaces the longest prefix wins, so `/` owns what nobody else does. Two surfaces with the same prefix do not
    /// start.
    pub prefixes: Vec<String>,
    /// Path prefixes at which it answers what any other surface that serves them answers too, as with the keys of a project. They are
    /// whose surface claims them among its [`Surface::prefixes`], and else of the first that shares them.
    pub shared: Vec<String>,
    /// Its routes, with whole paths, and its fallbacks for unknown paths and wrong verbs.
    pub router: Router,
    /// What it offers on the operator's listener.
    pub administration: Option<Administration>,
    /// Says in the surface's own shape what happened outside of its handlers.
    pub failure: fn(Failure) -> Response,
}

/// What a surface offers on the operator's listener only.
#[derive(Debug)]
pub struct Administration {
    /// The path prefixes it owns there; as [`Surface::prefixes`].
    pub prefixes: Vec<String>,
    /// Its routes and fallbacks.
    pub router: Router,
}

/// What happens outside of a surface's handlers. Closed: adding one makes every surface decide what it says.
///
/// The first two are not found by the server but by a surface's own router; they are here so that its fallbacks and
/// its failures can be one function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// There is no such path. Usually 404.
    NotFound,
    /// The path has no such verb. Usually 405; the router adds `allow`.
    WrongVerb,
    /// A handler panicked. Usually 500.
    Panicked,
    /// The request did not arrive in time: its sender is too slow. Usually 408.
    TimedOut,
    /// The body is longer than is read. Usually 413.
    BodyTooLarge,
    /// We were too slow, or cannot serve at the moment. Usually 503.
    Unavailable,
}

impl Failure {
    /// Every failure, for tests that a surface has an answer to each.
    pub const ALL: [Self; 6] =
        [Self::NotFound, Self::WrongVerb, Self::Panicked, Self::TimedOut, Self::BodyTooLarge, Self::Unavailable];
}

/// A configuration that cannot be served, told to the operator: where it is wrong, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    place: String,
    problem: String,
}

impl ConfigError {
    /// `problem` is a lower-case sentence without a full stop; `place` names a section or an option, as in
    /// `dialects.login.json_names`.
    pub fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { place: place.into(), problem: problem.into() }
    }

    /// Reads a surface's `section` into its own type, which should refuse unknown keys (`deny_unknown_fields`).
    ///
    /// # Errors
    /// What was wrong with the section. Values are quoted only as far as the type's own messages do, so a secret
    /// belongs into a type of its own.
    pub fn section<T: DeserializeOwned>(dialect: &str, section: toml::Table) -> Result<T, Self> {
        section.try_into().map_err(|error: toml::de::Error| {
            // The error's `Display` has several lines and may show the source text.
            Self::new(format!("dialects.{dialect}"), error.message().trim().to_owned())
        })
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.problem)
    }
}

impl std::error::Error for ConfigError {}
