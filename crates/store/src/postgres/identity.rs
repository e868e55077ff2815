//! Identities and their addresses: loaders and appliers.
//!
//! Where an identity may be changed, or something be opened for it, its row is locked; its addresses are then read by a statement of
//! their own, behind the lock, and so cannot be older than it.

use std::collections::BTreeMap;

use engine::{
    Account, Address, AddressId, Handle, Identity, IdentityId, IdentityState, Owner, ProjectId, StoreError, Timestamp,
    VerifiableAddress,
};

use super::connect::Link;
use super::row::Cells;
use super::trip::{Step, ask, statements};
use super::wire::Row;

/// The columns of an identity, in the order that [`read_identity`] expects, and how many.
macro_rules! identity_columns {
    () => {
        "identities.id, identities.project, identities.state, traits, revision, identities.created_at, updated_at, metadata"
    };
}
pub(super) use identity_columns;
pub(super) const IDENTITY_COLUMNS: usize = 8;

/// The columns of an address, in the order that [`read_address`] expects.
macro_rules! address_columns {
    () => {
        "addresses.id, addresses.identity_id, addresses.channel, addresses.address, addresses.mailbox, verified_at, \
         addresses.created_at, asked_at"
    };
}
pub(super) use address_columns;

// What is looked for in another table is an array here, and not a join: a plan that is made while the tables are empty finds any way
// through them as good as any other, and is kept until the server notices that they are not any more.

/// The ids of those whom the flows of the handles `$1` concern, and of those who own the addresses that they ask: an array.
macro_rules! concerned {
    () => {
        "ARRAY(SELECT unnest(ARRAY[flows.identity_id, (SELECT addresses.identity_id FROM addresses \
         WHERE addresses.address = flows.address AND addresses.project = flows.project AND addresses.channel = flows.channel)]) \
         FROM flows WHERE flows.handle = ANY($1))"
    };
}
pub(super) use concerned;

/// The ids of an identity, `$1`, and of those who own any of the addresses `$3`, each on its channel `$4`, in the project `$2`: an array.
macro_rules! wanted {
    () => {
        "ARRAY(SELECT $1::bigint UNION ALL SELECT (SELECT addresses.identity_id FROM addresses \
         WHERE addresses.address = wanted.address AND addresses.project = $2 AND addresses.channel = wanted.channel) \
         FROM unnest($3::text[], $4::text[]) AS wanted (address, channel))"
    };
}

