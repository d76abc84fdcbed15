//! MySQL for what SQL databases share (`relational/`): its dialect, and its wire for a session in the middle of
//! a transaction.
//!
//! Promise: pure text and plain statements; which write comes to what is decided there. The stage is a temporary
//! table: whatever dies leaves none behind. Read next: `relational/session.rs`, `relational/dialect.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::catalog;
use super::error::{MysqlError, Result};
use super::literal::{qualified, quoted};
use super::session;
use super::stage;
use super::target::{Facts, Target};
use crate::relational::align::Aligned;
use crate::relational::commits;
use crate::relational::dialect::{CommitTypes, Dialect};
use crate::relational::session::{Session, Value};
use crate::relational::statements::Pairs;

/// The stage every write goes through.
pub(super) const STAGE: &str = "`_towpath_stage`";
/// The stage's column of places: which of two rows came later.
pub(super) const PLACE: &str = "n";
/// The places of rows that others of the same key come after.
const LATER: &str = "`_towpath_later`";
/// The savepoint at the beginning of the transaction: it is gone when the transaction is.
const BEGUN: &str = "`_towpath_begun`";

/// How MySQL writes SQL.
pub(super) struct MysqlDialect;

impl Dialect for MysqlDialect {
    fn quoted(&self, name: &str) -> String {
        quoted(name)
    }

    fn placeholder(&self, _: usize) -> String {
        "?".to_owned()
    }

    fn stage(&self) -> &'static str {
        STAGE
    }

    /// Names of tasks are ASCII; as bytes they are compared as they are.
    fn commit_types(&self) -> CommitTypes {
        CommitTypes {
            key: "varbinary(2048)",
            text: "longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
            bigint: "bigint",
            integer: "int",
            moment: "timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)",
            options: " ENGINE = InnoDB",
        }
    }

    fn key_value(&self, _: usize, column: &Aligned) -> String {
        column.value.clone()
    }

    fn exact(&self, value: &str) -> String {
        format!("CAST({value} AS BINARY)")
    }

    fn place(&self) -> &'static str {
        PLACE
    }

    /// Stage and table may have columns of one name.
    fn set_column(&self, target: &str) -> String {
        format!("t.{target}")
    }

    fn with_and_without_blanks(&self, value: &str) -> (String, String) {
        let cut = format!("TRIM(TRAILING ' ' FROM {value})");
        (value.to_owned(), cut)
    }

    /// A temporary table cannot be named twice in one statement of MySQL.
    fn delete_places(&self, chosen: &str) -> Vec<String> {
        vec![
            format!(
                "CREATE TEMPORARY TABLE {LATER} (n bigint unsigned PRIMARY KEY) ENGINE = InnoDB"
            ),
            format!("INSERT INTO {LATER} {chosen}"),
            format!("DELETE s FROM {STAGE} AS s JOIN {LATER} AS d ON d.n = s.{PLACE}"),
            format!("DROP TEMPORARY TABLE {LATER}"),
        ]
    }

    fn delete_where(&self, rows: &str, condition: &str) -> String {
        format!("DELETE t FROM {rows} AS t WHERE {condition}")
    }

    fn delete_matching(&self, rows: &str, pairs: &Pairs, filter: &str) -> String {
        let filter = match filter {
            "" => String::new(),
            filter => format!(" WHERE {filter}"),
        };
        format!(
            "DELETE t FROM {rows} AS t JOIN {STAGE} AS s ON {}{filter}",
            pairs.equal()
        )
    }

    fn update_matching(&self, rows: &str, sets: &str, condition: &str) -> String {
        format!("UPDATE {rows} AS t JOIN {STAGE} AS s ON {condition} SET {sets}")
    }

    fn is_present(&self, rows: &str, pairs: &Pairs) -> String {
        format!("EXISTS (SELECT 1 FROM {rows} AS t WHERE {})", pairs.equal())
    }

    fn differs(&self, pairs: &[(String, String)]) -> String {
        let each = pairs
            .iter()
            .map(|(one, other)| format!("NOT ({} <=> {})", self.exact(one), self.exact(other)));
        format!("({})", each.collect::<Vec<_>>().join(" OR "))
    }

    fn counts_rows(&self) -> bool {
        false
    }
}

/// A session that writes one table.
pub(super) struct Writing {
    pub(super) session: Arc<Mutex<session::Session>>,
    pub(super) target: Target,
    pub(super) facts: Facts,
    /// A transaction is open: a definition would commit what it did so far.
    transacting: AtomicBool,
}

impl Writing {
    pub(super) fn new(session: session::Session, target: Target, facts: Facts) -> Self {
        Self {
            session: Arc::new(Mutex::new(session)),
            target,
            facts,
            transacting: AtomicBool::new(false),
        }
    }

