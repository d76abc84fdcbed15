//! One session with a server: opened, brought into a known state, closed when dropped.
//!
//! Promise: whatever a server's defaults are, times are in UTC, text is in UTF-8, no value is filled up or
//! cut, and no row is left out; rows come one by one, so memory holds one of them. It knows no tables. Read
//! next: `packet.rs` (the bytes), `cells.rs` (the values of a row). Source: MySQL's manual of the
//! client/server protocol, "Command Phase".

use std::sync::Arc;

use bytes::Bytes;
use towpath_vocab::Failure;

use super::cells::{text_of, values};
use super::error::{MysqlError, Result};
use super::login::{Purpose, Refusal, log_in};
use super::packet::{Channel, Fields, LONGEST, is_end, malformed, server_error};
use super::params;
use super::settings::{Address, Settings};
use super::types::Definition;
use crate::relational::session::Value;

const QUERY: u8 = 0x03;
const PING: u8 = 0x0E;
const PREPARE: u8 = 0x16;
const EXECUTE: u8 = 0x17;
const CLOSE: u8 = 0x19;
/// The first byte of an answer that asks for the rows of a `LOAD DATA LOCAL`.
const ASKS_FOR_ROWS: u8 = 0xFB;
/// Rows are sent in packets of this size: servers take no larger ones than `max_allowed_packet`.
const PIECE_BYTES: usize = 128 << 10;

/// What a session that writes sets: a value that a column cannot hold is an error, and one that it rounds a
/// warning; a 0 in a key stays a 0, and nobody's defaults decide how a transaction ends or what it sees.
const FOR_WRITES: &str = "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO', \
     sql_safe_updates = 0, foreign_key_checks = 1, unique_checks = 1, autocommit = 1, completion_type = 0, \
     max_error_count = 64, sql_notes = 1";
/// A table that others hold is not waited for all day.
const LOCK_WAIT_SECONDS: u32 = 300;

const BEGINNING: &str = "opening a read transaction";

/// Modes of a server under which a value is shown as something else, or a stored date cannot be compared.
const BENDING_MODES: [&str; 3] = ["PAD_CHAR_TO_FULL_LENGTH", "NO_ZERO_IN_DATE", "NO_ZERO_DATE"];

/// An open session.
pub(super) struct Session {
    channel: Channel,
    /// A command whose answer was not taken to its end: the next one would take it for its own.
    unfinished: bool,
    /// A command is shorter: of a longer one the server takes a part and closes the connection.
    longest: usize,
    /// As the server names it: `10.11.19-MariaDB`.
    pub(super) version: String,
    pub(super) database: String,
    /// Where it is; none of those on a stream of a test.
    address: Option<Arc<Address>>,
}

/// A statement that the server has understood.
pub(super) struct Statement {
    id: u32,
    /// The columns of its answer.
    pub(super) columns: Vec<Definition>,
}

/// What a statement did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    /// Rows that it found or changed.
    pub(super) rows: u64,
    pub(super) warnings: u16,
}

/// Says what was being done when a stream broke.
pub(super) trait Doing<T> {
    fn doing(self, doing: &str) -> Result<T>;
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, doing: &str) -> Result<T> {
        self.map_err(|error| MysqlError::broken(&error, doing))
    }
}

impl Session {
    /// Connects.
    pub(super) async fn open(settings: &Settings) -> std::result::Result<Self, Failure> {
        let address = Arc::new(settings.address().await?);
        Ok(Self::open_at(settings, &address, Purpose::Read).await?)
    }

    /// A session on a stream whose server says nothing first.
    #[cfg(test)]
    pub(super) fn on(stream: impl super::packet::Stream + 'static) -> Self {
        Self {
            channel: Channel::new(stream),
            unfinished: false,
            version: "10.11.0-MariaDB".to_owned(),
            database: "d".to_owned(),
            address: None,
            longest: LONGEST,
        }
    }