statements! {
    OWNER = concat!(
        "SELECT ", identity_columns!(), ", ", address_columns!(), " FROM addresses JOIN identities ON identities.id = identity_id \
         WHERE addresses.address = $1 AND addresses.project = $2 AND addresses.channel = $3"
    );
    OWNER_OF_FLOW = concat!(
        "SELECT ", identity_columns!(), ", ", address_columns!(), " FROM flows JOIN addresses ON addresses.address = flows.address \
         AND addresses.project = $2 AND addresses.channel = flows.channel \
         JOIN identities ON identities.id = addresses.identity_id WHERE handle = $1"
    );
    ACCOUNT = concat!(
        "SELECT ", identity_columns!(), ", ", address_columns!(), " FROM identities LEFT JOIN addresses \
         ON addresses.identity_id = identities.id WHERE identities.id = $1 ORDER BY addresses.id"
    );
    LIST = concat!(
        "SELECT ", identity_columns!(), ", ", address_columns!(), " FROM (SELECT * FROM identities WHERE project = $1 AND id > $2 \
         ORDER BY id LIMIT $3) AS identities LEFT JOIN addresses ON addresses.identity_id = identities.id \
         ORDER BY identities.id, addresses.id"
    );
    LOCK = concat!("SELECT ", identity_columns!(), " FROM identities WHERE id = $1 FOR UPDATE");
    ADDRESSES = concat!("SELECT ", address_columns!(), " FROM addresses WHERE identity_id = $1 ORDER BY id");
    LOCK_CONCERNED = concat!(
        "SELECT ", identity_columns!(), " FROM identities WHERE id = ANY(", concerned!(), ") ORDER BY id FOR UPDATE"
    );
    ADDRESSES_OF_CONCERNED = concat!(
        "SELECT ", address_columns!(), " FROM addresses WHERE identity_id = ANY(", concerned!(), ") ORDER BY id"
    );
    LOCK_WANTED = concat!(
        "SELECT ", identity_columns!(), " FROM identities WHERE id = ANY(", wanted!(), ") ORDER BY id FOR UPDATE"
    );
    ADDRESSES_OF_WANTED = concat!(
        "SELECT ", address_columns!(), " FROM addresses WHERE identity_id = ANY(", wanted!(), ") ORDER BY id"
    );
    ADD = "INSERT INTO identities (id, project, state, traits, revision, created_at, updated_at, metadata) \
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    BUMP = "UPDATE identities SET revision = $2, updated_at = $3 WHERE id = $1";
    PUT_TRAITS = "UPDATE identities SET traits = $2 WHERE id = $1";
    PUT_METADATA = "UPDATE identities SET metadata = $2 WHERE id = $1";
    PUT_STATE = "UPDATE identities SET state = $2 WHERE id = $1";
    DROP = "DELETE FROM identities WHERE id = $1";
    ADD_ADDRESS = "INSERT INTO addresses (id, identity_id, project, channel, address, mailbox, verified_at, created_at, \
                   asked_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    ASK_ADDRESS = "UPDATE addresses SET asked_at = $2 WHERE id = $1";
    DOUBT_ADDRESS = "UPDATE addresses SET verified_at = NULL WHERE id = $1";
    PROVE_ADDRESS = "UPDATE addresses SET verified_at = $2, asked_at = NULL WHERE id = $1";
    DROP_ADDRESS = "DELETE FROM addresses WHERE id = $1";
    DROP_UNPROVEN_ADDRESSES = "DELETE FROM addresses WHERE identity_id = $1 AND verified_at IS NULL AND id <> $2";
}

/// Reads an identity whose columns begin at `first`.
pub(super) fn read_identity(row: &Row, first: usize) -> Result<Identity, StoreError> {
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

fn read_address(row: &Row, first: usize) -> Result<VerifiableAddress, StoreError> {
    let cells = Cells::new(row, "addresses", first)?;
    Ok(VerifiableAddress {
        id: AddressId::new(cells.id()),
        identity: IdentityId::new(cells.get(first + 1, "identity_id")?),
        address: cells.address(first + 2)?,
        verified_at: cells.optional_time(first + 5, "verified_at")?,
        created_at: cells.time(first + 6, "created_at")?,
        asked_at: cells.optional_time(first + 7, "asked_at")?,
    })
}

/// Reads the owner that there may be.
pub(super) fn read_owner(rows: &[Row]) -> Result<Option<Owner>, StoreError> {
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(Owner { identity: read_identity(row, 0)?, address: read_address(row, IDENTITY_COLUMNS)? }))
}

/// Adds the address of a row, if it has one, to `addresses`: its columns are those behind an identity's, which begin at `first`.
pub(super) fn read_address_behind(
    row: &Row,
    first: usize,
    addresses: &mut Vec<VerifiableAddress>,
) -> Result<(), StoreError> {
    let at = first + IDENTITY_COLUMNS;
    if Cells::nameless(row, "addresses").get::<Option<i64>>(at, "id")?.is_some() {
        addresses.push(read_address(row, at)?);
    }
    Ok(())
}

/// Reads accounts: a row for each address, those of an identity together and in their order.
pub(super) fn read_accounts(rows: &[Row]) -> Result<Vec<Account>, StoreError> {
    let mut accounts: Vec<Account> = Vec::new();
    for row in rows {
        let identity = read_identity(row, 0)?;
        if accounts.last().is_none_or(|last| last.identity.id != identity.id) {
            accounts.push(Account { identity, addresses: Vec::new() });
        }
        if let Some(account) = accounts.last_mut() {
            read_address_behind(row, 0, &mut account.addresses)?;
        }
    }
    Ok(accounts)
}

