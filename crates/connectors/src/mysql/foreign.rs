//! Foreign keys through which a write would change rows of other tables behind the user's back.
//!
//! Promise: a write whose deletions or updates another table would follow (`CASCADE`, `SET NULL`) is refused.
//! What this user may see is found in the catalogue; a user with PROCESS is also told of keys of tables that it
//! cannot see. It changes nothing. Read next: `writer.rs`, which asks before rows come and before the commit.

use super::align::same;
use super::catalog::CatalogTable;
use super::error::{MysqlError, Result};
use super::literal::text;
use super::session::Session;
use crate::relational::effects::Effects;

const LOOKING: &str = "looking at foreign keys";
/// Rules of a key as InnoDB stores them.
const ON_DELETE: u64 = 1 | 2;
const ON_UPDATE: u64 = 4 | 8;

/// A foreign key of another table, and what that table does when a row here changes.
struct Key {
    /// Its database and its name.
    id: String,
    name: String,
    other: String,
    follows_deletes: bool,
    follows_updates: bool,
    /// SQL that gives the columns that it refers to.
    columns: String,
}

/// Refuses a write whose effects other tables would follow.
pub(super) async fn refuse_cascades(
    session: &mut Session,
    found: &CatalogTable,
    effects: &Effects,
) -> Result<()> {
    if effects.are_none() {
        return Ok(());
    }
    let mut keys = visible(session, found).await?;
    let others = hidden(session, found).await?.into_iter();
    let others: Vec<Key> = others
        .filter(|other| keys.iter().all(|key| key.id != other.id))
        .collect();
    keys.extend(others);
    for key in keys {
        let refused = |done| MysqlError::Cascade {
            table: found.name.clone(),
            done,
            constraint: key.name.clone(),
            other: key.other.clone(),
        };
        if effects.deletes && key.follows_deletes {
            return Err(refused("deleted"));
        }
        if effects.updates.is_empty() || !key.follows_updates {
            continue;
        }
        for row in session.rows(&key.columns, LOOKING).await? {
            let column = row.into_iter().next().flatten().unwrap_or_default();
            if effects.updates.iter().any(|updated| same(updated, &column)) {
                return Err(refused("updated"));
            }
        }
    }
    Ok(())
}

/// The keys that this user may see.
async fn visible(session: &mut Session, found: &CatalogTable) -> Result<Vec<Key>> {
    let (database, name) = (text(&found.database), text(&found.name));
    let rules = "('CASCADE', 'SET NULL', 'SET DEFAULT')";
    let sql = format!(
        "SELECT constraint_schema, constraint_name, table_name, delete_rule IN {rules}, update_rule IN {rules} \
         FROM information_schema.referential_constraints \
         WHERE unique_constraint_schema = {database} AND referenced_table_name = {name}"
    );
    let rows = session.rows(&sql, LOOKING).await?;
    Ok(rows.into_iter().filter_map(visible_key).collect())
}

fn visible_key(row: Vec<Option<String>>) -> Option<Key> {
    let row: [Option<String>; 5] = row.try_into().ok()?;
    let [Some(schema), Some(name), Some(other), deletes, updates] = row else {
        return None;
    };
    let columns = format!(
        "SELECT referenced_column_name FROM information_schema.key_column_usage \
         WHERE constraint_schema = {} AND constraint_name = {} AND table_name = {}",
        text(&schema),
        text(&name),
        text(&other)
    );
    Some(Key {
        id: format!("{schema}/{name}"),
        follows_deletes: deletes.as_deref() == Some("1"),
        follows_updates: updates.as_deref() == Some("1"),
        name,
        other,
        columns,
    })
}

/// The keys that InnoDB knows, for a user who may ask it; nothing for others.
async fn hidden(session: &mut Session, found: &CatalogTable) -> Result<Vec<Key>> {
    let (database, name) = (text(&found.database), text(&found.name));
    // MariaDB has names there as it writes them in names of files.
    let (view, database, name, other) = match session.is_mariadb() {
        true => {
            let file = |part: String| format!("CAST(CONVERT({part} USING filename) AS BINARY)");
            let part = |at: i8| {
                format!(
                    "CONVERT(CONVERT(CAST(SUBSTRING_INDEX(for_name, '/', {at}) AS BINARY) USING filename) USING utf8mb4)"
                )
            };
            let other = format!("CONCAT({}, '.', {})", part(1), part(-1));
            ("innodb_sys_foreign", file(database), file(name), other)
        }
        false => {
            let bytes = |part: String| format!("CAST({part} AS BINARY)");
            let other = "REPLACE(for_name, '/', '.')".to_owned();
            ("innodb_foreign", bytes(database), bytes(name), other)
        }
    };
    let sql = format!(
        "SELECT id, {other}, CAST(type AS char) FROM information_schema.{view} \
         WHERE CAST(ref_name AS BINARY) = CONCAT({database}, '/', {name})"
    );
    let rows = match session.rows(&sql, LOOKING).await {
        // A user without PROCESS, or a server without this view.
        Err(MysqlError::NoRight { .. } | MysqlError::Server { code: 1109, .. }) => Vec::new(),
        rows => rows?,
    };
    let is_mariadb = session.is_mariadb();
    let keys = rows.into_iter();
    Ok(keys
        .filter_map(|row| hidden_key(row, (view, is_mariadb)))
        .collect())
}

fn hidden_key(row: Vec<Option<String>>, (view, is_mariadb): (&str, bool)) -> Option<Key> {
    let row: [Option<String>; 3] = row.try_into().ok()?;
    let [Some(id), Some(other), Some(rules)] = row else {
        return None;
    };
    let rules: u64 = rules.parse().ok()?;
    // MySQL 8.0.15 has 0 for every key here: what a key does that only this view has is not known then.
    let unknown = rules == 0 && !is_mariadb;
    Some(Key {
        name: id.split('/').next_back().unwrap_or(&id).to_owned(),
        follows_deletes: unknown || rules & ON_DELETE != 0,
        follows_updates: unknown || rules & ON_UPDATE != 0,
        columns: format!(
            "SELECT ref_col_name FROM information_schema.{view}_cols WHERE id = {}",
            text(&id)
        ),
        id,
        other,
    })
}
