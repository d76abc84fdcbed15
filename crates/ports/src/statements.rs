//! The interface of a system that runs SQL of the user: statements before and after loads.
//!
//! Promise: with `transaction` all statements take effect or none, as far as the system can take them back.
//! What a statement answers is not kept. It does not know why the statements run, and whether they ran before:
//! a process that dies behind the last one runs them again. Read next: `connector.rs`.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use towpath_vocab::{Failure, Remedy};

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

/// Whether statements are to go on; read before each of them and before a COMMIT.
#[derive(Debug, Default)]
pub struct GoesOn(AtomicBool);

impl GoesOn {
    /// No further statement begins.
    pub fn stop(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it was stopped.
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// A failure of statement `number`, from 1. What cannot be taken back is not tried again: `stays` says that
/// earlier statements took effect, or that this one may have.
pub fn failed_statement(failure: Failure, number: usize, stays: bool) -> Failure {
    let failure = failure.help(format!("it is statement {number} of the step"));
    match stays && failure.remedy.may_pass() {
        false => failure,
        true => {
            let message = format!(
                "statement {number} failed, and it or those before it took effect: {}",
                failure.message
            );
            Failure::new("R0392", Remedy::FixConfig, message)
                .help("the step is not tried again; look what is there before it runs again")
        }
    }
}

/// The failure of a COMMIT whose answer did not come.
pub fn unanswered_commit(failure: Failure) -> Failure {
    match failure.remedy.may_pass() {
        false => failure,
        true => {
            let message = format!(
                "it is not known whether the statements took effect: {}",
                failure.message
            );
            Failure::new("R0391", Remedy::FixConfig, message)
                .help("the step is not tried again; look what is there before it runs again")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_taken_effect_is_not_tried_again() {
        let lost = || Failure::new("R0206", Remedy::Unreachable, "lost");
        let commit = unanswered_commit(lost());
        assert_eq!(
            (commit.code.as_str(), commit.remedy),
            ("R0391", Remedy::FixConfig)
        );
        let stays = failed_statement(lost(), 2, true);
        assert_eq!(
            (stays.code.as_str(), stays.remedy),
            ("R0392", Remedy::FixConfig)
        );
        let taken_back = failed_statement(lost(), 2, false);
        assert_eq!(taken_back.remedy, Remedy::Unreachable);
        let wrong = Failure::new("R0208", Remedy::FixData, "no");
        assert_eq!(failed_statement(wrong.clone(), 2, true).code, "R0208");
        assert_eq!(unanswered_commit(wrong).code, "R0208");
    }
}
