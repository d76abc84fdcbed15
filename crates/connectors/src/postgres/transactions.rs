//! Which transactions a read has seen, and whether their numbers still mean the same.
//!
//! Promise: what was seen is kept as ranges, relative to the horizon, so that it is never forgotten
//! for its length; a server that was restored, promoted or does not say which one it is has another
//! identity, because it may give a transaction's number out again. It knows no cursor: `cursor.rs`.

use serde::{Deserialize, Serialize};
use tokio_postgres::Client;

use super::error::{ErrorContext as _, Result};

/// Transaction numbers in rows have 32 bits: beyond half of that their order is lost.
pub(super) const COMPARABLE: i64 = (1 << 31) - (1 << 20);
/// So many ranges of transactions between horizon and snapshot are remembered.
const MOST_RANGES: usize = 10_000;
pub(super) const ROUND: i64 = 1 << 32;
const UNKNOWN: &str = "unknown";

/// Where the server stands in the present snapshot.
pub(super) struct Moment {
    pub(super) horizon: i64,
    pub(super) next: i64,
    pub(super) server: String,
    /// `server_version_num`.
    pub(super) version: i32,
    /// It follows another server.
    pub(super) standby: bool,
}

impl Moment {
    /// Whether the server says which one it is.
    pub(super) fn is_known(&self) -> bool {
        !self.server.starts_with(UNKNOWN)
    }

    /// Whether a horizon lies so far back that rows no longer tell on which side they are.
    pub(super) fn is_too_far_from(&self, horizon: i64) -> bool {
        self.next.saturating_sub(horizon) > COMPARABLE
    }

    pub(super) async fn ask(client: &Client) -> Result<Self> {
        let doing = "asking for the snapshot's horizon";
        let row = client
            .query_one(
                "SELECT txid_snapshot_xmin(s), txid_snapshot_xmax(s), d.oid::text, \
                 has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE') \
                 AND has_function_privilege('pg_catalog.pg_control_checkpoint()', 'EXECUTE'), \
                 current_setting('server_version_num')::int4, pg_is_in_recovery() \
                 FROM txid_current_snapshot() s, pg_catalog.pg_database d WHERE d.datname = current_database()",
                &[],
            )
            .await
            .doing(doing)?;
        let (database, may_ask): (String, bool) = (row.get(2), row.get(3));
        let (version, standby): (i32, bool) = (row.get(4), row.get(5));
        let server = if may_ask {
            // A promoted server writes its new timeline into the control file only with its next
            // checkpoint; the name of its present log file has it at once.
            let timeline = if version >= 100_000 && !standby {
                "upper(substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))"
            } else {
                "upper(lpad(to_hex((SELECT timeline_id FROM pg_catalog.pg_control_checkpoint())), 8, '0'))"
            };
            let sql = format!(
                "SELECT system_identifier::text, {timeline} FROM pg_catalog.pg_control_system()"
            );
            let row = client.query_one(&sql, &[]).await.doing(doing)?;
            let (system, timeline): (String, String) = (row.get(0), row.get(1));
            format!("{system}/{database}/{timeline}")
        } else {
            format!("{UNKNOWN}/{database}")
        };
        Ok(Self {
            horizon: row.get(0),
            next: row.get(1),
            server,
            version,
            standby,
        })
    }
}

/// True for row versions written by a transaction from `horizon` to before `next`, where the snapshot ends.
/// `age` counts from the server's present number back, which is that of no row yet, or one after `next`.
/// Frozen rows from before a wrap-around may have a number between them, too: `recycled.rs`.
pub(super) fn written_since(horizon: i64, next: i64) -> String {
    // 0 to 2 are no transactions of their own.
    let xid = (horizon % ROUND).max(3);
    format!(
        "(pg_catalog.age(xmin) BETWEEN 0 AND pg_catalog.age('{xid}'::pg_catalog.xid) AND {} < {})",
        counted_from(horizon),
        next - horizon
    )
}

/// A row's transaction, counted from `horizon` on.
pub(super) fn counted_from(horizon: i64) -> String {
    format!(
        "((xmin::text::int8 - {} + {ROUND}) % {ROUND})",
        horizon % ROUND
    )
}

/// Where a row's transaction lies among ranges from `horizon` on, which are in order and apart: `2 n + 1`
/// in the range at `n`, else an even number. One binary search a row.
pub(super) fn place_among(ranges: &[(i64, i64)], horizon: i64) -> String {
    let edges: Vec<String> = ranges
        .iter()
        .flat_map(|(begin, end)| [begin - horizon, end + 1 - horizon])
        .map(|edge| edge.to_string())
        .collect();
    format!(
        "pg_catalog.width_bucket({}, '{{{}}}'::int8[])",
        counted_from(horizon),
        edges.join(",")
    )
}

