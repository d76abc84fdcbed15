//! What an incremental read reads, so that no row is lost or repeated, whenever its transaction commits.
//!
//! Promise: with `late_rows: exact` each row version that the last read could not see is read once; where this
//! cannot be known, rows are read again if they may come again, else the read is refused. It runs no copy:
//! `source.rs` puts the condition into the pieces. Read next: `read_progress.rs` (what is stored),
//! `boundary.rs`, `cursor/changes.rs`.

mod changes;
mod idle;

use tokio_postgres::Client;
use towpath_vocab::{CursorPlan, Position};

use super::boundary::{self, Boundary};
use super::error::{ErrorContext as _, PgError, Result};
use super::members::{Change, Members, stand_in};
use super::names::{literal, quoted};
use super::open_transactions;
use super::pump::Piece;
use super::read_progress::{ReadProgress, VERSION, read_progress};
use super::recycled::{LongAgo, Recycled, Rows, Shared};
use super::transactions::{Moment, Ranges, written_since};
use super::types::{Column, Kind};
use crate::relational::boundary::{FIRST_ORDINAL, Resume, again_note, resume};
use crate::relational::columns::{ColumnChanges, SeenColumn};
use crate::relational::cursor::{last_position, next_order, position};
use crate::relational::reader::{self, select_list};

/// What happens to rows that commit late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LateRows {
    Exact,
    Hold,
    Lookback,
}

impl LateRows {
    pub(super) fn read(word: Option<&serde_json::Value>, connection: &str) -> Result<Self> {
        match word.map(|word| (word, word.as_str())) {
            None | Some((_, Some("exact"))) => Ok(Self::Exact),
            Some((_, Some("hold"))) => Ok(Self::Hold),
            Some((_, Some("lookback"))) => Ok(Self::Lookback),
            Some((other, _)) => Err(PgError::BadOption {
                connection: connection.to_owned(),
                option: "late_rows",
                reason: format!("is `{other}`, but must be one of exact, hold, lookback"),
            }),
        }
    }
}

/// What is read, as a cursor needs to know it.
pub(super) struct Subject<'a> {
    /// SQL that can stand after FROM.
    pub(super) sql: &'a str,
    /// As a person names it.
    pub(super) object: &'a str,
    /// The tables its rows stand in, where they carry their transaction.
    pub(super) members: Option<&'a Members>,
    /// The columns that are read.
    pub(super) columns: &'a [Column],
    /// All columns that could be.
    pub(super) all: &'a [SeenColumn],
}

/// How it is to be read.
pub(super) struct CursorRead<'a> {
    pub(super) plan: &'a CursorPlan,
    pub(super) late: LateRows,
    /// Rows that were given may come again: they are written by a key.
    pub(super) may_repeat: bool,
}

/// By what new rows are told from old ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    First,
    Transaction,
    Value,
}

/// An incremental read, decided.
///
/// A cursor alone loses rows: a transaction may have a low value and commit after a higher one was read. So a
/// position keeps, beside the largest cursor value seen, the snapshot's horizon: the oldest transaction that
/// was still open, and which transactions after it were seen already.
///
/// - `exact`, the default: every row whose version was written by a transaction at or after the last horizon
///   and not seen then (ties, NULL cursors and savepoints included), once; beside them rows above the last
///   value and tables that joined. Where a table was exchanged or rewritten (`members.rs`), all of its rows.
/// - `hold`: only transactions before the present horizon: each row version once, but later. It replaces
///   `exact` when too many transactions were seen to keep them.
/// - `lookback`: trusts the cursor and uses its index, for views, queries and foreign tables, whose rows have
///   no transaction, and for another server: what is above the last value, and of the rows at it those that
///   were not given yet (`boundary.rs`). NULL cursors are read by the first load only.
pub(super) struct Cursor {
    column: Column,
    lookback: u64,
    way: Way,
    /// Rows of transactions from the present horizon on are held back.
    holds: bool,
    /// Nobody asked for holding back: there were too many transactions to keep.
    crowded: bool,
    /// Tables whose rows are all read, because none of them was given.
    whole: Vec<u32>,
    /// Tables whose rows are all read, because nothing tells which of them were given.
    again: Vec<u32>,
    /// Rows of transactions long ago, which were given, although their numbers came again.
    long_ago: LongAgo,
    /// Where the last read ended, when nothing came since.
    kept: Option<Position>,
    /// What became of the columns.
    changes: ColumnChanges,
    /// New columns with values in rows that were given.
    filled: Vec<String>,
    /// All rows are read, because columns of those that were given are new.
    everything: bool,
    /// Rows that were given may come again: they are written by a key.
    may_repeat: bool,
    before: Option<ReadProgress>,
    present: ReadProgress,
    moment: Moment,
    order: u64,
}

