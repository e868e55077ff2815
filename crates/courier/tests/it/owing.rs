//! An engine on a store that keeps nothing but the outbox, and that can be put out of reach.
//!
//! The rules are the engine's own: the store loads, lets them decide, and applies what concerns messages.

use std::collections::{BTreeMap, HashMap};
use std::future::{Future, ready};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign_courier::{Courier, Templates, Transport};
use engine::{
    Account, Address, Annotate, Caller, ChangeDevice, ChangeIdentity, Client, Clock, CodeFormat, Deaf, Device,
    DeviceId, DeviceView, Disclosure, EndSessions, Engine, Entropy, EraseIdentity, Flow, FlowId, Handle, IdentityId,
    Lease, Leases, MasterKey, MessageId, MessageKind, MessageQuery, MessageState, NOTICE_LIFE, Naming, NewChallenge,
    OpenFlow, Operation as _, OutboxDepth, OutboxMessage, Owner, Parts, Policy, Project, ProjectId, Projects, Purpose,
    Refresh, RefreshOutcome, Refusal, Register, Registered, Reply, Resend, ResendMode, SealedKey, Session, SessionId,
    Settle, Start, StartOutcome, StartSeen, Store, StoreError, Strangers, Swept, TakeTicket, Taken, Ticket, Timestamp,
    Verify, VerifyOutcome, Write,
};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use crate::support::{NOW, PATIENCE, letterhead};

/// A clock that a test moves.
pub(crate) struct Hand(AtomicI64);

impl Hand {
    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Never the same byte twice in a row.
struct Counting(AtomicU8);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// The store.
#[derive(Default)]
pub(crate) struct Outbox {
    rows: Mutex<BTreeMap<i64, (OutboxMessage, Option<Flow>)>>,
    has_been_looked_at: AtomicBool,
    is_out_of_reach: AtomicBool,
}

impl Outbox {
    pub(crate) fn put_out_of_reach(&self, is_out_of_reach: bool) {
        self.is_out_of_reach.store(is_out_of_reach, Ordering::SeqCst);
    }

    /// The message to `recipient`.
    pub(crate) fn message(&self, recipient: &str) -> OutboxMessage {
        let rows = self.rows.lock().unwrap();
        rows.values().find(|(message, _)| message.recipient.as_str() == recipient).unwrap().0.clone()
    }

    /// Puts a row in, as a verification does.
    fn put(&self, message: OutboxMessage) {
        self.rows.lock().unwrap().insert(message.id.get(), (message, None));
    }

    pub(crate) fn states(&self) -> Vec<MessageState> {
        self.rows.lock().unwrap().values().map(|(message, _)| message.state).collect()
    }

    fn apply(rows: &mut BTreeMap<i64, (OutboxMessage, Option<Flow>)>, writes: Vec<Write>) {
        let flow = writes.iter().find_map(|write| match write {
            Write::PutFlow(flow) => Some(flow.as_ref().clone()),
            _ => None,
        });
        for write in writes {
            match write {
                Write::OweMessage(message) => {
                    rows.insert(message.id.get(), (message, flow.clone()));
                }
                Write::DelayMessage { id, due_at, attempts, error } => {
                    let (message, _) = rows.get_mut(&id.get()).unwrap();
                    (message.due_at, message.attempts, message.last_error) = (due_at, attempts, error);
                }
                Write::SettleMessage { id, state, error, .. } => {
                    let (message, _) = rows.get_mut(&id.get()).unwrap();
                    (message.state, message.last_error) = (state, error);
                }
                _ => {}
            }
        }
    }
}

fn unheard_of<T: Send + 'static>() -> Reply<'static, T> {
    Box::pin(ready(Err(StoreError::Unavailable("this store keeps messages only".into()))))
}

fn done<T: Send + 'static>(value: T) -> Reply<'static, T> {
    Box::pin(ready(Ok(value)))
}

impl Store for Outbox {
    fn start(&self, operation: Start) -> Reply<'_, StartOutcome> {
        let seen = StartSeen::default();
        let mut decision = operation.decide(seen);
        Self::apply(&mut self.rows.lock().unwrap(), decision.writes);
        Start::committed(&mut decision.outcome);
        done(decision.outcome)
    }

