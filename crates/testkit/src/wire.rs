//! A wire between a store and its database that counts the round trips over it: how often something was asked after an answer.

#![expect(clippy::expect_used, reason = "in a test kit, what cannot go on fails the test")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// As much as one trip ever holds, so that it is not taken for two because it was read in pieces.
const BUFFER: usize = 256 * 1024;

/// A wire; it is cut when this is dropped.
#[derive(Debug)]
pub struct Wire {
    address: SocketAddr,
    trips: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Wire {
    /// A wire to `target`.
    ///
    /// For exact counts the test's runtime has one thread: what a client sends without waiting is then all sent before any of it is
    /// handed on.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let trips = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&trips);
        #[expect(clippy::disallowed_methods, reason = "ends with the wire")]
        let accepting = tokio::spawn(async move {
            let mut handing_on = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(target).await else { continue };
                join(near, far, &counted, &mut handing_on);
            }
        });
        Self { address, trips, accepting }
    }

    /// Where it begins.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The round trips over it since this was last asked.
    pub fn take_trips(&self) -> usize {
        self.trips.swap(0, Ordering::SeqCst)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn join(near: TcpStream, far: TcpStream, trips: &Arc<AtomicUsize>, handing_on: &mut JoinSet<()>) {
    // What is held back to be sent together with more would be counted, too.
    near.set_nodelay(true).and(far.set_nodelay(true)).expect("an open socket can be set");
    let (asking, answered) = near.into_split();
    let (answering, asked) = far.into_split();
    let was_answered = Arc::new(AtomicBool::new(true));
    let (trips, is_answered) = (Arc::clone(trips), Arc::clone(&was_answered));
    handing_on.spawn(hand_on(asking, asked, move || {
        if was_answered.swap(false, Ordering::SeqCst) {
            trips.fetch_add(1, Ordering::SeqCst);
        }
    }));
    handing_on.spawn(hand_on(answering, answered, move || is_answered.store(true, Ordering::SeqCst)));
}

async fn hand_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, note: impl Fn()) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = from.read(&mut buffer).await.unwrap_or(0);
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { return };
        note();
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}
