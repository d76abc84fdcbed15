//! One budget of bytes for everything in `flow` and the connectors that holds rows.
//!
//! Fair: who asked first is served first. It does not know who holds what; leases give back on drop.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use towpath_ports::{Lease, Memory};

/// Bytes per permit: a semaphore counts in `u32`.
const GRAIN: u64 = 4096;

/// A budget that makes askers wait instead of failing.
#[derive(Debug)]
pub struct Budget {
    limit_bytes: u64,
    permits: u32,
    free: Arc<Semaphore>,
}

impl Budget {
    /// A budget of this many bytes, at least one megabyte.
    pub fn new(limit_bytes: u64) -> Self {
        let limit_bytes = limit_bytes.max(1 << 20);
        let permits = u32::try_from(limit_bytes / GRAIN)
            .unwrap_or(u32::MAX >> 3)
            .min(u32::MAX >> 3);
        Self {
            limit_bytes,
            permits,
            free: Arc::new(Semaphore::new(permits as usize)),
        }
    }
}

#[async_trait]
impl Memory for Budget {
    fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    async fn hold(&self, bytes: u64) -> Lease {
        let wanted = u32::try_from(bytes.div_ceil(GRAIN))
            .unwrap_or(u32::MAX)
            .clamp(1, self.permits);
        match Arc::clone(&self.free).acquire_many_owned(wanted).await {
            Ok(permit) => Box::new(permit),
            // The semaphore is never closed; an empty lease keeps the signature honest.
            Err(_) => Box::new(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn holders_wait_for_each_other() {
        let budget = Budget::new(1 << 20);
        let first = budget.hold(700_000).await;
        assert!(
            tokio::time::timeout(Duration::from_millis(20), budget.hold(700_000))
                .await
                .is_err()
        );
        drop(first);
        let _second = budget.hold(700_000).await;
    }

    #[tokio::test]
    async fn a_request_above_the_limit_gets_all_of_it() {
        let budget = Budget::new(1 << 20);
        let all = budget.hold(1 << 30).await;
        assert!(
            tokio::time::timeout(Duration::from_millis(20), budget.hold(1))
                .await
                .is_err()
        );
        drop(all);
    }
}
