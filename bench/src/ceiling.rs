//! The ceiling: how many sign-ins a second `PostgreSQL` could carry if nobody had to think about them.
//!
//! `pgbench` runs the store's own statements for start, settle and verification on the same tables, with the same settings, in
//! the same number of trips, pipelined, from a connection for each client. It does no HTTP, no cryptography and no mail, and
//! waits for nothing. Each client signs several people in at a time, because a courier settles several messages at a time.
//!
//! One thing is otherwise, because `pgbench` can do no better: what is null is written into the statement. And each script begins with a
//! statement that makes up keys and takes the time.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::Options;
use crate::machine;
use crate::postgres::{Counting, Database, Figures, Postgres, Statements, between};
use crate::report::count;

/// As the store sets its connections.
const SETTINGS: &str = "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_hashjoin=off \
                        -c enable_mergejoin=off -c jit=off -c client_min_messages=error";

/// The columns of a flow.
const FLOW: &str = "flows.id, handle, flows.project, dialect, purpose, flows.state, identity_id, seed, issued_at, expires_at, \
                    flows.channel, flows.address, flows.mailbox, flows.epoch, sends, flows.attempts, max_attempts, sent_at, code_ends_at, \
                    code_format, key_id, code_digest, message_id, replaces_id, attributes, flows.memo, flows.device_id";

/// The columns of a message.
const MESSAGE: &str = "outbox.id, outbox.project, kind, outbox.state, flow_id, outbox.epoch, outbox.channel, outbox.address, outbox.mailbox, due_at, \
                       outbox.attempts, not_after, created_at, last_error, link, replaced_by";

/// The columns of an identity.
const IDENTITY: &str = "identities.id, identities.project, identities.state, traits, revision, identities.created_at, updated_at, metadata";

/// The columns of an address.
const ADDRESS: &str = "addresses.id, addresses.identity_id, addresses.channel, addresses.address, addresses.mailbox, verified_at, addresses.created_at, asked_at";

/// Whom the flows of handles concern.
const CONCERNED: &str = "ARRAY(SELECT unnest(ARRAY[flows.identity_id, (SELECT addresses.identity_id FROM addresses \
     WHERE addresses.address = flows.address AND addresses.project = flows.project AND addresses.channel = flows.channel)]) \
     FROM flows WHERE flows.handle = ANY(:handles_#))";

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
    let path = folder.path().join("sign-ins.sql");
    std::fs::write(&path, script(options, batch))?;

    let running = pgbench(options, postgres, &database, &path)?;
    let process = running.id().ok_or_else(|| io::Error::other("pgbench has ended"))?;
    sleep(Duration::from_secs(options.warm_up)).await;
    let before = Moment::now(&database, process, counting).await?;
    sleep(Duration::from_secs(options.seconds)).await;
    let after = Moment::now(&database, process, counting).await?;
    let output = running.wait_with_output().await?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || !said.contains("\nnumber of failed transactions: 0 ") {
        return Err(io::Error::other(format!("pgbench: {said}{}", String::from_utf8_lossy(&output.stderr))));
    }
    postgres.remove(database).await?;
    let database = after.database.since(before.database);
    let sign_ins = count(database.sessions);
    Ok(Ceiling {
        sign_ins,
        rate: sign_ins / (after.at - before.at).as_secs_f64(),
        // Two for each operation, of which a batch has one settlement.
        trips: 4.0 + 2.0 / f64::from(batch),
        load: after.load.saturating_sub(before.load),
        database,
        statements: before.statements.zip(after.statements).map(|(before, after)| between(&before, after)),
    })
}

/// What is read at the beginning and at the end of what is measured.
struct Moment {
    at: Instant,
    load: Duration,
    database: Figures,
    statements: Option<Statements>,
}

impl Moment {
    async fn now(database: &Database, process: u32, counting: Counting) -> io::Result<Self> {
        let statements = database.counted(counting).await?;
        let load = machine::costs(&process.to_string())?.processor;
        let at = Instant::now();
        Ok(Self { at, load, database: database.figures().await?, statements })
    }
}

