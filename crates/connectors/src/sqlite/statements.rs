//! Runs statements of the user on the database file.
//!
//! Promise: the file is created if it is missing, as by any other write. A statement that is stopped is
//! interrupted, and a transaction that did not end is rolled back. Read next: `session.rs`,
//! `ports/src/statements.rs`.

use async_trait::async_trait;
use rusqlite::Connection;
use towpath_ports::{Statements, StopSignal};
use towpath_vocab::Failure;

use super::error::{ErrorContext as _, Result};
use super::session::{Session, Settings, blocking};

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
        let interrupt = connection.get_interrupt_handle();
        let session = Session::new(connection, &shown);
        let statements = statements.to_vec();
        let mut running = Box::pin(
            session.run(move |connection| all(connection, &shown, &statements, transaction)),
        );
        tokio::select! {
            biased;
            done = &mut running => {
                done?;
                return Ok(true);
            }
            () = &mut stop => {}
        }
        interrupt.interrupt();
        Ok(running.await.is_ok())
    }
}

fn all(
    connection: &Connection,
    shown: &str,
    statements: &[String],
    transaction: bool,
) -> Result<()> {
    if transaction {
        let begun = connection.execute_batch("BEGIN IMMEDIATE");
        begun.doing(shown, "opening a transaction")?;
    }
    for (at, sql) in statements.iter().enumerate() {
        let doing = format!("running statement {}", at + 1);
        connection.execute_batch(sql).doing(shown, doing)?;
    }
    if transaction {
        connection
            .execute_batch("COMMIT")
            .doing(shown, "committing")?;
    }
    Ok(())
}
