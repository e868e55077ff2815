//! Identities and their addresses: loaders and appliers.

use engine::{
    Account, Address, AddressId, Identity, IdentityId, IdentityState, Owner, ProjectId, StoreError, Timestamp,
    VerifiableAddress,
};
use rusqlite::{Connection, Row, params};

use super::row::Cells;
use crate::error::driver;

/// The columns of an identity, in the order that [`read_identity`] expects.
macro_rules! identity_columns {
    () => {
        "identities.id, identities.project, identities.state, traits, revision, identities.created_at, updated_at, metadata"
    };
}

fn read_identity(row: &Row<'_>, first: usize) -> Result<Identity, StoreError> {
    let cells = Cells::new(row, "identities", first)?;
    Ok(Identity {
        id: IdentityId::new(cells.id()),
        project: cells.project(first + 1)?,
        state: cells.word(first + 2, "state", IdentityState::from_name)?,
        traits: cells.get(first + 3, "traits")?,
        revision: cells.get(first + 4, "revision")?,
        created_at: cells.time(first + 5, "created_at")?,
        updated_at: cells.time(first + 6, "updated_at")?,
        metadata: cells.get(first + 7, "metadata")?,
    })
}

/// The columns of an address, in the order that [`read_address`] expects.
macro_rules! address_columns {
    () => {
        "addresses.id, addresses.identity_id, addresses.channel, addresses.address, addresses.mailbox, verified_at, \
         addresses.created_at, asked_at"
    };
}

fn read_address(row: &Row<'_>, first: usize) -> Result<VerifiableAddress, StoreError> {
    let cells = Cells::new(row, "addresses", first)?;
    Ok(VerifiableAddress {
        id: AddressId::new(cells.id()),
        identity: IdentityId::new(cells.get(first + 1, "identity_id")?),
        address: cells.address(first + 2)?,
        verified_at: cells.get::<Option<i64>>(first + 5, "verified_at")?.map(Timestamp::from_millis),
        created_at: cells.time(first + 6, "created_at")?,
        asked_at: cells.get::<Option<i64>>(first + 7, "asked_at")?.map(Timestamp::from_millis),
    })
}

/// Who owns an address.
pub(super) fn owner(
    connection: &Connection,
    project: &ProjectId,
    address: &Address,
) -> Result<Option<Owner>, StoreError> {
    let sql = concat!(
        "SELECT ",
        identity_columns!(),
        ", ",
        address_columns!(),
        " FROM addresses JOIN identities ON identities.id = identity_id \
         WHERE addresses.address = ?1 AND addresses.project = ?2 AND addresses.channel = ?3"
    );
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    let mut rows =
        statement.query(params![address.as_str(), project.as_str(), address.channel().name()]).map_err(driver)?;
    let Some(row) = rows.next().map_err(driver)? else { return Ok(None) };
    Ok(Some(Owner { identity: read_identity(row, 0)?, address: read_address(row, 8)? }))
}

/// An identity with all its addresses, the oldest first.
pub(super) fn account(connection: &Connection, id: IdentityId) -> Result<Option<Account>, StoreError> {
    let sql = concat!("SELECT ", identity_columns!(), " FROM identities WHERE id = ?1");
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    let mut rows = statement.query(params![id.get()]).map_err(driver)?;
    let Some(row) = rows.next().map_err(driver)? else { return Ok(None) };
    account_of(connection, read_identity(row, 0)?).map(Some)
}

/// An identity that is loaded already with all its addresses, the oldest first.
pub(super) fn account_of(connection: &Connection, identity: Identity) -> Result<Account, StoreError> {
    let addresses = addresses(connection, identity.id)?;
    Ok(Account { identity, addresses })
}

/// The addresses of an identity, the oldest first.
fn addresses(connection: &Connection, id: IdentityId) -> Result<Vec<VerifiableAddress>, StoreError> {
    let sql = concat!("SELECT ", address_columns!(), " FROM addresses WHERE identity_id = ?1 ORDER BY id");
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    let mut rows = statement.query(params![id.get()]).map_err(driver)?;
    let mut addresses = Vec::new();
    while let Some(row) = rows.next().map_err(driver)? {
        addresses.push(read_address(row, 0)?);
    }
    Ok(addresses)
}

/// The identities of a project behind `after`, in the order of their ids, with their addresses.
pub(super) fn list(
    connection: &Connection,
    project: &ProjectId,
    after: IdentityId,
    limit: u32,
) -> Result<Vec<Account>, StoreError> {
    let sql =
        concat!("SELECT ", identity_columns!(), " FROM identities WHERE project = ?1 AND id > ?2 ORDER BY id LIMIT ?3");
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    let mut rows = statement.query(params![project.as_str(), after.get(), limit]).map_err(driver)?;
    let mut accounts = Vec::new();
    while let Some(row) = rows.next().map_err(driver)? {
        let identity = read_identity(row, 0)?;
        accounts.push(Account { addresses: addresses(connection, identity.id)?, identity });
    }
    Ok(accounts)
}

