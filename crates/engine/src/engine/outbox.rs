//! The outbox, the inbox of development, and upkeep.

use std::sync::Arc;
use std::time::Duration;

use super::Engine;
use crate::address::Address;
use crate::budget::KNOWN_FOR;
use crate::departure::Departures;
use crate::error::{Result, StoreError};
use crate::event::Event;
use crate::flow::Flow;
use crate::id::MessageId;
use crate::outbox::{
    Delivery, Lease, Leased, Leases, MessageKind, MessageState, OutboxMessage, Settle, Shown, is_its_code,
};
use crate::store::{MessageQuery, OutboxDepth, Store, Swept};

/// Where the inbox was last emptied.
const INBOX_EMPTIED: &str = "inbox_emptied";
/// How long rows that are over are kept, for answers that tell "over" from "never was".
const KEPT: Duration = Duration::from_hours(24);
/// How many messages the inbox shows.
const INBOX_SIZE: u32 = 1000;

/// The id after which the inbox begins.
pub(super) async fn inbox_emptied(store: &dyn Store) -> std::result::Result<i64, StoreError> {
    let mark = store.meta(INBOX_EMPTIED).await?;
    Ok(mark.and_then(|bytes| bytes.try_into().ok()).map_or(0, i64::from_be_bytes))
}

impl Engine {
    /// Where messages go that are owed while the courier has room for them.
    pub const fn departures(&self) -> &Arc<Departures> {
        &self.departures
    }

    /// Takes at most `limit` messages that are due, with their codes.
    pub async fn lease_messages(&self, limit: u32) -> Result<Vec<Leased>> {
        let mut leased = Vec::new();
        loop {
            let free = limit.saturating_sub(u32::try_from(leased.len()).unwrap_or(u32::MAX));
            let operation = Lease { now: self.now(), limit: free, keys: Arc::clone(&self.keys) };
            let Leases { messages, may_be_more } = self.store.lease(operation).await?;
            let is_full = messages.len() >= usize::try_from(free).unwrap_or(usize::MAX);
            leased.extend(messages);
            // Rows that need not be sent any more were settled on the way; what must be sent may stand behind them.
            if is_full || !may_be_more {
                return Ok(leased);
            }
        }
    }

    /// Writes down what came of deliveries.
    pub async fn settle_messages(&self, deliveries: Vec<Delivery>) -> Result<()> {
        for state in self.store.settle(Settle { now: self.now(), deliveries }).await? {
            let outcome = if state == MessageState::Owed { "deferred" } else { state.name() };
            self.observe(&Event::Delivered { outcome });
        }
        Ok(())
    }

    /// How much is owed.
    pub async fn outbox_depth(&self) -> Result<OutboxDepth> {
        Ok(self.store.outbox_depth().await?)
    }

    /// The newest messages that were meant to be sent, as the development inbox shows them: a view over outbox and flow rows, for
    /// which no code is stored.
    pub async fn inbox(&self, recipient: Option<Address>) -> Result<Vec<Shown>> {
        let emptied = inbox_emptied(self.store.as_ref()).await?;
        let query = MessageQuery { after: MessageId::new(emptied), recipient, limit: INBOX_SIZE };
        let rows = self.store.messages(query).await?;
        let shown = |(message, flow): (OutboxMessage, Option<Flow>)| {
            let purpose = flow.as_ref().map(|flow| flow.purpose);
            let is_told = |flow: &Flow| message.kind == MessageKind::Code && is_its_code(flow, &message);
            let code = flow.filter(is_told).and_then(|flow| flow.code(&self.keys));
            let link = code.as_ref().and_then(|code| message.open_link(&self.keys, code));
            Shown { message, purpose, code, link }
        };
        Ok(rows.into_iter().map(shown).collect())
    }

    /// Empties the inbox. What is owed stays owed.
    pub async fn empty_inbox(&self) -> Result<()> {
        let newest = self.env.ids.next(self.now());
        Ok(self.store.put_meta(INBOX_EMPTIED, newest.to_be_bytes().to_vec()).await?)
    }

    /// Removes a bounded number of rows that have been over for a day.
    pub async fn sweep(&self) -> Result<Swept> {
        let now = self.now();
        // A session that is over still shows that its device is known.
        Ok(self.store.sweep(now, now.minus(KEPT), now.minus(KNOWN_FOR)).await?)
    }

    /// Answers if a write would go through.
    pub async fn ready(&self) -> Result<()> {
        Ok(self.store.ping().await?)
    }
}
