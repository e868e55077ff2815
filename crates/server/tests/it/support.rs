//! What several tests need.

use std::io::Write as _;
use std::time::Duration;

use testkit::folder::TempFolder;
use testkit::world::Backend;

/// The binary that was built for these tests.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_countersign");

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// 32 bytes in base64.
pub(crate) const MASTER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// 32 others.
pub(crate) const OTHER_MASTER_KEY: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

/// A relay where nobody is: nothing listens on the discard port.
pub(crate) const NO_RELAY: &str = r#"url = "smtp+plain://127.0.0.1:9""#;

/// A configuration with one relay, described by `relay`, and `more` at its end.
pub(crate) fn configuration(relay: &str, more: &str) -> String {
    format!(
        r#"
[database]
path = "data/countersign.db"

[keys]
master_key_file = "master.key"

[mail]
from = "Sign-in <sign-in@example.com>"

[[mail.relays]]
{relay}

[[projects]]
id = "main"
name = "Example"

{more}
"#
    )
}

/// Whether `test` is left out because all tests are on PostgreSQL and it is about an SQLite file, `for_reason`; that is then said.
pub(crate) fn is_left_out(test: &str, for_reason: &str) -> bool {
    let is_left_out = Backend::usual() == Backend::Postgres;
    if is_left_out {
        // Not `eprintln!`: the test harness would swallow it.
        let _written = writeln!(std::io::stderr(), "\n*** LEFT OUT on PostgreSQL: {test}: {for_reason} ***");
    }
    is_left_out
}

/// A folder with `configuration` and the master key.
pub(crate) fn folder_with(configuration: &str) -> TempFolder {
    let folder = TempFolder::new();
    std::fs::write(folder.path().join("countersign.toml"), configuration).unwrap();
    std::fs::write(folder.path().join("master.key"), MASTER_KEY).unwrap();
    folder
}
