//! Questions to the system catalogue: relations, columns, keys, parts.
//!
//! Promise: every question runs inside the caller's transaction, so answers and rows belong to one
//! moment; names are found exactly, else ignoring case when that is unambiguous, else refused with
//! the nearest name. It decides nothing about types (`types.rs`) or reading (`pieces.rs`).

use arrow_schema::DataType;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Row, Statement};

use super::error::{ErrorContext as _, PgError, Result};
use super::names::{Relation, nearest};
use super::types::{CatalogType, Column, column};

const LOOKING: &str = "reading the catalogue";

/// A relation as the catalogue knows it.
#[derive(Clone, Debug)]
pub(super) struct CatalogRelation {
    pub(super) relation: Relation,
    pub(super) oid: u32,
    /// Where its rows are stored: another number after each rewrite.
    pub(super) filenode: u32,
    /// `r` table, `p` partitioned, `v` view, `m` materialized view, `f` foreign table.
    pub(super) kind: String,
    pub(super) has_children: bool,
    pub(super) is_heap: bool,
    pub(super) pages: u64,
    pub(super) rows_guess: f64,
    pub(super) row_security: bool,
    pub(super) can_read: bool,
    pub(super) can_read_some: bool,
}

impl CatalogRelation {
    /// The kind in words.
    pub(super) fn kind_word(&self) -> &'static str {
        match self.kind.as_str() {
            "p" => "partitioned table",
            "v" => "view",
            "m" => "materialized view",
            "f" => "foreign table",
            _ => "table",
        }
    }

    fn of(row: &Row) -> Self {
        let size: i64 = row.get("size");
        let block: i32 = row.get("block");
        Self {
            relation: Relation::new(
                row.get::<_, String>("nspname"),
                row.get::<_, String>("relname"),
            ),
            oid: row.get("oid"),
            filenode: row.get("relfilenode"),
            kind: row.get("relkind"),
            has_children: row.get("relhassubclass"),
            is_heap: row.get("heap"),
            pages: size.unsigned_abs() / u64::from(block.unsigned_abs().max(1)),
            rows_guess: row.get("reltuples"),
            row_security: row.get("secured"),
            can_read: row.get("readable"),
            can_read_some: row.get("partly"),
        }
    }
}

const FOUND: &str = "SELECT c.oid, c.relfilenode, n.nspname::text, c.relname::text, c.relkind::text, c.relhassubclass, \
    coalesce(am.amname = 'heap', c.relkind IN ('r', 'm')) AS heap, c.reltuples::float8, \
    CASE WHEN c.relkind IN ('r', 'm') THEN coalesce(pg_relation_size(c.oid), 0) ELSE 0 END AS size, \
    current_setting('block_size')::int4 AS block, \
    c.relrowsecurity AND row_security_active(c.oid) AS secured, \
    coalesce(has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'), true) AS readable, \
    coalesce(has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT'), true) AS partly \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam";

/// The relation a person's text means, or a refusal with the nearest name.
pub(super) async fn find(
    client: &Client,
    text: &str,
    default_schema: &str,
) -> Result<CatalogRelation> {
    for reading in Relation::readings(text, default_schema) {
        if let Some(found) = look_up(client, &reading).await? {
            return Ok(found);
        }
    }
    Err(PgError::NoTable {
        object: text.to_owned(),
        similar: similar_table(client, text, default_schema).await?,
    })
}

/// A relation by its exact name, else ignoring case when only one is meant.
pub(super) async fn look_up(
    client: &Client,
    relation: &Relation,
) -> Result<Option<CatalogRelation>> {
    let sql = format!(
        "{FOUND} WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND lower(n.nspname) = lower($1) AND lower(c.relname) = lower($2) \
         ORDER BY (n.nspname = $1 AND c.relname = $2) DESC"
    );
    let rows = client
        .query(&sql, &[&relation.schema, &relation.name])
        .await
        .doing(LOOKING)?;
    let found: Vec<CatalogRelation> = rows.iter().map(CatalogRelation::of).collect();
    match found.as_slice() {
        [one] => Ok(Some(one.clone())),
        [first, ..] if first.relation == *relation => Ok(Some(first.clone())),
        _ => Ok(None),
    }
}

