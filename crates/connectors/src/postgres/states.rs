//! What tells a target from one that others changed: its number, its rows, and which transactions wrote them.
//!
//! Promise: rows that others wrote since the look before a commit are counted, by the snapshot of that look
//! which is stored with the commit; none is missed, also not one of a savepoint. Nothing is counted under the
//! lock unless the write deletes because of a count. It decides nothing. Read next:
//! `docs/decisions/0011-targets.md`.

use std::fmt;

use tokio_postgres::Client;
use towpath_ports::{PreparedStats, StateBeforeWrite, TableState};
use towpath_vocab::WriteMode;

use super::catalog::{CatalogRelation, look_up};
use super::error::{ErrorContext as _, PgError, Result};
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
    let known = left.and_then(|left| Moment::read(left.moment.as_deref()?));
    let compared = match &known {
        Some(moment) if is_heap(client, &found).await? => Some(moment),
        _ => None,
    };
    let Counted {
        rows,
        newer,
        snapshot,
    } = count(client, &found, compared).await?;
    let own = known.map_or_else(Vec::new, |moment| moment.own);
    let moment = snapshot.map(|snapshot| Moment { snapshot, own }.to_string());
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
        moment,
    }))
}

/// What a commit leaves that was planned after this look: worked out, not counted, unless triggers or
/// rules decide row by row. To be asked in the transaction that wrote, under its lock.
pub(super) async fn leaves(
    writing: &Writing,
    before: &StateBeforeWrite,
    (mode, stats): (WriteMode, &PreparedStats),
) -> Result<Option<TableState>> {
    let client = writing.client();
    let Some(found) = look_up(client, &writing.relation).await? else {
        return Ok(None);
    };
    let rows = match found.can_read && writing.interferes().await? {
        true => count(client, &found, None).await?.rows,
        false => before.rows_after(mode, stats),
    };
    let moment = match &before.table {
        Some(looked) => looked.moment.as_deref().and_then(Moment::read),
        None => Some(Moment::before_all()),
    };
    let moment = match moment {
        Some(mut moment) => {
            let row = client.query_one("SELECT txid_current()", &[]).await;
            let row = row.doing("asking for the number of a transaction")?;
            moment.own.push(row.get::<_, i64>(0).unsigned_abs());
            Some(moment.to_string())
        }
        None => None,
    };
    Ok(Some(TableState {
        identity: identity(&found),
        rows: rows.filter(|_| is_table(&found)),
        moment,
        newer: None,
    }))
}

/// The snapshot of a look, and the transactions of this step that it does not tell from those of others:
/// the one that commits after it, and earlier ones while others have been running since before them.
struct Moment {
    snapshot: String,
    own: Vec<u64>,
}

impl Moment {
    /// No transaction had ended: there was no table.
    fn before_all() -> Self {
        Self {
            snapshot: "1:1:".to_owned(),
            own: Vec::new(),
        }
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let snapshot = parts.next()?;
        let is_part = |c: char| c.is_ascii_digit() || matches!(c, ':' | ',');
        let own: Result<Vec<u64>, _> = parts.map(str::parse).collect();
        snapshot.chars().all(is_part).then_some(())?;
        Some(Self {
            snapshot: snapshot.to_owned(),
            own: own.ok()?,
        })
    }

    /// The oldest transaction that was running; every older one had ended.
    fn oldest_running(&self) -> Option<u64> {
        self.snapshot.split(':').next()?.parse().ok()
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.snapshot)?;
        let oldest = self.oldest_running();
        let unclear = self.own.iter().filter(|own| Some(**own) >= oldest);
        unclear.into_iter().try_for_each(|own| write!(f, " {own}"))
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

/// What a scan of a table found; nothing where it may not be scanned.
#[derive(Default)]
struct Counted {
    rows: Option<u64>,
    newer: Option<u64>,
    /// What the scan saw.
    snapshot: Option<String>,
}

/// The rows of a table itself, and how many of them others wrote since a moment. Those of tables that
/// inherit from it are not its own, those of its partitions are.
async fn count(
    client: &Client,
    found: &CatalogRelation,
    moment: Option<&Moment>,
) -> Result<Counted> {
    if !found.can_read || !is_table(found) {
        return Ok(Counted::default());
    }
    let only = if found.kind == "p" { "" } else { "ONLY " };
    let table = format!("{only}{}", found.relation.sql());
    let is_compared = moment.is_some();
    let sql = match moment {
        None => format!("SELECT count(*), 0::bigint, txid_current_snapshot()::text FROM {table}"),
        // `xmin` has the lower half of a transaction's number: a row cannot be younger than the newest.
        // Numbers below 3 are rows that were old when the server was upgraded. A snapshot does not have the
        // numbers of savepoints: from the oldest transaction that was running on, nobody can say which had
        // ended, so all but the step's own count as newer.
        Some(moment @ Moment { snapshot, .. }) => format!(
            "SELECT count(*), count(*) FILTER (WHERE w.low > 2 AND w.id <> ALL (s.own) \
                 AND w.id >= txid_snapshot_xmin(s.snapshot)), txid_current_snapshot()::text \
             FROM {table} t \
             CROSS JOIN (SELECT '{snapshot}'::txid_snapshot AS snapshot, '{{{own}}}'::bigint[] AS own, \
                 txid_snapshot_xmax(txid_current_snapshot()) AS newest) s \
             CROSS JOIN LATERAL (SELECT t.xmin::text::bigint AS low, \
                 s.newest - ((s.newest - t.xmin::text::bigint) & 4294967295) AS id) w",
            own = moment
                .own
                .iter()
                .map(u64::to_string)
                .collect::<Vec<_>>()
                .join(",")
        ),
    };
    let row = client.query_one(&sql, &[]).await;
    let doing = format!("counting the rows of `{}`", found.relation);
    let row = row.map_err(|error| PgError::about_table(&error, &doing, &found.relation))?;
    let number = |at: usize| row.get::<_, i64>(at).unsigned_abs();
    Ok(Counted {
        rows: Some(number(0)),
        newer: is_compared.then(|| number(1)),
        snapshot: Some(row.get(2)),
    })
}
