//! One trip to the database: several statements sent one behind the other without waiting, and all their answers.
//!
//! The server runs them in the order in which they were sent, each on what was committed when it began: a statement behind one that
//! waited for a lock sees what the lock's holder wrote.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use engine::StoreError;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use super::connect::Link;
use super::run::driver;
use crate::error::unavailable;

/// What a statement answers.
pub(super) type Answer = Result<Vec<Row>, Error>;

/// A statement that is sent when it is first polled.
pub(super) type Step<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// Why an operation did not come to its decision.
#[derive(Debug)]
pub(super) enum Failure {
    /// The driver or the server said so.
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

/// Sends the statement `sql`, which a module has declared.
pub(super) async fn ask(link: &Link, sql: &'static str, parameters: &[&(dyn ToSql + Sync)]) -> Answer {
    link.client().query(link.statement(sql), parameters).await
}

/// The statements of a trip, in their order.
pub(super) struct Trip<'a> {
    steps: Vec<Step<'a>>,
}

/// The place of a statement in its trip.
#[derive(Clone, Copy)]
pub(super) struct Place(usize);

/// What the statements of a trip answered.
pub(super) struct Answers(Vec<Vec<Row>>);

impl<'a> Trip<'a> {
    /// A trip that begins a transaction.
    pub(super) fn begin(link: &'a Link) -> Self {
        Self { steps: vec![command(link, "BEGIN")] }
    }

    /// A trip whose statements all see one state of the database and change nothing; it must be ended.
    pub(super) fn look(link: &'a Link) -> Self {
        Self { steps: vec![command(link, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")] }
    }

    /// Ends the transaction behind the statements.
    pub(super) fn end(&mut self, link: &'a Link) {
        self.steps.push(command(link, "COMMIT"));
    }

    /// Puts a statement behind the others.
    pub(super) fn add(&mut self, step: impl Future<Output = Answer> + Send + 'a) -> Place {
        self.steps.push(Box::pin(step));
        Place(self.steps.len() - 1)
    }

    /// Sends them. What the first one says that fails is the answer: those behind it only say that the transaction is aborted.
    pub(super) async fn run(self) -> Result<Answers, Error> {
        all(self.steps).await.into_iter().collect::<Result<_, _>>().map(Answers)
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

/// A statement without parameters and rows.
pub(super) fn command<'a>(link: &'a Link, sql: &'static str) -> Step<'a> {
    Box::pin(async move { link.client().batch_execute(sql).await.map(|()| Vec::new()) })
}

/// Starts `steps` in their order without waiting, and gives what each came to.
pub(super) fn all<'a, T: Send + Unpin + 'a>(
    steps: Vec<Pin<Box<dyn Future<Output = T> + Send + 'a>>>,
) -> impl Future<Output = Vec<T>> + Send + 'a {
    let answers = steps.iter().map(|_| None).collect();
    All { steps: steps.into_iter().map(Some).collect(), answers }
}

struct All<'a, T> {
    steps: Vec<Option<Pin<Box<dyn Future<Output = T> + Send + 'a>>>>,
    answers: Vec<Option<T>>,
}

impl<T: Unpin> Future for All<'_, T> {
    type Output = Vec<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Vec<T>> {
        let Self { steps, answers } = &mut *self;
        let mut is_done = true;
        // In their order, each time: the first time that is the order in which they are sent.
        for (step, answer) in steps.iter_mut().zip(answers.iter_mut()) {
            let Some(running) = step else { continue };
            match running.as_mut().poll(context) {
                Poll::Ready(answered) => {
                    *answer = Some(answered);
                    *step = None;
                }
                Poll::Pending => is_done = false,
            }
        }
        if is_done { Poll::Ready(answers.drain(..).flatten().collect()) } else { Poll::Pending }
    }
}