/// Reads the account that there may be.
pub(super) fn read_account(rows: &[Row]) -> Result<Option<Account>, StoreError> {
    Ok(read_accounts(rows)?.pop())
}

/// Identities whose rows are locked, with the addresses that they had then, and addresses of others.
pub(super) struct Locked {
    accounts: BTreeMap<IdentityId, Account>,
    strays: Vec<VerifiableAddress>,
}

impl Locked {
    /// Reads the rows of the identities and of the addresses.
    pub(super) fn read(identities: &[Row], addresses: &[Row]) -> Result<Self, StoreError> {
        let mut accounts = BTreeMap::new();
        for row in identities {
            let identity = read_identity(row, 0)?;
            accounts.insert(identity.id, Account { identity, addresses: Vec::new() });
        }
        let mut strays = Vec::new();
        for row in addresses {
            let address = read_address(row, 0)?;
            match accounts.get_mut(&address.identity) {
                Some(account) => account.addresses.push(address),
                None => strays.push(address),
            }
        }
        Ok(Self { accounts, strays })
    }

    /// Whether an address came to somebody who is not locked, between the statement that locked and the one that read.
    pub(super) fn is_outrun(&self) -> bool {
        !self.strays.is_empty()
    }

    /// An identity with its addresses.
    pub(super) fn account(&self, id: IdentityId) -> Option<Account> {
        self.accounts.get(&id).cloned()
    }

    /// Who owns an address in `project`.
    pub(super) fn owner(&self, project: &ProjectId, address: &Address) -> Option<Owner> {
        let owned = self.accounts.values().filter(|account| account.identity.project == *project);
        owned.into_iter().find_map(|account| {
            let address = account.find(address)?.clone();
            Some(Owner { identity: account.identity.clone(), address })
        })
    }
}

/// Who owns an address.
pub(super) fn owner(link: &Link, project: &ProjectId, address: &Address) -> Step {
    ask(link, OWNER, &[&address.as_str(), &project.as_str(), &address.channel().name()])
}

/// Who owns the address of a flow's challenge.
pub(super) fn owner_of_flow(link: &Link, handle: &Handle, project: &ProjectId) -> Step {
    ask(link, OWNER_OF_FLOW, &[&handle.as_bytes().as_slice(), &project.as_str()])
}

/// An identity with all its addresses, the oldest first.
pub(super) fn account(link: &Link, id: IdentityId) -> Step {
    ask(link, ACCOUNT, &[&id.get()])
}

/// The identities of a project behind `after`, in the order of their ids, with their addresses.
pub(super) fn list(link: &Link, project: &ProjectId, after: IdentityId, limit: u32) -> Step {
    ask(link, LIST, &[&project.as_str(), &after.get(), &i64::from(limit)])
}

/// An identity, locked.
pub(super) fn lock(link: &Link, id: IdentityId) -> Step {
    ask(link, LOCK, &[&id.get()])
}

/// The addresses of an identity, the oldest first.
pub(super) fn addresses(link: &Link, id: IdentityId) -> Step {
    ask(link, ADDRESSES, &[&id.get()])
}

/// The identities that the flows of handles concern or whose addresses they ask, locked in the order of their ids.
pub(super) fn lock_concerned(link: &Link, handles: &[&[u8]]) -> Step {
    ask(link, LOCK_CONCERNED, &[&handles])
}

/// The addresses of those, the oldest first.
pub(super) fn addresses_of_concerned(link: &Link, handles: &[&[u8]]) -> Step {
    ask(link, ADDRESSES_OF_CONCERNED, &[&handles])
}

/// Which addresses somebody shall have.
pub(super) struct Wanted<'a> {
    pub(super) id: IdentityId,
    pub(super) project: &'a ProjectId,
    pub(super) addresses: Vec<&'a str>,
    pub(super) channels: Vec<&'static str>,
}

