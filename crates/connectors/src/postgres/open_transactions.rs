//! Transactions that may be open at the snapshot and whose numbers rows have that it sees.
//!
//! Promise: on a server that has counted past 2^32 an old row may have the number of a transaction that is
//! still open, and says nothing about it then. A snapshot lists open transactions, but not their
//! subtransactions (savepoints); the server is asked for the state of these. Where a transaction ended
//! between snapshot and answer, every number from its own on is in doubt. It decides nothing: `cursor.rs`.

use tokio_postgres::Client;

use super::error::{ErrorContext as _, Result};
use super::transactions::{Moment, ROUND, Ranges, counted_from, written_since};

/// So many numbers are kept.
const MOST_NUMBERS: usize = 1_000;
/// The server tells the state of a transaction from this version on.
const TELLS_STATES: i32 = 100_000;

/// Which transactions from the horizon on were seen, and which may be open although rows have their
/// numbers; `None` when there are too many to keep.
pub(super) async fn seen_and_open(
    client: &Client,
    source: &str,
    moment: &Moment,
) -> Result<Option<(Ranges, Vec<i64>)>> {
    let Some(seen) = Ranges::seen(client, source, (moment.horizon, moment.next)).await? else {
        return Ok(None);
    };
    let open = shared_with_rows(client, source, moment).await?;
    Ok(open.map(|open| (seen.without(&open), open)))
}

/// The numbers from the horizon on that rows have although their transactions may be open; `None` when
/// there are too many.
async fn shared_with_rows(
    client: &Client,
    source: &str,
    moment: &Moment,
) -> Result<Option<Vec<i64>>> {
    if moment.next <= ROUND || moment.horizon >= moment.next {
        return Ok(Some(Vec::new()));
    }
    let tells_states = moment.version >= TELLS_STATES;
    let doing = "asking for open transactions";
    let sql = "SELECT txid_snapshot_xip(txid_current_snapshot())";
    let rows = client.query(sql, &[]).await.doing(doing)?;
    let open: Vec<String> = rows
        .iter()
        .map(|row| row.get::<_, i64>(0).to_string())
        .collect();
    let open = format!("'{{{}}}'::int8[]", open.join(","));
    let is_open = match tells_states {
        true => format!("x = ANY ({open}) OR pg_catalog.txid_status(x) = 'in progress'"),
        false => format!("x = ANY ({open})"),
    };
    let mut shared = numbers(client, source, moment, &is_open).await?;
    // A standby's snapshot does not list open transactions.
    let first_ended = match (moment.standby, tells_states) {
        (true, _) => Some(moment.horizon),
        (false, tells_states) => {
            let ended = match tells_states {
                true => "pg_catalog.txid_status(x) IS DISTINCT FROM 'in progress'",
                false => "true",
            };
            let sql = format!("SELECT min(x) FROM unnest({open}) AS x WHERE {ended}");
            client.query_one(&sql, &[]).await.doing(doing)?.get(0)
        }
    };
    if let Some(first) = first_ended {
        let in_doubt = match tells_states {
            true => format!("x >= {first} AND pg_catalog.txid_status(x) = 'committed'"),
            false => format!("x >= {first}"),
        };
        shared.extend(numbers(client, source, moment, &in_doubt).await?);
        shared.sort_unstable();
        shared.dedup();
    }
    Ok((shared.len() <= MOST_NUMBERS).then_some(shared))
}

async fn numbers(
    client: &Client,
    source: &str,
    moment: &Moment,
    condition: &str,
) -> Result<Vec<i64>> {
    let horizon = moment.horizon;
    let sql = format!(
        "SELECT x FROM (SELECT DISTINCT {horizon} + {} AS x FROM {source} WHERE {}) d WHERE {condition} ORDER BY x LIMIT {}",
        counted_from(horizon),
        written_since(horizon, moment.next),
        MOST_NUMBERS + 1
    );
    let rows = client
        .query(&sql, &[])
        .await
        .doing("asking for rows with the numbers of open transactions")?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
