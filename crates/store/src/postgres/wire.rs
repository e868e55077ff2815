//! What goes over a connection: the statements of a trip at once, one request for answers behind them, and the answers.
//!
//! The driver makes a connection and proves who we are, and then lets go of it. From there on this is in its place, because the driver
//! asks for an answer behind every statement: that is a write at the server, a read here and a task woken for each of them, which
//! together cost more than most of the statements do.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf as _, BytesMut};
use fallible_iterator::FallibleIterator as _;
use postgres_protocol::message::backend::{DataRowBody, ErrorResponseBody, Message};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type};

/// Room for what is read at a time.
const READ: usize = 16 * 1024;

/// Why a statement has no answer.
#[derive(Debug)]
pub(super) enum Error {
    /// The server says so.
    Said {
        /// What is wrong, in the words of the standard.
        code: SqlState,
        /// What is wrong, for people.
        message: String,
    },
    /// The connection is of no use any more.
    Lost(io::Error),
    /// A parameter does not fit; nothing was sent.
    Unfit(String),
}

/// Without what the server says in detail: that quotes values, and those are people's addresses.
impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Said { code, message } => write!(formatter, "{message} ({})", code.code()),
            Self::Lost(error) => write!(formatter, "the connection was lost: {error}"),
            Self::Unfit(problem) => formatter.write_str(problem),
        }
    }
}

/// Why the statements of a trip have no answers.
#[derive(Debug)]
pub(super) struct Failed {
    /// What was wrong with the first that failed. Those behind it were not run.
    pub(super) error: Error,
    /// Which one that was.
    pub(super) place: usize,
    /// Whether the connection can be used still; what it had begun must be undone.
    pub(super) is_usable: bool,
}

/// What a connection runs over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A statement that the server has prepared for a connection.
pub(super) struct Prepared {
    name: String,
    parameters: Vec<Type>,
    columns: Arc<[Type]>,
}

impl Prepared {
    /// What its parameters are.
    #[cfg(test)]
    pub(super) fn parameters(&self) -> &[Type] {
        &self.parameters
    }
}

/// What a statement answered.
pub(super) struct Row {
    columns: Arc<[Type]>,
    body: DataRowBody,
    ranges: Vec<Option<Range<usize>>>,
}

impl Row {
    /// Column `index`; none where it is not there or is not a `T`.
    pub(super) fn try_get<'a, T: FromSql<'a>>(&'a self, index: usize) -> Option<T> {
        let kind = self.columns.get(index).filter(|kind| T::accepts(kind))?;
        let value = self.ranges.get(index)?.clone();
        let value = match value {
            Some(range) => Some(self.body.buffer().get(range)?),
            None => None,
        };
        T::from_sql_nullable(kind, value).ok()
    }
}

/// What is awaited for a statement, and has come.
#[derive(Default)]
struct Awaited {
    parameters: Vec<Type>,
    columns: Arc<[Type]>,
    rows: Vec<Row>,
}

/// One side of a connection.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    outgoing: BytesMut,
    incoming: BytesMut,
    /// For each statement of the trip, in their order.
    awaited: Vec<Awaited>,
    /// Of how many of them the answer has come.
    answered: usize,
    /// What was wrong with the one behind these.
    wrong: Option<Error>,
    is_over: bool,
}

