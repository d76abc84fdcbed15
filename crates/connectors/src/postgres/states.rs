//! What tells a target from one that others changed: its number, its rows, and which transactions wrote them.
//!
//! Promise: rows that others wrote since a commit are counted exactly, by the snapshot that is stored with
//! the commit; nothing is counted under the lock unless the write deletes because of a count. It decides
//! nothing. Read next: `docs/decisions/0011-targets.md`.

use tokio_postgres::Client;
use towpath_ports::{Look, PreparedStats, TableState};
use towpath_vocab::WriteMode;

use super::catalog::{CatalogRelation, look_up};
use super::error::{Doing as _, Result};
use super::names::Relation;
use super::sql::Writing;
use crate::relational::session::Session as _;

/// A table as it is now, compared with what a commit left; `None` when there is none.
pub(super) async fn state(
    client: &Client,
    relation: &Relation,
    left: Option<&TableState>,
) -> Result<Option<TableState>> {
    let Some(found) = look_up(client, relation).await? else {
        return Ok(None);
    };
    let moment = left.and_then(|left| Moment::read(left.moment.as_deref()?));
    let moment = match moment {
        Some(moment) if is_heap(client, &found).await? => Some(moment),
        _ => None,
    };
    let (rows, newer) = count(client, &found, moment).await?;
    let mut identity = identity(&found);
    // `VACUUM FULL` and `CLUSTER` write the rows that were there into another file.
    if let (Some(left), Some(0)) = (left, newer)
        && number(&left.identity) == number(&identity)
    {
        identity.clone_from(&left.identity);
    }
    Ok(Some(TableState {
        identity,
        rows,
        newer,
        moment: None,
    }))
}

/// What a commit leaves that was planned after this look: worked out, not counted, unless triggers or
/// rules decide row by row. To be asked in the transaction that wrote, under its lock.
pub(super) async fn leaves(
    writing: &Writing<'_>,
    look: &Look,
    (mode, stats): (WriteMode, &PreparedStats),
) -> Result<Option<TableState>> {
    let client = writing.client;
    let Some(found) = look_up(client, writing.relation).await? else {
        return Ok(None);
    };
    let rows = match writing.interferes().await? {
        true => count(client, &found, None).await?.0,
        false => look.rows_after(mode, stats),
    };
    let sql = "SELECT txid_current_snapshot()::text || ' ' || txid_current()";
    let row = client.query_one(sql, &[]).await;
    let row = row.doing("asking for the snapshot of a commit")?;
    Ok(Some(TableState {
        identity: identity(&found),
        rows: rows.filter(|_| is_table(&found)),
        moment: Some(row.get(0)),
        newer: None,
    }))
}

/// The snapshot of a commit, and its own transaction.
struct Moment<'a> {
    snapshot: &'a str,
    own: u64,
}

impl<'a> Moment<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (snapshot, own) = text.split_once(' ')?;
        let is_part = |c: char| c.is_ascii_digit() || matches!(c, ':' | ',');
        let own = own.parse().ok()?;
        snapshot
            .chars()
            .all(is_part)
            .then_some(Self { snapshot, own })
    }
}

fn identity(found: &CatalogRelation) -> String {
    format!("{}/{}", found.oid, found.filenode)
}

/// The table's own number, which it keeps when its rows are written into another file.
fn number(identity: &str) -> &str {
    identity.split_once('/').map_or(identity, |(oid, _)| oid)
}

/// True for what can be locked: of anything else nobody can say for how long a count is true.
fn is_table(found: &CatalogRelation) -> bool {
    matches!(found.kind.as_str(), "r" | "p")
}

/// True when every row says which transaction wrote it.
async fn is_heap(client: &Client, found: &CatalogRelation) -> Result<bool> {
    if found.kind != "p" {
        return Ok(found.kind == "r" && found.is_heap);
    }
    let sql = "WITH RECURSIVE m AS (SELECT $1::oid AS oid UNION ALL \
               SELECT i.inhrelid FROM m JOIN pg_catalog.pg_inherits i ON i.inhparent = m.oid) \
               SELECT coalesce(bool_and(coalesce(am.amname = 'heap', false)), true) \
               FROM m JOIN pg_catalog.pg_class c ON c.oid = m.oid LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam \
               WHERE c.relkind <> 'p'";
    let row = client.query_one(sql, &[&found.oid]).await;
    Ok(row.doing("looking at partitions")?.get(0))
}

/// The rows of a table itself, and how many of them others wrote since a moment. Those of tables that
/// inherit from it are not its own, those of its partitions are.
async fn count(
    client: &Client,
    found: &CatalogRelation,
    moment: Option<Moment<'_>>,
) -> Result<(Option<u64>, Option<u64>)> {
    if !found.can_read || !is_table(found) {
        return Ok((None, None));
    }
    let only = if found.kind == "p" { "" } else { "ONLY " };
    let table = format!("{only}{}", found.relation.sql());
    let is_compared = moment.is_some();
    let sql = match moment {
        None => format!("SELECT count(*), 0::bigint FROM {table}"),
        // `xmin` has the lower half of a transaction's number: a row cannot be younger than the newest.
        // Numbers below 3 are rows that were old when the server was upgraded.
        Some(Moment { snapshot, own }) => format!(
            "SELECT count(*), count(*) FILTER (WHERE w.low > 2 AND w.id <> s.own \
                 AND NOT txid_visible_in_snapshot(w.id, s.snapshot)) \
             FROM {table} t \
             CROSS JOIN (SELECT '{snapshot}'::txid_snapshot AS snapshot, {own}::bigint AS own, \
                 txid_snapshot_xmax(txid_current_snapshot()) AS newest) s \
             CROSS JOIN LATERAL (SELECT t.xmin::text::bigint AS low, \
                 s.newest - ((s.newest - t.xmin::text::bigint) & 4294967295) AS id) w"
        ),
    };
    let row = client.query_one(&sql, &[]).await;
    let row = row.doing(&format!("counting the rows of `{}`", found.relation))?;
    let number = |at: usize| row.get::<_, i64>(at).unsigned_abs();
    Ok((Some(number(0)), is_compared.then(|| number(1))))
}