/// An identity and those who own addresses it shall have, locked in the order of their ids.
pub(super) fn lock_wanted(link: &Link, wanted: &Wanted<'_>) -> Step {
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&wanted.id.get(), &wanted.project.as_str(), &wanted.addresses, &wanted.channels];
    ask(link, LOCK_WANTED, &parameters)
}

/// The addresses of those, the oldest first.
pub(super) fn addresses_of_wanted(link: &Link, wanted: &Wanted<'_>) -> Step {
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&wanted.id.get(), &wanted.project.as_str(), &wanted.addresses, &wanted.channels];
    ask(link, ADDRESSES_OF_WANTED, &parameters)
}

/// A new identity.
pub(super) fn add(link: &Link, identity: &Identity) -> Step {
    let (created_at, updated_at) = (identity.created_at.millis(), identity.updated_at.millis());
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 8] = [
        &identity.id.get(),
        &identity.project.as_str(),
        &identity.state.name(),
        &identity.traits,
        &identity.revision,
        &created_at,
        &updated_at,
        &identity.metadata,
    ];
    ask(link, ADD, &parameters)
}

/// An identity has changed.
pub(super) fn bump(link: &Link, id: IdentityId, revision: i64, at: Timestamp) -> Step {
    ask(link, BUMP, &[&id.get(), &revision, &at.millis()])
}

/// What is known about an identity.
pub(super) fn put_traits(link: &Link, id: IdentityId, traits: &str) -> Step {
    ask(link, PUT_TRAITS, &[&id.get(), &traits])
}

/// What surfaces keep about an identity.
pub(super) fn put_metadata(link: &Link, id: IdentityId, metadata: &str) -> Step {
    ask(link, PUT_METADATA, &[&id.get(), &metadata])
}

/// Whether an identity may sign in.
pub(super) fn put_state(link: &Link, id: IdentityId, state: IdentityState) -> Step {
    ask(link, PUT_STATE, &[&id.get(), &state.name()])
}

/// An identity that owns nothing any more is gone.
pub(super) fn drop(link: &Link, id: IdentityId) -> Step {
    ask(link, DROP, &[&id.get()])
}

/// An identity owns another address.
pub(super) fn add_address(link: &Link, project: &ProjectId, address: &VerifiableAddress) -> Step {
    let (verified_at, asked_at) = (address.verified_at.map(Timestamp::millis), address.asked_at.map(Timestamp::millis));
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 9] = [
        &address.id.get(),
        &address.identity.get(),
        &project.as_str(),
        &address.address.channel().name(),
        &address.address.as_str(),
        &address.address.mailbox(),
        &verified_at,
        &address.created_at.millis(),
        &asked_at,
    ];
    ask(link, ADD_ADDRESS, &parameters)
}

/// A code was sent to have an address proved.
pub(super) fn ask_address(link: &Link, id: AddressId, at: Timestamp) -> Step {
    ask(link, ASK_ADDRESS, &[&id.get(), &at.millis()])
}

/// An address counts as never proved.
pub(super) fn doubt_address(link: &Link, id: AddressId) -> Step {
    ask(link, DOUBT_ADDRESS, &[&id.get()])
}

/// An address is proved.
pub(super) fn prove_address(link: &Link, id: AddressId, at: Timestamp) -> Step {
    ask(link, PROVE_ADDRESS, &[&id.get(), &at.millis()])
}

/// An identity does not own an address any more.
pub(super) fn drop_address(link: &Link, id: AddressId) -> Step {
    ask(link, DROP_ADDRESS, &[&id.get()])
}

/// The addresses an identity never proved are gone.
pub(super) fn drop_unproven_addresses(link: &Link, identity: IdentityId, except: AddressId) -> Step {
    ask(link, DROP_UNPROVEN_ADDRESSES, &[&identity.get(), &except.get()])
}
