//! Which pages may call.

use std::sync::Arc;

use http::{HeaderValue, Uri};
use web::ConfigError;

use crate::NAME;

/// The origins whose pages may call. A clone is the same list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origins(Option<Arc<[HeaderValue]>>);

impl Origins {
    /// Our `own` and those of the configuration; without one, any: a page has no more to call with than the token it was given.
    pub(crate) fn new(own: &str, configured: Option<Vec<String>>) -> Result<Self, ConfigError> {
        let Some(configured) = configured else { return Ok(Self(None)) };
        let origins = configured.iter().map(String::as_str).chain([own]).map(read);
        Ok(Self(Some(origins.collect::<Result<_, _>>()?)))
    }

    /// Whether a page of `origin` may.
    pub(crate) fn allows(&self, origin: &HeaderValue) -> bool {
        self.0.as_ref().is_none_or(|origins| origins.contains(origin))
    }
}

/// An origin as browsers send it: scheme, host and, where it is not the scheme's own, port.
fn read(origin: &str) -> Result<HeaderValue, ConfigError> {
    let uri = origin.parse::<Uri>().ok();
    let is_origin = uri.is_some_and(|uri| match (uri.scheme_str(), uri.authority()) {
        (Some(scheme @ ("http" | "https")), Some(authority)) => {
            origin == format!("{scheme}://{authority}") && origin == origin.to_ascii_lowercase()
        }
        _ => false,
    });
    let value = HeaderValue::from_str(origin).ok().filter(|_| is_origin);
    value.ok_or_else(|| {
        let place = format!("dialects.{NAME}.allowed_origins");
        ConfigError::new(place, "each must be an origin, as in https://app.example.com, without a path")
    })
}
