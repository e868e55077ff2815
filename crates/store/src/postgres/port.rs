//! [`engine::Store`] over PostgreSQL: each operation in a task of its own, each plain read in one trip.

use std::sync::Arc;
use std::time::Duration;

use engine::{
    Account, Address, Annotate, Caller, ChangeDevice, ChangeIdentity, Device, DeviceId, DeviceView, EndSessions,
    EraseIdentity, Flow, Handle, IdentityId, Lease, MessageQuery, OpenFlow, OutboxDepth, OutboxMessage, Owner,
    ProjectId, Refresh, Refusal, Register, Reply, Resend, SealedKey, Session, SessionId, Settle, Start, Store,
    StoreError, Swept, TakeTicket, Taken, Ticket, Timestamp, Verify,
};
use tokio::time::timeout;

use super::connect::Link;
use super::operations::Load;
use super::run::{Again, Shared, driver};
use super::trip::{COMMIT, Failure, Place, Step, Trip, alone, command};
use super::wire::{Error, Row};
use super::{PostgresStore, budget, device, flow, identity, outbox, session, ticket, vault};
use crate::error::unavailable;
use crate::moment;

/// So soon a write that shows whether others would go through must be durable.
const READY: Duration = Duration::from_secs(2);

/// At most so many rows of a kind go in one sweep, so that nobody waits behind it for long.
const SWEEP: i64 = 500;

/// A plain read: `$found` is worked out on a connection `$link`, and once more on another if that one is lost.
macro_rules! look {
    ($store:expr, $link:ident => $found:expr) => {{
        let shared = &$store.shared;
        Box::pin(async move {
            let _under_way = shared.enter()?;
            let mut again = Again::default();
            loop {
                let lent = shared.lend().await?;
                let found = {
                    let $link = lent.link()?;
                    async { Ok::<_, Failure>($found) }.await
                };
                match found {
                    Ok(found) => {
                        lent.give_back();
                        return Ok(found);
                    }
                    Err(failure) => {
                        drop(lent);
                        shared.try_again(failure, &mut again)?;
                    }
                }
            }
        })
    }};
}

/// A change that no rule of the engine is about: `$steps` in a transaction of their own, in a task of its own.
macro_rules! write {
    ($store:expr, $name:literal, $link:ident => [$($step:expr),+]) => {
        apart(&$store.shared, written(Arc::clone(&$store.shared), $name, move |$link| vec![$($step),+]))
    };
}

/// Such a change; what came of each of `steps`.
async fn written(
    shared: Arc<Shared>,
    name: &'static str,
    steps: impl Fn(&Link) -> Vec<Step> + Send,
) -> Result<Vec<Vec<Row>>, StoreError> {
    let asked = moment();
    let mut again = Again::default();
    loop {
        let lent = shared.lend().await?;
        let answered = {
            let link = lent.link()?;
            let mut trip = Trip::begin(link);
            let places = steps(link).into_iter().map(|step| trip.add(step)).collect();
            in_a_transaction(link, trip, places).await
        };
        match answered {
            Written::Done(answers) => {
                lent.give_back();
                shared.stored(name, asked);
                return Ok(answers);
            }
            Written::Undone(error) => {
                drop(lent);
                shared.try_again(Failure::Driver(error), &mut again)?;
            }
            Written::Unknown(error) => {
                drop(lent);
                return Err(driver(&error));
            }
        }
    }
}

/// What came of such a change.
enum Written {
    /// It is durable.
    Done(Vec<Vec<Row>>),
    /// It is not.
    Undone(Error),
    /// Nobody knows.
    Unknown(Error),
}

/// Sends a trip as one transaction, which is committed in a trip of its own: what fails before that has certainly left nothing.
async fn in_a_transaction(link: &Link, trip: Trip<'_>, places: Vec<Place>) -> Written {
    let mut answers = match trip.run().await {
        Ok(answers) => answers,
        Err(error) => return Written::Undone(error),
    };
    match alone(link, command(link, COMMIT)).await {
        Ok(_) => Written::Done(places.into_iter().map(|place| answers.take(place)).collect()),
        Err(error) => Written::Unknown(error),
    }
}

