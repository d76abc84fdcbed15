//! Permits to compute a model: models share the engine, but one that ran out of memory gets it alone.
//!
//! Promise: permits are granted in the order of the requests, and end when they are dropped. It does not
//! know memory: `pool.rs` limits it, and a model that does not fit alone fails.

use std::sync::Arc;

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// The permits of one engine.
#[derive(Default)]
pub(crate) struct ComputePermits(Arc<RwLock<()>>);

/// The permit to compute a model.
pub(crate) enum ComputePermit {
    /// Together with other models.
    Shared(#[expect(dead_code, reason = "held until dropped")] OwnedRwLockReadGuard<()>),
    /// With all memory of the engine.
    Alone(#[expect(dead_code, reason = "held until dropped")] OwnedRwLockWriteGuard<()>),
}

impl ComputePermits {
    /// Waits for a permit to compute together with other models.
    pub(crate) async fn shared(&self) -> ComputePermit {
        ComputePermit::Shared(Arc::clone(&self.0).read_owned().await)
    }

    /// Waits until no other model computes.
    pub(crate) async fn alone(&self) -> ComputePermit {
        ComputePermit::Alone(Arc::clone(&self.0).write_owned().await)
    }
}
