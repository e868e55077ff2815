//! Which browser it is: what is begun in one is gone on with in the same, and a form is sent from a page that we showed to it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::{Context, Engine};
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};

use super::{open, seal};
use crate::page::PageCookie;

/// A random name that a browser is given with its first request and forgets when it is closed. It says nothing about who uses it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Browser(String);

/// 32 bytes in base64url.
const LENGTH: usize = 43;

impl std::fmt::Debug for Browser {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Browser(…)")
    }
}

impl Browser {
    /// The browser that sends a request with `headers` to `origin`, if it was named before.
    pub fn of(headers: &HeaderMap, origin: &str) -> Option<Self> {
        let name = cookie(origin).read(headers)?;
        let is_ours =
            name.len() == LENGTH && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        is_ours.then(|| Self(name.to_owned()))
    }

    /// A new name.
    pub fn new(engine: &Engine) -> Self {
        Self(URL_SAFE_NO_PAD.encode(engine.random::<32>()))
    }

    /// The header that tells the browser its name.
    pub fn cookie(&self, origin: &str) -> Option<HeaderValue> {
        cookie(origin).set(&self.0, None)
    }

    /// Its name, for digests.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The token of the form called `form` on a page that is shown to this browser. No I/O.
    ///
    /// # Errors
    /// A fault.
    pub fn form_token(&self, engine: &Engine, context: &Context<'_>, form: &str) -> engine::Result<String> {
        seal(engine, &form_place(context, form), self)
    }

    /// Whether `token` is of the form called `form`, on a page that was shown to this browser.
    pub fn sent(&self, engine: &Engine, context: &Context<'_>, form: &str, token: &str) -> bool {
        open::<Self>(engine, &form_place(context, form), token).is_some_and(|shown_to| shown_to == *self)
    }
}

fn cookie(origin: &str) -> PageCookie {
    PageCookie::new("browser", origin)
}

fn form_place(context: &Context<'_>, form: &str) -> String {
    format!("form/{}/{}/{form}", context.project.id, context.dialect)
}
