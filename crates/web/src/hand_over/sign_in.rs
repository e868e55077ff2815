//! From the authorization server to the pages and back: somebody shall sign in.
//!
//! The server redirects the browser to [`SIGN_IN`] with a sealed [`SignIn`]; the pages redirect it to the path that is named in it, with
//! the same request and either a ticket for whoever signed in or a [`SignInRefusal`]. Neither target is ever read from what a
//! browser could have written, and a ticket is good only together with its request, in the browser that both were made for.

use std::time::Duration;

use engine::{Context, Engine, IdentityId, NewTicket, Secret, Taken, Taking, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Browser, fingerprint, open, seal, with_query};

/// Where the pages wait for a [`SignIn`], as the parameter `request`.
pub const SIGN_IN: &str = "/sign-in";

/// How long somebody may take to sign in.
pub const PATIENCE: Duration = Duration::from_hours(1);

/// A ticket is brought back at once, by a redirect.
const TICKET_LIFE: Duration = Duration::from_mins(1);
const TICKET: &str = "hand_over.signed_in";
const PLACE: &str = "hand_over.sign_in";

/// What the authorization server asks of the pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignIn {
    /// The path on this origin that gets the answer.
    pub answer_to: String,
    /// The browser that it was begun in.
    pub browser: Browser,
    /// When.
    pub begun_at: Timestamp,
    /// The application that it is for, as its users know it.
    pub application: String,
    /// Where the browser goes in the end: a scheme and host, or a scheme and a colon, as content security policies write it.
    pub leads_to: String,
    /// The address that the application thinks somebody will type.
    pub login_hint: Option<String>,
    /// In which languages, most wanted first, separated by spaces.
    pub locales: Option<String>,
    /// Whether no page may be shown.
    pub is_silent: bool,
    /// How long ago somebody may have signed in without being asked again; none where that does not matter.
    pub max_age: Option<Duration>,
    /// Who it must be, where the application knows.
    pub identity: Option<i64>,
    /// What the authorization server wants to know again.
    pub note: String,
}

/// Why nobody was signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignInRefusal {
    /// A page would have been needed, and none may be shown.
    LoginRequired,
    /// The person does not want to.
    AccessDenied,
}

impl SignInRefusal {
    /// Its name in a URL, which is OAuth's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LoginRequired => "login_required",
            Self::AccessDenied => "access_denied",
        }
    }
}

/// What the answer carries, as query parameters.
#[derive(Debug, Deserialize)]
pub struct SignInAnswer<'a> {
    /// The request, sealed as it was.
    #[serde(borrow, default)]
    pub request: Option<crate::Text<'a>>,
    /// For whoever signed in.
    #[serde(borrow, default)]
    pub ticket: Option<crate::Text<'a>>,
    /// Why there is no ticket.
    #[serde(default)]
    pub error: Option<SignInRefusal>,
}

/// Somebody who signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedIn {
    /// When.
    pub at: Timestamp,
}

impl SignIn {
    /// The URL that begins it.
    ///
    /// # Errors
    /// A fault.
    pub fn url(&self, engine: &Engine, context: &Context<'_>, origin: &str) -> engine::Result<String> {
        let sealed = seal(engine, &place(context), self)?;
        Ok(with_query(&format!("{origin}{SIGN_IN}"), &[("request", &sealed)]))
    }

    /// The request that was sealed as `text`, unless it has taken too long.
    pub fn open(engine: &Engine, context: &Context<'_>, text: &str) -> Option<Self> {
        open(engine, &place(context), text).filter(|request: &Self| context.now < request.begun_at.plus(PATIENCE))
    }

    /// The URL that says that nobody signed in to the request that was sealed as `sealed`.
    pub fn refused_url(&self, origin: &str, sealed: &str, refusal: SignInRefusal) -> String {
        with_query(&format!("{origin}{}", self.answer_to), &[("request", sealed), ("error", refusal.name())])
    }

    /// The URL that hands `identity`, whose address was proved over `method`, to the authorization server: one write.
    ///
    /// # Errors
    /// A fault.
    pub async fn signed_in_url(
        &self,
        engine: &Engine,
        context: &Context<'_>,
        origin: &str,
        sealed: &str,
        (identity, method): (IdentityId, &str),
        signed_in: &SignedIn,
    ) -> engine::Result<String> {
        let body = serde_json::to_vec(signed_in).map_err(|error| engine::Fault::Bug(error.into()))?;
        let ticket = NewTicket {
            kind: TICKET,
            binding: self.binding(sealed),
            identity: Some(identity),
            method,
            body: &body,
            life: TICKET_LIFE,
        };
        let ticket: Secret<String> = engine.put_ticket(context, ticket).await?;
        let answer = [("request", sealed), ("ticket", ticket.expose().as_str())];
        Ok(with_query(&format!("{origin}{}", self.answer_to), &answer))
    }

    /// Takes the ticket of whoever signed in: one operation of the store.
    ///
    /// # Refusals
    /// As [`Engine::take_ticket`].
    pub async fn take(
        &self,
        engine: &Engine,
        context: &Context<'_>,
        sealed: &str,
        ticket: &str,
    ) -> engine::Result<(Taken, SignedIn)> {
        let taking = Taking { kind: TICKET, ticket, binding: self.binding(sealed), session: None };
        let taken = engine.take_ticket(context, taking).await?;
        let signed_in =
            serde_json::from_slice(taken.body.expose()).map_err(|error| engine::Fault::Bug(error.into()))?;
        Ok((taken, signed_in))
    }

    fn binding(&self, sealed: &str) -> [u8; 32] {
        fingerprint(&[sealed.as_bytes(), self.browser.as_bytes()])
    }
}

fn place(context: &Context<'_>) -> String {
    format!("{PLACE}/{}", context.project.id)
}
