//! `countersign key`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use engine::{Entropy as _, SystemEntropy};

use super::{CommandError, print};

/// Look after keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Print a new master key, for a file that only the server's user can read.
    New,
}

impl KeyCommand {
    pub(crate) fn run(self) -> Result<(), CommandError> {
        match self {
            Self::New => {
                let mut key = [0; 32];
                SystemEntropy.fill(&mut key);
                Ok(print(&STANDARD.encode(key))?)
            }
        }
    }
}
