//! What a store keeps, as a database would: the rows of the memory store in an SQLite database of the moment, so that the tests that
//! look with SQL, or change something as a foreign program would, have something to do that with; and the rows of any world in one
//! form, in which those of several are the same or are not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use engine::{
    Address, AddressId, Budget, Challenge, Channel, Device, DeviceId, Digest, Flow, FlowId, Identity, IdentityId,
    IdentityState, MessageId, MessageKind, MessageState, OutboxMessage, ProjectId, SealedKey, Session, SessionId,
    Ticket, Timestamp, VerifiableAddress,
};
use rusqlite::types::{FromSql, Value, ValueRef};
use rusqlite::{Connection, Row, params_from_iter};
use serde_json::{Map, json};
use testkit::memory::{Kept, MemoryStore, Owned, Tables};
use testkit::world::World;

use crate::support::connection;

/// The tables that every store has.
const TABLES: [&str; 10] = [
    "flows",
    "identities",
    "addresses",
    "sessions",
    "devices",
    "tickets",
    "outbox",
    "budgets",
    "signing_keys",
    "project_meta",
];

/// What of a table is compared. PostgreSQL locks a budget before it is spent by a row that says nothing.
fn compared(table: &str) -> String {
    let said = if table == "budgets" { " WHERE forgotten_at > 0" } else { "" };
    format!("SELECT * FROM {table}{said}")
}

/// The rows of each table, each as a JSON object.
pub(crate) type Rows = BTreeMap<&'static str, BTreeSet<String>>;

/// Everything that a world keeps.
pub(crate) fn rows(world: &World) -> Rows {
    let Some(database) = world.postgres() else { return rows_of(&connection(world)) };
    let table = |table: &&str| {
        let compared = compared(table);
        format!("'{table}', (SELECT coalesce(json_agg(entry), '[]') FROM ({compared}) AS entry)")
    };
    let tables: Vec<_> = TABLES.iter().map(table).collect();
    let answer = database.ask(&format!("SELECT json_build_object({})", tables.join(", ")));
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let rows = |table: &str| answer[table].as_array().unwrap().iter().map(ToString::to_string).collect();
    TABLES.into_iter().map(|table| (table, rows(table))).collect()
}

fn rows_of(connection: &Connection) -> Rows {
    let rows = |table: &str| {
        let mut statement = connection.prepare(&compared(table)).unwrap();
        let names: Vec<String> = statement.column_names().map(ToOwned::to_owned).collect();
        let rows = statement.query_map([], |row| {
            let cell = |(index, name): (usize, &String)| (name.clone(), cell(row.get_ref(index).unwrap()));
            Ok(serde_json::Value::Object(names.iter().enumerate().map(cell).collect::<Map<_, _>>()).to_string())
        });
        rows.unwrap().map(Result::unwrap).collect()
    };
    TABLES.into_iter().map(|table| (table, rows(table))).collect()
}

/// A value as PostgreSQL writes it in JSON.
fn cell(value: ValueRef<'_>) -> serde_json::Value {
    match value {
        ValueRef::Null => serde_json::Value::Null,
        ValueRef::Integer(number) => json!(number),
        ValueRef::Text(text) => json!(str::from_utf8(text).unwrap()),
        ValueRef::Blob(bytes) => {
            let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            json!(format!("\\x{}", digits.concat()))
        }
        ValueRef::Real(_) => panic!("no column holds a fraction"),
    }
}

/// A database with these rows.
pub(crate) fn of(tables: &Tables) -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite");
    let mut migrations: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    migrations.sort();
    for migration in migrations {
        connection.execute_batch(&std::fs::read_to_string(migration).unwrap()).unwrap();
    }
    connection.execute_batch("BEGIN").unwrap();
    for identity in tables.identities.values() {
        insert(&connection, "identities", identity_row(identity));
    }
    for owned in tables.addresses.values() {
        insert(&connection, "addresses", address_row(owned));
    }
    for flow in tables.flows.values() {
        insert(&connection, "flows", flow_row(flow));
    }
    for session in tables.sessions.values() {
        insert(&connection, "sessions", session_row(session));
    }
    for device in tables.devices.values() {
        insert(&connection, "devices", device_row(device));
    }
    for ticket in tables.tickets.values() {
        insert(&connection, "tickets", ticket_row(ticket));
    }
    for kept in tables.outbox.values() {
        insert(&connection, "outbox", message_row(kept));
    }
    for ((project, address), budget) in &tables.budgets {
        insert(&connection, "budgets", budget_row(project, address, budget));
    }
    for key in &tables.signing_keys {
        insert(&connection, "signing_keys", key_row(key));
    }
    for (name, value) in &tables.meta {
        insert(&connection, "project_meta", vec![("name", name.clone().into()), ("value", value.clone().into())]);
    }
    connection.execute_batch("COMMIT").unwrap();
    connection
}

