//! Groups, savepoints, callers that go away, the end.

use std::sync::mpsc::channel;
use std::time::Duration;

use super::*;
use crate::sqlite::writer::QUEUE;

#[tokio::test]
async fn an_operation_that_fails_leaves_nothing_while_its_neighbours_commit() {
    let folder = Folder::new();
    let (store, counts) = open_counted(&folder.database());
    let held = hold(&store);
    let before = send(&store, "note", note("before", 1));
    let fails = send(&store, "note", |connection| {
        insert(connection, "half", 1)?;
        insert(connection, "before", 1)
    });
    let refuses = send::<()>(&store, "note", |connection| {
        insert(connection, "refused", 1)?;
        Err(StoreError::Corrupt { table: "notes", column: "name", id: 7 })
    });
    let after = send(&store, "note", note("after", 1));
    drop(held);
    before.await.unwrap();
    assert!(matches!(fails.await, Err(StoreError::Driver(_))), "the name is taken");
    assert!(matches!(refuses.await, Err(StoreError::Corrupt { id: 7, .. })));
    after.await.unwrap();
    assert_eq!(names(&store).await, ["before", "after"]);
    assert_eq!(counts.commits(), 2, "the holder's and one for the four");
    assert_eq!(counts.operations.load(Ordering::Relaxed), 5);
    assert_eq!(counts.stored("note"), 2, "what failed is not stored");
}

#[tokio::test]
async fn what_waits_is_committed_together() {
    let folder = Folder::new();
    let (store, counts) = open_counted(&folder.database());
    let held = hold(&store);
    let sent: Vec<_> = (0..600).map(|number| send(&store, "note", note(format!("note {number}"), 1))).collect();
    drop(held);
    for answer in sent {
        answer.await.unwrap();
    }
    assert_eq!(counts.commits(), 4, "the holder's, then 256 and 256 and 88");
    assert_eq!(counts.stored("note"), 600);
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_callers_make_fewer_commits_than_operations() {
    let folder = Folder::new();
    let (store, counts) = open_counted(&folder.database());
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..64 {
        let store = Arc::clone(&store);
        callers.spawn(async move {
            for number in 0..10 {
                store.writer.run("note", note(format!("{caller} {number}"), 100)).await.unwrap();
            }
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    assert_eq!(counts.stored("note"), 640);
    assert!(counts.commits() < 320, "{} commits", counts.commits());
    assert_eq!(names(&store).await.len(), 640);
}

#[tokio::test]
async fn an_answer_means_that_it_can_be_read() {
    let folder = Folder::new();
    let store = open_trial(&folder.database());
    for number in 0..50 {
        store.writer.run("note", note(format!("note {number}"), 1)).await.unwrap();
        assert_eq!(names(&store).await.len(), number + 1);
    }
}

#[tokio::test]
async fn an_operation_whose_caller_went_away_is_done() {
    let folder = Folder::new();
    let store = open_trial(&folder.database());
    let held = hold(&store);
    drop(send(&store, "note", note("nobody waits", 1)));
    drop(held);
    store.writer.run("note", note("somebody waits", 1)).await.unwrap();
    assert_eq!(names(&store).await, ["nobody waits", "somebody waits"]);
}

#[tokio::test]
async fn a_full_queue_is_unavailable_and_empties_again() {
    let folder = Folder::new();
    let store = open_trial(&folder.database());
    let held = hold(&store);
    let sent: Vec<_> = (0..QUEUE).map(|_| send(&store, "nothing", |_| Ok(()))).collect();
    let refused = store.writer.run("note", note("one too many", 1)).await;
    assert!(is_unavailable(&refused));
    assert_eq!(refused.unwrap_err().to_string(), "the store is unavailable: the store's queue is full");
    drop(held);
    for answer in sent {
        answer.await.unwrap();
    }
    store.writer.run("note", note("room", 1)).await.unwrap();
    assert_eq!(names(&store).await, ["room"]);
}

#[tokio::test]
async fn closing_finishes_what_was_sent_and_takes_no_more() {
    let folder = Folder::new();
    let store = open_trial(&folder.database());
    let held = hold(&store);
    let sent: Vec<_> = (0..300).map(|number| send(&store, "note", note(format!("note {number}"), 1))).collect();
    let mut closing = Box::pin(store.close());
    assert!(closing.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert!(is_unavailable(&store.writer.run("note", note("late", 1)).await));
    drop(held);
    closing.await;
    for answer in sent {
        answer.await.unwrap();
    }
    assert!(is_unavailable(&store.readers.read(|_| Ok(())).await));
    store.close().await;
    let again = open_trial(&folder.database());
    assert_eq!(names(&again).await.len(), 300);
}

#[tokio::test]
async fn dropping_the_store_finishes_what_was_sent() {
    let folder = Folder::new();
    let store = open_trial(&folder.database());
    for number in 0..300 {
        drop(send(&store, "note", note(format!("note {number}"), 1)));
    }
    drop(store);
    let again = open_trial(&folder.database());
    assert_eq!(names(&again).await.len(), 300);
}

#[tokio::test]
async fn a_panic_in_an_operation_ends_the_process_and_commits_nothing() {
    let folder = Folder::new();
    let (ended, ends) = channel();
    let ending = Box::new(move || ended.send(()).unwrap());
    let store = open_with(&folder.database(), NOTES, Arc::new(Counts::default()), ending).unwrap();
    let held = hold(&store);
    let neighbour = send(&store, "note", note("neighbour", 1));
    let panics = send::<()>(&store, "panic", |_| panic!("on purpose"));
    drop(held);
    assert!(is_unavailable(&panics.await));
    assert!(is_unavailable(&neighbour.await));
    ends.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(is_unavailable(&store.writer.run("note", note("later", 1)).await));
    assert!(names(&store).await.is_empty());
}

#[tokio::test]
async fn a_commit_that_fails_for_anything_but_room_ends_the_process() {
    let folder = Folder::new();
    let (ended, ends) = channel();
    let ending = Box::new(move || ended.send(()).unwrap());
    let store = open_with(&folder.database(), NOTES, Arc::new(Counts::default()), ending).unwrap();
    let answer = store
        .writer
        .run("owe", |connection| {
            // A deferred constraint is the one thing that makes a commit fail at will.
            connection
                .execute_batch(
                    "CREATE TABLE owner (id INTEGER PRIMARY KEY);
                     CREATE TABLE owned (owner INTEGER REFERENCES owner DEFERRABLE INITIALLY DEFERRED);
                     INSERT INTO owned VALUES (1);",
                )
                .map_err(driver)
        })
        .await;
    assert!(is_unavailable(&answer));
    ends.recv_timeout(Duration::from_secs(10)).unwrap();
}