    /// Connects, to write.
    pub(super) async fn open_to_write(settings: &Settings) -> std::result::Result<Self, Failure> {
        let address = Arc::new(settings.address().await?);
        Ok(Self::open_to_write_at(settings, &address).await?)
    }

    /// Another one to the same server, to write.
    pub(super) async fn another(&self, settings: &Settings) -> Result<Self> {
        let Some(address) = &self.address else {
            return Err(MysqlError::Misused {
                reason: "is nowhere that another one could connect to",
            });
        };
        Self::open_to_write_at(settings, address).await
    }

    async fn open_to_write_at(settings: &Settings, address: &Arc<Address>) -> Result<Self> {
        let mut session = Self::open_at(settings, address, Purpose::Write).await?;
        let doing = "preparing a session";
        session.run(FOR_WRITES, doing).await?;
        let wait = format!("SET SESSION lock_wait_timeout = {LOCK_WAIT_SECONDS}");
        session.run(&wait, doing).await?;
        // Locks between rows, so that nobody adds rows to those that a check has looked at.
        let sql = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ WRITE";
        session.run(sql, doing).await?;
        Ok(session)
    }

    async fn open_at(
        settings: &Settings,
        address: &Arc<Address>,
        purpose: Purpose,
    ) -> Result<Self> {
        let entered = Box::pin(log_in(address, purpose)).await;
        let (channel, version) = entered.map_err(|refusal| refused(refusal, settings, address))?;
        let mut session = Self {
            channel,
            unfinished: false,
            longest: LONGEST,
            version: version.trim_start_matches("5.5.5-").to_owned(),
            database: address.database.clone(),
            address: Some(Arc::clone(address)),
        };
        session.settle().await?;
        Ok(session)
    }

    pub(super) fn is_mariadb(&self) -> bool {
        self.version.contains("MariaDB")
    }

    /// Sets what decides which values and rows are seen.
    async fn settle(&mut self) -> Result<()> {
        let doing = "preparing a session";
        self.run("SET NAMES utf8mb4", doing).await?;
        let modes = BENDING_MODES
            .iter()
            .fold("@@SESSION.sql_mode".to_owned(), |sql, mode| {
                format!("REPLACE({sql}, '{mode}', '')")
            });
        // `sql_select_limit` would leave rows out without a word; `sql_auto_is_null` changes conditions.
        let sql = format!(
            "SET SESSION time_zone = '+00:00', sql_mode = {modes}, sql_select_limit = 18446744073709551615, \
             sql_auto_is_null = 0, sql_big_selects = 1, net_write_timeout = 28800, net_read_timeout = 28800, \
             wait_timeout = 28800"
        );
        self.run(&sql, doing).await?;
        let limit = match self.is_mariadb() {
            true => "SET SESSION max_statement_time = 0",
            false => "SET SESSION max_execution_time = 0",
        };
        match self.run(limit, doing).await {
            // Servers before MySQL 5.7 have no such limit.
            Err(MysqlError::Server { code: 1193, .. }) => Ok(()),
            other => other,
        }
    }

    /// Opens a reading transaction: all its questions see one state.
    pub(super) async fn begin_read(&mut self) -> Result<()> {
        self.isolate().await?;
        self.start_read().await
    }

    /// Transactions that start from now on see one state each.
    pub(super) async fn isolate(&mut self) -> Result<()> {
        let sql = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ";
        self.run(sql, BEGINNING).await
    }

    /// Starts a reading transaction on the present state, and ends the one before.
    pub(super) async fn start_read(&mut self) -> Result<()> {
        let sql = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
        self.run(sql, BEGINNING).await
    }

    async fn command(&mut self, command: u8, payload: &[u8], doing: &str) -> Result<()> {
        if self.unfinished {
            return Err(MysqlError::Lost {
                doing: doing.to_owned(),
            });
        }
        if payload.len() + 1 >= self.longest {
            return Err(MysqlError::TooLarge {
                doing: doing.to_owned(),
            });
        }
        self.unfinished = command != CLOSE;
        let mut packet = Vec::with_capacity(payload.len() + 1);
        packet.push(command);
        packet.extend_from_slice(payload);
        self.channel.restart();
        self.channel.send(&packet).await.doing(doing)
    }