impl Cursor {
    /// Decides what to read.
    pub(super) async fn decide(
        client: &Client,
        asked: &CursorRead<'_>,
        column: &Column,
        subject: &Subject<'_>,
        from: Option<&Position>,
    ) -> Result<Self> {
        let Subject { sql, object, .. } = *subject;
        let (plan, late) = (asked.plan, asked.late);
        check_column(plan, column, object)?;
        let previous = last_position(from);
        let before = previous
            .map(|last| read_progress(last, &plan.column, object))
            .transpose()?;
        let moment = Moment::ask(client).await?;
        let by_transaction = subject.members.is_some() && late != LateRows::Lookback;
        if by_transaction && !moment.is_known() {
            return Err(PgError::Unidentified {
                object: object.to_owned(),
            });
        }
        let way = way(before.as_ref(), by_transaction, &moment, object)?;
        let mut holds = by_transaction && late == LateRows::Hold;
        let mut seen = Ranges::default();
        let mut open = Vec::new();
        let mut crowded = false;
        if by_transaction && !holds && moment.horizon < moment.next {
            match open_transactions::seen_and_open(client, sql, &moment).await? {
                Some(both) => (seen, open) = both,
                None => (holds, crowded) = (true, true),
            }
        }
        if let (true, Way::Transaction, Some(before)) = (holds, way, &before) {
            // These were given by an earlier read that held nothing back.
            seen = before.seen.since(moment.horizon);
        }
        let mut members = subject.members.cloned();
        let change = match (&mut members, &before) {
            (Some(now), Some(before)) if before.server == moment.server => {
                let then = before.members.as_ref();
                then.map(|then| now.follow(then)).unwrap_or_default()
            }
            _ => Change::default(),
        };
        let mut cursor = Self {
            column: column.clone(),
            lookback: plan.lookback,
            way,
            holds,
            crowded,
            whole: Vec::new(),
            again: Vec::new(),
            long_ago: LongAgo::default(),
            kept: None,
            changes: ColumnChanges::default(),
            filled: Vec::new(),
            everything: false,
            may_repeat: asked.may_repeat,
            present: ReadProgress {
                version: VERSION,
                column: plan.column.clone(),
                upper: None,
                horizon: moment.horizon,
                next: moment.next,
                seen,
                by_transaction,
                boundary: None,
                server: moment.server.clone(),
                members,
                recycled: None,
                columns: subject.all.to_vec(),
            },
            before,
            moment,
            order: next_order(previous),
        };
        if way == Way::Transaction {
            cursor.settle_recycled(client, subject, &change).await?;
            cursor.settle(client, subject, change).await?;
        }
        if by_transaction {
            // Rows that were given are among those that are held back, if their numbers came again.
            let (numbers, given) = match holds {
                true => (
                    cursor.long_ago.numbers.since(cursor.moment.horizon),
                    cursor.long_ago.include(),
                ),
                false => (Ranges::of_numbers(&open), "true"),
            };
            let shared = Shared {
                numbers: &numbers,
                given,
            };
            let rows = Rows::new(client, sql, column);
            cursor.present.recycled = Recycled::of(&rows, &cursor.moment, &shared).await?;
        }
        // No number says which rows came late; written by key, none is doubled.
        cursor.everything = asked.may_repeat && cursor.is_elsewhere();
        cursor.compare_columns(client, subject).await?;
        cursor.present.upper = cursor.largest(client, sql).await?;
        cursor.present.boundary = cursor.boundary(client, subject).await?;
        if cursor.is_idle(client, subject).await? {
            cursor.kept = from.cloned();
        }
        Ok(cursor)
    }

    /// True when transactions were compared and cannot be: on another server, or one that was restored.
    fn is_elsewhere(&self) -> bool {
        let before = self.before.as_ref();
        self.way == Way::Value
            && self.present.by_transaction
            && before.is_some_and(|before| before.by_transaction)
    }