/// Locks the tables that rows of `source` come from, so that nobody rewrites them before the transaction's
/// end. False when somebody did so after its snapshot.
pub(super) async fn hold(client: &Client, source: &str) -> Result<bool> {
    let sql = format!("SELECT FROM {source} LIMIT 0");
    if let Err(error) = client.query(&sql, &[]).await {
        // It was there when the snapshot was taken.
        return match error.code() {
            Some(&SqlState::UNDEFINED_TABLE) => Ok(false),
            _ => Err(PgError::from_driver(&error, "opening a read transaction")),
        };
    }
    // The catalogue is read as of the snapshot, `pg_relation_filenode` says what is there now.
    let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_class c ON c.oid = l.relation \
               WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation' \
               AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database()) \
               AND (c.oid IS NULL OR c.relfilenode <> 0 AND c.relkind IN ('r', 'm') \
                    AND c.relfilenode IS DISTINCT FROM pg_catalog.pg_relation_filenode(c.oid)))";
    let row = client.query_one(sql, &[]).await.doing(LOOKING)?;
    Ok(!row.get::<_, bool>(0))
}

async fn similar_table(
    client: &Client,
    text: &str,
    default_schema: &str,
) -> Result<Option<String>> {
    let rows = client
        .query(
            "SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'",
            &[],
        )
        .await
        .doing(LOOKING)?;
    let names: Vec<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let bare = text.rsplit('.').next().unwrap_or(text);
    let elsewhere = names
        .iter()
        .find(|(schema, name)| name == bare && schema != default_schema);
    if let Some((schema, name)) = elsewhere {
        return Ok(Some(format!("{schema}.{name}")));
    }
    let shown: Vec<String> = names
        .iter()
        .map(|(schema, name)| {
            if schema == default_schema {
                name.clone()
            } else {
                format!("{schema}.{name}")
            }
        })
        .collect();
    Ok(nearest(text, shown.iter().map(String::as_str)))
}

/// The tables whose rows a relation shows: its partitions or inheriting tables, with itself.
pub(super) async fn members(client: &Client, oid: u32) -> Result<Vec<CatalogRelation>> {
    let sql = format!(
        "WITH RECURSIVE member(oid) AS (SELECT $1::oid UNION \
         SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN member m ON m.oid = i.inhparent) \
         {FOUND} JOIN member ON member.oid = c.oid WHERE c.relkind IN ('r', 'f') ORDER BY 2, 3"
    );
    let rows = client.query(&sql, &[&oid]).await.doing(LOOKING)?;
    Ok(rows.iter().map(CatalogRelation::of).collect())
}

/// The rest of the question about columns: `input` gives `pos, name, oid, mod, not_null, readable`.
const RESOLVE: &str = "SELECT i.name, i.not_null, i.readable, format_type(i.oid, i.mod), format_type(b.oid, b.mod), \
    CASE WHEN bn.nspname = 'pg_catalog' THEN bt.typname::text ELSE bn.nspname || '.' || bt.typname END, \
    bt.typtype::text, b.mod, \
    CASE WHEN en.nspname = 'pg_catalog' THEN e.typname::text ELSE en.nspname || '.' || e.typname END, e.typtype::text, i.pos \
    FROM input i CROSS JOIN LATERAL ( \
      WITH RECURSIVE base(oid, mod) AS ( \
        SELECT i.oid, i.mod UNION ALL \
        SELECT t.typbasetype, CASE WHEN base.mod >= 0 THEN base.mod ELSE t.typtypmod END \
        FROM base JOIN pg_catalog.pg_type t ON t.oid = base.oid WHERE t.typtype = 'd') \
      SELECT base.oid, base.mod FROM base JOIN pg_catalog.pg_type t ON t.oid = base.oid WHERE t.typtype <> 'd') b \
    JOIN pg_catalog.pg_type bt ON bt.oid = b.oid JOIN pg_catalog.pg_namespace bn ON bn.oid = bt.typnamespace \
    LEFT JOIN pg_catalog.pg_type e ON e.oid = bt.typelem AND e.typarray = bt.oid \
    LEFT JOIN pg_catalog.pg_namespace en ON en.oid = e.typnamespace \
    ORDER BY i.pos";