/// Transactions with 64-bit numbers, as ranges with both ends, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Ranges(Vec<(i64, i64)>);

impl Ranges {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// From 32-bit numbers as rows carry them, none older than `horizon`.
    pub(super) fn of_short(numbers: &[u32], horizon: i64) -> Self {
        let numbers: Vec<i64> = numbers
            .iter()
            .map(|number| horizon + (i64::from(*number) - horizon).rem_euclid(ROUND))
            .collect();
        Self::of_numbers(&numbers)
    }

    /// From whole numbers, in any order.
    pub(super) fn of_numbers(numbers: &[i64]) -> Self {
        Self::of_ranges(numbers.iter().map(|number| (*number, *number)).collect())
    }

    /// From ranges with both ends, in any order.
    pub(super) fn of_ranges(mut parts: Vec<(i64, i64)>) -> Self {
        parts.sort_unstable();
        let mut ranges: Vec<(i64, i64)> = Vec::new();
        for (begin, end) in parts {
            match ranges.last_mut() {
                Some((_, last)) if begin <= *last + 1 => *last = end.max(*last),
                _ => ranges.push((begin, end)),
            }
        }
        Self(ranges)
    }

    pub(super) fn as_slice(&self) -> &[(i64, i64)] {
        &self.0
    }

    /// Those of them that are not among these numbers, which are sorted.
    pub(super) fn without(&self, numbers: &[i64]) -> Self {
        let mut kept = Vec::new();
        for (begin, end) in &self.0 {
            let mut from = *begin;
            let first = numbers.partition_point(|number| number < begin);
            for number in numbers.iter().skip(first).take_while(|n| *n <= end) {
                if from < *number {
                    kept.push((from, number - 1));
                }
                from = number + 1;
            }
            if from <= *end {
                kept.push((from, *end));
            }
        }
        Self(kept)
    }

    /// Those of them from a later horizon on.
    pub(super) fn since(&self, horizon: i64) -> Self {
        let kept = self.0.iter().filter(|(_, end)| *end >= horizon);
        Self(
            kept.map(|(begin, end)| ((*begin).max(horizon), *end))
                .collect(),
        )
    }

    /// Those of them before a number.
    pub(super) fn before(&self, number: i64) -> Self {
        let kept = self.0.iter().filter(|(begin, _)| *begin < number);
        Self(
            kept.map(|(begin, end)| (*begin, (*end).min(number - 1)))
                .collect(),
        )
    }

    /// True for rows written since `horizon` by none of these.
    pub(super) fn exclude(&self, horizon: i64) -> String {
        format!("{} % 2 = 0", place_among(&self.0, horizon))
    }

    /// The transactions from `horizon` on whose rows this snapshot sees; `None` when there are too
    /// many to keep.
    pub(super) async fn seen(
        client: &Client,
        source: &str,
        (horizon, next): (i64, i64),
    ) -> Result<Option<Self>> {
        let sql = format!(
            "SELECT min(x), max(x) FROM (SELECT x, x - row_number() OVER (ORDER BY x) AS island \
             FROM (SELECT DISTINCT {} AS x FROM {source} WHERE {}) d) i GROUP BY island ORDER BY 1 LIMIT {}",
            counted_from(horizon),
            written_since(horizon, next),
            MOST_RANGES + 1
        );
        let rows = client
            .query(&sql, &[])
            .await
            .doing("asking for the newest transactions")?;
        if rows.len() > MOST_RANGES {
            return Ok(None);
        }
        let range = |row: &tokio_postgres::Row| {
            (
                horizon + row.get::<_, i64>(0),
                horizon + row.get::<_, i64>(1),
            )
        };
        Ok(Some(Self(rows.iter().map(range).collect())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_numbers_become_ranges_across_a_wrap_around() {
        let horizon = 2 * ROUND - 2;
        let short = [u32::MAX, 0, 1, 5, u32::MAX - 1];
        let ranges = Ranges::of_short(&short, horizon);
        assert_eq!(
            ranges,
            Ranges(vec![(horizon, horizon + 3), (horizon + 7, horizon + 7)])
        );
        assert_eq!(
            ranges.since(horizon + 2),
            Ranges(vec![(horizon + 2, horizon + 3), (horizon + 7, horizon + 7)])
        );
        assert!(ranges.since(horizon + 8).is_empty());
        assert_eq!(
            ranges.before(horizon + 2),
            Ranges(vec![(horizon, horizon + 1)])
        );
        assert!(ranges.exclude(horizon).contains("'{0,4,7,8}'"));
        assert_eq!(
            ranges.without(&[1, horizon, horizon + 2, horizon + 5, horizon + 7]),
            Ranges(vec![(horizon + 1, horizon + 1), (horizon + 3, horizon + 3)])
        );
        assert_eq!(ranges.without(&[]), ranges);
    }
}
