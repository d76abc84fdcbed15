//! What an incremental read reads, so that no row is ever lost, whenever its transaction commits.
//!
//! A cursor alone loses rows: a transaction may carry a low value and commit after a higher one was
//! read. So a position keeps, beside the largest cursor value seen, the snapshot's horizon: the
//! oldest transaction that was still open, and which transactions after it were seen already. Rule
//! (`late_rows: exact`, the default): read every row whose version was written by a transaction at or
//! after the last horizon and not seen then. These are all row versions that were invisible last
//! time, ties, NULL cursors and savepoints included, and each comes once (more than `MOST_SEEN` seen
//! transactions are not kept: their rows come again). `hold` reads only transactions before the
//! present horizon: each row version once, but later. `lookback` trusts the cursor (`>=` the last
//! value less the lookback) and uses its index; it is the rule for views, queries and foreign tables,
//! whose rows have no transaction. NULL cursors are then read by the first load only. It runs no
//! copy: `source.rs` puts the condition into the pieces.

use serde::{Deserialize, Serialize};
use tokio_postgres::Client;
use towpath_vocab::{CursorPlan, Mark, Position, SplitId};

use super::error::{Doing as _, PgError, Result};
use super::names::{literal, quoted};
use super::types::{Column, Kind};

const SPLIT: &str = "cursor";
/// Transaction numbers in rows have 32 bits: beyond half of that their order is lost.
const COMPARABLE: i64 = (1 << 31) - (1 << 20);
/// So many transactions between horizon and snapshot are remembered.
const MOST_SEEN: usize = 10_000;

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
                reason: format!("is `{other}`, one of exact, hold, lookback is expected"),
            }),
        }
    }
}

/// How far a table has been read. Version 1 of its stored form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    version: u32,
    column: String,
    /// The largest cursor value, as text; `None` when there was none.
    upper: Option<String>,
    /// The oldest transaction still open at the snapshot (64 bits).
    horizon: i64,
    /// The transaction after the newest at the snapshot.
    next: i64,
    /// Transactions between horizon and snapshot whose rows were read (32 bits, as rows carry them).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    seen: Vec<u32>,
    /// The server's system identifier and the database: transaction numbers mean nothing elsewhere.
    server: String,
}

/// Where the server stands in the present snapshot.
struct Moment {
    horizon: i64,
    next: i64,
    server: String,
}

/// What is read, as a cursor needs to know it.
pub(super) struct Subject<'a> {
    /// SQL that can stand after FROM.
    pub(super) sql: &'a str,
    /// As a person names it.
    pub(super) object: &'a str,
    /// Whether its rows carry their transaction.
    pub(super) has_xmin: bool,
}

/// An incremental read, decided.
pub(super) struct Cursor {
    column: Column,
    late: LateRows,
    lookback: u64,
    before: Option<Seen>,
    present: Seen,
    order: u64,
}

impl Cursor {
    /// Decides what to read.
    pub(super) async fn decide(
        client: &Client,
        plan: &CursorPlan,
        column: &Column,
        subject: &Subject<'_>,
        late: LateRows,
        from: Option<&Position>,
    ) -> Result<Self> {
        let Subject { sql, object, .. } = *subject;
        check_column(plan, column, object)?;
        let mark = from.and_then(|position| position.mark(&SplitId(SPLIT.to_owned())));
        let before = mark
            .map(|mark| read_mark(mark, &plan.column, object))
            .transpose()?;
        let moment = moment(client).await?;
        let upper = largest(client, column, sql, before.as_ref()).await?;
        let remembers = subject.has_xmin && late == LateRows::Exact && moment.horizon < moment.next;
        let seen = if remembers {
            seen(client, sql, moment.horizon).await?
        } else {
            Vec::new()
        };
        Ok(Self {
            column: column.clone(),
            late,
            lookback: plan.lookback,
            present: Seen {
                version: 1,
                column: plan.column.clone(),
                upper,
                horizon: moment.horizon,
                next: moment.next,
                seen,
                server: moment.server,
            },
            before,
            order: mark.map_or(1, |mark| mark.order.saturating_add(1)),
        })
    }

    /// The position that holds when everything was read.
    pub(super) fn position(&self) -> Position {
        let resume = serde_json::to_value(&self.present).unwrap_or(serde_json::Value::Null);
        Position::single(
            SPLIT,
            Mark {
                order: self.order,
                resume,
            },
        )
    }

    /// Which rows to read, given whether rows carry their transaction; `None` means all.
    pub(super) fn condition(&self, has_xmin: bool) -> Option<String> {
        let hold = (self.late == LateRows::Hold && has_xmin)
            .then(|| format!("NOT ({})", written_since(self.present.horizon)));
        let Some(before) = &self.before else {
            return hold;
        };
        if has_xmin && self.late != LateRows::Lookback && self.comparable(before) {
            let mut new = written_since(before.horizon);
            if !before.seen.is_empty() && hold.is_none() {
                let seen: Vec<String> = before.seen.iter().map(u32::to_string).collect();
                new = format!(
                    "({new} AND xmin <> ALL ('{{{}}}'::pg_catalog.xid[]))",
                    seen.join(",")
                );
            }
            let new = hold.map_or_else(|| new.clone(), |hold| format!("({new} AND {hold})"));
            return Some(match (&before.upper, self.lookback) {
                (Some(upper), 1..) => format!("({new} OR {})", self.at_least(upper)),
                _ => new,
            });
        }
        if self.too_far(before) && has_xmin && self.late != LateRows::Lookback {
            return None;
        }
        before.upper.as_ref().map(|upper| self.at_least(upper))
    }

