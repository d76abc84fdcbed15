//! What an incremental read does about a table that is not what it was: exchanged, rewritten, or with
//! other columns.
//!
//! Promise: rows that were given are distinguished from others, or all are read again where that doubles none,
//! or the read is refused with what to do; new columns whose values old rows hold are never passed
//! over. It reads no rows: `cursor.rs` says which.

use tokio_postgres::Client;

use super::{Cursor, Subject, both};
use crate::postgres::error::{ErrorContext as _, PgError, Result};
use crate::postgres::members::{Change, stand_in};
use crate::postgres::names::quoted;
use crate::postgres::recycled::{Places, Recycled, Rows, is_between};
use crate::postgres::transactions::ROUND;
use crate::relational::columns::{ColumnChanges, NewColumns};

const LOOKING: &str = "looking at replaced tables";

impl Cursor {
    /// Decides what becomes of tables that are not what they were. Where rows may come again, and who
    /// looks back asks for that, too, all of theirs are read.
    pub(super) async fn settle(
        &mut self,
        client: &Client,
        subject: &Subject<'_>,
        change: Change,
    ) -> Result<()> {
        self.whole = change.joined;
        let mut unclear: Vec<(u32, String)> = Vec::new();
        for table in change.exchanged {
            unclear.push((table, stand_in(&[table])));
        }
        for table in change.rewritten {
            // What keeps an older row was only packed anew: VACUUM FULL and CLUSTER leave rows their
            // transactions, ALTER TABLE and TRUNCATE leave no such row.
            let Some(new) = self.by_transaction() else {
                continue;
            };
            let here = stand_in(&[table]);
            let sql = format!(
                "SELECT EXISTS (SELECT FROM {} WHERE {here} AND NOT ({new}))",
                subject.sql
            );
            let row = client.query_one(&sql, &[]).await.doing(LOOKING)?;
            if !row.get::<_, bool>(0) {
                unclear.push((table, both(here, Some(new))));
            }
        }
        let Some(before) = self.before.as_ref().filter(|_| !unclear.is_empty()) else {
            return Ok(());
        };
        let rows: Vec<&str> = unclear.iter().map(|(_, rows)| rows.as_str()).collect();
        let sql = format!(
            "SELECT tableoid::pg_catalog.regclass::text FROM {} WHERE ({}) AND ({}) IS NOT TRUE LIMIT 1",
            subject.sql,
            rows.join(" OR "),
            self.above(before.upper.as_deref()),
        );
        let Some(row) = client.query_opt(&sql, &[]).await.doing(LOOKING)? else {
            return Ok(());
        };
        if self.may_repeat || self.lookback > 0 {
            self.again = unclear.into_iter().map(|(table, _)| table).collect();
            return Ok(());
        }
        Err(PgError::Rewritten {
            object: subject.object.to_owned(),
            table: row.get(0),
            column: self.column.name.clone(),
        })
    }

    /// Finds out which rows only look new, because the server has given the numbers of their transactions
    /// out again. Where that cannot be told, rows are read again if they may come again.
    pub(super) async fn settle_recycled(
        &mut self,
        client: &Client,
        subject: &Subject<'_>,
        change: &Change,
    ) -> Result<()> {
        let next = self.moment.next;
        let Some(before) = self.before.as_ref().filter(|_| next > ROUND) else {
            return Ok(());
        };
        let rows = Rows::new(client, subject.sql, &self.column);
        let is_known = |list: &&Recycled| list.reaches(next) && list.fits(&rows);
        let unclear = match before.recycled.as_ref().filter(is_known) {
            None => is_between(before.next, next),
            Some(known) => {
                let anew = [change.rewritten.as_slice(), &change.exchanged].concat();
                let places = Places {
                    anew: &anew,
                    held_back: self.holds,
                };
                let again = known.again(&rows, (next, places)).await?;
                self.long_ago = again.old;
                match again.unclear {
                    Some(unclear) => unclear,
                    None => return Ok(()),
                }
            }
        };
        if self.may_repeat || self.lookback > 0 {
            return Ok(());
        }
        let sql = format!(
            "SELECT EXISTS (SELECT FROM {} WHERE ({unclear}) AND ({}) IS NOT TRUE)",
            subject.sql,
            self.above(before.upper.as_deref()),
        );
        let row = client.query_one(&sql, &[]).await.doing(LOOKING)?;
        match row.get(0) {
            false => Ok(()),
            true => Err(PgError::Recycled {
                object: subject.object.to_owned(),
            }),
        }
    }

    /// Finds out which columns are new since the last read. `ADD COLUMN … DEFAULT` gives rows a value
    /// that were read before, without writing them again.
    pub(super) async fn compare_columns(
        &mut self,
        client: &Client,
        subject: &Subject<'_>,
    ) -> Result<()> {
        let Some(before) = &self.before else {
            return Ok(());
        };
        self.changes = ColumnChanges::between(&before.columns, subject.all);
        let is_read = |name: &str| subject.columns.iter().any(|column| column.name == name);
        let Some(coming) = self.condition() else {
            return Ok(());
        };
        let rows = (subject.sql, coming.as_str());
        let new = NewColumns::of(&self.changes, is_read, quoted, rows);
        let Some(new) = new else {
            return Ok(());
        };
        let row = client
            .query_one(&new.question, &[])
            .await
            .doing("looking at new columns")?;
        let flags: Vec<bool> = (0..new.count()).map(|at| row.get(at)).collect();
        self.filled = new.filled(&flags);
        self.everything |= self.may_repeat && !self.filled.is_empty();
        Ok(())
    }
}
