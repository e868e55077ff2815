//! A stream that the driver is lent, and that comes back when it lets go of it.
//!
//! The driver reaches a host, speaks TLS, and proves who we are: all of that it does better than we would. It has no way to hand over
//! what it has reached, but it lets somebody else speak TLS for it. Who does gives it the stream, and takes it back when it is dropped;
//! where nothing is encrypted, "TLS" is that and nothing more.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::wire::Stream;

/// Where a stream comes back to.
#[derive(Clone, Default)]
pub(super) struct Lender(Arc<Mutex<Option<Box<dyn Stream>>>>);

impl Lender {
    /// Lends a stream that nothing is known about.
    pub(super) fn lend(&self, stream: Box<dyn Stream>) -> Borrowed {
        Borrowed { stream: Some(stream), binding: Mutex::default(), lender: self.clone() }
    }

    /// The stream, once nobody has it any more.
    pub(super) fn take(&self) -> Option<Box<dyn Stream>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A stream that is lent.
pub(super) struct Borrowed {
    stream: Option<Box<dyn Stream>>,
    /// What ties the proof of who we are to this stream. It is asked for once.
    binding: Mutex<Option<ChannelBinding>>,
    lender: Lender,
}

impl Borrowed {
    /// The stream, which is there until this is dropped.
    fn stream(&mut self) -> io::Result<Pin<&mut Box<dyn Stream>>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        *self.lender.0.lock().unwrap_or_else(PoisonError::into_inner) = self.stream.take();
    }
}

impl AsyncRead for Borrowed {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(context, to)
    }
}

impl AsyncWrite for Borrowed {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(context, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(context)
    }
}

impl TlsStream for Borrowed {
    fn channel_binding(&self) -> ChannelBinding {
        let binding = self.binding.lock().unwrap_or_else(PoisonError::into_inner).take();
        binding.unwrap_or_else(ChannelBinding::none)
    }
}

/// Lends what the driver reaches, encrypted by `tls` where that is there.
#[derive(Clone)]
pub(super) struct Lending {
    pub(super) tls: Option<MakeRustlsConnect>,
    pub(super) lender: Lender,
}

impl MakeTlsConnect<Socket> for Lending {
    type Stream = Borrowed;
    type TlsConnect = LendingTo;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<LendingTo> {
        Ok(LendingTo { lending: self.clone(), host: host.to_owned() })
    }
}

/// The same, for one host.
pub(super) struct LendingTo {
    lending: Lending,
    host: String,
}

impl TlsConnect<Socket> for LendingTo {
    type Stream = Borrowed;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Borrowed>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        let Self { lending: Lending { tls, lender }, host } = self;
        Box::pin(async move {
            let Some(mut tls) = tls else { return Ok(lender.lend(Box::new(socket))) };
            let tls = MakeTlsConnect::<Socket>::make_tls_connect(&mut tls, &host).map_err(io::Error::other)?;
            let stream = tls.connect(socket).await?;
            let binding = stream.channel_binding();
            let mut borrowed = lender.lend(Box::new(stream));
            borrowed.binding = Mutex::new(Some(binding));
            Ok(borrowed)
        })
    }
}
