//! The memory budget of everything that keeps rows in memory.
//!
//! Promise: all holders together never have more than the budget, and no request waits for ever: if no
//! memory is granted or returned for a long time, the wait ends with an error that names the holders. It
//! does not know what the memory is used for. Implemented in `flow/src/budget.rs`.

use async_trait::async_trait;

use crate::Result;

/// Reserved bytes; dropping it returns them.
pub type ReservedMemory = Box<dyn Send + Sync>;

/// A budget of bytes.
#[async_trait]
pub trait Memory: Send + Sync {
    /// The whole budget.
    fn limit_bytes(&self) -> u64;

    /// Waits until this many bytes are free, and reserves them. A request above the limit waits for the
    /// whole budget.
    async fn hold(&self, bytes: u64) -> ReservedMemory;

    /// The same for a holder with a name: `rows read of raw.flights`.
    ///
    /// # Errors
    /// `FixConfig` if no memory was returned for so long that all holders wait for each other.
    async fn lease(&self, _holder: &str, bytes: u64) -> Result<ReservedMemory> {
        Ok(self.hold(bytes).await)
    }
}
