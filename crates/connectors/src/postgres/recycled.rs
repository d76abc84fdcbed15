//! Rows whose transaction numbers the server is about to give out again.
//!
//! Promise: a row keeps 32 bits of its transaction's number, also when it is frozen. About 2^32
//! transactions later a new row may have the same number. A position therefore keeps, for the numbers that
//! come next, how many rows have them already and a digest of where these are stored: frozen rows do not
//! move, so equal digests say that there are no others. The first numbers are kept one by one, the others
//! in blocks, so that none is left out. A row that is stored after all of these is another one, whatever its
//! number. It decides nothing: `cursor/changes.rs`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokio_postgres::Client;

use super::error::{Doing as _, Result};
use super::transactions::{COMPARABLE, Moment, ROUND, Ranges, counted_from, place_among};

/// So many numbers are kept one by one.
const SINGLE_NUMBERS: i64 = 4_000;
/// The others are kept in at most so many blocks, each of as many numbers that rows have.
const BLOCKS: i64 = 1_000;
/// A sum of digests is kept below this.
const DIGESTS: i64 = i64::MAX;

/// The rows that have a number, or one of several, which comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    number: i64,
    /// The last of several numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<i64>,
    rows: i64,
    digest: i64,
}

impl Held {
    fn of((number, last): (i64, i64), rows: i64, digest: i64) -> Self {
        Self {
            number,
            last: (last > number).then_some(last),
            rows,
            digest,
        }
    }

    fn range(&self) -> (i64, i64) {
        (self.number, self.last.unwrap_or(self.number))
    }
}

/// What is known of numbers that come again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Recycled {
    /// Numbers below this one are known.
    until: i64,
    held: Vec<Held>,
    /// The last place of a row in each table, by the table's number. `None` when an older Towpath stored it,
    /// which took no number into the digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ends: Option<BTreeMap<u32, i64>>,
}

/// Rows of transactions long ago, whose numbers the server has given out again.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LongAgo {
    pub(super) numbers: Ranges,
    /// SQL that is true for other rows with these numbers.
    came_later: String,
}

impl LongAgo {
    /// True for rows written since `horizon` that are none of these; `None` when there are none.
    pub(super) fn exclude(&self, horizon: i64) -> Option<String> {
        let others = (!self.numbers.is_empty()).then(|| self.numbers.exclude(horizon))?;
        Some(format!("({others} OR {})", self.came_later))
    }
}

/// Numbers that the server has given out again, and that rows of the last read have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Again {
    pub(super) old: LongAgo,
    /// Numbers of which it is not known whether only these rows have them.
    pub(super) unclear: Ranges,
    /// SQL that is true for rows that certainly were not there.
    pub(super) came_later: String,
}

/// Which rows are compared with those that were there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Among {
    /// Every row.
    AllRows,
    /// Those up to the last place there was.
    RowsOfThen,
}

impl Recycled {
    /// Of the numbers after the present one, and of those whose transactions may be open. `None` where the
    /// server has not yet counted so far that one could come again.
    pub(super) async fn of(
        client: &Client,
        source: &str,
        moment: &Moment,
        open: &Ranges,
    ) -> Result<Option<Self>> {
        if moment.next <= COMPARABLE {
            return Ok(None);
        }
        let mut held = in_ranges(client, source, open.as_slice(), (NUMBERED_PLACE, "true")).await?;
        held.extend(ahead(client, source, moment.next).await?);
        Ok(Some(Self {
            until: moment.next + COMPARABLE,
            held,
            ends: Some(ends(client, source).await?),
        }))
    }

    /// Whether every number up to the present one is known.
    pub(super) fn reaches(&self, next: i64) -> bool {
        next <= self.until
    }

    /// True for rows that were not there: they are stored after all that were.
    fn came_later(&self, among: Among) -> String {
        let Some(ends) = self.ends.as_ref().filter(|_| among == Among::RowsOfThen) else {
            return "false".to_owned();
        };
        let ends = ends.iter();
        let ends: Vec<String> = ends
            .map(|(table, end)| format!(" WHEN {table} THEN {end}"))
            .collect();
        match ends.is_empty() {
            true => "true".to_owned(),
            false => format!("{SPOT} > CASE tableoid{} ELSE -1 END", ends.concat()),
        }
    }