    fn forgive(&self, _: ProjectId, _: Address) -> Reply<'_, ()> {
        unheard_of()
    }

    fn lease(&self, operation: Lease) -> Reply<'_, Leases> {
        self.has_been_looked_at.store(true, Ordering::SeqCst);
        if self.is_out_of_reach.load(Ordering::SeqCst) {
            return unheard_of();
        }
        let mut rows = self.rows.lock().unwrap();
        let is_due = |row: &&(OutboxMessage, _)| row.0.state == MessageState::Owed && row.0.due_at <= operation.now;
        let seen = rows.values().filter(is_due).take(operation.sight() as usize).cloned().collect();
        let decision = operation.decide(seen);
        Self::apply(&mut rows, decision.writes);
        done(decision.outcome)
    }

    fn settle(&self, operation: Settle) -> Reply<'_, Vec<MessageState>> {
        if self.is_out_of_reach.load(Ordering::SeqCst) {
            return unheard_of();
        }
        let mut rows = self.rows.lock().unwrap();
        let settled = operation.deliveries.iter().filter_map(|delivery| rows.get(&delivery.id.get()));
        let seen = settled.map(|(message, _)| message.clone()).collect();
        let decision = operation.decide(seen);
        Self::apply(&mut rows, decision.writes);
        done(decision.outcome)
    }

    fn open_flow(&self, _: OpenFlow) -> Reply<'_, Flow> {
        unheard_of()
    }

    fn annotate(&self, _: Annotate) -> Reply<'_, Result<(), Refusal>> {
        unheard_of()
    }

    fn change_identity(&self, _: ChangeIdentity) -> Reply<'_, Result<Account, Refusal>> {
        unheard_of()
    }

    fn erase_identity(&self, _: EraseIdentity) -> Reply<'_, Result<(), Refusal>> {
        unheard_of()
    }

    fn change_device(&self, _: ChangeDevice) -> Reply<'_, Result<Device, Refusal>> {
        unheard_of()
    }

    fn put_ticket(&self, _: Ticket) -> Reply<'_, ()> {
        unheard_of()
    }

    fn take_ticket(&self, _: TakeTicket) -> Reply<'_, Result<Taken, Refusal>> {
        unheard_of()
    }

    fn identity(&self, _: IdentityId) -> Reply<'_, Option<Account>> {
        unheard_of()
    }

    fn identities(&self, _: ProjectId, _: IdentityId, _: u32) -> Reply<'_, Vec<Account>> {
        unheard_of()
    }

    fn sessions(&self, _: IdentityId, _: Timestamp) -> Reply<'_, Vec<Session>> {
        unheard_of()
    }

    fn device(&self, _: DeviceId, _: Timestamp) -> Reply<'_, Option<DeviceView>> {
        unheard_of()
    }

    fn meta(&self, _: &'static str) -> Reply<'_, Option<Vec<u8>>> {
        done(None)
    }

    fn claim_meta(&self, _: &'static str, value: Vec<u8>) -> Reply<'_, Vec<u8>> {
        done(value)
    }

    fn highest_id(&self) -> Reply<'_, i64> {
        done(0)
    }

    fn resend(&self, _: Resend) -> Reply<'_, StartOutcome> {
        unheard_of()
    }

    fn verify(&self, _: Verify) -> Reply<'_, VerifyOutcome> {
        unheard_of()
    }

    fn register(&self, _: Register) -> Reply<'_, Registered> {
        unheard_of()
    }

    fn sweep(&self, _: Timestamp, _: Timestamp, _: Timestamp) -> Reply<'_, Swept> {
        unheard_of()
    }

    fn flow(&self, _: Handle) -> Reply<'_, Option<Flow>> {
        unheard_of()
    }

    fn owner(&self, _: ProjectId, _: Address) -> Reply<'_, Option<Owner>> {
        unheard_of()
    }

    fn caller(&self, _: SessionId) -> Reply<'_, Option<Caller>> {
        unheard_of()
    }

    fn refresh(&self, _: Refresh) -> Reply<'_, RefreshOutcome> {
        unheard_of()
    }

    fn end_sessions(&self, _: EndSessions) -> Reply<'_, Result<(), Refusal>> {
        unheard_of()
    }

    fn messages(&self, _: MessageQuery) -> Reply<'_, Vec<(OutboxMessage, Option<Flow>)>> {
        unheard_of()
    }

    fn outbox_depth(&self) -> Reply<'_, OutboxDepth> {
        unheard_of()
    }

    fn signing_keys(&self, _: ProjectId) -> Reply<'_, Vec<SealedKey>> {
        unheard_of()
    }

    fn add_signing_key(&self, _: SealedKey) -> Reply<'_, ()> {
        unheard_of()
    }

    fn put_meta(&self, _: &'static str, _: Vec<u8>) -> Reply<'_, ()> {
        unheard_of()
    }

    fn ping(&self) -> Reply<'_, ()> {
        unheard_of()
    }
}

/// An engine that owes, and the courier that pays.
pub(crate) struct Post {
    pub(crate) clock: Arc<Hand>,
    pub(crate) outbox: Arc<Outbox>,
    engine: Arc<Engine>,
    project: Project,
    wake: Arc<Notify>,
    stop: oneshot::Sender<()>,
    courier: JoinHandle<()>,
}

