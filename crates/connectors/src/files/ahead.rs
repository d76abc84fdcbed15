//! Memory for parts of a file that are decoded side by side and taken one after the other.
//!
//! Promise: only the part whose turn it is waits for memory. Parts ahead of it take what is free at
//! the moment, together at most a small share of the budget, so that they never hold what the one
//! in turn waits for, even where a taker keeps most of it. Who has left is not waited for. It knows no format.

use std::sync::Arc;

use futures::FutureExt;
use tokio::sync::{Semaphore, watch};
use towpath_ports::{Memory, ReservedMemory, Result};

/// One permit of the share.
const GRAIN: u64 = 1 << 10;

/// All parts of one file may hold this part of the budget while it is not their turn.
const SHARE: u64 = 16;

/// No one asks for more than this part of the budget: takers keep a lot of it, too.
pub(crate) const MOST: u64 = 4;

/// The part that is read now; kept by the side that takes.
pub(crate) struct CurrentPart(watch::Sender<usize>);

impl CurrentPart {
    /// This part is read now, and those before it are done.
    pub(crate) fn of(&self, part: usize) {
        self.0.send_modify(|turn| *turn = part.max(*turn));
    }
}

/// Hands out memory to the parts.
#[derive(Clone)]
pub(crate) struct Ahead {
    memory: Arc<dyn Memory>,
    turn: watch::Receiver<usize>,
    share: Arc<Semaphore>,
}

/// The two ends, for one of `lanes` files that are read at once. The first part has the first turn.
pub(crate) fn ahead(memory: &Arc<dyn Memory>, lanes: usize) -> (CurrentPart, Ahead) {
    let (turn, taken) = watch::channel(0);
    let lanes = u64::try_from(lanes.max(1)).unwrap_or(u64::MAX);
    let share = memory.limit_bytes() / SHARE / lanes / GRAIN;
    let share = usize::try_from(share)
        .unwrap_or(usize::MAX)
        .min(u32::MAX as usize)
        .min(Semaphore::MAX_PERMITS);
    let ahead = Ahead {
        memory: Arc::clone(memory),
        turn: taken,
        share: Arc::new(Semaphore::new(share)),
    };
    (CurrentPart(turn), ahead)
}

impl Ahead {
    /// Memory for a part; `None` when the taker has left.
    pub(crate) async fn hold(&mut self, part: usize, bytes: u64) -> Option<Result<ReservedMemory>> {
        let bytes = bytes.min(self.memory.limit_bytes() / MOST).max(1);
        if *self.turn.borrow_and_update() < part {
            if let Some(lease) = self.free(part, bytes).await {
                return Some(Ok(lease));
            }
            self.turn.wait_for(|turn| *turn >= part).await.ok()?;
        }
        Some(self.memory.lease("a read of a file", bytes).await)
    }

    /// What can be had without keeping anyone waiting.
    async fn free(&mut self, part: usize, bytes: u64) -> Option<ReservedMemory> {
        let wanted = u32::try_from(bytes.div_ceil(GRAIN)).ok()?;
        let share = tokio::select! {
            biased;
            _ = self.turn.wait_for(|turn| *turn >= part) => return None,
            share = Arc::clone(&self.share).acquire_many_owned(wanted) => share.ok()?,
        };
        let lease = self.memory.hold(bytes).now_or_never()?;
        Some(Box::new((lease, share)))
    }
}
