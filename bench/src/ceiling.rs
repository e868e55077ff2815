//! The ceiling: how many sign-ins a second `PostgreSQL` could carry if nobody had to think about them.
//!
//! `pgbench` runs the store's own statements for start, lease, settle and verification on the same tables, with the same settings, in
//! the same number of trips, pipelined, from a connection for each client. It does no HTTP, no cryptography and no mail, and
//! waits for nothing. Each client signs several people in at a time, because a courier leases and settles several messages at a time.
//!
//! Two things are otherwise, because `pgbench` can do no better: what is null is written into the statement, and what is due is
//! looked for among the client's own messages. And each script begins with a statement that makes up keys and takes the time.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::task::spawn_blocking;

use crate::Options;
use crate::machine;
use crate::postgres::{Counting, Database, Figures, Postgres, Statements, between};

/// So many sign-ins have a script in common, at least: what begins it shall weigh nothing.
const IN_A_SCRIPT: u32 = 16;

/// As the store sets its connections.
const SETTINGS: &str = "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_hashjoin=off \
                        -c enable_mergejoin=off -c jit=off -c client_min_messages=error";

/// The columns of a flow.
const FLOW: &str = "flows.id, handle, flows.project, dialect, purpose, flows.state, identity_id, seed, issued_at, expires_at, \
                    flows.channel, flows.address, flows.epoch, sends, flows.attempts, max_attempts, sent_at, code_ends_at, \
                    code_format, key_id, code_digest, message_id, replaces_id, attributes, flows.memo, flows.device_id";

/// The columns of a message.
const MESSAGE: &str = "outbox.id, outbox.project, kind, outbox.state, flow_id, outbox.epoch, outbox.channel, outbox.address, due_at, \
                       outbox.attempts, not_after, created_at, last_error, link";

/// The columns of an identity.
const IDENTITY: &str = "identities.id, identities.project, identities.state, traits, revision, identities.created_at, updated_at, metadata";

/// The columns of an address.
const ADDRESS: &str = "addresses.id, addresses.identity_id, addresses.channel, addresses.address, verified_at, addresses.created_at, asked_at";

/// Whom the flows of handles concern.
const CONCERNED: &str = "SELECT flows.identity_id FROM flows WHERE flows.handle = ANY(:handles_#) AND flows.identity_id IS NOT NULL UNION \
     SELECT addresses.identity_id FROM flows JOIN addresses ON addresses.address = flows.address \
     AND addresses.project = flows.project AND addresses.channel = flows.channel WHERE flows.handle = ANY(:handles_#)";

/// What one run came to.
pub(crate) struct Ceiling {
    /// How many sign-ins there were.
    pub(crate) sign_ins: f64,
    /// How many a second.
    pub(crate) rate: f64,
    /// How many trips a sign-in takes.
    pub(crate) trips: f64,
    /// Processor time of pgbench.
    pub(crate) load: Duration,
    /// What PostgreSQL used.
    pub(crate) database: Figures,
    /// What it ran, where that was counted.
    pub(crate) statements: Option<Statements>,
}

/// Has as many clients as `options` say sign in again and again, `batch` at a time each.
pub(crate) async fn run(options: &Options, postgres: &Postgres, counting: Counting, batch: u32) -> io::Result<Ceiling> {
    let database = postgres.database(counting).await;
    database.ask(people(options)).await?;
    database.ask("CHECKPOINT").await?;
    let folder = machine::folder_on_disk(&options.data)?;
    let batches = IN_A_SCRIPT.div_ceil(batch);
    let path = folder.path().join("sign-ins.sql");
    std::fs::write(&path, script(options, batch, batches))?;

    if options.warm_up > 0 {
        pgbench(options, postgres, &database, &path, options.warm_up).await?;
    }
    let run_before = database.counted(counting).await?;
    let (load, before) = (machine::ended_children()?, database.figures().await?);
    let said = pgbench(options, postgres, &database, &path, options.seconds).await?;
    let (after, ended) = (database.figures().await?, machine::ended_children()?);
    let run_after = database.counted(counting).await?;
    let number = |before: &str| {
        let found = said.split_once(before).and_then(|(_, rest)| rest.split_whitespace().next()?.parse::<f64>().ok());
        found.ok_or_else(|| io::Error::other(format!("what pgbench says cannot be read: {said}")))
    };
    let in_each = f64::from(batch * batches);
    let failed = number("number of failed transactions: ")?;
    if failed > 0.0 {
        return Err(io::Error::other(format!("pgbench failed {failed} times")));
    }
    Ok(Ceiling {
        sign_ins: number("number of transactions actually processed: ")? * in_each,
        rate: number("\ntps = ")? * in_each,
        // Two for each operation, and lease and settlement for a batch.
        trips: 4.0 + 4.0 / f64::from(batch),
        load: ended.saturating_sub(load),
        database: after.since(before),
        statements: run_before.zip(run_after).map(|(before, after)| between(&before, after)),
    })
}

