//! Runs statements of the user on the database file.
//!
//! Promise: the file is created if it is missing, as by any other write. What is stopped is
//! interrupted until it has ended, no statement begins after that, also where nobody waits any more, and a
//! transaction that did not end is rolled back. Read next: `session.rs`,
//! `ports/src/statements.rs`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, InterruptHandle};
use towpath_ports::{GoesOn, Statements, StopSignal, failed_statement};
use towpath_vocab::Failure;

use super::error::ErrorContext as _;
use super::session::{Session, Settings, blocking};

/// The pause before a statement is interrupted once more.
const AGAIN: Duration = Duration::from_millis(50);

/// SQL of a connection.
pub(super) struct SqliteStatements {
    pub(super) settings: Settings,
}

#[async_trait]
impl Statements for SqliteStatements {
    async fn run(
        &self,
        statements: &[String],
        transaction: bool,
        mut stop: StopSignal<'_>,
    ) -> std::result::Result<bool, Failure> {
        let settings = self.settings.clone();
        let shown = self.settings.shown.clone();
        let connection = blocking(&shown, move || settings.open_write()).await?;
        let stopping = Stopping {
            goes_on: Arc::default(),
            interrupt: connection.get_interrupt_handle(),
        };
        let goes_on = Arc::clone(&stopping.goes_on);
        let session = Session::new(connection, &shown);
        let statements = statements.to_vec();
        let mut running = Box::pin(session.run(move |connection| {
            Ok(all(connection, &shown, &statements, transaction, &goes_on))
        }));
        tokio::select! {
            biased;
            done = &mut running => return done?,
            () = &mut stop => {}
        }
        loop {
            stopping.stop();
            tokio::select! {
                biased;
                done = &mut running => return Ok(done.is_ok_and(|done| done.unwrap_or(false))),
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }
}

/// Stops the statements, also when nobody waits for them any more.
struct Stopping {
    goes_on: Arc<GoesOn>,
    interrupt: InterruptHandle,
}

impl Stopping {
    fn stop(&self) {
        self.goes_on.stop();
        self.interrupt.interrupt();
    }
}

impl Drop for Stopping {
    fn drop(&mut self) {
        self.stop();
    }
}

fn all(
    connection: &Connection,
    shown: &str,
    statements: &[String],
    transaction: bool,
    goes_on: &GoesOn,
) -> std::result::Result<bool, Failure> {
    if transaction {
        let begun = connection.execute_batch("BEGIN IMMEDIATE");
        begun.doing(shown, "opening a transaction")?;
    }
    for (at, sql) in statements.iter().enumerate() {
        if goes_on.is_stopped() {
            return Ok(false);
        }
        let number = at + 1;
        let run = connection.execute_batch(sql);
        let run = run.doing(shown, format!("running statement {number}"));
        let stays = !transaction && at > 0;
        run.map_err(|error| failed_statement(error.into(), number, stays))?;
    }
    if goes_on.is_stopped() {
        return Ok(false);
    }
    if transaction {
        connection
            .execute_batch("COMMIT")
            .doing(shown, "committing")?;
    }
    Ok(true)
}
