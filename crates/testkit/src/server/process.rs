//! A child process, and what comes over its pipes.

#![expect(clippy::expect_used, reason = "in a test kit, what cannot go on fails the test")]

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::sleep;

use super::LOOK;

/// A child, and what it says.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    pub(super) stdout: Said,
    pub(super) stderr: Said,
}

impl Process {
    pub(super) fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary can be started");
        let stdout = Said::by(child.stdout.take().expect("standard output is piped"));
        let stderr = Said::by(child.stderr.take().expect("standard error is piped"));
        Self { child, stdout, stderr }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_some()
    }

    pub(super) async fn ended(&mut self) -> ExitStatus {
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            sleep(LOOK).await;
        }
    }

    pub(super) fn kill(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _killed = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What came over a pipe.
#[derive(Debug, Clone, Default)]
pub(super) struct Said(Arc<Mutex<(Vec<u8>, bool)>>);

impl Said {
    fn by(mut pipe: impl Read + Send + 'static) -> Self {
        let said = Self::default();
        let writing = said.clone();
        std::thread::spawn(move || {
            let mut piece = [0; 8192];
            while let Ok(length @ 1..) = pipe.read(&mut piece) {
                writing.lock().0.extend_from_slice(piece.get(..length).unwrap_or_default());
            }
            writing.lock().1 = true;
        });
        said
    }

    fn lock(&self) -> MutexGuard<'_, (Vec<u8>, bool)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.lock().0).into_owned()
    }

    /// All of it, once the other end is closed.
    pub(super) async fn to_end(&self) -> String {
        while !self.lock().1 {
            sleep(LOOK).await;
        }
        self.so_far()
    }
}
