//! Which database the binary is on: a file in its folder, or, where all tests are on PostgreSQL, one of the process's cluster.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::files_below;
use crate::cluster::{Cluster, TestDatabase};
use crate::mailbox::python;
use crate::world::Backend;

/// How a configuration names the file that a test has which does not care which database it is on.
const FILE: &str = "path = \"data/countersign.db\"";

/// The file beside the configuration that says which database of the cluster is in the place of that file.
const NOTE: &str = "database.url";

/// The database in the place of the file in `folder`, made when it is first asked for; none where tests are on SQLite.
pub(super) async fn of_folder(folder: &Path) -> Option<TestDatabase> {
    if Backend::usual() == Backend::Sqlite {
        return None;
    }
    let cluster = Cluster::shared().await.expect("the database that all tests shall be on is installed");
    if let Ok(url) = fs::read_to_string(folder.join(NOTE)) {
        return Some(cluster.named(&url));
    }
    let database = cluster.database().await;
    fs::write(folder.join(NOTE), database.url()).expect("the folder can be written to");
    Some(database)
}

/// Has the configuration in `folder` name that database instead of the file; none where it names something else, or nothing.
pub(super) async fn configured(folder: &Path) -> Option<TestDatabase> {
    let path = folder.join("countersign.toml");
    let text = fs::read_to_string(&path).unwrap_or_default();
    if text.contains(FILE) {
        let database = of_folder(folder).await?;
        fs::write(&path, text.replace(FILE, &format!("url = {:?}", database.url()))).expect("it can be changed");
        return Some(database);
    }
    let note = fs::read_to_string(folder.join(NOTE)).ok()?;
    if text.contains(&note) { of_folder(folder).await } else { None }
}

/// What a foreign program finds when it runs `statement` on the database; none where SQLite's is asked and there is no Python.
pub(super) fn ask(postgres: Option<&TestDatabase>, file: &Path, statement: &str) -> Option<Vec<Vec<Value>>> {
    const SCRIPT: &str = "import json, sqlite3, sys; connection = sqlite3.connect(sys.argv[1]); \
                          rows = connection.execute(sys.argv[2]).fetchall(); connection.commit(); print(json.dumps(rows))";
    let json = if let Some(database) = postgres {
        if !statement.starts_with("SELECT") {
            database.ask(statement);
            return Some(Vec::new());
        }
        database.ask(&format!(
            "SELECT coalesce(json_agg((SELECT json_agg(value ORDER BY number) \
             FROM json_each(row_to_json(found)) WITH ORDINALITY AS pairs (key, value, number))), '[]') FROM ({statement}) AS found"
        ))
    } else {
        let mut command = std::process::Command::new(python()?);
        let output = command.args(["-c", SCRIPT]).arg(file).arg(statement).output().expect("Python can be started");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("JSON is text")
    };
    Some(serde_json::from_str(&json).expect("it is JSON"))
}

/// Everything that is kept, in pieces with their names: the files of an SQLite database, or the fields of a backup, as the bytes that
/// they stand for.
pub(super) fn kept(postgres: Option<&TestDatabase>, file: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    match postgres {
        None => files_below(file.parent().expect("a file is in a folder")),
        Some(database) => {
            let dump = String::from_utf8(database.dump()).expect("a backup is text");
            vec![(PathBuf::from(database.name()), dump.split(['\t', '\n']).flat_map(as_kept).collect())]
        }
    }
}

/// A field of a backup as the bytes that are kept. Also a number, but for one as long as a code: else codes would be found by chance in
/// the digits that times and ids are written with.
fn as_kept(field: &str) -> Vec<u8> {
    if let Ok(number) = field.parse::<i64>()
        && !(6..=12).contains(&field.len())
    {
        return number.to_be_bytes().to_vec();
    }
    let digits = field.strip_prefix("\\\\x").unwrap_or_default().as_bytes();
    let pairs = digits.chunks_exact(2).map(|pair| str::from_utf8(pair).ok());
    let bytes = pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect::<Option<Vec<u8>>>();
    let mut kept = bytes.filter(|bytes| !bytes.is_empty()).unwrap_or_else(|| field.as_bytes().to_vec());
    kept.push(b'\n');
    kept
}