    /// True for rows written since the last read by a transaction that it had not seen.
    fn by_transaction(&self) -> Option<String> {
        let before = self.before.as_ref()?;
        let new = written_since(before.horizon, self.moment.next);
        let unseen = (!before.seen.is_empty()).then(|| before.seen.exclude(before.horizon));
        let young = self.long_ago.exclude();
        Some(both(both(new, unseen), young))
    }

    /// True when nothing came since the last read, whose place is still good.
    pub(super) fn found_nothing(&self) -> bool {
        self.kept.is_some()
    }

    /// The rows at the end of this read. Who looks back reads them again anyway.
    async fn boundary(&self, client: &Client, subject: &Subject<'_>) -> Result<Option<Boundary>> {
        let Some(condition) = self.at_the_end(self.present.upper.as_deref()) else {
            return Ok(None);
        };
        if self.lookback > 0 {
            return Ok(None);
        }
        let source = boundary::Source {
            sql: subject.sql,
            wanted: &names(subject.columns),
        };
        boundary::read(client, &source, &condition, self.moment.version).await
    }

    /// The position that holds when everything was read.
    pub(super) fn position(&self, object: &str) -> Result<Position> {
        if let Some(kept) = &self.kept {
            return Ok(kept.clone());
        }
        position(self.order, &self.present).map_err(|reason| PgError::Position {
            object: object.to_owned(),
            reason,
        })
    }

    /// Which rows to read; `None` means all.
    pub(super) fn condition(&self) -> Option<String> {
        let held = self.held();
        let goes_on = self.way != Way::First && !self.everything;
        let Some(before) = self.before.as_ref().filter(|_| goes_on) else {
            return held;
        };
        if self.way == Way::Value {
            let upper = before.upper.as_deref();
            let new = match (upper, self.lookback) {
                (Some(upper), 1..) => self.at_least(upper),
                (None, 1..) => format!("{} IS NOT NULL", quoted(&self.column.name)),
                (upper, 0) => self.above(upper),
            };
            return Some(both(new, held));
        }
        // What lies above the last value was never given, however old its transaction.
        let mut new: Vec<String> = self.by_transaction().into_iter().collect();
        new.push(self.above(before.upper.as_deref()));
        for tables in [&self.whole, &self.again] {
            if !tables.is_empty() {
                new.push(stand_in(tables));
            }
        }
        let new = both(format!("({})", new.join(" OR ")), held);
        Some(match (&before.upper, self.lookback) {
            (Some(upper), 1..) => format!("({new} OR {})", self.at_least(upper)),
            _ => new,
        })
    }

    /// The rows at the end of the last read that were not given then, when the cursor's value is all
    /// that tells new rows from old ones.
    pub(super) fn others(
        &self,
        subject: &Subject<'_>,
        limit: Option<u64>,
    ) -> Result<Option<Piece>> {
        let Some((resume, condition)) = self.end_of_last_read(subject) else {
            return Ok(None);
        };
        let list = select_list(subject.columns);
        let query = match resume {
            Resume::LookBack => return Ok(None),
            Resume::Behind(boundary) => {
                let source = boundary::Source {
                    sql: subject.sql,
                    wanted: &names(subject.columns),
                };
                boundary::others(boundary, &source, &condition, &list)
            }
            Resume::Again(_) => format!("SELECT {list} FROM {} WHERE {condition}", subject.sql),
            Resume::Lost(reason) => {
                return Err(PgError::Boundary {
                    object: subject.object.to_owned(),
                    reason,
                });
            }
        };
        Ok(Some(Piece {
            id: format!("{} boundary", subject.object),
            query: format!("{query}{}", reader::limit(limit)),
            first_ordinal: FIRST_ORDINAL,
        }))
    }

    /// How the read goes on at the end of the last one, and what is true for the rows there, where they
    /// must be distinguished from new ones.
    fn end_of_last_read(&self, subject: &Subject<'_>) -> Option<(Resume<'_>, String)> {
        let by_value = self.way == Way::Value && !self.everything && self.lookback == 0;
        let before = self.before.as_ref().filter(|_| by_value)?;
        let condition = self.at_the_end(before.upper.as_deref())?;
        let cursor = (self.column.name.as_str(), self.lookback);
        let is_there = |name: &str| subject.all.iter().any(|column| column.name == name);
        let resume = resume(before.boundary.as_ref(), cursor, self.may_repeat, is_there);
        Some((resume, condition))
    }