impl Post {
    /// Opens, with a courier that sends by `transport`.
    pub(crate) async fn open(transport: Transport) -> Self {
        let clock = Arc::new(Hand(AtomicI64::new(NOW.millis())));
        let outbox = Arc::new(Outbox::default());
        let policy = Policy { sign_up: true, ..Policy::default() };
        let project = Project { id: ProjectId::new("P1"), name: "Example".to_owned(), policy };
        let parts = Parts {
            store: Arc::<Outbox>::clone(&outbox),
            clock: Arc::<Hand>::clone(&clock),
            entropy: Arc::new(Counting(AtomicU8::new(0))),
            node: 1,
            projects: Projects::new(project.clone(), []),
            master_key: MasterKey::new([7; 32]),
            observer: Arc::new(Deaf),
        };
        let engine = Arc::new(Engine::open(parts).await.unwrap());
        let wake = Arc::new(Notify::new());
        let (stop, stopped) = oneshot::channel();
        let courier =
            Courier::new(Arc::clone(&engine), transport, Templates::new().unwrap(), letterhead(), HashMap::new());
        let running = courier.run(Arc::clone(&wake), async {
            let _sender_gone_or_told = stopped.await;
        });
        let courier = spawn(running);
        // From then on it has room for what is owed.
        while !outbox.has_been_looked_at.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        Self { clock, outbox, engine, project, wake, stop, courier }
    }

    /// Owes a code to `recipient`, and wakes the courier.
    pub(crate) async fn owe(&self, recipient: &str) {
        self.ask(self.question(recipient, Purpose::SignInOrUp)).await;
    }

    /// Owes a code to `recipient`, and beside it `link`.
    pub(crate) async fn owe_link(&self, recipient: &str, link: &str) {
        let question = self.question(recipient, Purpose::SignInOrUp);
        self.ask(NewChallenge { link: Some(link.to_owned().into()), ..question }).await;
    }

    /// Asks about `recipient`, whom nobody knows, with a link, in a way that tells strangers so.
    pub(crate) async fn owe_word(&self, recipient: &str, link: &str) {
        let question = self.question(recipient, Purpose::VerifyAddress);
        self.ask(NewChallenge { link: Some(link.to_owned().into()), strangers: Strangers::Told, ..question }).await;
    }

    /// Asks about `recipient`, whom nobody knows, in a way that sends strangers nothing.
    pub(crate) async fn owe_decoy(&self, recipient: &str) {
        self.ask(self.question(recipient, Purpose::SignIn)).await;
    }

    /// Owes `recipient` the notice that the address which is `by` masked took its place; its flow is gone already.
    pub(crate) fn owe_notice(&self, recipient: &str, by: &str) {
        let now = self.clock.now();
        self.outbox.put(OutboxMessage {
            id: MessageId::new(4711),
            project: self.project.id.clone(),
            kind: MessageKind::AddressReplaced,
            state: MessageState::Owed,
            flow: FlowId::new(1),
            epoch: 0,
            recipient: Address::email(recipient).unwrap(),
            due_at: now,
            attempts: 0,
            not_after: now.plus(NOTICE_LIFE),
            created_at: now,
            last_error: None,
            link: None,
            replaced_by: Some(by.to_owned()),
        });
        self.wake.notify_one();
    }

    fn question(&self, recipient: &str, purpose: Purpose) -> NewChallenge {
        NewChallenge {
            handle: Handle::new("test", &self.project.id, "login", recipient.as_bytes()),
            naming: Naming::Secret,
            purpose,
            address: Address::email(recipient).unwrap(),
            identity: None::<IdentityId>,
            change: None,
            attributes: None,
            memo: None,
            disclosure: Disclosure::Uniform,
            format: CodeFormat::SIX_DIGITS,
            mode: ResendMode::SameCode,
            flow_life: Duration::from_mins(15),
            code_life: None,
            max_attempts: None,
            link: None,
            strangers: Strangers::Silent,
            device: None,
        }
    }

    async fn ask(&self, new: NewChallenge) {
        let context = self.engine.context(&self.project, "test", Client::default());
        self.engine.start_challenge(&context, new).await.unwrap();
        self.wake.notify_one();
    }

    /// Waits until the message to `recipient` is as `wanted` says.
    pub(crate) async fn until(&self, recipient: &str, wanted: impl Fn(&OutboxMessage) -> bool) -> OutboxMessage {
        let waiting = async {
            loop {
                let message = self.outbox.message(recipient);
                if wanted(&message) {
                    return message;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, waiting).await;
        found.unwrap_or_else(|_| panic!("it stayed {:?}", self.outbox.message(recipient)))
    }

    pub(crate) async fn until_state(&self, recipient: &str, state: MessageState) -> OutboxMessage {
        self.until(recipient, |message| message.state == state).await
    }

    /// Tells the courier to stop, and waits until it has.
    pub(crate) async fn close(self) -> Arc<Outbox> {
        self.stop.send(()).unwrap();
        self.courier.await.unwrap();
        self.outbox
    }
}

#[expect(clippy::disallowed_methods, reason = "the test ends with its runtime, and its tasks with it")]
fn spawn(running: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(running)
}
