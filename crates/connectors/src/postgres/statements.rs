//! Runs statements of the user in a session of their own.
//!
//! Promise: settings of the connection hold (`schema` comes first in the search path); all others are those
//! of the server and its user. What is stopped is cancelled on the server, again and again until it has ended,
//! and no statement begins after that. What may have taken effect is not reported as something to try again.
//! Read next: `session.rs`, `ports/src/statements.rs`.

use std::time::Duration;

use async_trait::async_trait;
use futures::TryStreamExt as _;
use tokio_postgres::error::SqlState;
use towpath_ports::{GoesOn, Statements, StopSignal, failed_statement, unanswered_commit};
use towpath_vocab::Failure;

use super::error::{ErrorContext as _, PgError, Result, primary};
use super::session::Session;
use super::settings::Settings;
use super::tls;

/// The pause before a server is asked once more to cancel.
const AGAIN: Duration = Duration::from_millis(200);

/// SQL of a connection.
pub(super) struct PostgresStatements {
    pub(super) settings: Settings,
}

#[async_trait]
impl Statements for PostgresStatements {
    async fn run(
        &self,
        statements: &[String],
        transaction: bool,
        mut stop: StopSignal<'_>,
    ) -> std::result::Result<bool, Failure> {
        let address = self.settings.address().await?;
        let encrypted = tls::connector(&address).map_err(|reason| PgError::Tls {
            connection: self.settings.connection.clone(),
            address: address.shown.clone(),
            reason,
        })?;
        let session = Session::open_at(&self.settings, &address).await?;
        let cancel = session.client().cancel_token();
        let goes_on = GoesOn::default();
        let schema = &self.settings.schema;
        let mut running = Box::pin(all(&session, schema, statements, transaction, &goes_on));
        tokio::select! {
            biased;
            done = &mut running => return done,
            () = &mut stop => goes_on.stop(),
        }
        loop {
            let asked = async {
                // Whether the server heard of it shows in how the statement ends.
                if let Err(error) = cancel.cancel_query(encrypted.clone()).await {
                    tracing::debug!("cancelling a statement: {error}");
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
    session: &Session,
    schema: &str,
    statements: &[String],
    transaction: bool,
    goes_on: &GoesOn,
) -> Result<bool, Failure> {
    session.begin_statements(schema, transaction).await?;
    for (at, sql) in statements.iter().enumerate() {
        if goes_on.is_stopped() {
            return Ok(false);
        }
        let number = at + 1;
        let run = one(session, sql, &format!("running statement {number}")).await;
        run.map_err(|error| failed_statement(error.into(), number, !transaction))?;
    }
    if goes_on.is_stopped() {
        return Ok(false);
    }
    if transaction {
        let ended = session.client().batch_execute("COMMIT").await;
        ended
            .doing("committing")
            .map_err(|error| unanswered_commit(error.into()))?;
    }
    Ok(true)
}

async fn one(session: &Session, sql: &str, doing: &str) -> Result<()> {
    let failed = |error: tokio_postgres::Error| match error.as_db_error() {
        // It will be there the next time, too.
        Some(db)
            if [
                SqlState::DUPLICATE_SCHEMA,
                SqlState::DUPLICATE_TABLE,
                SqlState::DUPLICATE_COLUMN,
                SqlState::DUPLICATE_OBJECT,
            ]
            .contains(db.code()) =>
        {
            PgError::Query {
                reason: primary(db),
            }
        }
        None if !session.client().is_closed() => PgError::Query {
            reason: "it waits for rows, which a step cannot send".to_owned(),
        },
        _ => PgError::from_driver(&error, doing),
    };
    let answers = session
        .client()
        .simple_query_raw(sql)
        .await
        .map_err(failed)?;
    let mut answers = std::pin::pin!(answers);
    while answers.try_next().await.map_err(failed)?.is_some() {}
    Ok(())
}
