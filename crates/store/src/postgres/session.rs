//! Sessions: loaders and appliers.

use engine::{Account, Caller, DeviceId, IdentityId, Prover, SIGN_INS_SEEN, Session, SessionId, StoreError, Timestamp};

use super::connect::Link;
use super::identity::{address_columns, identity_columns, read_address_behind, read_identity};
use super::row::Cells;
use super::trip::{Step, ask, statements};
use super::wire::Row;

/// The columns of a session, in the order that [`read`] expects, and how many.
macro_rules! columns {
    () => {
        "sessions.id, sessions.project, dialect, sessions.identity_id, method, issued_at, expires_at, ended_at, generation, \
         rotated_at, previous_rotated_at, device_id, memo"
    };
}
const COLUMNS: usize = 13;

/// Sessions, whose they are, and the addresses of these.
macro_rules! callers {
    ($which:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            ", ",
            identity_columns!(),
            ", ",
            address_columns!(),
            " FROM sessions \
             JOIN identities ON identities.id = sessions.identity_id \
             LEFT JOIN addresses ON addresses.identity_id = identities.id WHERE ",
            $which,
            " ORDER BY sessions.id, addresses.id"
        )
    };
}

statements! {
    CALLER = callers!("sessions.id = $1");
    PROVER = "SELECT id, identity_id, issued_at FROM sessions WHERE id = $1";
    PROVERS_AT = "SELECT id, identity_id, issued_at FROM sessions WHERE device_id = $1 ORDER BY id DESC LIMIT $2";
    LOCK = concat!("SELECT ", columns!(), " FROM sessions WHERE id = $1 FOR UPDATE");
    IDENTITY_OF = concat!(
        "SELECT ", identity_columns!(), ", ", address_columns!(), " FROM sessions \
         JOIN identities ON identities.id = sessions.identity_id \
         LEFT JOIN addresses ON addresses.identity_id = identities.id WHERE sessions.id = $1 ORDER BY addresses.id"
    );
    LOCK_IDENTITY_OF = "SELECT id FROM identities WHERE id = (SELECT identity_id FROM sessions WHERE id = $1) FOR UPDATE";
    OF_IDENTITY = concat!(
        "SELECT ", columns!(), " FROM sessions WHERE identity_id = $1 AND ended_at IS NULL AND expires_at > $2 ORDER BY id"
    );
    LOCK_OF_DEVICE = "SELECT id FROM sessions WHERE device_id = $1 AND ended_at IS NULL ORDER BY id FOR UPDATE";
    OF_DEVICE = callers!("device_id = $1 AND ended_at IS NULL AND expires_at > $2");
    OPEN = "INSERT INTO sessions (id, project, dialect, identity_id, method, issued_at, expires_at, ended_at, generation, \
            rotated_at, previous_rotated_at, device_id, memo) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    ROTATE = "UPDATE sessions SET generation = $2, rotated_at = $3, previous_rotated_at = $4 WHERE id = $1";
    END = "UPDATE sessions SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL";
    // In the order of their ids, as everybody locks them.
    END_ALL = "UPDATE sessions SET ended_at = $2 WHERE id = ANY(ARRAY(SELECT id FROM sessions WHERE identity_id = $1 \
               AND ended_at IS NULL ORDER BY id FOR UPDATE))";
    FORGET = "UPDATE sessions SET memo = NULL WHERE id = ANY(ARRAY(SELECT id FROM sessions WHERE identity_id = $1 ORDER BY id FOR UPDATE))";
    // The oldest first, as with flows: see there.
    SWEEP = "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE id = ANY (ARRAY(SELECT id FROM \
             (SELECT id, expires_at, ended_at FROM sessions ORDER BY id LIMIT 4 * $2::bigint) AS oldest \
             WHERE least(expires_at, ended_at) < $1 LIMIT $2)) FOR UPDATE SKIP LOCKED) RETURNING device_id";
}

fn read(row: &Row) -> Result<Session, StoreError> {
    let cells = Cells::new(row, "sessions", 0)?;
    Ok(Session {
        id: SessionId::new(cells.id()),
        project: cells.project(1)?,
        dialect: cells.get(2, "dialect")?,
        identity: IdentityId::new(cells.get(3, "identity_id")?),
        method: cells.get(4, "method")?,
        issued_at: cells.time(5, "issued_at")?,
        expires_at: cells.time(6, "expires_at")?,
        ended_at: cells.optional_time(7, "ended_at")?,
        generation: cells.number(8, "generation")?,
        rotated_at: cells.time(9, "rotated_at")?,
        previous_rotated_at: cells.time(10, "previous_rotated_at")?,
        device: cells.get::<Option<i64>>(11, "device_id")?.map(DeviceId::new),
        memo: cells.get(12, "memo")?,
    })
}

/// Reads sessions.
pub(super) fn read_all(rows: &[Row]) -> Result<Vec<Session>, StoreError> {
    rows.iter().map(read).collect()
}