    /// What a person should know.
    pub(super) async fn notes(
        &self,
        client: &Client,
        subject: &Subject<'_>,
    ) -> Result<Vec<String>> {
        let mut notes = self
            .changes
            .notes(subject.object, &self.filled, self.everything);
        let name = &self.column.name;
        if let Some((Resume::Again(reason), _)) = self.end_of_last_read(subject) {
            notes.push(again_note(name, &reason));
        }
        if subject.members.is_none() {
            notes.push(format!("rows of this table have no transaction number: a row that commits late with a `{name}` below the last one is found only within `lookback`"));
        }
        if self.crowded {
            notes.push("an old transaction is open and too many transactions have ended since: their rows are read after it ends".to_owned());
        }
        if self.is_elsewhere() {
            let rows = match self.may_repeat {
                true => "all rows are read again and written by key (rows that the source no longer has stay)".to_owned(),
                false => format!("rows are read from the last `{name}` on; rows with a lower one that committed since the last read are not found, `--full-refresh` reads all rows again and replaces the table"),
            };
            notes.push(format!("this is a different server from last time, or it was restored or became the primary: {rows}"));
        }
        if let Some(tables) = named(client, &self.whole).await? {
            notes.push(format!(
                "new since the last read, so all their rows are read: {tables}"
            ));
        }
        if let Some(tables) = named(client, &self.again).await? {
            notes.push(format!(
                "replaced or rewritten since the last read, so all their rows are read again and written by key (rows that the source no longer has stay): {tables}"
            ));
        }
        if self.column.field.is_nullable() {
            let sql = format!(
                "SELECT count(*) FROM {} WHERE {} IS NULL",
                subject.sql,
                quoted(name)
            );
            let count: i64 = client
                .query_one(&sql, &[])
                .await
                .doing("counting rows without a cursor")?
                .get(0);
            if count > 0 {
                let when = if self.present.by_transaction {
                    "they are read when they are new or changed"
                } else {
                    "they are read by the first load only"
                };
                notes.push(format!("{count} rows have no `{name}`: {when}"));
            }
        }
        Ok(notes)
    }

    /// True for rows that are not held back.
    fn held(&self) -> Option<String> {
        self.holds.then(|| {
            format!(
                "NOT ({})",
                written_since(self.present.horizon, self.moment.next)
            )
        })
    }

    /// The first value that sorts after every one a cursor can grow to.
    fn endless(&self) -> Option<&'static str> {
        match self.column.kind {
            Kind::Date | Kind::Timestamp | Kind::Instant | Kind::Float4 | Kind::Float8 => {
                Some("infinity")
            }
            // `Infinity` exists only from version 14 on, and sorts before `NaN`.
            Kind::Decimal { .. } | Kind::NumericText if self.moment.version >= 140_000 => {
                Some("Infinity")
            }
            Kind::Decimal { .. } | Kind::NumericText => Some("NaN"),
            _ => None,
        }
    }

    fn finite(&self) -> Option<String> {
        let name = quoted(&self.column.name);
        self.endless().map(|end| format!("{name} < '{end}'"))
    }

    /// Rows beyond the last value, except those that are so for ever.
    fn above(&self, upper: Option<&str>) -> String {
        let (name, type_name) = (quoted(&self.column.name), &self.column.type_name);
        let new = upper.map_or_else(
            || format!("{name} IS NOT NULL"),
            |upper| format!("{name} > {}::{type_name}", literal(upper)),
        );
        both(new, self.finite())
    }

    /// Rows at the last value or after every finite one; `None` when there can be none.
    fn at_the_end(&self, upper: Option<&str>) -> Option<String> {
        let (name, type_name) = (quoted(&self.column.name), &self.column.type_name);
        let at = upper.map(|upper| format!("{name} = {}::{type_name}", literal(upper)));
        let endless = self.endless().map(|end| format!("{name} >= '{end}'"));
        let rows: Vec<String> = at.into_iter().chain(endless).collect();
        (!rows.is_empty()).then(|| both(format!("({})", rows.join(" OR ")), self.held()))
    }

    /// The largest finite cursor value there is or was, as text.
    async fn largest(&self, client: &Client, source: &str) -> Result<Option<String>> {
        let (name, type_name) = (quoted(&self.column.name), &self.column.type_name);
        let rows: Vec<String> = self.finite().into_iter().chain(self.held()).collect();
        let rows = if rows.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", rows.join(" AND "))
        };
        let known = self.before.as_ref().and_then(|seen| seen.upper.as_ref());
        let last = known.map_or_else(|| "NULL".to_owned(), |upper| literal(upper));
        let sql = format!(
            "SELECT greatest((SELECT max({name}) FROM {source}{rows}), {last}::{type_name})::text"
        );
        let row = client
            .query_one(&sql, &[])
            .await
            .doing("asking for the largest cursor value")?;
        Ok(row.get(0))
    }

    /// `column >= upper - lookback`, in the column's own type so that an index serves it.
    fn at_least(&self, upper: &str) -> String {
        let (name, type_name) = (quoted(&self.column.name), &self.column.type_name);
        let last = format!("{}::{type_name}", literal(upper));
        let bound = match (&self.column.kind, self.lookback) {
            (_, 0) => last,
            (Kind::Date | Kind::Timestamp | Kind::Instant, seconds) => {
                format!("({last} - interval '{seconds} seconds')::{type_name}")
            }
            (Kind::Int2 | Kind::Int4 | Kind::Int8, units) => {
                let least = match self.column.kind {
                    Kind::Int2 => i128::from(i16::MIN),
                    Kind::Int4 => i128::from(i32::MIN),
                    _ => i128::from(i64::MIN),
                };
                let bound = upper
                    .parse::<i128>()
                    .map_or(least, |upper| (upper - i128::from(units)).max(least));
                format!("'{bound}'::{type_name}")
            }
            (_, units) => format!("{last} - {units}"),
        };
        format!("{name} >= {bound}")
    }
}

