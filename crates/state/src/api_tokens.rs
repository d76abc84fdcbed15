//! Tokens of the HTTP API: functions over an open transaction.
//!
//! Promise: a name has one valid token in an environment; a revoked one stays in the list and its name is free
//! again. Only the hash of a secret passes through here, and it is compared elsewhere (`app`). Read next:
//! `api_store.rs`.

use towpath_ports::{ApiToken, NewApiToken};
use towpath_vocab::Environment;

use crate::error::StateError;
use crate::tx::{Row, Tx, cells};

const TOKEN: &str = "SELECT id, name, scope, created_us, created_by, revoked_us, revoked_by, hash
    FROM api_token WHERE environment = ?1";

/// Stores a token, unless a valid one has its name.
pub(crate) async fn create(
    tx: &Tx<'_>,
    token: &NewApiToken,
) -> Result<Option<ApiToken>, StateError> {
    let environment = token.environment.as_str();
    let valid = format!("{TOKEN} AND name = ?2 AND revoked_us IS NULL");
    let valid = tx.one(&valid, cells![environment, &token.name]).await?;
    if valid.is_some() {
        return Ok(None);
    }
    tx.execute(
        "INSERT INTO api_token (environment, id, name, scope, hash, created_us, created_by)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        cells![
            environment,
            &token.id,
            &token.name,
            token.scope.as_str(),
            &token.hash,
            tx.now_us,
            &token.by
        ],
    )
    .await?;
    Ok(one(tx, &token.environment, &token.id)
        .await?
        .map(|(token, _)| token))
}

/// All tokens, oldest first.
pub(crate) async fn list(
    tx: &Tx<'_>,
    environment: &Environment,
) -> Result<Vec<ApiToken>, StateError> {
    let all = format!("{TOKEN} ORDER BY created_us, id");
    let rows = tx.rows(&all, cells![environment.as_str()]).await?;
    rows.iter().map(token).collect()
}

/// A token and the hash of its secret.
pub(crate) async fn one(
    tx: &Tx<'_>,
    environment: &Environment,
    id: &str,
) -> Result<Option<(ApiToken, String)>, StateError> {
    let found = format!("{TOKEN} AND id = ?2");
    let found = tx.one(&found, cells![environment.as_str(), id]).await?;
    let read = |row: Row| Ok((token(&row)?, row.text(7)?.to_owned()));
    found.map(read).transpose()
}

/// Revokes the valid token with this name.
pub(crate) async fn revoke(
    tx: &Tx<'_>,
    environment: &Environment,
    name: &str,
    by: &str,
) -> Result<Option<ApiToken>, StateError> {
    let lock = tx.only_on_server("FOR UPDATE");
    let valid = format!("{TOKEN} AND name = ?2 AND revoked_us IS NULL {lock}");
    let Some(found) = tx.one(&valid, cells![environment.as_str(), name]).await? else {
        return Ok(None);
    };
    let id = found.text(0)?;
    tx.execute(
        "UPDATE api_token SET revoked_us = ?3, revoked_by = ?4 WHERE environment = ?1 AND id = ?2",
        cells![environment.as_str(), id, tx.now_us, by],
    )
    .await?;
    Ok(one(tx, environment, id).await?.map(|(token, _)| token))
}

fn token(row: &Row) -> Result<ApiToken, StateError> {
    let scope = row.text(2)?.parse();
    Ok(ApiToken {
        id: row.text(0)?.to_owned(),
        name: row.text(1)?.to_owned(),
        scope: scope.map_err(|detail| StateError::Stored {
            what: "token",
            detail,
        })?,
        created_us: row.int(3)?,
        by: row.text(4)?.to_owned(),
        revoked_us: row.maybe_int(5)?,
        revoked_by: row.maybe_text(6)?.map(str::to_owned),
    })
}
