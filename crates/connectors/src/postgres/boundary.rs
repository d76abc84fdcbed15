//! The rows at the end of what a cursor has read: distinguished by digests, so that none comes twice.
//!
//! Promise: of the rows whose cursor equals the last value (or sorts after every finite one) a
//! position keeps a digest each, with their number, so that a later read gives exactly those that
//! were not given. Too many are not kept: then a read that would need them is refused, never
//! repeated. It decides nothing about when it is needed: `cursor.rs`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokio_postgres::Client;

use super::error::{Doing as _, PgError, Result};
use super::names::{literal, quoted};

/// So many rows at the end are kept apart.
const MOST_ROWS: i64 = 10_000;
/// No other piece of a read counts up to here.
pub(super) const FIRST_ORDINAL: u64 = 1 << 60;

/// The rows that were given at the end of a read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Boundary {
    /// The digest: `sha256`, or `md5` on servers before 11.
    digest: String,
    /// The columns it is made of.
    columns: Vec<String>,
    /// How many rows have it.
    rows: BTreeMap<String, i64>,
}

impl Boundary {
    /// Of the rows `condition` is true for; `None` when there are too many.
    pub(super) async fn of(
        client: &Client,
        source: &str,
        condition: &str,
        columns: &[String],
        version: i32,
    ) -> Result<Option<Self>> {
        let mut boundary = Self {
            digest: if version >= 110_000 { "sha256" } else { "md5" }.to_owned(),
            columns: columns.to_vec(),
            rows: BTreeMap::new(),
        };
        let sql = format!(
            "SELECT h, count(*) FROM (SELECT {} AS h FROM {source} WHERE {condition} LIMIT {}) d GROUP BY h",
            boundary.expression(),
            MOST_ROWS + 1
        );
        let rows = client
            .query(&sql, &[])
            .await
            .doing("asking for the rows at the last cursor value")?;
        boundary.rows = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let count: i64 = boundary.rows.values().sum();
        Ok((count <= MOST_ROWS).then_some(boundary))
    }

    /// The columns the digests are made of.
    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The query for the rows that `condition` is true for and that were not given yet. `list` is
    /// what is selected, of the columns `wanted`; `all` are the columns there are.
    pub(super) fn others(
        &self,
        source: &Source<'_>,
        condition: &str,
        list: &str,
    ) -> Result<String> {
        if let Some(gone) = self.columns.iter().find(|name| !source.all.contains(name)) {
            return Err(PgError::Boundary {
                object: source.object.to_owned(),
                reason: format!("column `{gone}`, which distinguishes them, no longer exists"),
            });
        }
        let mut needed: Vec<&String> = source.wanted.iter().collect();
        needed.extend(
            self.columns
                .iter()
                .filter(|name| !source.wanted.contains(name)),
        );
        let needed: Vec<String> = needed.iter().map(|name| quoted(name)).collect();
        let (digests, counts): (Vec<&str>, Vec<String>) = self
            .rows
            .iter()
            .map(|(digest, count)| (digest.as_str(), count.to_string()))
            .unzip();
        Ok(format!(
            "SELECT {list} FROM (SELECT {}, {digest} AS \"_towpath_digest\", \
             row_number() OVER (PARTITION BY {digest}) AS \"_towpath_number\" FROM {} WHERE {condition}) \"_towpath_rows\" \
             LEFT JOIN unnest({}::text[], '{{{}}}'::int8[]) AS \"_towpath_given\"(\"_towpath_one\", \"_towpath_count\") \
             ON \"_towpath_one\" = \"_towpath_digest\" WHERE \"_towpath_number\" > coalesce(\"_towpath_count\", 0)",
            needed.join(", "),
            source.sql,
            literal(&format!("{{{}}}", digests.join(","))),
            counts.join(","),
            digest = self.expression(),
        ))
    }

    /// 64 bits of a digest of a row's text.
    fn expression(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|name| quoted(name)).collect();
        let text = format!("ROW({})::text", columns.join(", "));
        if self.digest == "md5" {
            return format!("left(md5({text}), 16)");
        }
        format!("left(encode(sha256(convert_to({text}, 'UTF8')), 'hex'), 16)")
    }
}

/// What is read.
pub(super) struct Source<'a> {
    /// SQL that can stand after FROM.
    pub(super) sql: &'a str,
    /// As a person names it.
    pub(super) object: &'a str,
    /// The columns that are read.
    pub(super) wanted: &'a [String],
    /// The columns there are.
    pub(super) all: &'a [String],
}
