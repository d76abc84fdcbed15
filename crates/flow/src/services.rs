//! The services that a transfer needs from its caller, and the memory limit of one operator's state.
//!
//! It contains no logic, so every file of this crate may import it. Read next: `transfer.rs`.

use std::sync::Arc;

use towpath_ports::{Clock, ExpressionCompiler, Memory, Query, Secrets};

use crate::spill::SpillFolder;
use crate::summary::Progress;

/// One state may hold this part of the memory budget; the rest of it is on disk.
const STATE_SHARE: u64 = 4;

/// What the loop needs from its caller.
#[derive(Clone)]
pub struct Services {
    /// Compiles `where`, `set` and rules.
    pub expressions: Arc<dyn ExpressionCompiler>,
    /// Answers checks that need the candidate.
    pub query: Arc<dyn Query>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Resolves mask keys.
    pub secrets: Arc<dyn Secrets>,
    /// The memory budget.
    pub memory: Arc<dyn Memory>,
    /// Where keyed state goes that does not fit into its share of it.
    pub spill: SpillFolder,
    /// Live counters.
    pub progress: Arc<Progress>,
}

impl Services {
    /// What one state may hold: a `dedup`, the unique checks of a table.
    pub(crate) fn share(&self) -> Share {
        Share {
            bytes: self.memory.limit_bytes() / STATE_SHARE,
            spill: self.spill.clone(),
        }
    }
}

/// What a share of memory is, and where to go beyond it.
#[derive(Clone)]
pub(crate) struct Share {
    pub(crate) bytes: u64,
    pub(crate) spill: SpillFolder,
}