/// Runs the script at `path` for so many seconds, and gives what pgbench says of it.
async fn pgbench(
    options: &Options,
    postgres: &Postgres,
    database: &Database,
    path: &Path,
    seconds: u64,
) -> io::Result<String> {
    let mut command = postgres.program("pgbench");
    command.env("PGOPTIONS", SETTINGS).args(["--no-vacuum", "--protocol", "prepared", "--jobs", "1"]);
    command.args(["--client", &options.clients.to_string(), "--time", &seconds.to_string(), "--file"]).arg(path);
    for (name, length) in [("seed", 16), ("digest", 32)] {
        command.args(["--define", &format!("{name}=\\x{}", "5a".repeat(length))]);
    }
    command.args(["--define", "project=main", "--define", "channel=email", "--define", "dialect=login"]);
    command.arg(database.url());
    let output = spawn_blocking(move || command.output()).await.map_err(io::Error::other)??;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(io::Error::other(format!("pgbench: {}", String::from_utf8_lossy(&output.stderr))))
}

/// Everybody there is, with an address that is proved and a budget nothing was spent of.
fn people(options: &Options) -> String {
    let everybody =
        format!("generate_series(1, {}) AS number", u64::from(options.clients) * u64::from(options.addresses));
    format!(
        "INSERT INTO identities SELECT number, 'main', 'active', '{{}}', '{{}}', 1, 0, 0 FROM {everybody}; \
         INSERT INTO addresses SELECT number, number, 'main', 'email', 'client-' || number || '@load.test', 1, NULL, 0 FROM {everybody}; \
         INSERT INTO budgets SELECT 'client-' || number || '@load.test', 'main', 'email', '\\x0000', '\\x0000', 0 FROM {everybody}"
    )
}

/// `batches` times `batch` sign-ins.
fn script(options: &Options, batch: u32, batches: u32) -> String {
    let many = batch * batches;
    let mut script = String::from("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now");
    for number in 0..many {
        // An array's text holds a backslash as two.
        let columns = ", '\\' || key_# AS handle_#, '{\"\\\\' || key_# || '\"}' AS handles_#, person_#, \
                       'client-' || person_# || '@load.test' AS address_#";
        script.push_str(&numbered(columns, number));
    }
    script.push_str(" FROM (SELECT 0");
    for number in 0..many {
        let addresses = options.addresses;
        let columns = format!(
            ", 'x' || encode(sha256(random()::text::bytea), 'hex') AS key_#, \
             :client_id * {addresses} + 1 + floor(random() * {addresses})::integer AS person_#"
        );
        script.push_str(&numbered(&columns, number));
    }
    script.push_str(" OFFSET 0) AS made_up \\gset\n\\set end :now + 600000\n");
    for number in 0..many {
        // As ids are made: time, node, sequence.
        let id = format!("\\set id_# ((:now - 1735689600000) << 22) + (:client_id << 12) + {number}\n");
        script.push_str(&numbered(&id, number));
    }
    for first in (0..many).step_by(usize::try_from(batch).unwrap_or(1)) {
        let all: Vec<u32> = (first..first + batch).collect();
        for number in &all {
            operation(&mut script, &start(), *number);
        }
        deliver(&mut script, &all);
        for number in &all {
            operation(&mut script, &verification(), *number);
        }
    }
    script
}

/// A statement of sign-in `number`.
fn numbered(statement: &str, number: u32) -> String {
    statement.replace('#', &number.to_string())
}

/// An operation of sign-in `number`: what is loaded, and what is written.
fn operation(script: &mut String, [load, write]: &[Vec<String>; 2], number: u32) {
    let numbered = |statements: &[String]| statements.iter().map(|it| numbered(it, number)).collect::<Vec<_>>();
    trips(script, &numbered(load), &numbered(write));
}

/// Two trips.
fn trips(script: &mut String, load: &[String], write: &[String]) {
    let _ = write!(
        script,
        "\\startpipeline\nBEGIN;\n{};\n\\endpipeline\n\\startpipeline\n{};\nCOMMIT;\n\\endpipeline\n",
        load.join(";\n"),
        write.join(";\n")
    );
}

