//! One session with a server: opened, told how to print values, closed when dropped.
//!
//! Promise: every setting is `SET LOCAL` inside the transaction that needs it, never a startup
//! parameter, so that a pooler in transaction mode works. A session dropped in the middle of a copy
//! is cut, not drained. It knows nothing of tables. Read next: `snapshot.rs` (many sessions on one
//! snapshot), `writer.rs` (one session, one transaction).

use std::error::Error as _;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinHandle;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use towpath_vocab::Failure;

use super::error::{ErrorContext as _, PgError, Result, primary};
use super::names::quoted;
use super::settings::{Address, Settings};
use super::tls;

/// How values are printed by `::text`, whatever the server's defaults are.
const CANONICAL: &str = "SET LOCAL DateStyle = 'ISO, YMD'; SET LOCAL IntervalStyle = 'postgres'; \
    SET LOCAL TimeZone = 'UTC'; SET LOCAL extra_float_digits = 3; SET LOCAL bytea_output = 'hex'; \
    SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; \
    SET LOCAL standard_conforming_strings = on; SET LOCAL synchronize_seqscans = off;";
/// A server notices within seconds that the process behind a session was killed, and within minutes
/// that its machine is gone: until then the session holds its locks. Only what this server knows is set.
const NOTICE_DEATH: &str = "SET LOCAL tcp_keepalives_idle = 30; SET LOCAL tcp_keepalives_interval = 10; \
    SET LOCAL tcp_keepalives_count = 3; \
    SELECT pg_catalog.set_config(name, '2s', true) FROM pg_catalog.pg_settings \
    WHERE name = 'client_connection_check_interval' AND setting = '0' AND version() LIKE '%linux%';";

/// An open session.
pub(super) struct Session {
    client: Client,
    driver: JoinHandle<()>,
    copying: AtomicBool,
    /// `server_version_num`: 150018.
    pub(super) version: u32,
}

impl Session {
    /// Connects.
    pub(super) async fn open(settings: &Settings) -> std::result::Result<Self, Failure> {
        let address = settings.address().await?;
        Ok(Self::open_at(settings, &address).await?)
    }

    /// Connects to an address that is already resolved.
    pub(super) async fn open_at(settings: &Settings, address: &Address) -> Result<Self> {
        let encrypted = tls::connector(address).map_err(|reason| PgError::Tls {
            connection: settings.connection.clone(),
            address: address.shown.clone(),
            reason,
        })?;
        let (client, connection) = Box::pin(address.config.connect(encrypted))
            .await
            .map_err(|error| refusal(&error, settings, address))?;
        let version = connection
            .parameter("server_version")
            .and_then(version_number)
            .unwrap_or(0);
        let driver = tokio::spawn(async move {
            // Whatever ends a connection reaches the caller through the client's own error.
            let _ = Box::pin(connection).await;
        });
        Ok(Self {
            client,
            driver,
            copying: AtomicBool::new(false),
            version,
        })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// While true, dropping the session cuts the connection instead of reading a copy to its end.
    pub(super) fn set_copying(&self, copying: bool) {
        self.copying.store(copying, Ordering::Relaxed);
    }

    /// Opens a reading transaction, on its own snapshot or on an exported one.
    pub(super) async fn begin_read(&self, snapshot: Option<&str>, schema: &str) -> Result<()> {
        let join = snapshot.map_or_else(String::new, |id| {
            format!("SET TRANSACTION SNAPSHOT '{id}';")
        });
        let sql = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {join} {CANONICAL} SET LOCAL search_path = {}, public",
            quoted(schema)
        );
        self.client
            .batch_execute(&sql)
            .await
            .doing("opening a read transaction")
    }

    /// Ends a reading transaction.
    pub(super) async fn end_read(&self) -> Result<()> {
        let ended = self.client.batch_execute("ROLLBACK").await;
        ended.doing("ending a read transaction")
    }

    /// Opens a reading transaction in which each question sees the newest commits, and which waits
    /// for no lock longer than a minute.
    pub(super) async fn begin_look(&self) -> Result<()> {
        let sql = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; {CANONICAL} SET LOCAL lock_timeout = '60s'"
        );
        self.client
            .batch_execute(&sql)
            .await
            .doing("opening a read transaction")
    }

    /// Opens a writing transaction.
    pub(super) async fn begin_write(&self, schema: &str) -> Result<()> {
        let sql = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; {CANONICAL} {NOTICE_DEATH} SET LOCAL search_path = {}, public; \
             SET LOCAL client_min_messages = warning",
            quoted(schema)
        );
        self.client
            .batch_execute(&sql)
            .await
            .doing("opening a write transaction")
    }

    /// Prepares the session for statements of the user, in a transaction or not.
    pub(super) async fn begin_statements(&self, schema: &str, transaction: bool) -> Result<()> {
        let schema = quoted(schema);
        let sql = match transaction {
            true => format!("BEGIN; {NOTICE_DEATH} SET LOCAL search_path = {schema}, public"),
            false => format!("SET search_path = {schema}, public"),
        };
        let begun = self.client.batch_execute(&sql).await;
        begun.doing("preparing a session")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.copying.load(Ordering::Relaxed) {
            self.driver.abort();
        }
    }
}

/// `15.18 (Debian …)` to 150018, `9.6.24` to 90624.
fn version_number(text: &str) -> Option<u32> {
    let mut numbers = text
        .split(|c: char| !c.is_ascii_digit() && c != '.')
        .next()?
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let (major, minor, patch) = (
        numbers.next()?,
        numbers.next().unwrap_or(0),
        numbers.next().unwrap_or(0),
    );
    Some(if major >= 10 {
        major * 10_000 + minor
    } else {
        major * 10_000 + minor * 100 + patch
    })
}

/// Why a server did not let us in.
fn refusal(error: &tokio_postgres::Error, settings: &Settings, address: &Address) -> PgError {
    let (connection, shown) = (settings.connection.clone(), address.shown.clone());
    if let Some(db) = error.as_db_error() {
        let reason = primary(db);
        let denied = matches!(
            db.code().code().get(..2),
            Some("28" | "3D" | "42" | "0A" | "08")
        );
        return if denied || *db.code() == SqlState::INVALID_PASSWORD {
            PgError::Denied {
                connection,
                address: shown,
                reason,
            }
        } else {
            PgError::Unreachable {
                connection,
                address: shown,
                reason,
            }
        };
    }
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    let shown_cause = if cause.is_empty() {
        error.to_string()
    } else {
        cause
    };
    let text = error.to_string();
    if text.contains("TLS") {
        return PgError::Tls {
            connection,
            address: shown,
            reason: address.encryption.refusal(&shown_cause),
        };
    }
    if text.contains("authentication") || text.contains("configuration") {
        return PgError::Denied {
            connection,
            address: shown,
            reason: shown_cause,
        };
    }
    PgError::Unreachable {
        connection,
        address: shown,
        reason: shown_cause,
    }
}

#[cfg(test)]
mod tests {
    use super::version_number;

    #[test]
    fn versions_are_read_as_the_server_counts() {
        assert_eq!(
            version_number("15.18 (Debian 15.18-0+deb12u1)"),
            Some(150_018)
        );
        assert_eq!(version_number("9.6.24"), Some(90_624));
        assert_eq!(version_number("17beta1"), Some(170_000));
    }
}