fn both(one: String, other: Option<String>) -> String {
    match other {
        Some(other) => format!("({one} AND {other})"),
        None => one,
    }
}

/// Tables as a person names them; `None` when there is none.
async fn named(client: &Client, tables: &[u32]) -> Result<Option<String>> {
    if tables.is_empty() {
        return Ok(None);
    }
    let list: Vec<String> = tables.iter().map(ToString::to_string).collect();
    let sql = format!(
        "SELECT string_agg('`' || oid::pg_catalog.regclass::text || '`', ', ') FROM unnest('{{{}}}'::pg_catalog.oid[]) AS oid",
        list.join(",")
    );
    let row = client.query_one(&sql, &[]).await.doing("naming tables")?;
    Ok(row.get(0))
}

fn names(columns: &[Column]) -> Vec<String> {
    columns.iter().map(|column| column.name.clone()).collect()
}

/// Decides by what new rows are told from old ones.
fn way(
    before: Option<&ReadProgress>,
    by_transaction: bool,
    moment: &Moment,
    object: &str,
) -> Result<Way> {
    let Some(before) = before else {
        return Ok(Way::First);
    };
    let same_server = before.server == moment.server
        || (before.version == 1
            && moment
                .server
                .rsplit_once('/')
                .is_some_and(|(server, _)| server == before.server));
    let comparable = by_transaction
        && before.by_transaction
        && moment.is_known()
        && same_server
        && before.next <= moment.next;
    if !comparable {
        return Ok(Way::Value);
    }
    if moment.is_too_far_from(before.horizon) {
        return Err(PgError::TooFar {
            object: object.to_owned(),
        });
    }
    Ok(Way::Transaction)
}

fn check_column(plan: &CursorPlan, column: &Column, object: &str) -> Result<()> {
    let refuse = |reason| {
        Err(PgError::Cursor {
            object: object.to_owned(),
            column: plan.column.clone(),
            data_type: column.type_name.clone(),
            reason,
        })
    };
    match column.kind {
        Kind::Int2
        | Kind::Int4
        | Kind::Int8
        | Kind::Float4
        | Kind::Float8
        | Kind::Decimal { .. }
        | Kind::NumericText => Ok(()),
        Kind::Date | Kind::Timestamp | Kind::Instant => Ok(()),
        Kind::Text if column.type_name.contains("char") || column.type_name == "text" => {
            match plan.lookback {
                0 => Ok(()),
                _ => refuse("text has no distance for a lookback"),
            }
        }
        _ => refuse("its type has no order"),
    }
}
