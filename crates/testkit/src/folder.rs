//! A folder of a test's or a measurement's own.

#![expect(clippy::expect_used, reason = "in a test kit, what cannot go on fails the test")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A temporary folder, gone with its content when dropped.
#[derive(Debug)]
pub struct TempFolder(PathBuf);

impl TempFolder {
    /// An empty folder that nobody else has.
    ///
    /// # Panics
    /// If the system gives none.
    #[must_use]
    pub fn new() -> Self {
        Self::inside(&std::env::temp_dir()).expect("a temporary folder can be made")
    }

    /// The same, in `parent`.
    ///
    /// # Errors
    /// If none can be made there.
    pub fn inside(parent: &Path) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = parent.join(format!("countersign-test-{}-{number}", std::process::id()));
        // Left by a process of the same number that was killed.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder)?;
        Ok(Self(folder))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Default for TempFolder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