    async fn receive(&mut self, doing: &str) -> Result<Bytes> {
        let packet = self.channel.receive().await.doing(doing)?;
        match server_error(&packet) {
            Some(error) => {
                self.unfinished = false;
                Err(MysqlError::of(error, doing))
            }
            None => Ok(packet),
        }
    }

    /// The server takes no packet of `bytes`, nor a longer one.
    pub(super) fn limit(&mut self, bytes: usize) {
        self.longest = bytes.min(LONGEST);
    }

    /// Asks nothing, so that the server sees that somebody is there.
    pub(super) async fn ping(&mut self) -> Result<()> {
        let doing = "holding the lock of a task";
        if self.unfinished {
            return Ok(());
        }
        self.command(PING, &[], doing).await?;
        self.done(doing).await.map(|_| ())
    }

    /// Hangs up: the server rolls back, and its locks are free. Every later command fails.
    pub(super) async fn close_connection(&mut self) {
        self.refuse_commands();
        self.channel.close().await;
    }

    /// Every later command fails: the rows of the transaction may be gone.
    pub(super) fn refuse_commands(&mut self) {
        self.unfinished = true;
    }

    /// Runs a statement that has no answer but success.
    pub(super) async fn run(&mut self, sql: &str, doing: &str) -> Result<()> {
        self.change(sql, &[], doing).await.map(|_| ())
    }

    /// Runs a statement that changes rows.
    pub(super) async fn change(
        &mut self,
        sql: &str,
        values: &[Value],
        doing: &str,
    ) -> Result<Done> {
        if values.is_empty() {
            return self.change_by(sql.as_bytes(), doing).await;
        }
        let statement = self.prepare_with(sql, values.len(), doing).await?;
        let payload = params::execution(statement.id, values);
        self.command(EXECUTE, &payload, doing).await?;
        let done = self.done(doing).await?;
        self.close(statement, doing).await?;
        Ok(done)
    }

    /// The same, by SQL that need not be UTF-8 text.
    pub(super) async fn change_by(&mut self, sql: &[u8], doing: &str) -> Result<Done> {
        self.command(QUERY, sql, doing).await?;
        self.done(doing).await
    }

    /// Runs a statement of which it is not known whether it answers with rows; they are not kept.
    pub(super) async fn run_any(&mut self, sql: &str, doing: &str) -> Result<()> {
        self.command(QUERY, sql.as_bytes(), doing).await?;
        let packet = self.receive(doing).await?;
        match packet.first() {
            Some(0) => self.unfinished = false,
            Some(&ASKS_FOR_ROWS) => {
                return Err(MysqlError::Query {
                    reason: "it waits for rows, which a step cannot send".to_owned(),
                });
            }
            None => return Err(malformed()).doing(doing),
            Some(_) => {
                let count = Fields(&packet)
                    .lenenc()
                    .and_then(|count| usize::try_from(count).ok());
                let count = count.ok_or_else(malformed).doing(doing)?;
                self.definitions(count, doing).await?;
                self.skip_rows(doing).await?;
            }
        }
        Ok(())
    }

    /// Sends the rows of a `LOAD DATA LOCAL`. The server never gets anything else, whatever it asks for.
    pub(super) async fn load(&mut self, sql: &str, rows: &[u8], doing: &str) -> Result<Done> {
        self.command(QUERY, sql.as_bytes(), doing).await?;
        match self.receive(doing).await?.first() {
            Some(&ASKS_FOR_ROWS) => {}
            _ => return Err(malformed()).doing(doing),
        }
        for piece in rows.chunks(PIECE_BYTES) {
            self.channel.send(piece).await.doing(doing)?;
        }
        self.channel.send(&[]).await.doing(doing)?;
        self.done(doing).await
    }