impl Wire {
    /// Over a stream on which the server waits for statements.
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        let (outgoing, incoming) = (BytesMut::with_capacity(READ), BytesMut::with_capacity(READ));
        Self { stream, outgoing, incoming, awaited: Vec::new(), answered: 0, wrong: None, is_over: false }
    }

    /// Forgets what was put down and never sent.
    pub(super) fn clear(&mut self) {
        self.outgoing.clear();
        self.awaited.clear();
        self.answered = 0;
        self.wrong = None;
    }

    /// Puts down that `sql` shall be prepared under `name`.
    fn prepare(&mut self, name: &str, sql: &str) {
        let written = frontend::parse(name, sql, [], &mut self.outgoing)
            .and_then(|()| frontend::describe(b'S', name, &mut self.outgoing));
        self.note(written.map_err(|error| error.to_string()));
        self.awaited.push(Awaited::default());
    }

    /// Puts down that a statement shall run, and gives its place in the trip.
    pub(super) fn ask(&mut self, statement: &Prepared, parameters: &[&(dyn ToSql + Sync)]) -> usize {
        let written = if parameters.len() == statement.parameters.len() {
            let bound = frontend::bind(
                "",
                &statement.name,
                Some(1),
                parameters.iter().zip(&statement.parameters),
                |(parameter, kind), to| {
                    Ok(match parameter.to_sql_checked(kind, to)? {
                        IsNull::Yes => postgres_protocol::IsNull::Yes,
                        IsNull::No => postgres_protocol::IsNull::No,
                    })
                },
                Some(1),
                &mut self.outgoing,
            );
            let said = |error| match error {
                frontend::BindError::Conversion(error) => error.to_string(),
                frontend::BindError::Serialization(error) => error.to_string(),
            };
            bound
                .map_err(said)
                .and_then(|()| frontend::execute("", 0, &mut self.outgoing).map_err(|error| error.to_string()))
        } else {
            Err(format!("{} parameters for {}", parameters.len(), statement.parameters.len()))
        };
        self.note(written);
        self.awaited.push(Awaited { columns: Arc::clone(&statement.columns), ..Awaited::default() });
        self.awaited.len() - 1
    }

    fn note(&mut self, written: Result<(), String>) {
        if let (Err(problem), None) = (written, &self.wrong) {
            self.wrong = Some(Error::Unfit(problem));
        }
    }

    /// Asks for the answers to what was put down.
    fn sync(&mut self) -> Result<(), Failed> {
        let unfit = self.wrong.take();
        let error = match unfit {
            Some(error) => error,
            None if self.is_over => Error::Lost(io::ErrorKind::NotConnected.into()),
            None => {
                frontend::sync(&mut self.outgoing);
                return Ok(());
            }
        };
        self.clear();
        Err(Failed { error, place: 0, is_usable: !self.is_over })
    }

    /// Sends, and reads until all is answered.
    fn poll_answers(&mut self, context: &mut Context<'_>) -> Poll<Result<Vec<Awaited>, Failed>> {
        let lost = match ready!(self.poll_talk(context)) {
            Ok(()) => None,
            Err(error) => {
                self.is_over = true;
                tracing::warn!(error = %error, "a connection to the database was lost");
                Some(Error::Lost(error))
            }
        };
        let place = self.answered;
        // What the server said before it went away tells more.
        let error = self.wrong.take().or(lost);
        let answers = std::mem::take(&mut self.awaited);
        self.clear();
        Poll::Ready(match error {
            None => Ok(answers),
            Some(error) => Err(Failed { error, place, is_usable: !self.is_over }),
        })
    }

    fn poll_talk(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            match Pin::new(&mut self.stream).poll_write(context, &self.outgoing) {
                Poll::Ready(Ok(length @ 1..)) => self.outgoing.advance(length),
                // The stream has ended, and that is read below: behind what the server said before it went away.
                Poll::Ready(Ok(_) | Err(_)) => self.outgoing.clear(),
                // The server may have to be rid of answers first.
                Poll::Pending => break,
            }
        }
        let _flushed = Pin::new(&mut self.stream).poll_flush(context);
        loop {
            while let Some(message) = Message::parse(&mut self.incoming)? {
                if self.take(message)? {
                    return Poll::Ready(Ok(()));
                }
            }
            ready!(self.poll_read(context))?;
        }
    }

    /// Reads what is there.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.incoming.reserve(READ);
        let read = ready!(pin!(self.stream.read_buf(&mut self.incoming)).poll(context))?;
        Poll::Ready(if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) })
    }

    /// Takes what the server said, and says whether that was all.
    fn take(&mut self, message: Message) -> io::Result<bool> {
        let strange = || io::Error::new(io::ErrorKind::InvalidData, "the server said what was not asked");
        match message {
            Message::ReadyForQuery(_) => {
                return if self.wrong.is_some() || self.answered == self.awaited.len() {
                    Ok(true)
                } else {
                    Err(strange())
                };
            }
            Message::ErrorResponse(body) => {
                let error = read_error(&body)?;
                // Whatever comes behind the first is about what was begun with it.
                self.wrong.get_or_insert(error);
            }
            Message::ParseComplete
            | Message::BindComplete
            | Message::NoticeResponse(_)
            | Message::ParameterStatus(_)
            | Message::NotificationResponse(_) => {}
            message => {
                let awaited = self.awaited.get_mut(self.answered).ok_or_else(strange)?;
                match message {
                    Message::DataRow(body) => {
                        let ranges = body.ranges().collect()?;
                        awaited.rows.push(Row { columns: Arc::clone(&awaited.columns), body, ranges });
                    }
                    Message::ParameterDescription(body) => {
                        awaited.parameters = body.parameters().map(known).collect()?;
                    }
                    Message::RowDescription(body) => {
                        let columns: Vec<Type> = body.fields().map(|field| known(field.type_oid())).collect()?;
                        awaited.columns = columns.into();
                        self.answered += 1;
                    }
                    Message::NoData | Message::CommandComplete(_) | Message::EmptyQueryResponse => self.answered += 1,
                    _ => return Err(strange()),
                }
            }
        }
        Ok(false)
    }

    /// Whether the server is still there, as far as it has told: nothing is asked.
    pub(super) fn is_open(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        while !self.is_over {
            match self.poll_read(&mut context) {
                Poll::Pending => return true,
                Poll::Ready(Err(_)) => self.is_over = true,
                Poll::Ready(Ok(())) => {
                    // Nothing was asked, so an error is a farewell.
                    while let Ok(Some(message)) = Message::parse(&mut self.incoming) {
                        self.is_over |= matches!(message, Message::ErrorResponse(_));
                    }
                }
            }
        }
        false
    }
}

