//! A bounded queue and the threads that work it off.
//!
//! It promises that nothing waits for room (a full queue refuses), that what was taken is worked off even if the queue is closed
//! right afterwards, and that closing ends when the last thread has. What the work is, is the thread's affair.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};

use engine::StoreError;
use tokio::sync::watch;

use crate::error::unavailable;

pub(super) struct Queue<J> {
    /// None once closed.
    sender: RwLock<Option<SyncSender<J>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Its senders are held by the threads: closed means that all have ended.
    running: watch::Receiver<()>,
}

impl<J: Send + 'static> Queue<J> {
    /// Starts one thread per worker, named `name`. A worker is handed the queue's receiving end, shared with its fellows, and
    /// works until that says that nothing will come any more.
    pub(super) fn start<W>(name: &str, capacity: usize, workers: Vec<W>) -> io::Result<Self>
    where
        W: FnOnce(&Mutex<Receiver<J>>) + Send + 'static,
    {
        let (sender, receiver) = sync_channel(capacity);
        let receiver = Arc::new(Mutex::new(receiver));
        let (ended, running) = watch::channel(());
        let queue = Self { sender: RwLock::new(Some(sender)), threads: Mutex::default(), running };
        for work in workers {
            let receiver = Arc::clone(&receiver);
            let ended = ended.clone();
            let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
                work(&receiver);
                drop(ended);
            })?;
            queue.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        }
        Ok(queue)
    }

    /// Puts a job at the end.
    ///
    /// # Refusals
    ///
    /// `Unavailable` where the queue is full or closed, or its threads are gone.
    pub(super) fn send(&self, job: J) -> Result<(), StoreError> {
        let sender = self.sender.read().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = sender.as_ref() else {
            return Err(unavailable("the store is closed"));
        };
        sender.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => unavailable("the store's queue is full"),
            TrySendError::Disconnected(_) => unavailable("the store has stopped"),
        })
    }

    /// Takes no more jobs; ends when those taken before are done and the threads have ended.
    pub(super) async fn close(&self) {
        self.refuse_more();
        let mut running = self.running.clone();
        // Nothing is ever sent: it "changes" only by its senders going away.
        while running.changed().await.is_ok() {}
    }
}

impl<J> Queue<J> {
    fn refuse_more(&self) {
        self.sender.write().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Waits for the threads: what was taken is done before the owner goes on, for instance to end the process.
impl<J> Drop for Queue<J> {
    fn drop(&mut self) {
        self.refuse_more();
        for thread in self.threads.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // A job may hold the last handle of the store; a thread cannot wait for itself.
            if thread.thread().id() != thread::current().id() {
                // How a thread ended is its own affair; a panic was reported where it happened.
                let _ = thread.join();
            }
        }
    }
}
