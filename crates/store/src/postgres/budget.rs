//! Budgets: loaders and appliers.
//!
//! A budget is locked before it is read, and comes to be with its lock: two who find none would else both spend the first of it.

use engine::{Address, Budget, Handle, ProjectId, Spent, StoreError, Timestamp};

use super::connect::Link;
use super::row::Cells;
use super::trip::{Step, ask, statements};
use super::wire::Row;

/// Takes the locks of the budgets of which `$which` selects address, project and channel; those that are not there come to be, with
/// nothing spent. A row that is there is not written anew: the condition is never met.
macro_rules! lock {
    ($which:literal) => {
        concat!(
            "INSERT INTO budgets (address, project, channel, stranger, known, forgotten_at) \
             SELECT address, project, channel, '\\x0000', '\\x0000', 0 FROM (",
            $which,
            ") AS wanted (address, project, channel) ORDER BY address, project, channel \
             ON CONFLICT (address, project, channel) DO UPDATE SET forgotten_at = 0 WHERE false"
        )
    };
}

statements! {
    LOCK = lock!("VALUES ($1::text, $2::text, $3::text)");
    LOCK_OF_FLOW = lock!("SELECT address, $2::text, channel FROM flows WHERE handle = $1 AND address IS NOT NULL");
    LOCK_OF_FLOWS =
        lock!("SELECT DISTINCT address, project, channel FROM flows WHERE handle = ANY($1) AND address IS NOT NULL");
    OF = "SELECT stranger, known FROM budgets WHERE address = $1 AND project = $2 AND channel = $3";
    OF_FLOW = "SELECT stranger, known FROM flows JOIN budgets ON budgets.address = flows.address \
               AND budgets.project = $2 AND budgets.channel = flows.channel WHERE handle = $1";
    // A budget is an address's, whatever its mailbox.
    OF_FLOWS = "SELECT stranger, known, spent.project, spent.channel, spent.address, spent.address FROM flows CROSS JOIN LATERAL \
                (SELECT * FROM budgets WHERE budgets.address = flows.address AND budgets.project = flows.project \
                AND budgets.channel = flows.channel OFFSET 0) AS spent WHERE handle = ANY($1)";
    PUT = "UPDATE budgets SET stranger = $4, known = $5, forgotten_at = $6 \
           WHERE address = $1 AND project = $2 AND channel = $3";
    FORGIVE = "DELETE FROM budgets WHERE address = $1 AND project = $2 AND channel = $3";
    // Those of which nothing was ever spent are removed with the others.
    SWEEP = "DELETE FROM budgets WHERE (address, project, channel) IN (SELECT address, project, channel FROM budgets \
             WHERE forgotten_at < $1 ORDER BY forgotten_at LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING forgotten_at > 0";
}

/// Takes the lock of the budget of an address.
pub(super) fn lock(link: &Link, project: &ProjectId, address: &Address) -> Step {
    ask(link, LOCK, &[&address.as_str(), &project.as_str(), &address.channel().name()])
}

/// Takes the lock of the budget of the address that is asked about in a flow.
pub(super) fn lock_of_flow(link: &Link, handle: &Handle, project: &ProjectId) -> Step {
    ask(link, LOCK_OF_FLOW, &[&handle.as_bytes().as_slice(), &project.as_str()])
}

/// Takes the locks of the budgets of the addresses that are asked about in flows, in the order of these addresses.
pub(super) fn lock_of_flows(link: &Link, handles: &[&[u8]]) -> Step {
    ask(link, LOCK_OF_FLOWS, &[&handles])
}

/// What has been spent of an address.
pub(super) fn of(link: &Link, project: &ProjectId, address: &Address) -> Step {
    ask(link, OF, &[&address.as_str(), &project.as_str(), &address.channel().name()])
}

/// What has been spent of the address that is asked about in a flow.
pub(super) fn of_flow(link: &Link, handle: &Handle, project: &ProjectId) -> Step {
    ask(link, OF_FLOW, &[&handle.as_bytes().as_slice(), &project.as_str()])
}

/// What has been spent of the addresses that are asked about in flows.
pub(super) fn of_flows(link: &Link, handles: &[&[u8]]) -> Step {
    ask(link, OF_FLOWS, &[&handles])
}

fn read(cells: &Cells<'_>) -> Result<Budget, StoreError> {
    let spent = |index, column| Spent::from_bytes(cells.get(index, column)?).ok_or_else(|| cells.corrupt(column));
    Ok(Budget { stranger: spent(0, "stranger")?, known: spent(1, "known")? })
}

/// Reads what has been spent of an address: nothing where there is no row.
pub(super) fn read_one(rows: &[Row]) -> Result<Budget, StoreError> {
    rows.first().map_or_else(|| Ok(Budget::default()), |row| read(&Cells::nameless(row, "budgets")))
}

/// Reads what has been spent of addresses.
pub(super) fn read_all(rows: &[Row]) -> Result<Vec<(ProjectId, Address, Budget)>, StoreError> {
    let budget = |row| {
        let cells = Cells::nameless(row, "budgets");
        Ok((cells.project(2)?, cells.address(3)?, read(&cells)?))
    };
    rows.iter().map(budget).collect()
}

/// Keeps what has been spent of an address. Its budget is locked, so it is there.
pub(super) fn put(link: &Link, project: &ProjectId, address: &Address, budget: &Budget) -> Step {
    let (stranger, known) = (budget.stranger.to_bytes(), budget.known.to_bytes());
    let channel = address.channel().name();
    let forgotten_at = budget.forgotten_at().millis();
    ask(link, PUT, &[&address.as_str(), &project.as_str(), &channel, &stranger, &known, &forgotten_at])
}

/// An address's budget is whole again.
pub(super) fn forgive(link: &Link, project: &ProjectId, address: &Address) -> Step {
    ask(link, FORGIVE, &[&address.as_str(), &project.as_str(), &address.channel().name()])
}

/// Removes budgets that say nothing any more at `now`: at most `limit`.
pub(super) fn sweep(link: &Link, now: Timestamp, limit: i64) -> Step {
    ask(link, SWEEP, &[&now.millis(), &limit])
}

/// How many of the budgets that were removed had anything spent.
pub(super) fn read_swept(rows: &[Row]) -> Result<usize, StoreError> {
    let was_spent = |row| Cells::nameless(row, "budgets").get::<bool>(0, "forgotten_at");
    Ok(rows.iter().map(was_spent).collect::<Result<Vec<_>, _>>()?.into_iter().filter(|was_spent| *was_spent).count())
}