fn start() -> [Vec<String>; 2] {
    [
        vec![
            format!("SELECT {FLOW} FROM flows WHERE handle = :handle_# FOR UPDATE"),
            "SELECT stranger, known FROM budgets WHERE address = :address_# AND project = :project AND channel = :channel"
                .to_owned(),
            format!(
                "SELECT {IDENTITY}, {ADDRESS} FROM addresses JOIN identities ON identities.id = identity_id \
                 WHERE addresses.address = :address_# AND addresses.project = :project AND addresses.channel = :channel"
            ),
        ],
        vec![
            "INSERT INTO outbox (id, project, kind, state, flow_id, epoch, channel, address, due_at, attempts, not_after, \
             created_at, last_error, link) VALUES (:id_#, :project, 'code', 'owed', :id_#, 1, :channel, :address_#, :now, 0, \
             :end, :now, NULL, NULL)"
                .to_owned(),
            "INSERT INTO flows (id, handle, project, dialect, purpose, state, identity_id, seed, issued_at, expires_at, \
             channel, address, epoch, sends, attempts, max_attempts, sent_at, code_ends_at, code_format, key_id, code_digest, \
             message_id, replaces_id, attributes, memo, device_id) VALUES (:id_#, :handle_#, :project, :dialect, \
             'sign_in_or_up', 'sent', :person_#, :seed, :now, :end, :channel, :address_#, 1, 1, 0, 5, :now, :end, 'digits6', 1, \
             :digest, :id_#, NULL, NULL, NULL, NULL)"
                .to_owned(),
        ],
    ]
}

fn verification() -> [Vec<String>; 2] {
    [
        vec![
            format!("SELECT {FLOW} FROM flows WHERE handle = ANY(:handles_#) ORDER BY handle FOR UPDATE"),
            "INSERT INTO budgets (address, project, channel, stranger, known, forgotten_at) \
             SELECT address, project, channel, '\\x0000', '\\x0000', 0 FROM (SELECT DISTINCT address, project, channel \
             FROM flows WHERE handle = ANY(:handles_#) AND address IS NOT NULL) AS wanted (address, project, channel) \
             ORDER BY address, project, channel ON CONFLICT (address, project, channel) DO UPDATE SET forgotten_at = 0 WHERE false"
                .to_owned(),
            "SELECT stranger, known, project, channel, address FROM budgets WHERE (address, project, channel) IN \
             (SELECT address, project, channel FROM flows WHERE handle = ANY(:handles_#))"
                .to_owned(),
            format!("SELECT {IDENTITY} FROM identities WHERE id IN ({CONCERNED}) ORDER BY id FOR UPDATE"),
            format!("SELECT {ADDRESS} FROM addresses WHERE identity_id IN ({CONCERNED}) ORDER BY id"),
            "SELECT id, project, dialect, generation, rotated_at, active_id, updated_at FROM devices \
             WHERE id IN (SELECT device_id FROM flows WHERE handle = ANY(:handles_#)) ORDER BY id FOR UPDATE"
                .to_owned(),
        ],
        vec![
            "UPDATE flows SET state = 'passed', code_digest = NULL, identity_id = :person_# WHERE id = :id_#".to_owned(),
            "INSERT INTO sessions (id, project, dialect, identity_id, method, issued_at, expires_at, ended_at, generation, \
             rotated_at, previous_rotated_at, device_id, memo) VALUES (:id_#, :project, :dialect, :person_#, :channel, :now, :end, \
             NULL, 0, :now, :now, NULL, NULL)"
                .to_owned(),
        ],
    ]
}

/// Leases and settles the messages of the sign-ins `all`.
fn deliver(script: &mut String, all: &[u32]) {
    let of_all = |one: &dyn Fn(u32) -> String, between: &str| {
        all.iter().map(|number| one(*number)).collect::<Vec<_>>().join(between)
    };
    let ids = of_all(&|number| format!(":id_{number}"), ", ");
    let many = all.len();
    let each = |statement: &str| all.iter().map(|number| numbered(statement, *number)).collect::<Vec<_>>();
    let due = format!(
        "SELECT {MESSAGE}, {FLOW} FROM outbox LEFT JOIN flows ON flows.id = flow_id WHERE outbox.state = 'owed' AND due_at <= :now \
         AND outbox.id = ANY(ARRAY[{ids}]::bigint[]) ORDER BY due_at LIMIT {many} FOR UPDATE OF outbox SKIP LOCKED"
    );
    let delay =
        each("UPDATE outbox SET due_at = :end, attempts = 0, last_error = coalesce(NULL, last_error) WHERE id = :id_#");
    trips(script, &[due], &delay);
    let lock = format!("SELECT {MESSAGE} FROM outbox WHERE id = ANY(ARRAY[{ids}]::bigint[]) ORDER BY id FOR UPDATE");
    let settle = each(
        "UPDATE outbox SET state = 'sent', settled_at = :now, last_error = coalesce(NULL, last_error) WHERE id = :id_#",
    );
    trips(script, &[lock], &settle);
}