/// Columns with their values; the others are null.
type Columns = Vec<(&'static str, Value)>;

fn insert(connection: &Connection, table: &str, columns: Columns) {
    let (names, values): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let places = vec!["?"; names.len()].join(", ");
    let sql = format!("INSERT INTO {table} ({}) VALUES ({places})", names.join(", "));
    connection.prepare_cached(&sql).unwrap().execute(params_from_iter(values)).unwrap();
}

fn text(text: impl AsRef<str>) -> Value {
    Value::Text(text.as_ref().to_owned())
}

fn time(at: Timestamp) -> Value {
    at.millis().into()
}

fn identity_row(identity: &Identity) -> Columns {
    let Identity { id, project, state, traits, metadata, revision, created_at, updated_at } = identity;
    vec![
        ("id", id.get().into()),
        ("project", text(project.as_str())),
        ("state", text(state.name())),
        ("traits", text(traits)),
        ("metadata", text(metadata)),
        ("revision", (*revision).into()),
        ("created_at", time(*created_at)),
        ("updated_at", time(*updated_at)),
    ]
}

fn address_row(owned: &Owned) -> Columns {
    let Owned { project, address } = owned;
    let VerifiableAddress { id, identity, address, verified_at, asked_at, created_at } = address;
    vec![
        ("id", id.get().into()),
        ("identity_id", identity.get().into()),
        ("project", text(project.as_str())),
        ("channel", text(address.channel().name())),
        ("address", text(address.as_str())),
        ("mailbox", text(address.mailbox())),
        ("verified_at", verified_at.map(time).into()),
        ("asked_at", asked_at.map(time).into()),
        ("created_at", time(*created_at)),
    ]
}

fn flow_row(flow: &Flow) -> Columns {
    let Flow {
        id,
        handle,
        project,
        dialect,
        purpose,
        state,
        identity,
        device,
        replaces,
        attributes,
        memo,
        seed,
        challenge,
        issued_at,
        expires_at,
    } = flow;
    let mut columns = vec![
        ("id", id.get().into()),
        ("handle", handle.as_bytes().to_vec().into()),
        ("project", text(project.as_str())),
        ("dialect", text(dialect)),
        ("purpose", text(purpose.name())),
        ("state", text(state.name())),
        ("identity_id", identity.map(IdentityId::get).into()),
        ("device_id", device.map(DeviceId::get).into()),
        ("replaces_id", replaces.map(AddressId::get).into()),
        ("attributes", attributes.clone().into()),
        ("memo", memo.clone().into()),
        ("seed", seed.to_vec().into()),
        ("issued_at", time(*issued_at)),
        ("expires_at", time(*expires_at)),
    ];
    let Some(challenge) = challenge else { return columns };
    let Challenge {
        address,
        epoch,
        sends,
        attempts,
        max_attempts,
        sent_at,
        expires_at,
        format,
        key,
        code_digest,
        message,
    } = challenge;
    columns.extend([
        ("channel", text(address.channel().name())),
        ("address", text(address.as_str())),
        ("mailbox", text(address.mailbox())),
        ("epoch", (*epoch).into()),
        ("sends", (*sends).into()),
        ("attempts", (*attempts).into()),
        ("max_attempts", (*max_attempts).into()),
        ("sent_at", time(*sent_at)),
        ("code_ends_at", time(*expires_at)),
        ("code_format", text(format.name())),
        ("key_id", key.0.into()),
        ("code_digest", code_digest.as_ref().map(Digest::as_bytes).map(|bytes| bytes.to_vec()).into()),
        ("message_id", message.get().into()),
    ]);
    columns
}

fn session_row(session: &Session) -> Columns {
    let Session {
        id,
        project,
        dialect,
        identity,
        device,
        method,
        memo,
        issued_at,
        expires_at,
        ended_at,
        generation,
        rotated_at,
        previous_rotated_at,
    } = session;
    vec![
        ("id", id.get().into()),
        ("project", text(project.as_str())),
        ("dialect", text(dialect)),
        ("identity_id", identity.get().into()),
        ("device_id", device.map(DeviceId::get).into()),
        ("method", text(method)),
        ("memo", memo.clone().into()),
        ("issued_at", time(*issued_at)),
        ("expires_at", time(*expires_at)),
        ("ended_at", ended_at.map(time).into()),
        ("generation", (*generation).into()),
        ("rotated_at", time(*rotated_at)),
        ("previous_rotated_at", time(*previous_rotated_at)),
    ]
}

fn device_row(device: &Device) -> Columns {
    let Device { id, project, dialect, generation, rotated_at, active, updated_at } = device;
    vec![
        ("id", id.get().into()),
        ("project", text(project.as_str())),
        ("dialect", text(dialect)),
        ("generation", (*generation).into()),
        ("rotated_at", time(*rotated_at)),
        ("active_id", active.map(SessionId::get).into()),
        ("updated_at", time(*updated_at)),
    ]
}

fn ticket_row(ticket: &Ticket) -> Columns {
    let Ticket { digest, project, binding, identity, method, sealed, expires_at, spent_at, session } = ticket;
    vec![
        ("digest", digest.to_vec().into()),
        ("project", text(project.as_str())),
        ("binding", binding.as_bytes().to_vec().into()),
        ("identity_id", identity.map(IdentityId::get).into()),
        ("method", text(method)),
        ("sealed", sealed.clone().into()),
        ("expires_at", time(*expires_at)),
        ("spent_at", spent_at.map(time).into()),
        ("session_id", session.map(SessionId::get).into()),
    ]
}

fn message_row(kept: &Kept) -> Columns {
    let Kept { message, settled_at } = kept;
    let OutboxMessage {
        id,
        project,
        kind,
        state,
        flow,
        epoch,
        recipient,
        due_at,
        attempts,
        not_after,
        created_at,
        last_error,
        link,
        replaced_by,
    } = message;
    vec![
        ("id", id.get().into()),
        ("project", text(project.as_str())),
        ("kind", text(kind.name())),
        ("state", text(state.name())),
        ("flow_id", flow.get().into()),
        ("epoch", (*epoch).into()),
        ("channel", text(recipient.channel().name())),
        ("address", text(recipient.as_str())),
        ("mailbox", text(recipient.mailbox())),
        ("due_at", time(*due_at)),
        ("attempts", (*attempts).into()),
        ("not_after", time(*not_after)),
        ("created_at", time(*created_at)),
        ("settled_at", settled_at.map(time).into()),
        ("last_error", last_error.clone().into()),
        ("link", link.clone().into()),
        ("replaced_by", replaced_by.clone().into()),
    ]
}

fn budget_row(project: &ProjectId, address: &Address, budget: &Budget) -> Columns {
    vec![
        ("address", text(address.as_str())),
        ("project", text(project.as_str())),
        ("channel", text(address.channel().name())),
        ("stranger", budget.stranger.to_bytes().into()),
        ("known", budget.known.to_bytes().into()),
        ("forgotten_at", time(budget.forgotten_at())),
    ]
}

fn key_row(key: &SealedKey) -> Columns {
    let SealedKey { kid, project, algorithm, slot, created_at, sealed } = key;
    vec![
        ("project", text(project.as_str())),
        ("algorithm", text(algorithm.name())),
        ("slot", (*slot).into()),
        ("kid", text(kid)),
        ("created_at", time(*created_at)),
        ("sealed", sealed.clone().into()),
    ]
}

/// Runs statements on an image of the store's rows, and has the store keep what became of them.
///
/// # Panics
/// If the statements changed a table that [`taken_over`] does not read.
pub(crate) fn execute(store: &MemoryStore, sql: &str) {
    let image = of(&store.tables());
    image.execute_batch(sql).unwrap();
    let tables = taken_over(&image, store.tables());
    assert_eq!(rows_of(&of(&tables)), rows_of(&image), "what was changed is read back");
    store.replace(tables);
}

/// `before`, with what foreign programs change read from `image`.
fn taken_over(image: &Connection, before: Tables) -> Tables {
    let addresses = read(image, "addresses", |row| Owned { project: project(row), address: read_address(row) });
    Tables {
        identities: read(image, "identities", read_identity).into_iter().map(|it| (it.id, it)).collect(),
        addresses: addresses.into_iter().map(|it| (it.address.id, it)).collect(),
        sessions: read(image, "sessions", read_session).into_iter().map(|it| (it.id, it)).collect(),
        outbox: read(image, "outbox", read_message).into_iter().map(|it| (it.message.id, it)).collect(),
        ..before
    }
}

fn read<T>(image: &Connection, table: &str, read: impl Fn(&Row<'_>) -> T) -> Vec<T> {
    let mut statement = image.prepare(&format!("SELECT * FROM {table}")).unwrap();
    statement.query_map([], |row| Ok(read(row))).unwrap().map(Result::unwrap).collect()
}

fn get<T: FromSql>(row: &Row<'_>, column: &str) -> T {
    row.get(column).unwrap()
}

fn project(row: &Row<'_>) -> ProjectId {
    ProjectId::new(&get::<String>(row, "project"))
}

fn at(row: &Row<'_>, column: &str) -> Timestamp {
    Timestamp::from_millis(get(row, column))
}

fn maybe_at(row: &Row<'_>, column: &str) -> Option<Timestamp> {
    get::<Option<i64>>(row, column).map(Timestamp::from_millis)
}

fn address(row: &Row<'_>) -> Address {
    Address::from_stored(
        Channel::from_name(&get::<String>(row, "channel")).unwrap(),
        get(row, "address"),
        get(row, "mailbox"),
    )
}

fn read_identity(row: &Row<'_>) -> Identity {
    Identity {
        id: IdentityId::new(get(row, "id")),
        project: project(row),
        state: IdentityState::from_name(&get::<String>(row, "state")).unwrap(),
        traits: get(row, "traits"),
        metadata: get(row, "metadata"),
        revision: get(row, "revision"),
        created_at: at(row, "created_at"),
        updated_at: at(row, "updated_at"),
    }
}

fn read_address(row: &Row<'_>) -> VerifiableAddress {
    VerifiableAddress {
        id: AddressId::new(get(row, "id")),
        identity: IdentityId::new(get(row, "identity_id")),
        address: address(row),
        verified_at: maybe_at(row, "verified_at"),
        asked_at: maybe_at(row, "asked_at"),
        created_at: at(row, "created_at"),
    }
}

fn read_session(row: &Row<'_>) -> Session {
    Session {
        id: SessionId::new(get(row, "id")),
        project: project(row),
        dialect: get(row, "dialect"),
        identity: IdentityId::new(get(row, "identity_id")),
        device: get::<Option<i64>>(row, "device_id").map(DeviceId::new),
        method: get(row, "method"),
        memo: get(row, "memo"),
        issued_at: at(row, "issued_at"),
        expires_at: at(row, "expires_at"),
        ended_at: maybe_at(row, "ended_at"),
        generation: get(row, "generation"),
        rotated_at: at(row, "rotated_at"),
        previous_rotated_at: at(row, "previous_rotated_at"),
    }
}

fn read_message(row: &Row<'_>) -> Kept {
    let message = OutboxMessage {
        id: MessageId::new(get(row, "id")),
        project: project(row),
        kind: MessageKind::from_name(&get::<String>(row, "kind")).unwrap(),
        state: MessageState::from_name(&get::<String>(row, "state")).unwrap(),
        flow: FlowId::new(get(row, "flow_id")),
        epoch: get(row, "epoch"),
        recipient: address(row),
        due_at: at(row, "due_at"),
        attempts: get(row, "attempts"),
        not_after: at(row, "not_after"),
        created_at: at(row, "created_at"),
        last_error: get(row, "last_error"),
        link: get(row, "link"),
        replaced_by: get(row, "replaced_by"),
    };
    Kept { message, settled_at: maybe_at(row, "settled_at") }
}