/// Reads sessions and whose they are: a row for each address, those of a session together and in their order.
pub(super) fn read_callers(rows: &[Row]) -> Result<Vec<Caller>, StoreError> {
    let mut callers: Vec<Caller> = Vec::new();
    for row in rows {
        let session = read(row)?;
        if callers.last().is_none_or(|last| last.session.id != session.id) {
            let account = Account { identity: read_identity(row, COLUMNS)?, addresses: Vec::new() };
            callers.push(Caller { session, account });
        }
        if let Some(caller) = callers.last_mut() {
            read_address_behind(row, COLUMNS, &mut caller.account.addresses)?;
        }
    }
    Ok(callers)
}

/// Reads a session that was locked, and whose it is. Without its identity a session is nobody's.
pub(super) fn read_caller(session: &[Row], account: Option<Account>) -> Result<Option<Caller>, StoreError> {
    let session = session.first().map(read).transpose()?;
    Ok(session.zip(account).map(|(session, account)| Caller { session, account }))
}

/// A session and whose it is.
pub(super) fn caller(link: &Link, id: SessionId) -> Step {
    ask(link, CALLER, &[&id.get()])
}

/// Who was proved in a session, over or not. That never changes, so it needs no lock.
pub(super) fn prover(link: &Link, id: SessionId) -> Step {
    ask(link, PROVER, &[&id.get()])
}

/// Who was proved in the newest sessions of a device, over or not. That needs no lock either: a sign-in that is under way is none yet.
pub(super) fn provers_at(link: &Link, device: DeviceId) -> Step {
    ask(link, PROVERS_AT, &[&device.get(), &i64::from(SIGN_INS_SEEN)])
}

/// Reads who was proved in sessions.
pub(super) fn read_provers(rows: &[Row]) -> Result<Vec<Prover>, StoreError> {
    let prover = |row: &Row| {
        let cells = Cells::new(row, "sessions", 0)?;
        let identity = IdentityId::new(cells.get(1, "identity_id")?);
        Ok(Prover { identity, proved_at: cells.time(2, "issued_at")? })
    };
    rows.iter().map(prover).collect()
}

/// A session, locked.
pub(super) fn lock(link: &Link, id: SessionId) -> Step {
    ask(link, LOCK, &[&id.get()])
}

/// Whose a session is. That never changes, so it needs no lock.
pub(super) fn identity_of(link: &Link, id: SessionId) -> Step {
    ask(link, IDENTITY_OF, &[&id.get()])
}

/// Locks whose a session is.
pub(super) fn lock_identity_of(link: &Link, id: SessionId) -> Step {
    ask(link, LOCK_IDENTITY_OF, &[&id.get()])
}

/// The sessions of an identity that are not over at `now`, the oldest first.
pub(super) fn of_identity(link: &Link, identity: IdentityId, now: Timestamp) -> Step {
    ask(link, OF_IDENTITY, &[&identity.get(), &now.millis()])
}

/// Locks the sessions of a device that were not ended.
pub(super) fn lock_of_device(link: &Link, device: DeviceId) -> Step {
    ask(link, LOCK_OF_DEVICE, &[&device.get()])
}

/// The sessions of a device that are not over at `now` and whose they are, the oldest first.
pub(super) fn of_device(link: &Link, device: DeviceId, now: Timestamp) -> Step {
    ask(link, OF_DEVICE, &[&device.get(), &now.millis()])
}

/// Somebody is signed in.
pub(super) fn open(link: &Link, session: &Session) -> Step {
    let device = session.device.map(DeviceId::get);
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 13] = [
        &session.id.get(),
        &session.project.as_str(),
        &session.dialect,
        &session.identity.get(),
        &session.method,
        &session.issued_at.millis(),
        &session.expires_at.millis(),
        &session.ended_at.map(Timestamp::millis),
        &i64::from(session.generation),
        &session.rotated_at.millis(),
        &session.previous_rotated_at.millis(),
        &device,
        &session.memo,
    ];
    ask(link, OPEN, &parameters)
}

/// A session has a new refresh token.
pub(super) fn rotate(link: &Link, session: &Session) -> Step {
    let (rotated_at, previous) = (session.rotated_at.millis(), session.previous_rotated_at.millis());
    ask(link, ROTATE, &[&session.id.get(), &i64::from(session.generation), &rotated_at, &previous])
}

/// A session ends.
pub(super) fn end(link: &Link, id: SessionId, at: Timestamp) -> Step {
    ask(link, END, &[&id.get(), &at.millis()])
}

/// All live sessions of an identity end.
pub(super) fn end_all(link: &Link, identity: IdentityId, at: Timestamp) -> Step {
    ask(link, END_ALL, &[&identity.get(), &at.millis()])
}

/// Nothing is noted about the sessions of an identity any more.
pub(super) fn forget(link: &Link, identity: IdentityId) -> Step {
    ask(link, FORGET, &[&identity.get()])
}

/// Removes sessions that ended before `before`: at most `limit`.
pub(super) fn sweep(link: &Link, before: Timestamp, limit: i64) -> Step {
    ask(link, SWEEP, &[&before.millis(), &limit])
}

/// Reads the devices at which removed sessions were opened.
pub(super) fn read_devices(rows: &[Row]) -> Result<Vec<i64>, StoreError> {
    let device = |row| Cells::nameless(row, "sessions").get::<Option<i64>>(0, "device_id");
    Ok(rows.iter().map(device).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}
