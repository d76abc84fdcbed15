//! Runs statements of the user in a session of their own.
//!
//! Promise: the session is as strict about values as one that writes a table. What is stopped is killed on the
//! server, again and again until it has ended, and no statement begins after that. The server commits by itself
//! at each statement that changes a definition, also in a transaction; what may have taken effect is not
//! reported as something to try again. Read next: `session.rs`, `ports/src/statements.rs`.

use std::time::Duration;

use async_trait::async_trait;
use towpath_ports::{GoesOn, Statements, StopSignal, failed_statement, unanswered_commit};
use towpath_vocab::Failure;

use super::session::Session;
use super::settings::Settings;

/// The pause before a server is asked once more to kill a statement.
const AGAIN: Duration = Duration::from_millis(200);

/// First words of statements that a transaction takes back.
const TAKEN_BACK: [&str; 7] = [
    "insert", "update", "delete", "replace", "select", "with", "set",
];

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
        let kill = format!("KILL QUERY {}", id.unwrap_or_default());
        let goes_on = GoesOn::default();
        let mut running = Box::pin(all(&mut session, statements, transaction, &goes_on));
        tokio::select! {
            biased;
            done = &mut running => return done,
            () = &mut stop => goes_on.stop(),
        }
        loop {
            let asked = async {
                // Whether the server heard of it shows in how the statement ends.
                if let Ok(mut other) = Session::open(&self.settings).await
                    && let Err(error) = other.run(&kill, "stopping a statement").await
                {
                    tracing::debug!("{error}");
                }
                tokio::time::sleep(AGAIN).await;
            };
            tokio::select! {
                biased;
                done = &mut running => return Ok(done.unwrap_or(false)),
                () = asked => {}
            }
        }
    }
}

async fn all(
    session: &mut Session,
    statements: &[String],
    transaction: bool,
    goes_on: &GoesOn,
) -> std::result::Result<bool, Failure> {
    if transaction {
        let begun = session.run("START TRANSACTION", "opening a transaction");
        begun.await?;
    }
    let is_taken_back = |sql: &String| {
        let word = sql.split_whitespace().next().unwrap_or_default();
        TAKEN_BACK.contains(&word.to_ascii_lowercase().as_str())
    };
    let stays = !transaction || !statements.iter().all(is_taken_back);
    for (at, sql) in statements.iter().enumerate() {
        if goes_on.is_stopped() {
            return Ok(false);
        }
        let number = at + 1;
        let doing = format!("running statement {number}");
        let run = session.run_any(sql, &doing).await;
        run.map_err(|error| failed_statement(error.into(), number, stays))?;
    }
    if goes_on.is_stopped() {
        return Ok(false);
    }
    if transaction {
        let ended = session.run("COMMIT", "committing").await;
        ended.map_err(|error| unanswered_commit(error.into()))?;
    }
    Ok(true)
}
