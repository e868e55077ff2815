//! One trip to the database: several statements sent one behind the other without waiting, and all their answers.
//!
//! The server runs them in the order in which they were sent, each on what was committed when it began: a statement behind one that
//! waited for a lock sees what the lock's holder wrote. Behind one that fails none is run.

use engine::StoreError;
use tokio_postgres::types::ToSql;

use super::connect::Link;
use super::run::driver;
use super::wire::{Error, Failed, Row};
use crate::error::unavailable;

/// Why an operation did not come to its decision.
#[derive(Debug)]
pub(super) enum Failure {
    /// The connection or the server said so.
    Driver(Error),
    /// A value is not what it must be.
    Stored(StoreError),
    /// Whom an address belongs to changed between two statements.
    Moved,
}

impl Failure {
    /// As the port says it.
    pub(super) fn said(self) -> StoreError {
        match self {
            Self::Driver(error) => driver(&error),
            Self::Stored(error) => error,
            Self::Moved => unavailable("an address changes hands all the time"),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Driver(error)
    }
}

impl From<Failed> for Failure {
    fn from(failed: Failed) -> Self {
        Self::Driver(failed.error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Stored(error)
    }
}

/// Declares a module's statements: each connection prepares them all when it is made, so that none is prepared in the midst of a trip.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)+) => {
        $($(#[$doc])* const $name: &str = $sql;)+
        pub(super) const STATEMENTS: &[&str] = &[$($name),+];
    };
}
pub(super) use statements;

const BEGIN: &str = "BEGIN";
const LOOK: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
pub(super) const COMMIT: &str = "COMMIT";
pub(super) const ROLLBACK: &str = "ROLLBACK";

/// What begins and ends transactions.
pub(super) const COMMANDS: &[&str] = &[BEGIN, LOOK, COMMIT, ROLLBACK];

/// A statement that is put down to be sent with the next trip: its place in that.
#[derive(Clone, Copy)]
pub(super) struct Step(usize);

impl Step {
    /// How many are sent before it.
    pub(super) const fn place(self) -> usize {
        self.0
    }
}

/// Puts down the statement `sql`, which a module has declared.
pub(super) fn ask(link: &Link, sql: &'static str, parameters: &[&(dyn ToSql + Sync)]) -> Step {
    Step(link.wire().ask(link.statement(sql), parameters))
}

/// Puts down one of [`COMMANDS`].
pub(super) fn command(link: &Link, sql: &'static str) -> Step {
    ask(link, sql, &[])
}

/// The statements of a trip: all that are put down until it runs.
pub(super) struct Trip<'a> {
    link: &'a Link,
}

/// The place of a statement in its trip.
#[derive(Clone, Copy)]
pub(super) struct Place(usize);

/// What the statements of a trip answered.
pub(super) struct Answers(Vec<Vec<Row>>);

impl<'a> Trip<'a> {
    /// A trip that begins a transaction.
    pub(super) fn begin(link: &'a Link) -> Self {
        Self::with(link, BEGIN)
    }

    /// A trip whose statements all see one state of the database and change nothing; it must be ended.
    pub(super) fn look(link: &'a Link) -> Self {
        Self::with(link, LOOK)
    }

    fn with(link: &'a Link, beginning: &'static str) -> Self {
        link.wire().clear();
        let mut trip = Self { link };
        let _place = trip.add(command(link, beginning));
        trip
    }

    /// Ends the transaction behind the statements.
    pub(super) fn end(&mut self) {
        let _place = self.add(command(self.link, COMMIT));
    }

    /// Where to find what a statement of this trip answers.
    #[expect(clippy::unused_self, reason = "a statement is put down for the trip that is being made")]
    pub(super) fn add(&mut self, step: Step) -> Place {
        Place(step.0)
    }

    /// Sends them.
    pub(super) async fn run(self) -> Result<Answers, Error> {
        self.link.exchange().await.map(Answers).map_err(|failed| failed.error)
    }
}

impl Answers {
    /// The rows of a statement.
    pub(super) fn take(&mut self, place: Place) -> Vec<Row> {
        self.0.get_mut(place.0).map(std::mem::take).unwrap_or_default()
    }

    /// The rows of a statement that was not always sent.
    pub(super) fn take_if(&mut self, place: Option<Place>) -> Vec<Row> {
        place.map(|place| self.take(place)).unwrap_or_default()
    }
}

/// Sends a statement by itself, and gives its rows.
pub(super) async fn alone(link: &Link, step: Step) -> Result<Vec<Row>, Error> {
    let mut answers = link.exchange().await.map(Answers).map_err(|failed| failed.error)?;
    Ok(answers.take(Place(step.0)))
}