    /// Which numbers below `next` are those of old rows only.
    pub(super) async fn again(
        &self,
        client: &Client,
        source: &str,
        (next, among): (i64, Among),
    ) -> Result<Again> {
        let came = |held: &&Held| held.number < next;
        let came: Vec<Held> = self.held.iter().filter(came).copied().collect();
        let ranges: Vec<(i64, i64)> = came.iter().map(Held::range).collect();
        let place = match self.ends {
            Some(_) => NUMBERED_PLACE,
            None => PLACE,
        };
        let came_later = self.came_later(among);
        let then = format!("NOT ({came_later})");
        let now = in_ranges(client, source, &ranges, (place, &then)).await?;
        let (old, unclear): (Vec<Held>, Vec<Held>) =
            now.into_iter().partition(|now| came.contains(now));
        let ranges = |held: Vec<Held>| {
            let begun = |held: Held| (held.number, held.range().1.min(next - 1));
            Ranges::of_ranges(held.into_iter().map(begun).collect())
        };
        Ok(Again {
            old: LongAgo {
                numbers: ranges(old),
                came_later: came_later.clone(),
            },
            unclear: ranges(unclear),
            came_later,
        })
    }
}

/// True for rows with any number from `since` to before `next`.
pub(super) fn is_between(since: i64, next: i64) -> String {
    format!("{} < {}", counted_from(since), (next - since).min(ROUND))
}

const ASKING: &str = "asking for rows of very old transactions";
/// Part of the digest of a row's place.
const PLACE: &str = "('x' || left(md5(tableoid::text || ctid::text), 8))::bit(32)::int8";
/// The same with the row's number: another row may be stored there later.
const NUMBERED_PLACE: &str =
    "('x' || left(md5(tableoid::text || ctid::text || xmin::text), 8))::bit(32)::int8";
/// A row's place as a number that grows with it.
const SPOT: &str = "((ctid::text::point)[0]::int8 * 65536 + (ctid::text::point)[1]::int8)";
/// 0 to 2 are no transactions of their own.
const HAS_NUMBER: &str = "xmin::text::int8 > 2";

/// The rows that have a number after the present one.
async fn ahead(client: &Client, source: &str, next: i64) -> Result<Vec<Held>> {
    let number = counted_from(next);
    let sql = format!(
        "SELECT min(x), max(x), sum(c)::int8, (sum(h) % {DIGESTS})::int8 \
         FROM (SELECT x, c, h, row_number() OVER (ORDER BY x) AS n, count(*) OVER () AS total \
         FROM (SELECT x, count(*) AS c, sum(h) AS h FROM (SELECT {number} AS x, {NUMBERED_PLACE} AS h FROM {source} \
         WHERE {HAS_NUMBER} AND {number} < {COMPARABLE}) r GROUP BY x) d) e \
         GROUP BY CASE WHEN n <= {SINGLE_NUMBERS} THEN n ELSE \
         {SINGLE_NUMBERS} + 1 + (n - {SINGLE_NUMBERS} - 1) * {BLOCKS} / (total - {SINGLE_NUMBERS}) END ORDER BY 1",
    );
    let rows = client.query(&sql, &[]).await.doing(ASKING)?;
    let held = |row: &tokio_postgres::Row| {
        let range = (next + row.get::<_, i64>(0), next + row.get::<_, i64>(1));
        Held::of(range, row.get(2), row.get(3))
    };
    Ok(rows.iter().map(held).collect())
}

/// The last place of a row in each table.
async fn ends(client: &Client, source: &str) -> Result<BTreeMap<u32, i64>> {
    let sql = format!("SELECT tableoid, max({SPOT}) FROM {source} GROUP BY tableoid");
    let rows = client.query(&sql, &[]).await.doing(ASKING)?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// The rows that have numbers in these ranges, which are in order and apart.
async fn in_ranges(
    client: &Client,
    source: &str,
    ranges: &[(i64, i64)],
    (place, among): (&str, &str),
) -> Result<Vec<Held>> {
    let Some((begin, _)) = ranges.first() else {
        return Ok(Vec::new());
    };
    let sql = format!(
        "SELECT place, count(*), (sum(h) % {DIGESTS})::int8 FROM (SELECT {} AS place, {place} AS h FROM {source} \
         WHERE {HAS_NUMBER} AND {among}) d WHERE place % 2 = 1 GROUP BY place ORDER BY place",
        place_among(ranges, *begin)
    );
    let rows = client.query(&sql, &[]).await.doing(ASKING)?;
    let held = |row: &tokio_postgres::Row| {
        let place = usize::try_from(row.get::<_, i32>(0)).ok()? / 2;
        Some(Held::of(*ranges.get(place)?, row.get(1), row.get(2)))
    };
    Ok(rows.iter().filter_map(held).collect())
}
