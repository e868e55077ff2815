//! Reading rows: columns by number, text into the engine's words, and an exact word where a value is not what it must be.

use engine::{Address, Channel, ProjectId, StoreError, Timestamp};
use rusqlite::Row;
use rusqlite::types::FromSql;

use crate::error::driver;

/// A row of a table, for errors that name the cell.
pub(super) struct Cells<'a> {
    row: &'a Row<'a>,
    table: &'static str,
    id: i64,
}

impl<'a> Cells<'a> {
    /// `row` of `table`, whose id is in its column `id`.
    pub(super) fn new(row: &'a Row<'a>, table: &'static str, id: usize) -> Result<Self, StoreError> {
        Ok(Self { row, table, id: row.get(id).map_err(driver)? })
    }

    /// The row's id.
    pub(super) const fn id(&self) -> i64 {
        self.id
    }

    /// Column `index`, called `column`.
    pub(super) fn get<T: FromSql>(&self, index: usize, column: &'static str) -> Result<T, StoreError> {
        self.row.get(index).map_err(|_| self.corrupt(column))
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
        let text = self.row.get_ref(index).ok().and_then(|value| value.as_str().ok());
        text.and_then(read).ok_or_else(|| self.corrupt(column))
    }

    /// Exactly `N` bytes.
    pub(super) fn bytes<const N: usize>(&self, index: usize, column: &'static str) -> Result<[u8; N], StoreError> {
        let bytes = self.row.get_ref(index).ok().and_then(|value| value.as_blob().ok());
        bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| self.corrupt(column))
    }

    /// A time.
    pub(super) fn time(&self, index: usize, column: &'static str) -> Result<Timestamp, StoreError> {
        Ok(Timestamp::from_millis(self.get(index, column)?))
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
