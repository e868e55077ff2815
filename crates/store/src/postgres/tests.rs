//! What only this module can see: plans, histories, and connections that are lost.

use std::sync::Arc;

use engine::{Deaf, Store as _};
use testkit::cluster::{Cluster, TestDatabase};
use tokio::task::JoinSet;
use tokio_postgres::Client;

use super::connect::{Link, MAKING, SETTINGS, Target};
use super::migrate::{MIGRATIONS, migrate};
use super::trip::{COMMIT, ROLLBACK, Trip, alone, command};
use super::wire::Error;
use super::{STATEMENTS, open, vault};
use crate::database::CONNECTIONS;
use crate::error::OpenError;

/// The process's cluster; where PostgreSQL is not installed, which has then been said, the test is over.
macro_rules! cluster {
    () => {
        match Cluster::shared().await {
            Some(cluster) => cluster,
            None => return,
        }
    };
}

/// How the server would run `sql`, as one text.
async fn plan(client: &Client, link: &Link, sql: &'static str) -> String {
    let count = link.statement(sql).parameters().len();
    let parameters = if count == 0 { String::new() } else { format!("({})", vec!["NULL"; count].join(", ")) };
    client.batch_execute(&format!("PREPARE explained AS {sql}")).await.unwrap();
    let rows = client.query(&format!("EXPLAIN EXECUTE explained{parameters}"), &[]).await.unwrap();
    client.batch_execute("DEALLOCATE explained").await.unwrap();
    rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
}

/// Whether an index is read from end to end, which is no better than the table: there is no condition on it, nothing above it stops
/// after some rows, and it is neither the one of the messages that are owed nor that of the nodes, of which there are 1,024 at most.
fn has_whole_index(plan: &str) -> bool {
    let is_short = |line: &str| line.contains("outbox_owed") || line.contains("nodes_pkey");
    let is_node = |line: &str| line.trim_start().starts_with("->") || !line.starts_with(' ');
    let lines: Vec<_> = plan.lines().collect();
    lines.iter().enumerate().any(|(number, line)| {
        let is_scan = is_node(line) && line.contains("Index") && line.contains("Scan") && !is_short(line);
        let mut details = lines.iter().skip(number + 1).take_while(|line| !is_node(line));
        let is_limited = number > 0 && lines[..number].iter().any(|above| above.contains("Limit"));
        is_scan && !is_limited && !details.any(|detail| detail.contains("Index Cond"))
    })
}

