//! Permits to compute a model: models share the engine; one that ran out of memory has it alone.
//!
//! Promise: fair, in the order of the requests; a permit ends when it is dropped. It does not know
//! memory: pools limit that (`pool.rs`), and a model that does not fit alone either fails.

use std::sync::Arc;

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// The permits of one engine.
#[derive(Default)]
pub(crate) struct ComputePermits(Arc<RwLock<()>>);

/// The permit to compute a model.
pub(crate) enum ComputePermit {
    /// Beside others.
    Shared(#[expect(dead_code, reason = "held until dropped")] OwnedRwLockReadGuard<()>),
    /// With all memory of the engine.
    Alone(#[expect(dead_code, reason = "held until dropped")] OwnedRwLockWriteGuard<()>),
}

impl ComputePermits {
    /// Waits for a permit beside others.
    pub(crate) async fn shared(&self) -> ComputePermit {
        ComputePermit::Shared(Arc::clone(&self.0).read_owned().await)
    }

    /// Waits until no other model computes.
    pub(crate) async fn alone(&self) -> ComputePermit {
        ComputePermit::Alone(Arc::clone(&self.0).write_owned().await)
    }
}
