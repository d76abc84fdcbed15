//! The services that a transfer needs from its caller, and the memory limit of one operator's state.
//!
//! It contains no logic, so every file of this crate may import it. Read next: `transfer.rs`.

use std::sync::Arc;

use towpath_ports::{Clock, ExpressionCompiler, Memory, Query, Secrets};

use crate::spill::SpillFolder;
use crate::summary::Progress;

/// The part of the memory budget for one keyed state, as a divisor; the rest of the state is on disk.
const STATE_SHARE: u64 = 4;

/// The services that a transfer needs from its caller.
#[derive(Clone)]
pub struct TransferServices {
    /// Compiles `where`, `set` and rules.
    pub expressions: Arc<dyn ExpressionCompiler>,
    /// Runs the queries of checks on a candidate.
    pub query: Arc<dyn Query>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Resolves mask keys.
    pub secrets: Arc<dyn Secrets>,
    /// The memory budget.
    pub memory: Arc<dyn Memory>,
    /// The folder for keyed state that does not fit in its share of the memory.
    pub spill: SpillFolder,
    /// Live counters.
    pub progress: Arc<Progress>,
}

impl TransferServices {
    /// The memory of one keyed state, such as a `dedup` or the unique checks of a table.
    pub(crate) fn share(&self) -> MemoryShare {
        MemoryShare {
            bytes: self.memory.limit_bytes() / STATE_SHARE,
            spill: self.spill.clone(),
        }
    }
}

/// The memory limit of one keyed state, and where it spills.
#[derive(Clone)]
pub(crate) struct MemoryShare {
    pub(crate) bytes: u64,
    pub(crate) spill: SpillFolder,
}