    /// Opens the transaction, unless it is open.
    pub(super) async fn begin(&self) -> Result<()> {
        if !self.transacting.swap(true, Ordering::Relaxed) {
            let doing = "opening a transaction";
            self.run("START TRANSACTION", doing).await?;
            self.run(&format!("SAVEPOINT {BEGUN}"), doing).await?;
        }
        Ok(())
    }

    /// Ends it.
    pub(super) async fn end(&self, word: &'static str, doing: &str) -> Result<()> {
        self.transacting.store(false, Ordering::Relaxed);
        self.run(word, doing).await
    }

    /// Refuses to go on where the server has rolled the transaction back by itself, as after a deadlock: a token
    /// would be stored at once, without its rows.
    pub(super) async fn must_transact(&self, doing: &str) -> Result<()> {
        let mut session = self.session.lock().await;
        release(&mut session, doing).await?;
        session.run(&format!("SAVEPOINT {BEGUN}"), doing).await
    }

    /// Commits the transaction that was begun, and no other one.
    pub(super) async fn commit(&self, doing: &str) -> Result<()> {
        let mut session = self.session.lock().await;
        release(&mut session, doing).await?;
        self.transacting.store(false, Ordering::Relaxed);
        session.run("COMMIT", doing).await
    }

    /// Runs a statement outside of the transaction: MySQL commits what was done before.
    pub(super) async fn define(&self, sql: &str, doing: &str) -> Result<()> {
        self.must_not_transact()?;
        self.run(sql, doing).await
    }

    /// The same; gives the codes of the warnings about it.
    pub(super) async fn define_watched(&self, sql: &str, doing: &str) -> Result<Vec<String>> {
        self.must_not_transact()?;
        let mut session = self.session.lock().await;
        let done = session.change(sql, &[], doing).await?;
        stage::warnings(&mut session, done).await
    }

    /// Refuses what would end an open transaction, or wait for it.
    pub(super) fn must_not_transact(&self) -> Result<()> {
        match self.transacting.load(Ordering::Relaxed) {
            true => Err(MysqlError::Misused {
                reason: "must not change definitions in the middle of a write",
            }),
            false => Ok(()),
        }
    }

    /// Ends the session, and with it the transaction and the lock of the task.
    pub(super) async fn close(&self) {
        self.session.lock().await.close_connection().await;
    }

    async fn run(&self, sql: &str, doing: &str) -> Result<()> {
        self.session.lock().await.run(sql, doing).await
    }
}

/// Releases the savepoint at the beginning of the transaction. Without it, the session is of no use any more.
async fn release(session: &mut session::Session, doing: &str) -> Result<()> {
    let sql = format!("RELEASE SAVEPOINT {BEGUN}");
    match session.run(&sql, doing).await {
        // There is no such savepoint.
        Err(MysqlError::Query { .. }) => {
            session.refuse_commands();
            Err(MysqlError::Ended {
                doing: doing.to_owned(),
            })
        }
        released => released,
    }
}

#[async_trait]
impl Session for Writing {
    type Error = MysqlError;

    fn dialect(&self) -> &dyn Dialect {
        &MysqlDialect
    }

    async fn execute(&self, sql: &str, params: &[Value], doing: &str) -> Result<u64> {
        let mut session = self.session.lock().await;
        Ok(session.change(sql, params, doing).await?.rows)
    }

    async fn rows(&self, sql: &str, params: &[Value], doing: &str) -> Result<Vec<Vec<Value>>> {
        let mut session = self.session.lock().await;
        session.answers(sql, params, doing).await
    }

    fn commits(&self) -> String {
        qualified(&self.target.database, commits::TABLE)
    }

    async fn has_commits(&self) -> Result<bool> {
        let mut session = self.session.lock().await;
        let commits = Target {
            database: self.target.database.clone(),
            table: commits::TABLE.to_owned(),
        };
        let found = catalog::exact(&mut session, &commits, &self.facts).await?;
        let Some(found) = found else {
            return Ok(false);
        };
        // A token would be there without its rows, or its rows without it.
        found.must_have_transactions()?;
        Ok(true)
    }

    async fn create_commits(&self, sql: &str) -> Result<()> {
        if self.transacting.load(Ordering::Relaxed) {
            return Err(MysqlError::Passing {
                doing: "storing the commit's token".to_owned(),
                reason: "`_towpath_commits` was dropped meanwhile".to_owned(),
            });
        }
        self.define(sql, "creating `_towpath_commits`").await
    }

    async fn may_prune(&self) -> Result<bool> {
        Ok(true)
    }

    async fn prepare_keys(&self, _: &[Aligned]) -> Result<()> {
        Ok(())
    }

    /// The stage has its index from the beginning: a new one would end the transaction.
    async fn index_keys(&self, _: usize, _: bool) -> Result<()> {
        Ok(())
    }

    /// A trigger of MySQL can refuse a statement, but not leave a row of it out.
    async fn interferes(&self) -> Result<bool> {
        Ok(false)
    }
}
