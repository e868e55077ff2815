//! What opening makes, refuses and leaves alone.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::open_sqlite as open;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn files_and_folders_are_their_owners_alone() {
    let folder = Folder::new();
    let database = folder.0.join("one/two/test.db");
    let store = open_trial(&database);
    store.writer.run("note", note("something", 1)).await.unwrap();
    assert_eq!(mode(&folder.0.join("one")), 0o700);
    assert_eq!(mode(&folder.0.join("one/two")), 0o700);
    for name in ["test.db", "test.db-wal", "test.db-shm", "test.db.lock"] {
        assert_eq!(mode(&database.with_file_name(name)), 0o600, "{name}");
    }
}

#[tokio::test]
async fn what_exists_keeps_its_mode() {
    let folder = Folder::new();
    fs::write(folder.database(), "").unwrap();
    fs::set_permissions(folder.database(), fs::Permissions::from_mode(0o640)).unwrap();
    let _store = open_trial(&folder.database());
    assert_eq!(mode(&folder.database()), 0o640);
}

#[tokio::test]
async fn a_second_opener_is_refused_until_the_first_has_closed() {
    let folder = Folder::new();
    let store = open_trial(&folder.database());
    let error = try_open(&folder.database(), Arc::default()).unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }));
    let path = fs::canonicalize(folder.database()).unwrap();
    let expected = format!("{0} is in use by another process, which holds {0}.lock", path.display());
    assert_eq!(error.to_string(), expected);
    store.close().await;
    let again = open_trial(&folder.database());
    again.writer.run("note", note("mine now", 1)).await.unwrap();
}

#[tokio::test]
async fn another_name_of_the_database_meets_the_same_lock() {
    let folder = Folder::new();
    let _store = open_trial(&folder.database());
    let other = folder.0.join("other.db");
    symlink(folder.database(), &other).unwrap();
    assert!(matches!(try_open(&other, Arc::default()), Err(OpenError::Locked { .. })));
}

#[tokio::test]
async fn closing_empties_the_log_and_removes_it() {
    let folder = Folder::new();
    let store = open_trial(&folder.database());
    store.writer.run("note", note("something", 1)).await.unwrap();
    let log = folder.0.join("test.db-wal");
    assert!(log.exists());
    store.close().await;
    assert!(!log.exists());
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let folder = Folder::new();
    let text = "this is a letter, and a long one at that. ".repeat(100);
    fs::write(folder.database(), &text).unwrap();
    let error = try_open(&folder.database(), Arc::default()).unwrap_err();
    assert!(matches!(error, OpenError::NotADatabase { .. }), "{error}");
    assert_eq!(fs::read_to_string(folder.database()).unwrap(), text);
}

#[test]
fn a_database_of_another_program_is_refused_and_left_alone() {
    let folder = Folder::new();
    Connection::open(folder.database()).unwrap().execute_batch("CREATE TABLE theirs (id INTEGER)").unwrap();
    let before = fs::read(folder.database()).unwrap();
    assert!(matches!(try_open(&folder.database(), Arc::default()), Err(OpenError::Foreign { .. })));
    assert_eq!(fs::read(folder.database()).unwrap(), before);
}

#[tokio::test]
async fn altered_and_newer_schemas_are_refused_and_the_right_one_opens_again() {
    let folder = Folder::new();
    open_trial(&folder.database()).close().await;
    let open_as = |migrations: &[&str]| {
        open_with(&folder.database(), migrations, Arc::new(Counts::default()), Box::new(|| panic!("ended")))
    };
    let second = "CREATE TABLE more (id INTEGER PRIMARY KEY) STRICT;";
    assert!(matches!(
        open_as(&["CREATE TABLE notes (id INTEGER) STRICT;"]),
        Err(OpenError::Altered { version: 1, .. })
    ));
    open_as(&[NOTES[0], second]).unwrap().close().await;
    assert!(matches!(open_as(NOTES), Err(OpenError::Newer { found: 2, known: 1, .. })));
    open_as(&[NOTES[0], second]).unwrap();
}

#[test]
fn a_place_where_nothing_can_be_made_is_refused() {
    let folder = Folder::new();
    fs::write(folder.0.join("file"), "").unwrap();
    let error = try_open(&folder.0.join("file/test.db"), Arc::default()).unwrap_err();
    assert!(matches!(error, OpenError::Create { .. }), "{error}");
    let error = try_open(&folder.0, Arc::default()).unwrap_err();
    assert!(matches!(error, OpenError::Create { .. }), "{error}");
}

#[tokio::test]
async fn the_programs_own_schema_opens_and_opens_again() {
    let folder = Folder::new();
    for _ in 0..2 {
        let store = open(&folder.database(), Arc::new(Counts::default())).unwrap();
        let version: i64 = store
            .readers
            .read(|connection| {
                connection.query_row("SELECT max(version) FROM schema_migrations", [], |row| row.get(0)).map_err(driver)
            })
            .await
            .unwrap();
        assert_eq!(version, 1);
        store.close().await;
    }
}

#[tokio::test]
async fn every_connection_is_set_as_it_should_be() {
    let folder = Folder::new();
    let store = open_trial(&folder.database());
    let read = |connection: &Connection, name: &str| -> i64 {
        connection.pragma_query_value(None, name, |row| row.get(0)).unwrap()
    };
    let writer = store
        .writer
        .run("pragmas", move |connection| {
            Ok(["synchronous", "foreign_keys", "trusted_schema", "cache_size", "wal_autocheckpoint"]
                .map(|name| read(connection, name)))
        })
        .await
        .unwrap();
    assert_eq!(writer, [2, 1, 0, -65_536, 8_000]);
    let reader = store
        .readers
        .read(move |connection| Ok(["query_only", "foreign_keys", "trusted_schema"].map(|name| read(connection, name))))
        .await
        .unwrap();
    assert_eq!(reader, [1, 1, 0]);
}

#[tokio::test]
async fn the_log_is_copied_into_the_database_while_nobody_closes() {
    let folder = Folder::new();
    let store = open_trial(&folder.database());
    store.writer.run("note", note("something long", 500_000)).await.unwrap();
    let copied = async {
        while fs::metadata(folder.database()).unwrap().len() < 500_000 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), copied).await.expect("no checkpoint in ten seconds");
}