    async fn done(&mut self, doing: &str) -> Result<Done> {
        let packet = self.receive(doing).await?;
        let mut fields = Fields(&packet);
        let done = (|| {
            let status = fields.u8()?;
            let rows = fields.lenenc()?;
            fields.lenenc()?;
            fields.u16()?;
            let warnings = fields.u16()?;
            (status == 0).then_some(Done { rows, warnings })
        })();
        let done = done.ok_or_else(malformed).doing(doing)?;
        self.unfinished = false;
        Ok(done)
    }

    /// Lets the server understand a query.
    pub(super) async fn prepare(&mut self, sql: &str, doing: &str) -> Result<Statement> {
        self.prepare_with(sql, 0, doing).await
    }

    async fn prepare_with(&mut self, sql: &str, values: usize, doing: &str) -> Result<Statement> {
        self.command(PREPARE, sql.as_bytes(), doing).await?;
        let packet = self.receive(doing).await?;
        let mut fields = Fields(&packet);
        let numbers = (|| {
            let status = fields.u8()?;
            let id = fields.u32()?;
            (status == 0).then_some((id, fields.u16()?, fields.u16()?))
        })();
        let (id, columns, params) = numbers.ok_or_else(malformed).doing(doing)?;
        self.definitions(params.into(), doing).await?;
        let columns = self.definitions(columns.into(), doing).await?;
        self.unfinished = false;
        if usize::from(params) != values {
            return Err(MysqlError::Query {
                reason: "it has a parameter (`?`), and nothing gives its value".to_owned(),
            });
        }
        Ok(Statement { id, columns })
    }

    async fn definitions(&mut self, count: usize, doing: &str) -> Result<Vec<Definition>> {
        let mut definitions = Vec::with_capacity(count.min(4_096));
        if count == 0 {
            return Ok(definitions);
        }
        for _ in 0..count {
            let packet = self.receive(doing).await?;
            let definition = Definition::read(&packet).ok_or_else(malformed);
            definitions.push(definition.doing(doing)?);
        }
        match is_end(&self.receive(doing).await?) {
            true => Ok(definitions),
            false => Err(malformed()).doing(doing),
        }
    }

    /// Begins to give the rows of a statement: `row` takes them one by one. Gives the columns that they have:
    /// MySQL knows some lengths and types only now.
    pub(super) async fn execute(
        &mut self,
        statement: &Statement,
        doing: &str,
    ) -> Result<Vec<Definition>> {
        self.execute_with(statement, &[], doing).await
    }

    async fn execute_with(
        &mut self,
        statement: &Statement,
        values: &[Value],
        doing: &str,
    ) -> Result<Vec<Definition>> {
        let columns = self.answer_to(statement, values, doing).await?;
        // Between the two answers the table may have become another one.
        let names = |columns: &[Definition]| -> Vec<String> {
            columns.iter().map(|column| column.name.clone()).collect()
        };
        match names(&columns) == names(&statement.columns) {
            true => Ok(columns),
            false => Err(MysqlError::Passing {
                doing: doing.to_owned(),
                reason: "the columns were changed meanwhile".to_owned(),
            }),
        }
    }

    async fn answer_to(
        &mut self,
        statement: &Statement,
        values: &[Value],
        doing: &str,
    ) -> Result<Vec<Definition>> {
        let payload = params::execution(statement.id, values);
        self.command(EXECUTE, &payload, doing).await?;
        let packet = self.receive(doing).await?;
        let count = Fields(&packet)
            .lenenc()
            .and_then(|n| usize::try_from(n).ok());
        let count = count.filter(|count| *count > 0).ok_or_else(malformed);
        self.definitions(count.doing(doing)?, doing).await
    }

    /// The next row; `None` after the last one, when the server has said that it was the last.
    pub(super) async fn row(&mut self, doing: &str) -> Result<Option<Bytes>> {
        let packet = self.receive(doing).await?;
        self.unfinished = !is_end(&packet);
        Ok(self.unfinished.then_some(packet))
    }

