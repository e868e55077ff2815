//! Disks that are full or broken (ST-61).
//!
//! A limit on the database's pages is SQLite's own full disk. A limit on the size of a process's files makes writing fail in the
//! operating system, as a broken disk does; a very small file system makes it say that there is no room.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use super::crash::{child, child_database};
use super::*;

/// Says how many pages the database may have from now on.
async fn allow_pages(store: &SqliteStore, pages: impl FnOnce(i64) -> i64 + Send + 'static) {
    store
        .writer
        .run("limit", move |connection| {
            let now: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).map_err(driver)?;
            connection
                .pragma_update_and_check(None, "max_page_count", pages(now), |row| row.get::<_, i64>(0))
                .map_err(driver)?;
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn st_61_a_full_disk_in_the_middle_of_a_group_refuses_the_whole_group() {
    let folder = Folder::new();
    let (store, counts) = open_counted(&folder.database());
    for number in 0..10 {
        store.writer.run("note", note(format!("kept {number}"), 1_000)).await.unwrap();
    }
    allow_pages(&store, |now| now + 2).await;
    let commits = counts.commits();

    let held = hold(&store);
    let mut sent: Vec<_> = (0..4).map(|number| send(&store, "note", note(format!("fits {number}"), 10))).collect();
    sent.push(send(&store, "note", note("does not fit", 100_000)));
    sent.extend((4..8).map(|number| send(&store, "note", note(format!("fits {number}"), 10))));
    drop(held);
    for answer in sent {
        assert!(is_unavailable(&answer.await));
    }
    assert_eq!(names(&store).await.len(), 10, "nothing of the group is there, and nothing acknowledged is gone");
    assert_eq!(counts.commits(), commits + 1, "the holder's only");
    assert_eq!(counts.stored("note"), 10);

    store.writer.run("note", note("fits in what is left", 10)).await.unwrap();
    allow_pages(&store, |now| now + 1_000).await;
    store.writer.run("note", note("fits again", 100_000)).await.unwrap();
    store.close().await;
    let again = open_trial(&folder.database());
    assert_eq!(names(&again).await.len(), 12);
    assert_sound(&again).await;
}

/// SQLite undoes only the statement here, not the transaction; the answer must not depend on which of the two it was.
#[tokio::test]
async fn st_61_a_full_disk_that_undoes_one_statement_refuses_the_whole_group_too() {
    let folder = Folder::new();
    let (store, _) = open_counted(&folder.database());
    store.writer.run("note", note("kept", 1_000)).await.unwrap();
    allow_pages(&store, |now| now + 2).await;
    let (told, survives) = channel();

    let held = hold(&store);
    let before = send(&store, "note", note("before", 10));
    let fails = send(&store, "many", move |connection| {
        let inserted = connection.execute(
            "INSERT INTO notes (name, body)
             SELECT name || value, zeroblob(1000) FROM notes, json_each('[1,2,3,4,5,6,7,8,9,10,11,12,13,14]')",
            [],
        );
        told.send(!connection.is_autocommit()).unwrap();
        inserted.map(drop).map_err(driver)
    });
    let after = send(&store, "note", note("after", 10));
    drop(held);
    assert!(is_unavailable(&before.await));
    assert!(is_unavailable(&fails.await));
    assert!(is_unavailable(&after.await));
    assert!(survives.recv().unwrap(), "otherwise this is the test above once more");
    assert_eq!(names(&store).await, ["kept"]);
}

#[tokio::test]
async fn st_61_an_operation_that_overlooks_a_full_disk_commits_nothing_by_itself() {
    let folder = Folder::new();
    let (store, _) = open_counted(&folder.database());
    store.writer.run("note", note("kept", 1_000)).await.unwrap();
    allow_pages(&store, |now| now + 2).await;

    let held = hold(&store);
    let before = send(&store, "note", note("before", 10));
    let overlooks = send(&store, "note", |connection| {
        assert!(insert(connection, "does not fit", 100_000).is_err());
        assert!(connection.is_autocommit(), "otherwise there is nothing to overlook");
        // There is no transaction any more: this would commit by itself.
        let _ = insert(connection, "alone", 10);
        Ok(())
    });
    drop(held);
    assert!(is_unavailable(&before.await));
    assert!(is_unavailable(&overlooks.await));
    assert_eq!(names(&store).await, ["kept"]);
    store.writer.run("note", note("goes on", 10)).await.unwrap();
    assert_eq!(names(&store).await, ["kept", "goes on"]);
}

/// Starts a child whose files may not grow past 1 MiB (a POSIX shell counts in half kibibytes). Writing past it is then an error and not
/// a signal.
const SMALL_FILES: &str = "trap '' XFSZ; ulimit -c 0; ulimit -f 2048; exec \"$@\"";

fn with_small_files(test: &str, database: &Path) -> Output {
    let mut limited = Command::new("sh");
    limited.args(["-c", SMALL_FILES, "sh"]);
    child(limited, test, database).output().unwrap()
}

/// The child ran its one test, and to its end.
fn assert_passed(ended: &Output) {
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
async fn st_61_an_io_error_in_the_middle_of_a_group_refuses_the_whole_group() {
    let folder = Folder::new();
    let ended = with_small_files("disk::child_meets_an_io_error_in_the_middle_of_a_group", &folder.database());
    assert_passed(&ended);
    let store = open_trial(&folder.database());
    assert_eq!(names(&store).await.len(), 11);
    assert_sound(&store).await;
}

#[tokio::test]
#[ignore = "the child of st_61_an_io_error_in_the_middle_of_a_group_refuses_the_whole_group"]
async fn child_meets_an_io_error_in_the_middle_of_a_group() {
    let store = open_trial(&child_database());
    for number in 0..10 {
        store.writer.run("note", note(format!("kept {number}"), 1_000)).await.unwrap();
    }
    // With hardly any memory for pages, what a group changes is written before the group's end.
    let little = |connection: &Connection| connection.pragma_update(None, "cache_size", 10).map_err(driver);
    store.writer.run("little memory", little).await.unwrap();
    let held = hold(&store);
    let before = send(&store, "note", note("before", 10));
    let (failed, fails) = channel();
    let too_long = send(&store, "note", move |connection| {
        let inserted = connection.execute("INSERT INTO notes (name, body) VALUES ('long', randomblob(3000000))", []);
        let code = inserted.as_ref().err().and_then(rusqlite::Error::sqlite_error_code);
        failed.send((code, connection.is_autocommit())).unwrap();
        inserted.map(drop).map_err(driver)
    });
    let after = send(&store, "note", note("after", 10));
    drop(held);
    assert!(is_unavailable(&before.await));
    assert!(is_unavailable(&too_long.await));
    assert!(is_unavailable(&after.await));
    assert_eq!(fails.recv().unwrap(), (Some(rusqlite::ErrorCode::SystemIoFailure), true));
    assert_eq!(names(&store).await.len(), 10);
    store.writer.run("note", note("goes on", 1_000)).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn st_61_an_io_error_while_committing_ends_the_process_and_loses_nothing_acknowledged() {
    let folder = Folder::new();
    let ended = with_small_files("disk::child_meets_an_io_error_while_committing", &folder.database());
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert_eq!(ended.status.signal(), Some(6), "the process aborts: {said}");
    assert!(said.contains("ten are kept"), "{said}");
    assert!(!said.contains("was answered"), "{said}");
    let store = open_trial(&folder.database());
    assert_eq!(names(&store).await.len(), 10);
    assert_sound(&store).await;
}

#[tokio::test]
#[ignore = "the child of st_61_an_io_error_while_committing_ends_the_process_and_loses_nothing_acknowledged"]
async fn child_meets_an_io_error_while_committing() {
    let store =
        open_with(&child_database(), NOTES, Arc::new(Counts::default()), Box::new(|| std::process::abort())).unwrap();
    for number in 0..10 {
        store.writer.run("note", note(format!("kept {number}"), 1_000)).await.unwrap();
    }
    println!("ten are kept");
    let held = hold(&store);
    let before = send(&store, "note", note("before", 10));
    let too_long = send(&store, "note", note("long", 3_000_000));
    drop(held);
    println!("before was answered {:?}", before.await);
    println!("long was answered {:?}", too_long.await);
}

#[test]
fn st_61_a_full_file_system_while_committing_refuses_the_group_and_goes_on() {
    let folder = Folder::new();
    let mount = "mount -t tmpfs -o size=2m none \"$COUNTERSIGN_STORE_FOLDER\" && exec \"$@\"";
    let mut own_mounts = Command::new("unshare");
    own_mounts.args(["--mount", "--user", "--map-root-user"]);
    let possible = Command::new("unshare")
        .args(["--mount", "--user", "--map-root-user", "sh", "-c", "mount -t tmpfs none \"$1\"", "sh"])
        .arg(&folder.0)
        .output()
        .is_ok_and(|tried| tried.status.success());
    if !possible {
        // Written past the test's capture, so that it is seen.
        writeln!(std::io::stderr(), "SKIPPED: this machine lets nobody mount a small file system of their own")
            .unwrap();
        assert!(std::env::var_os("CI").is_none(), "CI must be able to mount a file system");
        return;
    }
    own_mounts.args(["sh", "-c", mount, "sh"]).env("COUNTERSIGN_STORE_FOLDER", &folder.0);
    let ended = child(own_mounts, "disk::child_fills_its_file_system", &folder.database()).output().unwrap();
    assert_passed(&ended);
}

#[tokio::test]
#[ignore = "the child of st_61_a_full_file_system_while_committing_refuses_the_group_and_goes_on"]
async fn child_fills_its_file_system() {
    let database = child_database();
    let ballast = database.with_file_name("ballast");
    let store = open_trial(&database);
    for number in 0..10 {
        store.writer.run("note", note(format!("kept {number}"), 1_000)).await.unwrap();
    }
    fs::write(&ballast, vec![1; 500_000]).unwrap();
    let held = hold(&store);
    let before = send(&store, "note", note("before", 10));
    // There is memory for all its pages: nothing is written before the commit.
    let too_long = send(&store, "note", note("long", 3_000_000));
    let after = send(&store, "note", note("after", 10));
    drop(held);
    for answer in [before.await, too_long.await, after.await] {
        let error = answer.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)));
        assert!(error.to_string().contains("committing: database or disk is full"), "{error}");
    }
    assert_eq!(names(&store).await.len(), 10);
    fs::remove_file(&ballast).unwrap();
    store.writer.run("note", note("goes on", 1_000)).await.unwrap();
    store.close().await;
    let again = open_trial(&database);
    assert_eq!(names(&again).await.len(), 11);
    assert_sound(&again).await;
}