/// Removes what is over. What somebody else holds is left for the next time, so that this waits for nobody.
async fn sweep(link: &Link, now: Timestamp, before: Timestamp, sessions_before: Timestamp) -> Result<Swept, Failure> {
    let mut trip = Trip::begin(link);
    let flows = trip.add(flow::sweep(link, before, SWEEP));
    let tickets = trip.add(ticket::sweep(link, before, SWEEP));
    let budgets = trip.add(budget::sweep(link, now, SWEEP));
    let sessions = trip.add(session::sweep(link, sessions_before, SWEEP));
    let messages = trip.add(outbox::sweep(link, before, SWEEP));
    let mut answers = trip.run().await?;
    let sessions = answers.take(sessions);
    // A device goes with the last of its sessions.
    let devices = session::read_devices(&sessions)?;
    let devices = alone(link, device::drop_unused(link, &devices, before)).await?;
    alone(link, command(link, COMMIT)).await?;
    Ok(Swept {
        flows: answers.take(flows).len(),
        messages: answers.take(messages).len(),
        sessions: sessions.len(),
        budgets: budget::read_swept(&answers.take(budgets))?,
        others: devices.len() + answers.take(tickets).len(),
    })
}

/// Has a task of its own do something, which then runs to its end whether or not anybody waits for it.
async fn apart<T, F>(shared: &Shared, doing: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, StoreError>> + Send + 'static,
{
    let under_way = shared.enter()?;
    #[expect(clippy::disallowed_methods, reason = "closing the store waits for it, by its permit")]
    let task = tokio::spawn(async move {
        let done = doing.await;
        drop(under_way);
        done
    });
    task.await.unwrap_or_else(|_| Err(StoreError::Driver("the operation panicked".into())))
}

impl PostgresStore {
    /// Runs an operation of the engine.
    fn change<O: Load>(&self, name: &'static str, operation: O) -> Reply<'_, O::Outcome> {
        let shared = Arc::clone(&self.shared);
        Box::pin(apart(&self.shared, async move { shared.operate(name, &operation).await }))
    }
}

impl Store for PostgresStore {
    fn start(&self, operation: Start) -> Reply<'_, engine::StartOutcome> {
        self.change("start", operation)
    }

    fn resend(&self, operation: Resend) -> Reply<'_, engine::StartOutcome> {
        self.change("resend", operation)
    }

    fn open_flow(&self, operation: OpenFlow) -> Reply<'_, Flow> {
        self.change("open_flow", operation)
    }

    fn annotate(&self, operation: Annotate) -> Reply<'_, Result<(), Refusal>> {
        self.change("annotate", operation)
    }

    fn verify(&self, operation: Verify) -> Reply<'_, engine::VerifyOutcome> {
        self.change("verify", operation)
    }

    fn refresh(&self, operation: Refresh) -> Reply<'_, engine::RefreshOutcome> {
        self.change("refresh", operation)
    }

    fn end_sessions(&self, operation: EndSessions) -> Reply<'_, Result<(), Refusal>> {
        self.change("end_sessions", operation)
    }

    fn register(&self, operation: Register) -> Reply<'_, engine::Registered> {
        self.change("register", operation)
    }

    fn change_identity(&self, operation: ChangeIdentity) -> Reply<'_, Result<Account, Refusal>> {
        self.change("change_identity", operation)
    }

    fn erase_identity(&self, operation: EraseIdentity) -> Reply<'_, Result<(), Refusal>> {
        self.change("erase_identity", operation)
    }

    fn change_device(&self, operation: ChangeDevice) -> Reply<'_, Result<Device, Refusal>> {
        self.change("change_device", operation)
    }

    fn put_ticket(&self, ticket: Ticket) -> Reply<'_, ()> {
        let written = write!(self, "put_ticket", link => [ticket::put(link, &ticket)]);
        Box::pin(async { written.await.map(drop) })
    }

    fn take_ticket(&self, operation: TakeTicket) -> Reply<'_, Result<Taken, Refusal>> {
        self.change("take_ticket", operation)
    }

    fn forgive(&self, project: ProjectId, address: Address) -> Reply<'_, ()> {
        let written = write!(self, "forgive", link => [budget::forgive(link, &project, &address)]);
        Box::pin(async { written.await.map(drop) })
    }

    fn lease(&self, operation: Lease) -> Reply<'_, engine::Leases> {
        self.change("lease", operation)
    }

    fn settle(&self, operation: Settle) -> Reply<'_, Vec<engine::MessageState>> {
        self.change("settle", operation)
    }

    fn sweep(&self, now: Timestamp, before: Timestamp, sessions_before: Timestamp) -> Reply<'_, Swept> {
        let shared = Arc::clone(&self.shared);
        Box::pin(apart(&self.shared, async move {
            let asked = moment();
            let lent = shared.lend().await?;
            // What fails is undone with its connection; the next sweep comes soon.
            let swept = sweep(lent.link()?, now, before, sessions_before).await.map_err(Failure::said)?;
            lent.give_back();
            shared.stored("sweep", asked);
            Ok(swept)
        }))
    }

    fn flow(&self, handle: Handle) -> Reply<'_, Option<Flow>> {
        look!(self, link => flow::read_one(&alone(link, flow::by_handle(link, &handle)).await?)?)
    }

    fn owner(&self, project: ProjectId, address: Address) -> Reply<'_, Option<Owner>> {
        look!(self, link => identity::read_owner(&alone(link, identity::owner(link, &project, &address)).await?)?)
    }

    fn identity(&self, id: IdentityId) -> Reply<'_, Option<Account>> {
        look!(self, link => identity::read_account(&alone(link, identity::account(link, id)).await?)?)
    }

    fn identities(&self, project: ProjectId, after: IdentityId, limit: u32) -> Reply<'_, Vec<Account>> {
        look!(self, link => identity::read_accounts(&alone(link, identity::list(link, &project, after, limit)).await?)?)
    }

    fn sessions(&self, identity: IdentityId, now: Timestamp) -> Reply<'_, Vec<Session>> {
        look!(self, link => session::read_all(&alone(link, session::of_identity(link, identity, now)).await?)?)
    }

    fn device(&self, id: DeviceId, now: Timestamp) -> Reply<'_, Option<DeviceView>> {
        look!(self, link => {
            let mut trip = Trip::look(link);
            let device = trip.add(device::device(link, id));
            let flows = trip.add(flow::of_device(link, id));
            let callers = trip.add(session::of_device(link, id, now));
            trip.end();
            let mut answers = trip.run().await?;
            device::read_view(id, &answers.take(device), &answers.take(flows), &answers.take(callers))?
        })
    }

    fn caller(&self, id: SessionId) -> Reply<'_, Option<Caller>> {
        look!(self, link => session::read_callers(&alone(link, session::caller(link, id)).await?)?.pop())
    }

    fn messages(&self, query: MessageQuery) -> Reply<'_, Vec<(OutboxMessage, Option<Flow>)>> {
        look!(self, link => outbox::read_with_flows(&alone(link, outbox::list(link, &query)).await?)?)
    }

    fn outbox_depth(&self) -> Reply<'_, OutboxDepth> {
        look!(self, link => outbox::read_depth(&alone(link, outbox::depth(link)).await?)?)
    }

    fn signing_keys(&self, project: ProjectId) -> Reply<'_, Vec<SealedKey>> {
        look!(self, link => vault::read_signing_keys(&alone(link, vault::signing_keys(link, &project)).await?, &project)?)
    }

    fn add_signing_key(&self, key: SealedKey) -> Reply<'_, ()> {
        let written = write!(self, "add_signing_key", link => [vault::add_signing_key(link, &key)]);
        Box::pin(async { written.await.map(drop) })
    }

    fn meta(&self, name: &'static str) -> Reply<'_, Option<Vec<u8>>> {
        look!(self, link => vault::read_meta(&alone(link, vault::meta(link, name)).await?)?)
    }

    fn claim_meta(&self, name: &'static str, value: Vec<u8>) -> Reply<'_, Vec<u8>> {
        let written =
            write!(self, "claim_meta", link => [vault::claim_meta(link, name, &value), vault::meta(link, name)]);
        Box::pin(async {
            let kept = written.await?.pop().unwrap_or_default();
            vault::read_meta(&kept)?.ok_or_else(|| unavailable("what was claimed is gone"))
        })
    }

    fn put_meta(&self, name: &'static str, value: Vec<u8>) -> Reply<'_, ()> {
        let written = write!(self, "put_meta", link => [vault::put_meta(link, name, &value)]);
        Box::pin(async { written.await.map(drop) })
    }

    fn highest_id(&self) -> Reply<'_, i64> {
        look!(self, link => vault::read_one(&alone(link, vault::highest_id(link)).await?, "pg_catalog", "highest id")?)
    }

    fn ping(&self) -> Reply<'_, ()> {
        Box::pin(async {
            let writing = async {
                let alone = Arc::clone(&self.trial).lock_owned().await;
                let write = written(Arc::clone(&self.shared), "ping", |link| vec![vault::leave_a_mark(link)]);
                apart(&self.shared, async move {
                    let answers = write.await;
                    drop(alone);
                    answers.map(drop)
                })
                .await
            };
            timeout(READY, writing).await.unwrap_or_else(|_| Err(unavailable("a write is not answered in time")))
        })
    }
}
