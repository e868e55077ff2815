//! Secrets, from files of their own or the environment.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use engine::{MasterKey, Secret};

use super::ConfigError;
use super::development::MASTER_KEY as DEVELOPMENT_KEY;
use super::raw::{RawKeys, RawRelay};

/// The operator's keys; an empty choice and the published development key are refused.
pub(super) fn master_key(raw: &RawKeys, folder: &Path) -> Result<MasterKey, ConfigError> {
    let newest = match (&raw.master_key, &raw.master_key_file) {
        (Some(text), None) => parse("keys.master_key", text)?,
        (None, Some(file)) => from_file("keys.master_key_file", folder, file)?,
        (Some(_), Some(_)) => {
            return Err(ConfigError::new("keys.master_key and keys.master_key_file are both given: which?"));
        }
        (None, None) => {
            return Err(ConfigError::new(
                "keys.master_key_file is missing: make one with `countersign key new`, in a file that only the server reads",
            ));
        }
    };
    let mut keys = MasterKey::new(newest);
    if let Some(text) = &raw.older_master_key {
        keys = keys.with_older(parse("keys.older_master_key", text)?);
    }
    for file in &raw.older_master_key_files {
        keys = keys.with_older(from_file("keys.older_master_key_files", folder, file)?);
    }
    Ok(keys)
}

/// A relay's password.
pub(super) fn password(raw: &RawRelay, folder: &Path) -> Result<Option<Secret<String>>, ConfigError> {
    raw.password_file.as_ref().map(|file| text(folder, file)).transpose()
}

/// The text of a file, without the end of its line.
pub(super) fn text(folder: &Path, file: &Path) -> Result<Secret<String>, ConfigError> {
    let text = String::from_utf8(read(folder, file)?)
        .map_err(|_| ConfigError::new(format!("{} is not UTF-8", file.display())))?;
    Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// The bytes of a file.
pub(super) fn read(folder: &Path, file: &Path) -> Result<Vec<u8>, ConfigError> {
    let path = folder.join(file);
    std::fs::read(&path).map_err(|error| ConfigError::new(format!("cannot read {}: {error}", path.display())))
}

fn from_file(key: &str, folder: &Path, file: &Path) -> Result<[u8; 32], ConfigError> {
    let text = Secret::new(read(folder, file)?);
    parse(key, std::str::from_utf8(text.expose()).unwrap_or_default())
}

/// 32 bytes in base64, of either alphabet, padded or not.
fn parse(key: &str, text: &str) -> Result<[u8; 32], ConfigError> {
    let text = text.trim();
    let decoded = [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD]
        .into_iter()
        .find_map(|base64| base64.decode(text).ok())
        .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
        .ok_or_else(|| {
            ConfigError::new(format!("{key} must be 32 bytes in base64, as `countersign key new` prints them"))
        })?;
    if decoded == DEVELOPMENT_KEY {
        return Err(ConfigError::new(format!(
            "{key} is the published key of `countersign dev`: make one with `countersign key new`"
        )));
    }
    Ok(decoded)
}
