//! Reading rows: columns by number, text into the engine's words, and an exact word where a value is not what it must be.

use engine::{Address, Channel, ProjectId, StoreError, Timestamp};
use tokio_postgres::types::FromSql;

use super::wire::Row;

/// A row of a table, for errors that name the cell.
pub(super) struct Cells<'a> {
    row: &'a Row,
    table: &'static str,
    id: i64,
}

impl<'a> Cells<'a> {
    /// `row` of `table`, whose id is in its column `id`.
    pub(super) fn new(row: &'a Row, table: &'static str, id: usize) -> Result<Self, StoreError> {
        let unread = Self { row, table, id: 0 };
        Ok(Self { id: unread.get(id, "id")?, ..unread })
    }

    /// `row` of `table`, which has no number.
    pub(super) const fn nameless(row: &'a Row, table: &'static str) -> Self {
        Self { row, table, id: 0 }
    }

    /// The row's id.
    pub(super) const fn id(&self) -> i64 {
        self.id
    }

    /// Column `index`, called `column`.
    pub(super) fn get<T: FromSql<'a>>(&self, index: usize, column: &'static str) -> Result<T, StoreError> {
        self.row.try_get(index).ok_or_else(|| self.corrupt(column))
    }

    /// A number that fits.
    pub(super) fn number<T: TryFrom<i64>>(&self, index: usize, column: &'static str) -> Result<T, StoreError> {
        let number: i64 = self.get(index, column)?;
        T::try_from(number).map_err(|_| self.corrupt(column))
    }

    /// Text that is one of the engine's words.
    pub(super) fn word<T>(
        &self,
        index: usize,
        column: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        read(self.get(index, column)?).ok_or_else(|| self.corrupt(column))
    }

    /// Exactly `N` bytes.
    pub(super) fn bytes<const N: usize>(&self, index: usize, column: &'static str) -> Result<[u8; N], StoreError> {
        let bytes: &[u8] = self.get(index, column)?;
        bytes.try_into().map_err(|_| self.corrupt(column))
    }

    /// A time.
    pub(super) fn time(&self, index: usize, column: &'static str) -> Result<Timestamp, StoreError> {
        Ok(Timestamp::from_millis(self.get(index, column)?))
    }

    /// A time, if there is one.
    pub(super) fn optional_time(&self, index: usize, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.get::<Option<i64>>(index, column)?.map(Timestamp::from_millis))
    }

    /// A project's id.
    pub(super) fn project(&self, index: usize) -> Result<ProjectId, StoreError> {
        self.word(index, "project", |text| Some(ProjectId::new(text)))
    }

    /// A channel at `index`, and an address and its mailbox behind it.
    pub(super) fn address(&self, index: usize) -> Result<Address, StoreError> {
        let channel = self.word(index, "channel", Channel::from_name)?;
        Ok(Address::from_stored(channel, self.get(index + 1, "address")?, self.get(index + 2, "mailbox")?))
    }

    /// The error that names a cell of this row.
    pub(super) const fn corrupt(&self, column: &'static str) -> StoreError {
        StoreError::Corrupt { table: self.table, column, id: self.id }
    }
}
