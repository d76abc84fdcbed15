//! Runs statements of the user in a session of their own.
//!
//! Promise: settings of the connection hold (`schema` comes first in the search path); all others are those
//! of the server and its user. A statement that is stopped is cancelled on the server, and so is one whose
//! process dies, where the server can notice it. Read next: `session.rs`, `ports/src/statements.rs`.

use async_trait::async_trait;
use futures::TryStreamExt as _;
use towpath_ports::{Statements, StopSignal};
use towpath_vocab::Failure;

use super::error::{ErrorContext as _, PgError, Result};
use super::session::Session;
use super::settings::Settings;
use super::tls;

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
        let mut running = Box::pin(all(
            &session,
            &self.settings.schema,
            statements,
            transaction,
        ));
        tokio::select! {
            biased;
            done = &mut running => {
                done?;
                return Ok(true);
            }
            () = &mut stop => {}
        }
        // Whether the server heard of it shows in how the statement ends.
        if let Err(error) = cancel.cancel_query(encrypted).await {
            tracing::debug!("cancelling a statement: {error}");
        }
        Ok(running.await.is_ok())
    }
}

async fn all(
    session: &Session,
    schema: &str,
    statements: &[String],
    transaction: bool,
) -> Result<(), Failure> {
    session.begin_statements(schema, transaction).await?;
    for (at, sql) in statements.iter().enumerate() {
        let number = at + 1;
        let doing = format!("running statement {number}");
        let run = one(session, sql, &doing).await;
        run.map_err(|error| {
            Failure::from(error).help(format!("it is statement {number} of the step"))
        })?;
    }
    if transaction {
        let ended = session.client().batch_execute("COMMIT").await;
        ended.doing("committing")?;
    }
    Ok(())
}

async fn one(session: &Session, sql: &str, doing: &str) -> Result<()> {
    let answers = session.client().simple_query_raw(sql).await.doing(doing)?;
    let mut answers = std::pin::pin!(answers);
    while answers.try_next().await.doing(doing)?.is_some() {}
    Ok(())
}
