//! [`Bounded`]: a request body that ends with an error when it gets too long, whatever its `content-length` said.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

/// How much of an overlong body is read and thrown away before it is refused.
///
/// A body that is merely too long is read to its end: the connection stays good, and no client has to cope with an
/// answer that comes while it still writes (some HTTP/2 clients lose it). One that is absurd is not; the server then
/// closes an HTTP/1 connection so that the answer is heard.
const DISCARDED: usize = 4 * 1024 * 1024;

/// A body of which no more than so many bytes are handed on. [`Progress`] tells its fate to whoever wraps the handler.
#[derive(Debug)]
pub struct Bounded {
    body: Body,
    left: usize,
    discarded: usize,
    progress: Arc<Progress>,
}

impl Bounded {
    /// Hands on at most `limit` bytes of `body`.
    pub fn new(body: Body, limit: usize) -> (Self, Arc<Progress>) {
        let progress = Arc::new(Progress::default());
        (Self { body, left: limit, discarded: 0, progress: Arc::clone(&progress) }, progress)
    }

    /// Refuses a body that is known to be too long: reads it to its end, or as much of it as is bearable.
    pub async fn refuse(body: Body) {
        let (mut bounded, _) = Self::new(body, 0);
        std::future::poll_fn(|context| {
            loop {
                match std::task::ready!(Pin::new(&mut bounded).poll_frame(context)) {
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Poll::Ready(()),
                }
            }
        })
        .await;
    }
}

impl HttpBody for Bounded {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        loop {
            let Poll::Ready(next) = Pin::new(&mut self.body).poll_frame(context) else {
                self.progress.advance(WAITING);
                return Poll::Pending;
            };
            let exceeded = self.progress.exceeded();
            let frame = match next {
                Some(Ok(frame)) => frame,
                None if exceeded => return Poll::Ready(Some(Err(TooLarge.into()))),
                None => {
                    self.progress.advance(ENDED);
                    return Poll::Ready(None);
                }
                Some(Err(error)) => {
                    self.progress.advance(ENDED);
                    return Poll::Ready(Some(Err(error.into())));
                }
            };
            let length = frame.data_ref().map_or(0, Bytes::len);
            if !exceeded && length <= self.left {
                self.left -= length;
                self.progress.advance(ARRIVING);
                return Poll::Ready(Some(Ok(frame)));
            }
            self.progress.advance(EXCEEDED);
            self.discarded = self.discarded.saturating_add(length);
            if self.discarded > DISCARDED || self.body.is_end_stream() {
                return Poll::Ready(Some(Err(TooLarge.into())));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// How far the body of a request has come.
#[derive(Debug, Default)]
pub struct Progress(AtomicU8);

const ARRIVING: u8 = 0;
const WAITING: u8 = 1;
const ENDED: u8 = 2;
const EXCEEDED: u8 = 3;

impl Progress {
    /// Whether somebody wants more of the body than has arrived: what is slow is its sender.
    pub fn is_awaited(&self) -> bool {
        self.0.load(Ordering::Relaxed) == WAITING
    }

    /// Whether the body was longer than allowed.
    pub fn exceeded(&self) -> bool {
        self.0.load(Ordering::Relaxed) == EXCEEDED
    }

    /// What was exceeded stays so.
    fn advance(&self, to: u8) {
        if !self.exceeded() {
            self.0.store(to, Ordering::Relaxed);
        }
    }
}

/// The body is longer than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge;

impl fmt::Display for TooLarge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the body is too long")
    }
}

impl std::error::Error for TooLarge {}
