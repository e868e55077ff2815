//! A throw-away PostgreSQL cluster under load: what it costs, read from `/proc` and from its own counters.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use testkit::cluster::{Cluster, TestDatabase};
use tokio::task::spawn_blocking;

use crate::machine;

/// Databases one after the other in one cluster.
pub(crate) struct Postgres {
    cluster: Arc<Cluster>,
}

/// Whether each statement is counted by itself, which costs something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counting {
    No,
    Statements,
}

/// What a cluster has used so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Figures {
    /// Processor time of all its processes.
    pub(crate) processor: Duration,
    /// Bytes of its log.
    pub(crate) log: u64,
    /// Of these, in images of whole pages: each page's first change after a checkpoint.
    pub(crate) images: u64,
    /// How often the log was synced.
    pub(crate) syncs: u64,
    /// How large the database is, indexes included.
    pub(crate) size: u64,
    /// How many sessions there are.
    pub(crate) sessions: u64,
}

/// A kind of statement: how often it ran, and how long in all, in milliseconds.
pub(crate) type Statements = BTreeMap<String, (f64, f64)>;

impl Postgres {
    /// Starts one in the folder for temporary files, which must be on a disk, with fsync on.
    pub(crate) async fn start(counting: Counting) -> io::Result<Self> {
        machine::on_disk(&std::env::temp_dir())?;
        let cluster = Cluster::started().await;
        let cluster = cluster.ok_or_else(|| io::Error::other("PostgreSQL is not installed"))?;
        if counting == Counting::Statements {
            let database = cluster.empty_database().await;
            database.ask("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'");
            // The only setting that is read at the start alone.
            cluster.crash();
            cluster.start().await;
        }
        Ok(Self { cluster })
    }

    /// A database with the schema and nothing else, behind a checkpoint.
    pub(crate) async fn database(&self, counting: Counting) -> Database {
        let database = self.cluster.database().await;
        if counting == Counting::Statements {
            database.ask("CREATE EXTENSION pg_stat_statements");
        }
        database.ask("CHECKPOINT");
        Database(database)
    }

    /// A run is over: nothing of its database shall cost the next one, as a vacuum of it would.
    pub(crate) async fn remove(&self, database: Database) -> io::Result<()> {
        spawn_blocking(move || database.0.remove()).await.map_err(io::Error::other)
    }

    /// The program `name` of this PostgreSQL.
    pub(crate) fn program(&self, name: &str) -> std::process::Command {
        self.cluster.program(name)
    }
}

/// One database of a cluster that nobody else uses meanwhile.
#[derive(Debug, Clone)]
pub(crate) struct Database(TestDatabase);

impl Database {
    pub(crate) fn url(&self) -> String {
        self.0.url()
    }

    /// Runs `sql`, and gives what it answers as text.
    pub(crate) async fn ask(&self, sql: impl Into<String>) -> io::Result<String> {
        let (database, sql) = (self.0.clone(), sql.into());
        spawn_blocking(move || database.ask(&sql)).await.map_err(io::Error::other)
    }

    /// What its cluster has used so far.
    pub(crate) async fn figures(&self) -> io::Result<Figures> {
        let answer = self
            .ask(
                "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1), pg_current_wal_insert_lsn() - '0/0'::pg_lsn, \
                 wal_fpi * current_setting('block_size')::bigint, wal_sync, \
                 pg_database_size(current_database()), (SELECT count(*) FROM sessions) FROM pg_stat_wal",
            )
            .await?;
        let numbers: Vec<u64> = answer.split('|').filter_map(|number| number.parse().ok()).collect();
        let &[process, log, images, syncs, size, sessions] = numbers.as_slice() else {
            return Err(io::Error::other(format!("PostgreSQL's counters cannot be read: {answer}")));
        };
        let process = u32::try_from(process).map_err(io::Error::other)?;
        Ok(Figures { processor: machine::family(process)?, log, images, syncs, size, sessions })
    }

    /// What it has run so far, if that is counted.
    pub(crate) async fn counted(&self, counting: Counting) -> io::Result<Option<Statements>> {
        match counting {
            Counting::No => Ok(None),
            Counting::Statements => self.statements().await.map(Some),
        }
    }

    async fn statements(&self) -> io::Result<Statements> {
        let answer = self
            .ask(
                // One that only begins or ends a transaction is counted once for each connection that has it prepared, so not at all.
                "SELECT calls, total_exec_time + total_plan_time, regexp_replace(query, '\\s+', ' ', 'g') FROM pg_stat_statements \
                 JOIN pg_database ON pg_database.oid = dbid WHERE datname = current_database() AND query NOT LIKE '%pg_stat_%' \
                 AND query !~ '^(BEGIN|COMMIT|ROLLBACK)'",
            )
            .await?;
        let mut statements = Statements::new();
        for line in answer.lines() {
            let cells = line.split_once('|').and_then(|(times, rest)| Some((times, rest.split_once('|')?)));
            let Some((times, (took, text))) = cells else { continue };
            let (Ok(times), Ok(took)) = (times.parse::<f64>(), took.parse::<f64>()) else { continue };
            let counted = statements.entry(anonymous(text)).or_default();
            *counted = (counted.0 + times, counted.1 + took);
        }
        Ok(statements)
    }
}

/// What was counted between `before` and `after`.
pub(crate) fn between(before: &Statements, after: Statements) -> Statements {
    let grown = after.into_iter().map(|(text, (calls, took))| {
        let (calls_before, took_before) = before.get(&text).copied().unwrap_or_default();
        (text, (calls - calls_before, took - took_before))
    });
    grown.filter(|(_, (calls, _))| *calls > 0.0).collect()
}

/// What was counted of `one` and of `other`.
pub(crate) fn sum(mut one: Statements, other: Statements) -> Statements {
    for (text, (calls, took)) in other {
        let counted = one.entry(text).or_default();
        *counted = (counted.0 + calls, counted.1 + took);
    }
    one
}

impl Figures {
    /// What was used since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            processor: self.processor.saturating_sub(before.processor),
            log: self.log.saturating_sub(before.log),
            images: self.images.saturating_sub(before.images),
            syncs: self.syncs.saturating_sub(before.syncs),
            size: self.size.saturating_sub(before.size),
            sessions: self.sessions.saturating_sub(before.sessions),
        }
    }

    /// What was used then and another time.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            processor: self.processor + other.processor,
            log: self.log + other.log,
            images: self.images + other.images,
            syncs: self.syncs + other.syncs,
            size: self.size + other.size,
            sessions: self.sessions + other.sessions,
        }
    }
}

/// A statement whose parameters have no numbers: who counts them otherwise asks the same.
fn anonymous(statement: &str) -> String {
    let mut pieces = statement.split('$');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        text.push('$');
        text.push_str(piece.trim_start_matches(|character: char| character.is_ascii_digit()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ran_before_does_not_count() {
        let counted = |begun: f64, ended: f64| {
            Statements::from([("BEGIN".to_owned(), (begun, 1.0)), ("COMMIT".to_owned(), (ended, 1.0))])
        };
        let between = between(&counted(2.0, 2.0), counted(5.0, 2.0));
        assert_eq!(between.keys().collect::<Vec<_>>(), ["BEGIN"]);
        assert_eq!(sum(between, counted(1.0, 2.0))["BEGIN"].0.to_string(), "4");
    }

    #[test]
    fn parameters_lose_their_numbers_only() {
        assert_eq!(anonymous("UPDATE a SET b = $2::text WHERE c1 = $11"), "UPDATE a SET b = $::text WHERE c1 = $");
        assert_eq!(anonymous("COMMIT"), "COMMIT");
    }
}
