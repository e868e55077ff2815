//! Configurations for tests.

use std::path::Path;

use super::{Config, read};

/// Reads `text` as the file of a server at `https://accounts.test/`, with pages at `https://ui.test`.
pub(crate) fn read(text: &str) -> Config {
    read::config(text, Path::new(""), "https://accounts.test/").unwrap()
}
