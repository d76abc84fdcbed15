//! How PostgreSQL distinguishes the rows at the end of a read (`relational/boundary.rs`): the server makes
//! the digests, and joins them with those that are stored.
//!
//! Promise: a query gives exactly the rows that were not given; the rows that were given do not travel.
//! It decides nothing about when it is needed: `cursor.rs`.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use super::error::{ErrorContext as _, Result};
use super::names::{literal, quoted};
pub(super) use crate::relational::boundary::Boundary;
use crate::relational::boundary::MOST_ROWS;

/// The digest of servers from 11 on, and of older ones.
const SHA256: &str = "sha256";
const MD5: &str = "md5";

/// What is read.
pub(super) struct Source<'a> {
    /// SQL that can stand after FROM.
    pub(super) sql: &'a str,
    /// The columns that are read.
    pub(super) wanted: &'a [String],
}

/// The rows `condition` is true for; `None` when there are too many.
pub(super) async fn read(
    client: &Client,
    source: &Source<'_>,
    condition: &str,
    version: i32,
) -> Result<Option<Boundary>> {
    let digest = if version >= 110_000 { SHA256 } else { MD5 };
    let sql = format!(
        "SELECT h, count(*) FROM (SELECT {} AS h FROM {} WHERE {condition} LIMIT {}) d GROUP BY h",
        expression(digest, source.wanted),
        source.sql,
        MOST_ROWS + 1
    );
    let rows = client
        .query(&sql, &[])
        .await
        .doing("asking for the rows at the last cursor value")?;
    let rows: BTreeMap<String, u64> = rows
        .iter()
        .map(|row| (row.get(0), row.get::<_, i64>(1).unsigned_abs()))
        .collect();
    Ok(Boundary::of(Some(digest), source.wanted, rows))
}

/// The query for the rows that `condition` is true for and that were not given yet. `list` is what is
/// selected.
pub(super) fn others(
    boundary: &Boundary,
    source: &Source<'_>,
    condition: &str,
    list: &str,
) -> String {
    let is_more = |name: &&String| !source.wanted.contains(name);
    let more = boundary.columns().iter().filter(is_more);
    let needed = source.wanted.iter().chain(more);
    let needed: Vec<String> = needed.map(|name| quoted(name)).collect();
    let (digests, counts): (Vec<&str>, Vec<String>) = boundary
        .rows()
        .iter()
        .map(|(digest, count)| (digest.as_str(), count.to_string()))
        .unzip();
    format!(
        "SELECT {list} FROM (SELECT {}, {digest} AS \"_towpath_digest\", \
         row_number() OVER (PARTITION BY {digest}) AS \"_towpath_number\" FROM {} WHERE {condition}) \"_towpath_rows\" \
         LEFT JOIN unnest({}::text[], '{{{}}}'::int8[]) AS \"_towpath_given\"(\"_towpath_one\", \"_towpath_count\") \
         ON \"_towpath_one\" = \"_towpath_digest\" WHERE \"_towpath_number\" > coalesce(\"_towpath_count\", 0)",
        needed.join(", "),
        source.sql,
        literal(&format!("{{{}}}", digests.join(","))),
        counts.join(","),
        digest = expression(boundary.digest().unwrap_or(SHA256), boundary.columns()),
    )
}

/// 64 bits of a digest of a row's text.
fn expression(digest: &str, columns: &[String]) -> String {
    let columns: Vec<String> = columns.iter().map(|name| quoted(name)).collect();
    let text = format!("ROW({})::text", columns.join(", "));
    if digest == MD5 {
        return format!("left(md5({text}), 16)");
    }
    format!("left(encode(sha256(convert_to({text}, 'UTF8')), 'hex'), 16)")
}
