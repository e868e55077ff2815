//! Closing a connection so that its last answer is heard.

use std::future::Future as _;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::Limits;
use super::activity::Activity;

/// A connection that, when it is shut down, still listens for a while.
///
/// A system that closes a connection on which something unread lies, or arrives later, resets it, and the other end's
/// system then throws away what it had not handed on yet. So a client that writes all of a body before it reads would
/// never see why the body was refused. Here nothing is sent any more, and what comes is thrown away until the other end
/// closes, has been quiet for [`Limits::farewell`], or has gone on for [`Limits::linger`].
#[derive(Debug)]
pub(super) struct Lingering<I> {
    stream: I,
    activity: Arc<Activity>,
    limits: Arc<Limits>,
    /// Whether the other end has said that it sends no more.
    ended: bool,
    farewell: Option<Farewell>,
}

/// What is left to wait for after the last word.
#[derive(Debug)]
struct Farewell {
    silence: Pin<Box<Sleep>>,
    until: Instant,
}

impl<I> Lingering<I> {
    pub(super) fn new(stream: I, activity: Arc<Activity>, limits: Arc<Limits>) -> Self {
        Self { stream, activity, limits, ended: false, farewell: None }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Lingering<I> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        if matches!(polled, Poll::Ready(Ok(()))) && buffer.remaining() > 0 && buffer.filled().len() == before {
            this.ended = true;
        }
        polled
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<I> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let farewell = if let Some(farewell) = &mut this.farewell {
            farewell
        } else {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
            // Whoever is told to go while he is idle has nothing to hear, and a server that stops does not wait for him.
            if this.ended || this.activity.is_told_to_go() {
                return Poll::Ready(Ok(()));
            }
            this.farewell.insert(Farewell {
                silence: Box::pin(sleep(this.limits.farewell)),
                until: Instant::now() + this.limits.linger,
            })
        };
        loop {
            let mut space = [MaybeUninit::uninit(); 8 * 1024];
            let mut thrown_away = ReadBuf::uninit(&mut space);
            match Pin::new(&mut this.stream).poll_read(context, &mut thrown_away) {
                Poll::Ready(Ok(())) if !thrown_away.filled().is_empty() => {
                    let now = Instant::now();
                    if now >= farewell.until {
                        return Poll::Ready(Ok(()));
                    }
                    farewell.silence.as_mut().reset(farewell.until.min(now + this.limits.farewell));
                }
                // It closed, or is gone: either is the end of it.
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return farewell.silence.as_mut().poll(context).map(Ok),
            }
        }
    }
}
