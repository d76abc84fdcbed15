//! A candidate as a source: a finished write, read through the session that holds its transaction.
//!
//! Promise: it shows exactly what readers would see after the commit (or only the rows of this write), with
//! the types that a read of the table would give. It is one piece: streams of two candidates must not wait
//! for each other. It changes nothing. What a database provides is a `CandidateSession`; the two are in
//! `postgres/candidate.rs` and `sqlite/candidate.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use towpath_ports::{Candidate, InputVersion, ReadSpec, Reader, RejectedRecord, Source};
use towpath_vocab::{Failure, Position, ReadMode, Selection, TableName, WriteMode};

use super::align::Alignment;
use super::dialect::Dialect;
use super::fault::RelationalError;
use super::reader::{ReadColumn, limit, schema_of, select_list};
use super::statements::OP;

/// What a candidate shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// The table.
    Table,
    /// A query for the rows of this write.
    NewRows(String),
}

impl View {
    /// The rows of a write, as they are in the stage. Rows that a merge deletes are not among them.
    pub(crate) fn of_stage(dialect: &dyn Dialect, alignment: &Alignment, mode: WriteMode) -> Self {
        let columns = alignment.columns.iter();
        let list: Vec<String> = columns
            .map(|column| format!("{} AS {}", column.value, column.target))
            .collect();
        let filter = match mode {
            WriteMode::Merge => format!(" WHERE s.{OP} <> 2"),
            _ => String::new(),
        };
        Self::NewRows(format!(
            "SELECT {} FROM {} s{filter}",
            list.join(", "),
            dialect.stage()
        ))
    }
}

/// A session in the middle of the transaction that wrote.
#[async_trait]
pub(crate) trait CandidateSession: Send + Sync + 'static {
    /// What fails.
    type Error: RelationalError;
    /// A column of a read.
    type Column: ReadColumn;

    /// The table in SQL.
    fn table(&self) -> String;

    /// As a person names it.
    fn object(&self) -> String;

    /// The columns of a view, as a read by `spec` gives them.
    async fn columns(&self, view: &View, spec: &ReadSpec)
    -> Result<Vec<Self::Column>, Self::Error>;

    /// Reads the rows of one query for these columns, as one piece.
    fn reader(&self, spec: &ReadSpec, columns: Vec<Self::Column>, query: String)
    -> Box<dyn Reader>;
}

/// A candidate that can be read.
struct CandidateSource<S> {
    session: S,
    view: View,
}

/// A view of a finished write.
pub(crate) async fn candidate<S: CandidateSession>(
    session: S,
    view: View,
) -> Result<Candidate, S::Error> {
    let columns = session.columns(&view, &all(&session.object())).await?;
    Ok(Candidate {
        schema: schema_of(&columns),
        source: Arc::new(CandidateSource { session, view }),
        native: Arc::new(()),
    })
}

#[async_trait]
impl<S: CandidateSession> Source for CandidateSource<S> {
    async fn open(
        &self,
        spec: &ReadSpec,
        _: Option<&Position>,
    ) -> Result<Box<dyn Reader>, Failure> {
        let columns = self.session.columns(&self.view, spec).await;
        let columns = columns.map_err(Into::<Failure>::into)?;
        let from = match &self.view {
            View::Table => self.session.table(),
            View::NewRows(query) => format!("({query}) AS q"),
        };
        let query = format!(
            "SELECT {} FROM {from}{}",
            select_list(&columns),
            limit(spec.limit)
        );
        Ok(self.session.reader(spec, columns, query))
    }

    async fn version(&self, _: &ReadSpec) -> Result<Option<InputVersion>, Failure> {
        Ok(None)
    }

    async fn replay(
        &self,
        _: &ReadSpec,
        _: Vec<RejectedRecord>,
    ) -> Result<Box<dyn Reader>, Failure> {
        Err(S::Error::misused("rejects rows, not text: there is nothing to parse again").into())
    }
}

/// A read of everything, to learn the columns.
fn all(object: &str) -> ReadSpec {
    ReadSpec {
        table: TableName::new("candidate", object),
        selection: Selection::Object(object.to_owned()),
        mode: ReadMode::Full,
        cursor: None,
        declared: Vec::new(),
        known: None,
        observed: None,
        projection: None,
        limit: None,
        options: BTreeMap::new(),
        parallel: 1,
        batch_rows: 8192,
        batch_bytes: 4 << 20,
        may_repeat: false,
    }
}