#[tokio::test]
async fn no_statement_reads_a_table_from_end_to_end_whether_it_is_empty_or_full() {
    let database = cluster!().database().await;
    let target = Target::parse(&database.url()).unwrap();
    for rows in [0, 50_000] {
        database.ask(&format!(
            "INSERT INTO flows (id, handle, project, dialect, purpose, state, identity_id, seed, issued_at, expires_at, channel, \
             address) SELECT n, sha256(n::text::bytea), 'P1', 'test', 'sign_in', 'sent', n, substr(sha256('x'), 1, 16), n, n, 'email', \
             n || '@example.com' FROM generate_series(1, {rows}) AS n; \
             INSERT INTO identities SELECT n, 'P1', 'active', '{{}}', '{{}}', 1, n, n FROM generate_series(1, {rows}) AS n; \
             INSERT INTO addresses SELECT n, n, 'P1', 'email', n || '@example.com', n || '@example.com', n, NULL, n \
             FROM generate_series(1, {rows}) AS n; \
             INSERT INTO sessions SELECT n, 'P1', 'test', n, NULL, 'email', NULL, n, n, NULL, 0, n, n FROM generate_series(1, {rows}) AS n; \
             INSERT INTO outbox SELECT n, 'P1', 'code', 'sent', n, 1, 'email', n || '@example.com', n || '@example.com', n, 0, n, n, n, \
             NULL, NULL, NULL \
             FROM generate_series(1, {rows}) AS n; \
             INSERT INTO budgets SELECT n || '@example.com', 'P1', 'email', '', '', n FROM generate_series(1, {rows}) AS n; ANALYZE"
        ));
        database.ask(&format!(
            "UPDATE flows SET device_id = id; \
             INSERT INTO devices SELECT n, 'P1', 'test', 1, n, NULL, n FROM generate_series(1, {rows}) AS n; \
             INSERT INTO tickets SELECT sha256(n::text::bytea), 'P1', sha256('x'), n, 'email', 'x', n, NULL, n \
             FROM generate_series(1, {rows}) AS n; \
             INSERT INTO signing_keys SELECT 'P' || n, 'ES256', 1, n, n, 'x' FROM generate_series(1, {rows}) AS n; \
             INSERT INTO project_meta SELECT 'name ' || n, 'x' FROM generate_series(1, {rows}) AS n; ANALYZE"
        ));
        // There are never more nodes than numbers, and the history is as long as the list of migrations.
        let small = database.ask(
            "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class \
             WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND reltuples < 40000",
        );
        assert!(rows == 0 || small == "nodes schema_migrations", "a table is not full: {small}");
        let link = Link::make(&target).await.unwrap();
        let client = target.connect().await.unwrap();
        client.batch_execute(SETTINGS).await.unwrap();
        let mut bad = Vec::new();
        for sql in STATEMENTS.iter().copied().flatten().copied() {
            let plan = plan(&client, &link, sql).await;
            // An index of nothing may be read whole: the plan is made anew when the server has seen the table grow.
            if plan.contains("Seq Scan") || (rows > 0 && has_whole_index(&plan)) {
                bad.push(format!("{sql}\n{plan}"));
            }
        }
        assert!(bad.is_empty(), "with {rows} rows:\n{}", bad.join("\n\n"));
    }
}

#[tokio::test]
async fn an_empty_database_is_migrated_once_also_by_many_at_once() {
    let database = cluster!().empty_database().await;
    let url = database.url();
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let url = url.clone();
        tasks.spawn(async move { super::migrate(&url).await.unwrap() });
    }
    assert_eq!(tasks.join_all().await.into_iter().sum::<usize>(), MIGRATIONS.len());
    assert_eq!(database.ask("SELECT count(*) FROM schema_migrations"), MIGRATIONS.len().to_string());
}

#[tokio::test]
async fn a_history_that_is_not_ours_is_refused_and_left_alone() {
    let cluster = cluster!();
    let newer = cluster.database().await;
    newer.ask("INSERT INTO schema_migrations VALUES (99, 'later')");
    let error = open(&newer.url(), CONNECTIONS, Arc::new(Deaf)).await.unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error}");
    let altered = cluster.database().await;
    altered.ask("UPDATE schema_migrations SET text = text || ' '");
    assert!(matches!(
        open(&altered.url(), CONNECTIONS, Arc::new(Deaf)).await.unwrap_err(),
        OpenError::Altered { version: 1, .. }
    ));
    let foreign = cluster.empty_database().await;
    foreign.ask("CREATE TABLE theirs (id BIGINT)");
    assert!(matches!(open(&foreign.url(), CONNECTIONS, Arc::new(Deaf)).await.unwrap_err(), OpenError::Foreign { .. }));
    assert_eq!(foreign.ask("SELECT count(*) FROM pg_class WHERE relname = 'schema_migrations'"), "0");
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing() {
    let database = cluster!().empty_database().await;
    let target = Target::parse(&database.url()).unwrap();
    let mut client = target.connect().await.unwrap();
    let (first, broken) =
        ("CREATE TABLE one (id BIGINT)", "CREATE TABLE two (id BIGINT); CREATE TABLE one (id BIGINT)");
    let error = migrate(&target, &mut client, &[first, broken]).await.unwrap_err();
    assert!(matches!(error, OpenError::Migration { version: 2, .. }), "{error}");
    assert!(!error.to_string().contains('\n'));
    assert_eq!(database.ask("SELECT count(*) FROM schema_migrations"), "1");
    assert_eq!(migrate(&target, &mut client, &[first, "CREATE TABLE two (id BIGINT)"]).await.unwrap(), 1);
}