/// A new identity.
pub(super) fn add(connection: &Connection, identity: &Identity) -> Result<(), StoreError> {
    let sql = "INSERT INTO identities (id, project, state, traits, revision, created_at, updated_at, metadata) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    statement
        .execute(params![
            identity.id.get(),
            identity.project.as_str(),
            identity.state.name(),
            identity.traits,
            identity.revision,
            identity.created_at.millis(),
            identity.updated_at.millis(),
            identity.metadata,
        ])
        .map_err(driver)?;
    Ok(())
}

/// An identity has changed.
pub(super) fn bump(connection: &Connection, id: IdentityId, revision: i64, at: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE identities SET revision = ?2, updated_at = ?3 WHERE id = ?1";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    statement.execute(params![id.get(), revision, at.millis()]).map_err(driver)?;
    Ok(())
}

/// What is known about an identity.
pub(super) fn put_traits(connection: &Connection, id: IdentityId, traits: &str) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached("UPDATE identities SET traits = ?2 WHERE id = ?1").map_err(driver)?;
    statement.execute(params![id.get(), traits]).map_err(driver)?;
    Ok(())
}

/// What surfaces keep about an identity.
pub(super) fn put_metadata(connection: &Connection, id: IdentityId, metadata: &str) -> Result<(), StoreError> {
    let sql = "UPDATE identities SET metadata = ?2 WHERE id = ?1";
    connection.prepare_cached(sql).map_err(driver)?.execute(params![id.get(), metadata]).map_err(driver)?;
    Ok(())
}

/// Whether an identity may sign in.
pub(super) fn put_state(connection: &Connection, id: IdentityId, state: IdentityState) -> Result<(), StoreError> {
    let sql = "UPDATE identities SET state = ?2 WHERE id = ?1";
    connection.prepare_cached(sql).map_err(driver)?.execute(params![id.get(), state.name()]).map_err(driver)?;
    Ok(())
}

/// An identity that owns nothing any more is gone.
pub(super) fn drop(connection: &Connection, id: IdentityId) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached("DELETE FROM identities WHERE id = ?1").map_err(driver)?;
    statement.execute(params![id.get()]).map_err(driver)?;
    Ok(())
}

/// An identity owns another address.
pub(super) fn add_address(
    connection: &Connection,
    project: &ProjectId,
    address: &VerifiableAddress,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO addresses (id, identity_id, project, channel, address, mailbox, verified_at, created_at, \
               asked_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    statement
        .execute(params![
            address.id.get(),
            address.identity.get(),
            project.as_str(),
            address.address.channel().name(),
            address.address.as_str(),
            address.address.mailbox(),
            address.verified_at.map(Timestamp::millis),
            address.created_at.millis(),
            address.asked_at.map(Timestamp::millis),
        ])
        .map_err(driver)?;
    Ok(())
}

/// A code was sent to have an address proved.
pub(super) fn ask_address(connection: &Connection, id: AddressId, at: Timestamp) -> Result<(), StoreError> {
    let mut statement =
        connection.prepare_cached("UPDATE addresses SET asked_at = ?2 WHERE id = ?1").map_err(driver)?;
    statement.execute(params![id.get(), at.millis()]).map_err(driver)?;
    Ok(())
}

/// An address counts as never proved.
pub(super) fn doubt_address(connection: &Connection, id: AddressId) -> Result<(), StoreError> {
    let mut statement =
        connection.prepare_cached("UPDATE addresses SET verified_at = NULL WHERE id = ?1").map_err(driver)?;
    statement.execute(params![id.get()]).map_err(driver)?;
    Ok(())
}

/// An address is proved.
pub(super) fn prove_address(connection: &Connection, id: AddressId, at: Timestamp) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached("UPDATE addresses SET verified_at = ?2, asked_at = NULL WHERE id = ?1")
        .map_err(driver)?;
    statement.execute(params![id.get(), at.millis()]).map_err(driver)?;
    Ok(())
}

/// An identity does not own an address any more.
pub(super) fn drop_address(connection: &Connection, id: AddressId) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached("DELETE FROM addresses WHERE id = ?1").map_err(driver)?;
    statement.execute(params![id.get()]).map_err(driver)?;
    Ok(())
}

/// The addresses an identity never proved are gone.
pub(super) fn drop_unproven_addresses(
    connection: &Connection,
    identity: IdentityId,
    except: AddressId,
) -> Result<(), StoreError> {
    let sql = "DELETE FROM addresses WHERE identity_id = ?1 AND verified_at IS NULL AND id <> ?2";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    statement.execute(params![identity.get(), except.get()]).map_err(driver)?;
    Ok(())
}
