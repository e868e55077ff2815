//! A look into the database, and a hand in it, while no server has it open.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use testkit::mailbox::python;

/// What Python's `sqlite3` finds when it runs `statement` on `database`; none where there is no Python.
pub(crate) fn sql(database: &Path, statement: &str) -> Option<Vec<Vec<Value>>> {
    const SCRIPT: &str = "import json, sqlite3, sys; connection = sqlite3.connect(sys.argv[1]); \
                          rows = connection.execute(sys.argv[2]).fetchall(); connection.commit(); print(json.dumps(rows))";
    let output = Command::new(python()?).args(["-c", SCRIPT]).arg(database).arg(statement).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}
