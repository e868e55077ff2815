//! From the authorization server to the pages: somebody shall be signed out.

use engine::{Context, Engine, Timestamp};
use serde::{Deserialize, Serialize};

use super::{PATIENCE, open, seal, with_query};

/// Where the pages wait for a [`SignOut`], as the parameter `request`.
pub const SIGN_OUT: &str = "/sign-out";

const PLACE: &str = "hand_over.sign_out";

/// What the authorization server asks of the pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignOut {
    /// When it was asked.
    pub begun_at: Timestamp,
    /// Who the application proved to speak for; a person is asked where it did not, or where somebody else is signed in.
    pub identity: Option<i64>,
    /// Where the browser goes then: a URL that the application declared. None: a page says that it is done.
    pub return_to: Option<String>,
    /// The same as content security policies write it.
    pub leads_to: Option<String>,
    /// In which languages, most wanted first, separated by spaces.
    pub locales: Option<String>,
}

impl SignOut {
    /// The URL that begins it.
    ///
    /// # Errors
    /// A fault.
    pub fn url(&self, engine: &Engine, context: &Context<'_>, origin: &str) -> engine::Result<String> {
        let sealed = seal(engine, &place(context), self)?;
        Ok(with_query(&format!("{origin}{SIGN_OUT}"), &[("request", &sealed)]))
    }

    /// The request that was sealed as `text`, unless it has taken too long.
    pub fn open(engine: &Engine, context: &Context<'_>, text: &str) -> Option<Self> {
        open(engine, &place(context), text).filter(|request: &Self| context.now < request.begun_at.plus(PATIENCE))
    }
}

fn place(context: &Context<'_>) -> String {
    format!("{PLACE}/{}", context.project.id)
}
