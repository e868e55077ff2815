//! What a connection is doing, seen from outside of hyper: requests under way, and when anything last moved.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use super::Limits;

/// One connection's activity.
#[derive(Debug)]
pub(super) struct Activity {
    accepted: Instant,
    /// Requests whose handler is at work.
    open: AtomicUsize,
    /// Whether there was ever one.
    served: AtomicBool,
    /// Milliseconds from `accepted` to the last sign of progress.
    moved: AtomicU64,
    /// When it was asked to close.
    told_to_go: OnceLock<Instant>,
}

impl Activity {
    /// A connection that was just accepted.
    pub(super) fn begin() -> Self {
        Self {
            accepted: Instant::now(),
            open: AtomicUsize::new(0),
            served: AtomicBool::new(false),
            moved: AtomicU64::new(0),
            told_to_go: OnceLock::new(),
        }
    }

    /// Counts a request until what it returns is dropped, however its handler ends.
    pub(super) fn open(self: &Arc<Self>) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.served.store(true, Ordering::Relaxed);
        self.move_on();
        Open(Arc::clone(self))
    }

    /// Whether a request ever began.
    pub(super) fn was_served(&self) -> bool {
        self.served.load(Ordering::Relaxed)
    }

    /// The connection is asked to close, at `now`.
    pub(super) fn tell_to_go(&self, now: Instant) {
        self.told_to_go.get_or_init(|| now);
    }

    /// Whether it was asked to.
    pub(super) fn is_told_to_go(&self) -> bool {
        self.told_to_go.get().is_some()
    }

    fn move_on(&self) {
        let elapsed = u64::try_from(self.accepted.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(elapsed, Ordering::Relaxed);
    }

    /// When the connection has to be looked at next, and closed if by then nothing has moved.
    pub(super) fn deadline(&self, now: Instant, limits: &Limits) -> Instant {
        let moved = self.accepted + Duration::from_millis(self.moved.load(Ordering::Relaxed));
        if self.open.load(Ordering::Relaxed) > 0 {
            // A handler is at work, for as long as it is allowed to: look again later.
            return now + if self.is_told_to_go() { limits.farewell } else { limits.idle };
        }
        match self.told_to_go.get() {
            Some(&told) => told.max(moved) + limits.farewell,
            None if self.was_served() => moved + limits.idle,
            None => self.accepted + limits.first_request,
        }
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Open(Arc<Activity>);

impl Open {
    /// The handler has answered: what is left is to write its answer's body.
    pub(super) fn finish(self) -> Arc<Activity> {
        Arc::clone(&self.0)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.move_on();
    }
}

/// A response's body, each piece of which is progress: a client that does not read its answer makes none.
#[derive(Debug)]
pub(super) struct Watched {
    body: Body,
    activity: Arc<Activity>,
}

impl Watched {
    pub(super) fn new(body: Body, activity: Arc<Activity>) -> Self {
        Self { body, activity }
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if polled.is_ready() {
            self.activity.move_on();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