/// Says goodbye, if that can be done at once: else the server finds out by itself.
impl Drop for Wire {
    fn drop(&mut self) {
        self.outgoing.clear();
        frontend::terminate(&mut self.outgoing);
        let mut context = Context::from_waker(Waker::noop());
        let _sent = Pin::new(&mut self.stream).poll_write(&mut context, &self.outgoing);
        let _flushed = Pin::new(&mut self.stream).poll_flush(&mut context);
    }
}

/// A type of PostgreSQL's own: we have no others.
fn known(oid: u32) -> io::Result<Type> {
    Type::from_oid(oid).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a column has a type of its own"))
}

fn read_error(body: &ErrorResponseBody) -> io::Result<Error> {
    let (mut code, mut message) = (SqlState::INTERNAL_ERROR, String::new());
    let mut fields = body.fields();
    while let Some(field) = fields.next()? {
        let value = || String::from_utf8_lossy(field.value_bytes());
        match field.type_() {
            b'C' => code = SqlState::from_code(&value()),
            b'M' => message = value().into_owned(),
            _ => {}
        }
    }
    Ok(Error::Said { code, message })
}

/// Sends what was put down on the wire that `lock` gives, and gives the rows of each statement.
pub(super) async fn exchange<W: std::ops::DerefMut<Target = Wire>>(
    lock: impl Fn() -> W,
) -> Result<Vec<Vec<Row>>, Failed> {
    lock().sync()?;
    let answers = poll_fn(|context| lock().poll_answers(context)).await?;
    Ok(answers.into_iter().map(|awaited| awaited.rows).collect())
}

/// Has the server prepare `statements`, each under the name of its number.
pub(super) async fn prepared(wire: &mut Wire, statements: &[&'static str]) -> Result<Vec<Prepared>, Failed> {
    for (number, sql) in statements.iter().enumerate() {
        wire.prepare(&number.to_string(), sql);
    }
    wire.sync()?;
    let answers = poll_fn(|context| wire.poll_answers(context)).await?;
    let prepared = |(number, Awaited { parameters, columns, .. }): (usize, _)| Prepared {
        name: number.to_string(),
        parameters,
        columns,
    };
    Ok(answers.into_iter().enumerate().map(prepared).collect())
}