/// A column before it is decided how it travels.
#[derive(Clone, Debug)]
pub(super) struct RawColumn {
    pub(super) name: String,
    /// Its place: in a table it stays the same whatever happens to other columns and to its name.
    pub(super) number: i32,
    pub(super) not_null: bool,
    /// Whether this user may read it.
    pub(super) readable: bool,
    pub(super) described: CatalogType,
}

impl RawColumn {
    fn of(row: &Row) -> Self {
        let element: Option<String> = row.get(8);
        Self {
            name: row.get(0),
            not_null: row.get(1),
            readable: row.get(2),
            number: row.get(10),
            described: CatalogType {
                declared: row.get(3),
                full_name: row.get(4),
                name: row.get(5),
                class: row.get(6),
                modifier: row.get(7),
                element: element.zip(row.get::<_, Option<String>>(9)),
            },
        }
    }

    /// How it will be read.
    pub(super) fn column(&self, declared: Option<&DataType>) -> Column {
        column(&self.name, &self.described, self.not_null, declared)
    }
}

/// All columns of a relation, also those this user may not read.
pub(super) async fn table_columns(client: &Client, oid: u32) -> Result<Vec<RawColumn>> {
    let sql = format!(
        "WITH input AS (SELECT a.attnum::int4 AS pos, a.attname::text AS name, a.atttypid AS oid, a.atttypmod AS mod, \
         a.attnotnull AS not_null, coalesce(has_column_privilege(a.attrelid, a.attnum, 'SELECT'), true) AS readable FROM pg_catalog.pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 \
         AND NOT a.attisdropped) {RESOLVE}"
    );
    let rows = client.query(&sql, &[&oid]).await.doing(LOOKING)?;
    Ok(rows.iter().map(RawColumn::of).collect())
}

/// The columns of a relation that may be read.
pub(super) async fn readable_columns(client: &Client, oid: u32) -> Result<Vec<RawColumn>> {
    let mut columns = table_columns(client, oid).await?;
    columns.retain(|column| column.readable);
    Ok(columns)
}

/// The columns a prepared query gives.
pub(super) async fn query_columns(
    client: &Client,
    statement: &Statement,
) -> Result<Vec<RawColumn>> {
    let names: Vec<&str> = statement
        .columns()
        .iter()
        .map(tokio_postgres::Column::name)
        .collect();
    let oids: Vec<u32> = statement
        .columns()
        .iter()
        .map(|column| column.type_().oid())
        .collect();
    let modifiers: Vec<i32> = statement
        .columns()
        .iter()
        .map(tokio_postgres::Column::type_modifier)
        .collect();
    let sql = format!(
        "WITH input AS (SELECT u.pos::int4 AS pos, u.name, u.oid, u.mod, false AS not_null, true AS readable \
         FROM unnest($1::text[], $2::oid[], $3::int4[]) WITH ORDINALITY AS u(name, oid, mod, pos)) {RESOLVE}"
    );
    let rows = client
        .query(&sql, &[&names, &oids, &modifiers])
        .await
        .doing(LOOKING)?;
    Ok(rows.iter().map(RawColumn::of).collect())
}

/// The columns of a relation's primary key, in its order.
pub(super) async fn primary_key(client: &Client, oid: u32) -> Result<Vec<String>> {
    let rows = client
        .query(
            "SELECT a.attname::text FROM pg_catalog.pg_index x \
             CROSS JOIN LATERAL unnest(x.indkey::int2[]) WITH ORDINALITY AS k(attnum, pos) \
             JOIN pg_catalog.pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum \
             WHERE x.indrelid = $1 AND x.indisprimary ORDER BY k.pos",
            &[&oid],
        )
        .await
        .doing(LOOKING)?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Columns that lead an index.
pub(super) async fn indexed_columns(client: &Client, oid: u32) -> Result<Vec<String>> {
    let rows = client
        .query(
            "SELECT DISTINCT a.attname::text FROM pg_catalog.pg_index x \
             JOIN pg_catalog.pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[0] \
             WHERE x.indrelid = $1 AND x.indisvalid AND x.indpred IS NULL",
            &[&oid],
        )
        .await
        .doing(LOOKING)?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