    /// Takes the rows that are still to come, so that another command can follow.
    pub(super) async fn skip_rows(&mut self, doing: &str) -> Result<()> {
        while self.unfinished {
            self.row(doing).await?;
        }
        Ok(())
    }

    /// Forgets a statement whose rows were all taken.
    pub(super) async fn close(&mut self, statement: Statement, doing: &str) -> Result<()> {
        self.command(CLOSE, &statement.id.to_le_bytes(), doing)
            .await
    }

    /// Asks a question with a short answer; values come as text.
    pub(super) async fn rows(
        &mut self,
        sql: &str,
        doing: &str,
    ) -> Result<Vec<Vec<Option<String>>>> {
        let statement = self.prepare(sql, doing).await?;
        let columns = self.execute(&statement, doing).await?;
        self.texts(statement, &columns, doing).await
    }

    /// Asks what a `SHOW` shows: MySQL knows the names of its columns only with the answer.
    pub(super) async fn shown(
        &mut self,
        sql: &str,
        doing: &str,
    ) -> Result<Vec<Vec<Option<String>>>> {
        let statement = self.prepare(sql, doing).await?;
        let columns = self.answer_to(&statement, &[], doing).await?;
        self.texts(statement, &columns, doing).await
    }

    /// One column of what an `EXPLAIN` shows, by its name: servers show different ones.
    pub(super) async fn named(
        &mut self,
        sql: &str,
        name: &str,
        doing: &str,
    ) -> Result<Vec<Option<String>>> {
        let statement = self.prepare(sql, doing).await?;
        let columns = self.answer_to(&statement, &[], doing).await?;
        let mut all = columns.iter();
        let at = all.position(|column| column.name.eq_ignore_ascii_case(name));
        let rows = self.texts(statement, &columns, doing).await?;
        let at = at.ok_or_else(malformed).doing(doing)?;
        let value = |row: Vec<Option<String>>| row.into_iter().nth(at).flatten();
        Ok(rows.into_iter().map(value).collect())
    }

    async fn texts(
        &mut self,
        statement: Statement,
        columns: &[Definition],
        doing: &str,
    ) -> Result<Vec<Vec<Option<String>>>> {
        let mut rows = Vec::new();
        while let Some(row) = self.row(doing).await? {
            let values = values(&row, columns).ok_or_else(malformed);
            let texts = values
                .doing(doing)?
                .into_iter()
                .map(|value| text_of(&value));
            rows.push(texts.collect());
        }
        self.close(statement, doing).await?;
        Ok(rows)
    }

    /// Asks a question with a short answer, with values in the places of its parameters.
    pub(super) async fn answers(
        &mut self,
        sql: &str,
        params: &[Value],
        doing: &str,
    ) -> Result<Vec<Vec<Value>>> {
        let statement = self.prepare_with(sql, params.len(), doing).await?;
        let columns = self.execute_with(&statement, params, doing).await?;
        let mut rows = Vec::new();
        while let Some(row) = self.row(doing).await? {
            let values = values(&row, &columns).ok_or_else(malformed);
            rows.push(values.doing(doing)?.iter().map(params::answer).collect());
        }
        self.close(statement, doing).await?;
        Ok(rows)
    }
}

/// Why a server did not let us in.
fn refused(refusal: Refusal, settings: &Settings, address: &Address) -> MysqlError {
    let (connection, shown) = (settings.connection.clone(), address.shown.clone());
    let (denied, reason) = match refusal {
        Refusal::Tls(reason) => {
            return MysqlError::Tls {
                connection,
                address: shown,
                reason,
            };
        }
        Refusal::Unreachable(reason) => (false, reason),
        Refusal::Denied(reason) => (true, reason),
        // Too many connections, or the server stops: another time it may let us in.
        Refusal::Server(error) => (!matches!(error.code, 1040 | 1053 | 1203), error.message),
    };
    match denied {
        true => MysqlError::Denied {
            connection,
            address: shown,
            reason,
        },
        false => MysqlError::Unreachable {
            connection,
            address: shown,
            reason,
        },
    }
}