#[tokio::test]
async fn what_is_asked_after_all_connections_were_cut_goes_through() {
    let database = cluster!().database().await;
    let store = open(&database.url(), CONNECTIONS, Arc::new(Deaf)).await.unwrap();
    for round in 0..3 {
        // Several idle connections, each of which the server ends.
        let mut pings = JoinSet::new();
        for _ in 0..8 {
            let store = Arc::clone(&store);
            pings.spawn(async move { store.ping().await });
        }
        for ping in pings.join_all().await {
            ping.unwrap();
        }
        database.ask(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
        store.put_meta("mark", vec![round]).await.unwrap();
        assert_eq!(store.meta("mark").await.unwrap(), Some(vec![round]));
    }
    store.close().await;
    assert!(matches!(store.ping().await, Err(engine::StoreError::Unavailable(_))), "it is closed");
}

/// A connection to a new database.
async fn link(database: &TestDatabase) -> Link {
    Link::make(&Target::parse(&database.url()).unwrap()).await.unwrap()
}

#[tokio::test]
async fn behind_a_statement_that_fails_none_is_run_and_the_connection_goes_on() {
    let database = cluster!().database().await;
    let link = link(&database).await;
    let mut trip = Trip::begin(&link);
    trip.add(vault::put_meta(&link, "before", b"1"));
    // A holder has sixteen bytes.
    trip.add(vault::take_node(&link, 1, b"short", engine::Timestamp::default()));
    trip.add(vault::put_meta(&link, "behind", b"1"));
    trip.add(command(&link, COMMIT));
    let failed = link.exchange().await.map(drop).unwrap_err();
    assert!(matches!(&failed.error, Error::Said { code, .. } if code.code() == "23514"), "{failed:?}");
    assert_eq!((failed.place, failed.is_usable), (2, true), "it is the third, behind the beginning");
    assert!(!failed.error.to_string().contains('\n'), "it is told in one line");
    let refused = alone(&link, vault::meta(&link, "before")).await.map(drop).unwrap_err();
    assert!(
        matches!(&refused, Error::Said { code, .. } if code.code() == "25P02"),
        "what was begun must be undone: {refused}"
    );
    alone(&link, command(&link, ROLLBACK)).await.unwrap();
    assert_eq!(vault::read_meta(&alone(&link, vault::meta(&link, "before")).await.unwrap()).unwrap(), None);
    alone(&link, vault::put_meta(&link, "after", b"1")).await.unwrap();
    assert_eq!(database.ask("SELECT string_agg(name, ',') FROM project_meta"), "after");
}

#[tokio::test]
async fn a_trip_may_ask_and_answer_more_than_a_socket_holds() {
    let database = cluster!().database().await;
    let link = link(&database).await;
    let large = vec![7; 1 << 20];
    let mut trip = Trip::begin(&link);
    let mut places = Vec::new();
    for _ in 0..24 {
        trip.add(vault::put_meta(&link, "large", &large));
        places.push(trip.add(vault::meta(&link, "large")));
    }
    trip.end();
    let mut answers =
        tokio::time::timeout(MAKING, trip.run()).await.expect("neither side waits for the other").unwrap();
    for place in places {
        let read = vault::read_meta(&answers.take(place)).unwrap();
        assert!(read.is_some_and(|read| read == large));
    }
}

#[tokio::test]
async fn a_socket_of_this_machine_leads_there_too() {
    let cluster = cluster!();
    let database = cluster.database().await;
    let store = open(&database.socket_url(), CONNECTIONS, Arc::new(Deaf)).await.unwrap();
    store.put_meta("mark", b"1".to_vec()).await.unwrap();
    assert_eq!(database.ask("SELECT count(*) FROM project_meta"), "1");
    store.close().await;
}
