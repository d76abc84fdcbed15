//! Runs statements of the user in a session of their own.
//!
//! Promise: the session is as strict about values as one that writes a table. A statement that is stopped is
//! killed on the server. The server commits by itself at each statement that changes a definition, also in a
//! transaction. Read next: `session.rs`, `ports/src/statements.rs`.

use async_trait::async_trait;
use towpath_ports::{Statements, StopSignal};
use towpath_vocab::Failure;

use super::error::Result;
use super::session::Session;
use super::settings::Settings;

/// SQL of a connection.
pub(super) struct MysqlStatements {
    pub(super) settings: Settings,
}

#[async_trait]
impl Statements for MysqlStatements {
    async fn run(
        &self,
        statements: &[String],
        transaction: bool,
        mut stop: StopSignal<'_>,
    ) -> std::result::Result<bool, Failure> {
        let mut session = Session::open_to_write(&self.settings).await?;
        let asked = session.rows("SELECT connection_id()", "preparing a session");
        let id = asked.await?.into_iter().flatten().next().flatten();
        let mut running = Box::pin(all(&mut session, statements, transaction));
        tokio::select! {
            biased;
            done = &mut running => {
                done?;
                return Ok(true);
            }
            () = &mut stop => {}
        }
        if let Some(id) = id {
            let mut other = Session::open(&self.settings).await?;
            other
                .run(&format!("KILL QUERY {id}"), "stopping a statement")
                .await?;
        }
        Ok(running.await.is_ok())
    }
}

async fn all(
    session: &mut Session,
    statements: &[String],
    transaction: bool,
) -> Result<(), Failure> {
    if transaction {
        session
            .run("START TRANSACTION", "opening a transaction")
            .await?;
    }
    for (at, sql) in statements.iter().enumerate() {
        let number = at + 1;
        let doing = format!("running statement {number}");
        let run = session.run_any(sql, &doing).await;
        run.map_err(|error| {
            Failure::from(error).help(format!("it is statement {number} of the step"))
        })?;
    }
    if transaction {
        session.run("COMMIT", "committing").await?;
    }
    Ok(())
}
