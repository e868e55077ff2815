//! Flows that take the place of others. `return_to` goes along: where somebody wanted to go is not forgotten because a code was late.

use axum::response::Response;
use engine::Timestamp;

use super::{Form, Journeying};
use crate::csrf::Csrf;
use crate::error::Status;
use crate::flow::{Journey, Kind, kept_url, page_url};
use crate::memo::{FlowType, Memo, Moment};
use crate::ui::{Message, Phrase};
use crate::verification::submit::Turn;

/// How whoever wants JSON is told of the flow that takes the place of another.
#[derive(Debug, Clone, Copy)]
pub(super) enum Because {
    /// It cannot be gone on with.
    Replaced,
    /// Its code came too late.
    Expired(Timestamp),
}

impl Turn<'_> {
    /// The flow cannot be gone on with: another one of its type, begun by this request, says why.
    pub(super) async fn replace(&self, because: Because, message: Message) -> Response {
        let old = &self.journey.memo;
        let memo = Memo::new(old.flow_type, kept_url(&self.asked.url), old.return_to.clone(), Form::default());
        let (new, csrf) = match self.open(memo, message).await {
            Ok(opened) => opened,
            Err(status) => return self.fail(status).await,
        };
        let mut response = if self.asked.wants.is_json {
            let status = match because {
                Because::Replaced => Status::flow_replaced(new.id),
                Because::Expired(at) => Status::flow_expired(at, self.context.now, new.id),
            };
            status.into_response()
        } else {
            self.to_page(&new)
        };
        csrf.put(&self.shared.config, &mut response);
        response
    }

    /// The flow's life is over: another one like it, but a browser's, whoever began this one.
    pub(super) async fn restart(&self) -> Response {
        let old = &self.journey.memo;
        let memo = Memo::new(FlowType::Browser, old.request_url.clone(), old.return_to.clone(), Form::default());
        let (new, csrf) = match self.open(memo, expired(self.journey.flow.expires_at)).await {
            Ok(opened) => opened,
            Err(status) => return self.fail(status).await,
        };
        let mut response = if self.asked.wants.is_json {
            self.asked.redirect(&Kind::Verification.read_url(&self.shared.config, new.id))
        } else {
            self.to_page(&new)
        };
        csrf.put(&self.shared.config, &mut response);
        response
    }

    /// Begins a flow that opens with `message`, and the cookie that it is bound to if it is a browser's.
    async fn open(&self, mut memo: Memo<Form>, message: Message) -> Result<(Journeying, Csrf), Status> {
        let csrf = Csrf::renewed(self.shared);
        if memo.flow_type == FlowType::Browser {
            memo.bind(&csrf);
        }
        memo.begin(message, Moment::default());
        let new = Journey::open(self.shared, &self.context, Kind::Verification, memo).await?;
        Ok((new, csrf))
    }

    /// The page that shows `journey`.
    pub(super) fn to_page(&self, journey: &Journeying) -> Response {
        self.asked.redirect(&page_url(&self.shared.config.verification.ui_url, journey.id))
    }
}

/// That something ended at `at`.
pub(super) fn expired(at: Timestamp) -> Message {
    Message::from(Phrase::VerificationExpired).with("expired_at", at.rfc3339()).with("expired_at_unix", at.seconds())
}
