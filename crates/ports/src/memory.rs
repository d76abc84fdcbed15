//! One memory budget for everything that holds rows.

use async_trait::async_trait;

/// Bytes held; giving them back is dropping it.
pub type Lease = Box<dyn Send + Sync>;

/// A budget of bytes.
#[async_trait]
pub trait Memory: Send + Sync {
    /// The whole budget.
    fn limit_bytes(&self) -> u64;

    /// Waits until this much can be held. A request above the limit waits for all of it.
    async fn hold(&self, bytes: u64) -> Lease;
}
