//! Reads: bounded in time, of one state, and nothing but reads.

use std::time::Duration;

use super::*;
use crate::moment;

/// Counts to a number no machine reaches in a second.
fn endless(connection: &Connection) -> Result<i64, StoreError> {
    let count = "WITH RECURSIVE count (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM count LIMIT 1000000000000)
                 SELECT count(*) FROM count";
    connection.query_row(count, [], |row| row.get(0)).map_err(driver)
}

#[tokio::test]
async fn a_slow_read_ends_after_250_ms() {
    let folder = Folder::new();
    let store = open_trial(&folder.database());
    let asked = moment();
    let answer = store.readers.read(endless).await;
    let took = asked.elapsed();
    assert!(is_unavailable(&answer));
    assert!(took >= Duration::from_millis(250), "{took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(names(&store).await.is_empty(), "the connection is as good as before");
}

#[tokio::test]
async fn slow_reads_do_not_keep_writers_waiting() {
    let folder = Folder::new();
    let store = open_trial(&folder.database());
    let (first, second, written) = tokio::join!(
        store.readers.read(endless),
        store.readers.read(endless),
        store.writer.run("note", note("meanwhile", 1)),
    );
    assert!(is_unavailable(&first));
    assert!(is_unavailable(&second));
    written.unwrap();
}

#[tokio::test]
async fn a_read_sees_one_state() {
    let folder = Folder::new();
    let store = open_trial(&folder.database());
    let (begun, begins) = channel();
    let (written, goes_on) = channel::<()>();
    let read = store.readers.read(move |connection| {
        let count =
            || connection.query_row("SELECT count(*) FROM notes", [], |row| row.get::<_, i64>(0)).map_err(driver);
        let before = count()?;
        begun.send(()).unwrap();
        goes_on.recv().unwrap();
        Ok((before, count()?))
    });
    let write = async {
        tokio::task::spawn_blocking(move || begins.recv().unwrap()).await.unwrap();
        store.writer.run("note", note("meanwhile", 1)).await.unwrap();
        written.send(()).unwrap();
    };
    let (seen, ()) = tokio::join!(read, write);
    assert_eq!(seen.unwrap(), (0, 0));
    assert_eq!(names(&store).await, ["meanwhile"]);
}

#[tokio::test]
async fn a_read_cannot_write() {
    let folder = Folder::new();
    let store = open_trial(&folder.database());
    let answer = store.readers.read(note("by a reader", 1)).await;
    assert!(matches!(answer, Err(StoreError::Driver(_))));
    assert!(names(&store).await.is_empty());
}

#[tokio::test]
async fn a_read_that_panics_harms_no_other() {
    let folder = Folder::new();
    let store = open_trial(&folder.database());
    for _ in 0..4 {
        let answer: Result<(), _> = store.readers.read(|_| panic!("on purpose")).await;
        assert!(matches!(answer, Err(StoreError::Driver(_))));
    }
    store.writer.run("note", note("still there", 1)).await.unwrap();
    assert_eq!(names(&store).await, ["still there"]);
}
