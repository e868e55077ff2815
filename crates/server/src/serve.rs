//! The accept loop: HTTP/1 and HTTP/2 without TLS on one listener, TCP or a Unix socket.
//!
//! It promises that nobody holds a connection for nothing. A connection that has not begun its first request after a few
//! seconds is closed, whatever it did or did not send (nothing, half a header, half an HTTP/2 preface, settings only);
//! one that has been served is closed when it has been quiet for longer than connection pools keep one. hyper's own
//! `header_read_timeout` cannot say this: it starts only when the version is known, and it is at once the limit for
//! idle connections, so that a short one cuts every pooled client. Here each connection counts its requests
//! ([`Activity`]) and is watched from outside.
//!
//! It promises, too, that who is refused hears why, however much he still wants to say ([`Lingering`]).
//!
//! What a request may take once it has begun is `app.rs`'s to say: no connection is closed under a handler at work.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tower::{Service, ServiceExt as _};
use web::Peer;

use activity::{Activity, Watched};
use lingering::Lingering;

mod activity;
mod lingering;
#[cfg(test)]
mod tests;

/// What a listener allows.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// The most connections at once; further ones wait in the system's queue.
    pub(crate) connections: usize,
    /// The time from being accepted to the end of the first request's header.
    pub(crate) first_request: Duration,
    /// How long a connection that has been served may say nothing, and how long a client may not read its answer.
    /// Longer than the 60 s that common proxies keep an idle connection, so that it is they who close it.
    pub(crate) idle: Duration,
    /// How long a connection that is told to go may take to do so once it has no request under way, and how long the
    /// other end may say nothing once it was sent the last answer.
    pub(crate) farewell: Duration,
    /// How long the other end is listened to after the last answer if it goes on sending.
    pub(crate) linger: Duration,
    /// How long requests under way may take to end when the server stops.
    pub(crate) stop: Duration,
    /// The most bytes of a request's header.
    pub(crate) header: u32,
    /// The most requests at once on an HTTP/2 connection.
    pub(crate) streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            first_request: Duration::from_secs(5),
            idle: Duration::from_secs(75),
            farewell: Duration::from_secs(2),
            linger: Duration::from_secs(30),
            stop: Duration::from_secs(35),
            header: 16 * 1024,
            streams: 100,
        }
    }
}

/// Where connections come from.
pub(crate) trait Listener: Send {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection and its other end. May be dropped before it is ready without losing one.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, Peer)> {
        let (stream, address) = Self::accept(self).await?;
        // Answers are one small write; waiting for more to send with it would cost 40 ms. It fails only on a socket
        // whose other end is gone, which the first read finds out.
        let _ = stream.set_nodelay(true);
        Ok((stream, address.into()))
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, Peer)> {
        let (stream, _) = Self::accept(self).await?;
        Ok((stream, Peer::Local))
    }
}

/// Serves `service` on `listener` until `stop`, then lets requests under way end and returns.
///
/// Each request carries its [`Peer`] in its extensions.
pub(crate) async fn serve<L, S>(listener: L, service: S, limits: Limits, stop: impl Future<Output = ()>)
where
    L: Listener,
    S: Service<Request<Body>, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let builder = Arc::new(builder(&limits));
    let limits = Arc::new(limits);
    let (stopping, watcher) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    let mut pause = SHORTEST_PAUSE;
    loop {
        tokio::select! {
            biased;
            () = stop.as_mut() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < limits.connections => match accepted {
                Ok((stream, peer)) => {
                    pause = SHORTEST_PAUSE;
                    let (builder, limits) = (Arc::clone(&builder), Arc::clone(&limits));
                    connections.spawn(connection(stream, peer, service.clone(), builder, limits, watcher.clone()));
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    // Out of descriptors or memory: trying again at once would only burn what is left.
                    tracing::warn!(%error, pause_ms = pause.as_millis(), "connections cannot be accepted");
                    tokio::select! {
                        () = sleep(pause) => {}
                        () = stop.as_mut() => break,
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            },
        }
    }
    drop(listener);
    // Every connection holds a receiver; with none, nobody needs to hear it.
    let _ = stopping.send(());
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if timeout(limits.stop, all_ended).await.is_err() {
        tracing::warn!(connections = connections.len(), "connections were cut because they did not end in time");
        connections.shutdown().await;
    }
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Whether accepting failed because of the one connection that was next, not because of the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let header = usize::try_from(limits.header).unwrap_or(usize::MAX);
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // See the module: the watch replaces it.
        .header_read_timeout(None)
        // It bounds the header, and how much is read ahead of a body nobody reads. hyper takes no less than 8 KiB.
        .max_buf_size(header.max(8 * 1024));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.header)
        // Rapid reset: streams opened and reset before we came to see them, and streams that we had to reset.
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(100)
        // What one connection may make us hold of bodies that nobody has read yet.
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(256 * 1024)
        .max_send_buf_size(256 * 1024);
    builder
}

/// Serves one connection to its end.
async fn connection<I, S>(
    stream: I,
    peer: Peer,
    service: S,
    builder: Arc<Builder<TokioExecutor>>,
    limits: Arc<Limits>,
    mut stopping: watch::Receiver<()>,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Body>, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let activity = Arc::new(Activity::begin());
    let counted = service_fn(|request: Request<Incoming>| {
        let open = activity.open();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        let answer = service.clone().oneshot(request);
        async move {
            let response = answer.await?;
            Ok::<_, Infallible>(response.map(|body| Watched::new(body, open.finish())))
        }
    });
    let stream = Lingering::new(stream, Arc::clone(&activity), Arc::clone(&limits));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), counted));
    loop {
        let now = Instant::now();
        let deadline = activity.deadline(now, &limits);
        if deadline <= now {
            if activity.is_told_to_go() || !activity.was_served() {
                return;
            }
            activity.tell_to_go(now);
            connection.as_mut().graceful_shutdown();
            continue;
        }
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    // The other end's doing, and usual: it went away, or does not speak HTTP.
                    tracing::debug!(error = error.as_ref() as &dyn std::error::Error, "a connection ended early");
                }
                return;
            }
            () = sleep_until(deadline) => {}
            _ = stopping.changed(), if !activity.is_told_to_go() => {
                activity.tell_to_go(Instant::now());
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}
