//! What travels through a browser and is nobody's business there.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::Engine;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// `value` sealed for `place`, in characters that a URL and a cookie take as they are. No I/O.
///
/// # Errors
/// A fault: what cannot be serialised or sealed is a bug.
pub fn seal<T: Serialize>(engine: &Engine, place: &str, value: &T) -> engine::Result<String> {
    let plain = serde_json::to_vec(value).map_err(|error| engine::Fault::Bug(error.into()))?;
    Ok(URL_SAFE_NO_PAD.encode(engine.seal(place, &plain)?))
}

/// What [`seal`] sealed for `place` as `text`; `None` if it did not.
pub fn open<T: DeserializeOwned>(engine: &Engine, place: &str, text: &str) -> Option<T> {
    let sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
    let plain = engine.open_sealed(place, &sealed)?;
    serde_json::from_slice(plain.expose()).ok()
}