    /// What a person should know.
    pub(super) async fn notes(
        &self,
        client: &Client,
        subject: &Subject<'_>,
    ) -> Result<Vec<String>> {
        let Subject {
            sql: source,
            has_xmin,
            ..
        } = *subject;
        let mut notes = Vec::new();
        let name = &self.column.name;
        if !has_xmin {
            notes.push(format!("rows here carry no transaction: one that commits late with a `{name}` below the last one is found only within `lookback`"));
        }
        if let Some(before) = &self.before {
            if before.server != self.present.server || before.next > self.present.next {
                notes.push(format!(
                    "this is another server than last time: it is read from the last `{name}` on"
                ));
            } else if self.too_far(before) && has_xmin && self.late != LateRows::Lookback {
                notes.push(
                    "the last read is too many transactions ago: everything is read again"
                        .to_owned(),
                );
            }
        }
        if self.column.field.is_nullable() {
            let sql = format!(
                "SELECT count(*) FROM {source} WHERE {} IS NULL",
                quoted(name)
            );
            let count: i64 = client
                .query_one(&sql, &[])
                .await
                .doing("counting rows without a cursor")?
                .get(0);
            if count > 0 {
                let when = if has_xmin && self.late != LateRows::Lookback {
                    "they are read when they are new or changed"
                } else {
                    "they are read by the first load only"
                };
                notes.push(format!("{count} rows have no `{name}`: {when}"));
            }
        }
        Ok(notes)
    }

    fn comparable(&self, before: &Seen) -> bool {
        before.server == self.present.server
            && before.next <= self.present.next
            && !self.too_far(before)
    }

    fn too_far(&self, before: &Seen) -> bool {
        before.server == self.present.server
            && self.present.next.saturating_sub(before.horizon) > COMPARABLE
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

/// True for row versions written by a transaction from `horizon` on. `age` counts from the newest
/// transaction back; it is negative only for frozen rows from before a wrap-around.
fn written_since(horizon: i64) -> String {
    // 0 to 2 are no transactions of their own.
    let xid = (horizon & 0xFFFF_FFFF).max(3);
    format!("pg_catalog.age(xmin) BETWEEN 0 AND pg_catalog.age('{xid}'::pg_catalog.xid)")
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
                _ => refuse("text has no distance to look back over"),
            }
        }
        _ => refuse("its type has no order that values grow in"),
    }
}

fn read_mark(mark: &Mark, column: &str, object: &str) -> Result<Seen> {
    let wrong = |reason: String| PgError::Position {
        object: object.to_owned(),
        reason,
    };
    let seen: Seen = serde_json::from_value(mark.resume.clone())
        .map_err(|_| wrong("it is not of a form this version knows".to_owned()))?;
    if seen.version != 1 {
        return Err(wrong(format!(
            "it has version {}, this Towpath knows version 1",
            seen.version
        )));
    }
    if seen.column != column {
        return Err(wrong(format!(
            "it was read by `{}`, now the cursor is `{column}`",
            seen.column
        )));
    }
    Ok(seen)
}

async fn moment(client: &Client) -> Result<Moment> {
    let doing = "asking for the snapshot's horizon";
    let row = client
        .query_one(
            "SELECT txid_snapshot_xmin(s), txid_snapshot_xmax(s), d.oid::text, \
             has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE') \
             FROM txid_current_snapshot() s, pg_catalog.pg_database d WHERE d.datname = current_database()",
            &[],
        )
        .await
        .doing(doing)?;
    let (database, may_ask): (String, bool) = (row.get(2), row.get(3));
    let system = if may_ask {
        let sql = "SELECT system_identifier::text FROM pg_catalog.pg_control_system()";
        client.query_one(sql, &[]).await.doing(doing)?.get(0)
    } else {
        String::from("unknown")
    };
    Ok(Moment {
        horizon: row.get(0),
        next: row.get(1),
        server: format!("{system}/{database}"),
    })
}

/// The transactions from `horizon` on whose rows this snapshot sees; none when they are too many.
async fn seen(client: &Client, source: &str, horizon: i64) -> Result<Vec<u32>> {
    let sql = format!(
        "SELECT DISTINCT xmin::text::int8 FROM {source} WHERE {} LIMIT {}",
        written_since(horizon),
        MOST_SEEN + 1
    );
    let rows = client
        .query(&sql, &[])
        .await
        .doing("asking for the newest transactions")?;
    if rows.len() > MOST_SEEN {
        return Ok(Vec::new());
    }
    Ok(rows
        .iter()
        .filter_map(|row| u32::try_from(row.get::<_, i64>(0)).ok())
        .collect())
}

/// The largest finite cursor value there is or was, as text.
async fn largest(
    client: &Client,
    column: &Column,
    source: &str,
    before: Option<&Seen>,
) -> Result<Option<String>> {
    let name = quoted(&column.name);
    let finite = match column.kind {
        Kind::Date | Kind::Timestamp | Kind::Instant => format!(" WHERE {name} < 'infinity'"),
        Kind::Float4 | Kind::Float8 => format!(" WHERE {name} < 'infinity'"),
        // `Infinity` exists only from version 14 on, and only without a fixed scale.
        Kind::Decimal { .. } | Kind::NumericText => format!(" WHERE {name} < 'NaN'"),
        _ => String::new(),
    };
    let known = before.and_then(|seen| seen.upper.as_ref());
    let last = known.map_or_else(|| "NULL".to_owned(), |upper| literal(upper));
    let type_name = &column.type_name;
    let sql = format!(
        "SELECT greatest((SELECT max({name}) FROM {source}{finite}), {last}::{type_name})::text"
    );
    let row = client
        .query_one(&sql, &[])
        .await
        .doing("asking for the largest cursor value")?;
    Ok(row.get(0))
}