/// Runs the script at `path` for as long as is warmed up and measured, and a little longer: each connection prepares every line of it
/// first.
fn pgbench(options: &Options, postgres: &Postgres, database: &Database, path: &Path) -> io::Result<Child> {
    let mut command = Command::from(postgres.program("pgbench"));
    command.env("PGOPTIONS", SETTINGS).args(["--no-vacuum", "--protocol", "prepared", "--jobs", "1"]);
    let seconds = options.warm_up + options.seconds + 2;
    command.args(["--client", &options.clients.to_string(), "--time", &seconds.to_string(), "--file"]).arg(path);
    for (name, length) in [("seed", 16), ("digest", 32)] {
        command.args(["--define", &format!("{name}=\\x{}", "5a".repeat(length))]);
    }
    command.args(["--define", "project=main", "--define", "channel=email", "--define", "dialect=login"]);
    command.arg(database.url()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.spawn().map_err(|error| io::Error::other(format!("pgbench cannot be started: {error}")))
}

/// Everybody there is, with an address that is proved and a budget nothing was spent of.
fn people(options: &Options) -> String {
    let everybody =
        format!("generate_series(1, {}) AS number", u64::from(options.clients) * u64::from(options.addresses));
    format!(
        "INSERT INTO identities SELECT number, 'main', 'active', '{{}}', '{{}}', 1, 0, 0 FROM {everybody}; \
         INSERT INTO addresses SELECT number, number, 'main', 'email', 'client-' || number || '@load.test', 'client-' || number || '@load.test', 1, NULL, 0 FROM {everybody}; \
         INSERT INTO budgets SELECT 'client-' || number || '@load.test', 'main', 'email', '\\x0000', '\\x0000', 0 FROM {everybody}"
    )
}

/// `batch` sign-ins.
fn script(options: &Options, batch: u32) -> String {
    // As ids are made: time, node, sequence.
    let id = |number: u32, variable: &str| {
        format!("(({variable}now - 1735689600000) << 22) + (:client_id << 12) + {number}")
    };
    let ids = (0..batch).map(|number| id(number, "")).collect::<Vec<_>>().join(", ");
    let mut script = format!("SELECT now, ARRAY[{ids}]::text AS ids");
    for (name, type_name, value) in
        [("times", "bigint", "now"), ("errors", "text", "NULL"), ("states", "text", "'sent'")]
    {
        let values = vec![value; usize::try_from(batch).unwrap_or(1)].join(", ");
        let _ = write!(script, ", ARRAY[{values}]::{type_name}[]::text AS {name}");
    }
    for number in 0..batch {
        // An array's text holds a backslash as two.
        let columns = ", '\\' || key_# AS handle_#, '{\"\\\\' || key_# || '\"}' AS handles_#, person_#, \
                       'client-' || person_# || '@load.test' AS address_#";
        script.push_str(&numbered(columns, number));
    }
    script.push_str(" FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now");
    for number in 0..batch {
        let addresses = options.addresses;
        let columns = format!(
            ", 'x' || encode(sha256(random()::text::bytea), 'hex') AS key_#, \
             :client_id * {addresses} + 1 + floor(random() * {addresses})::integer AS person_#"
        );
        script.push_str(&numbered(&columns, number));
    }
    script.push_str(" OFFSET 0) AS made_up \\gset\n\\set end :now + 600000\n");
    for number in 0..batch {
        let _ = writeln!(script, "\\set id_{number} {}", id(number, ":"));
    }
    for number in 0..batch {
        operation(&mut script, &start(), number);
    }
    settle(&mut script);
    for number in 0..batch {
        operation(&mut script, &verification(), number);
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
            format!("SELECT {FLOW} FROM flows WHERE handle = ANY(:handles_#) ORDER BY handle FOR UPDATE"),
            "SELECT stranger, known FROM budgets WHERE address = :address_# AND project = :project AND channel = :channel"
                .to_owned(),
            format!(
                "SELECT {IDENTITY}, {ADDRESS} FROM addresses JOIN identities ON identities.id = identity_id \
                 WHERE addresses.address = :address_# AND addresses.project = :project AND addresses.channel = :channel"
            ),
        ],
        vec![
            "INSERT INTO outbox (id, project, kind, state, flow_id, epoch, channel, address, mailbox, due_at, attempts, not_after, \
             created_at, last_error, link, replaced_by) VALUES (:id_#, :project, 'code', 'owed', :id_#, 1, :channel, :address_#, :address_#, :end, 0, \
             :end, :now, NULL, NULL, NULL)"
                .to_owned(),
            "INSERT INTO flows (id, handle, project, dialect, purpose, state, identity_id, seed, issued_at, expires_at, \
             channel, address, mailbox, epoch, sends, attempts, max_attempts, sent_at, code_ends_at, code_format, key_id, code_digest, \
             message_id, replaces_id, attributes, memo, device_id) VALUES (:id_#, :handle_#, :project, :dialect, \
             'sign_in_or_up', 'sent', :person_#, :seed, :now, :end, :channel, :address_#, :address_#, 1, 1, 0, 5, :now, :end, 'digits6', 1, \
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
            "SELECT stranger, known, spent.project, spent.channel, spent.address, spent.address FROM flows CROSS JOIN LATERAL \
             (SELECT * FROM budgets WHERE budgets.address = flows.address AND budgets.project = flows.project \
             AND budgets.channel = flows.channel OFFSET 0) AS spent WHERE handle = ANY(:handles_#)"
                .to_owned(),
            format!("SELECT {IDENTITY} FROM identities WHERE id = ANY({CONCERNED}) ORDER BY id FOR UPDATE"),
            format!("SELECT {ADDRESS} FROM addresses WHERE identity_id = ANY({CONCERNED}) ORDER BY id"),
            "SELECT id, project, dialect, generation, rotated_at, active_id, updated_at FROM devices \
             WHERE id = ANY(ARRAY(SELECT device_id FROM flows WHERE handle = ANY(:handles_#))) ORDER BY id FOR UPDATE"
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

/// Settles the messages of all sign-ins.
fn settle(script: &mut String) {
    let lock = format!("SELECT {MESSAGE} FROM outbox WHERE id = ANY(:ids) ORDER BY id FOR UPDATE");
    let write = "UPDATE outbox SET state = told.state, settled_at = told.at, last_error = coalesce(told.error, last_error) \
                  FROM unnest(:ids::bigint[], :states::text[], :times::bigint[], :errors::text[]) \
                  AS told (id, state, at, error) WHERE outbox.id = told.id";
    trips(script, &[lock], &[write.to_owned()]);
}
