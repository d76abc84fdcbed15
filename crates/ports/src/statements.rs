//! The interface of a system that runs SQL of the user: statements before and after loads.
//!
//! Promise: with `transaction` all statements take effect or none, as far as the system can take them back.
//! What a statement answers is not kept. It does not know why the statements run, and whether they ran before:
//! a process that dies behind the last one runs them again. Read next: `connector.rs`.

use std::pin::Pin;

use async_trait::async_trait;

use crate::Result;

/// Ends when statements are to be stopped.
pub type StopSignal<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Runs SQL in a system.
#[async_trait]
pub trait Statements: Send + Sync {
    /// Runs statements one after the other. If `stop` ends first, the one that runs is stopped, later ones
    /// are not begun, and the answer is false.
    async fn run(
        &self,
        statements: &[String],
        transaction: bool,
        stop: StopSignal<'_>,
    ) -> Result<bool>;
}
