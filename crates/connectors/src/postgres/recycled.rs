//! Rows whose transaction numbers the server is about to give out again.
//!
//! Promise: a row keeps 32 bits of its transaction's number, also when it is frozen. About 2^32
//! transactions later a new row may have the same number. A position therefore keeps, for the numbers that
//! come next, how many rows have them already and a digest of where these are stored: frozen rows do not
//! move, so equal digests say that there are no others. It decides nothing: `cursor/changes.rs`.

use serde::{Deserialize, Serialize};
use tokio_postgres::Client;

use super::error::{Doing as _, Result};
use super::transactions::{COMPARABLE, Moment, ROUND, counted_from};

/// So many numbers are kept.
const MOST_NUMBERS: usize = 5_000;

/// The rows that have a number which comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    number: i64,
    rows: i64,
    digest: i64,
}

/// What is known of numbers that come again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Recycled {
    /// Numbers below this one are known.
    until: i64,
    held: Vec<Held>,
}

/// Numbers that the server has given out again, and that rows of the last read have.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Again {
    /// Only these rows have them.
    pub(super) old: Vec<i64>,
    /// Other rows have them, too.
    pub(super) unclear: Vec<i64>,
}

impl Recycled {
    /// Of the numbers after the present one. `None` where the server has not yet counted so far that
    /// one could come again.
    pub(super) async fn of(client: &Client, source: &str, moment: &Moment) -> Result<Option<Self>> {
        if moment.next <= COMPARABLE {
            return Ok(None);
        }
        let number = counted_from(moment.next);
        let numbers = format!("{number} < {COMPARABLE}");
        let held = held(client, source, moment.next, &numbers).await?;
        let until = match held.get(MOST_NUMBERS) {
            Some(first_left_out) => first_left_out.number,
            None => moment.next + COMPARABLE,
        };
        let held = held.into_iter().take(MOST_NUMBERS).collect();
        Ok(Some(Self { until, held }))
    }

    /// Whether every number up to the present one is known.
    pub(super) fn reaches(&self, next: i64) -> bool {
        next <= self.until
    }

    /// Which numbers below `next` are those of old rows only. `since` is where the server stood then.
    pub(super) async fn again(
        &self,
        client: &Client,
        source: &str,
        (since, next): (i64, i64),
    ) -> Result<Again> {
        let came: Vec<Held> = self
            .held
            .iter()
            .filter(|h| h.number < next)
            .copied()
            .collect();
        if came.is_empty() {
            return Ok(Again::default());
        }
        let numbers: Vec<i64> = came.iter().map(|held| held.number).collect();
        let now = held(client, source, since, &is_one_of(since, &numbers)).await?;
        let is_as_then = |now: &Held| came.contains(now);
        let numbers = |held: Vec<Held>| held.into_iter().map(|held| held.number).collect();
        let (old, unclear): (Vec<Held>, Vec<Held>) = now.into_iter().partition(is_as_then);
        Ok(Again {
            old: numbers(old),
            unclear: numbers(unclear),
        })
    }
}

/// True for rows with one of these numbers, each counted from `since` on.
pub(super) fn is_one_of(since: i64, numbers: &[i64]) -> String {
    let offsets: Vec<String> = numbers.iter().map(|n| (n - since).to_string()).collect();
    format!(
        "{} = ANY ('{{{}}}'::int8[])",
        counted_from(since),
        offsets.join(",")
    )
}

/// True for rows with any number from `since` to before `next`.
pub(super) fn is_between(since: i64, next: i64) -> String {
    format!("{} < {}", counted_from(since), (next - since).min(ROUND))
}

async fn held(client: &Client, source: &str, since: i64, condition: &str) -> Result<Vec<Held>> {
    // 0 to 2 are no transactions of their own.
    let sql = format!(
        "SELECT x, count(*), sum(h)::int8 FROM (SELECT {} AS x, \
         ('x' || left(md5(tableoid::text || ctid::text), 8))::bit(32)::int8 AS h FROM {source} \
         WHERE xmin::text::int8 > 2 AND {condition}) d GROUP BY x ORDER BY x LIMIT {}",
        counted_from(since),
        MOST_NUMBERS + 1
    );
    let rows = client
        .query(&sql, &[])
        .await
        .doing("asking for rows of very old transactions")?;
    let held = |row: &tokio_postgres::Row| Held {
        number: since + row.get::<_, i64>(0),
        rows: row.get(1),
        digest: row.get(2),
    };
    Ok(rows.iter().map(held).collect())
}
