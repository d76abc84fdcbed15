//! The wire, as the shared algorithms need it: statements and answers of one session.
//!
//! Promise: what is here runs inside the transaction that the session's owner began; an implementation
//! gives its own error, which takes a `Fault`. It knows no connection, no login and no type but these three.

use async_trait::async_trait;

use super::dialect::Dialect;
use super::fault::RelationalError;

/// A parameter, or one value of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Int(i64),
    Text(String),
}

impl Value {
    /// The number; 0 for anything else.
    pub(crate) fn int(&self) -> i64 {
        match self {
            Self::Int(value) => *value,
            _ => 0,
        }
    }

    /// The text; empty for anything else.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            _ => "",
        }
    }
}

/// A session in the middle of a transaction.
#[async_trait]
pub(crate) trait Session: Send + Sync {
    /// What fails.
    type Error: RelationalError;

    /// How this database writes SQL.
    fn dialect(&self) -> &dyn Dialect;

    /// Runs a statement that changes rows; how many it changed.
    async fn execute(&self, sql: &str, params: &[Value], doing: &str) -> Result<u64, Self::Error>;

    /// Asks a question.
    async fn rows(
        &self,
        sql: &str,
        params: &[Value],
        doing: &str,
    ) -> Result<Vec<Vec<Value>>, Self::Error>;

    /// The commit table in SQL.
    fn commits(&self) -> String;

    /// Whether it exists.
    async fn has_commits(&self) -> Result<bool, Self::Error>;

    /// Creates the commit table by `sql`, which creates nothing when the table exists. Several tasks may
    /// do so at once.
    async fn create_commits(&self, sql: &str) -> Result<(), Self::Error>;

    /// Whether this user may delete from the commit table.
    async fn may_prune(&self) -> Result<bool, Self::Error>;

    /// Makes the keys of the stage ready to be compared, before they are judged.
    async fn prepare_keys(&self, keys: &[super::align::Aligned]) -> Result<(), Self::Error>;

    /// Makes the keys of the stage quick to find, after they are judged; `unique` when none repeats.
    async fn index_keys(&self, keys: usize, unique: bool) -> Result<(), Self::Error>;

    /// What the table that is written has until its rows are replaced from outside: when it is the same, no
    /// rows came but by statements. `None` where nothing says so.
    async fn storage(&self) -> Result<Option<String>, Self::Error> {
        Ok(None)
    }

    /// Whether something in the database decides row by row what a write comes to.
    async fn interferes(&self) -> Result<bool, Self::Error>;
}

/// The first number of the first row.
pub(crate) async fn count<S: Session + ?Sized>(
    session: &S,
    sql: &str,
    doing: &str,
) -> Result<i64, S::Error> {
    let rows = session.rows(sql, &[], doing).await?;
    Ok(rows
        .first()
        .and_then(|row| row.first())
        .map_or(0, Value::int))
}
