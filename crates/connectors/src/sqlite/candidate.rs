//! A candidate as a source: reads through the writer's own connection, inside its open transaction.
//!
//! Promise: it sees what readers would see after the commit (or only the new rows). One stream of it runs
//! at a time: two must not wait for each other. It changes nothing.

use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use async_trait::async_trait;
use rusqlite::Connection;
use towpath_ports::{InputVersion, Memory, ReadSpec, Reader, Source};
use towpath_vocab::{Failure, Position, RawRecord, ReadMode, Selection, TableName};

use super::catalog;
use super::error::{Result, SqliteError};
use super::names::quoted;
use super::pump::{Piece, Query, TableReader, batch_bytes};
use super::session::Session;
use super::source::{Subject, choose, shape};
use super::types::{Column, Raw};

/// What a candidate shows.
#[derive(Clone)]
pub(super) enum View {
    Table(String),
    /// The new rows; their types are those of the rows.
    Stage {
        sql: String,
        schema: SchemaRef,
    },
}

/// A candidate and the session that holds it.
pub(super) struct CandidateSession {
    pub(super) session: Session,
    pub(super) view: View,
    pub(super) object: String,
    pub(super) memory: Arc<dyn Memory>,
}

fn look(
    connection: &Connection,
    view: &View,
    spec: &ReadSpec,
    shown: &str,
) -> Result<(Subject, Vec<Column>)> {
    let (subject, spec) = match view {
        View::Table(name) => (
            Subject::of_table(catalog::find(connection, name, shown)?),
            spec.clone(),
        ),
        View::Stage { sql, schema } => {
            let raw = catalog::query_columns(connection, sql)?;
            // As the table would declare them.
            let declared = |name: &str| {
                let field = schema.fields().iter().find(|field| field.name() == name)?;
                super::stage::stored_as(field.data_type())
            };
            let raw = raw
                .into_iter()
                .map(|raw| Raw {
                    declared: declared(&raw.name).unwrap_or_default(),
                    ..raw
                })
                .collect();
            let subject = Subject {
                object: "the new rows".to_owned(),
                from: format!("({sql})"),
                raw,
                rowid: None,
            };
            (
                subject,
                ReadSpec {
                    known: Some(Arc::clone(schema)),
                    ..spec.clone()
                },
            )
        }
    };
    let columns = choose(connection, &subject, &spec, shown)?;
    Ok((subject, columns))
}

impl CandidateSession {
    /// Its columns.
    pub(super) async fn schema(&self) -> Result<SchemaRef> {
        let (view, shown) = (self.view.clone(), self.session.shown.clone());
        let spec = everything(&self.object);
        self.session
            .run(move |connection| {
                let (_, columns) = look(connection, &view, &spec, &shown)?;
                Ok(Arc::new(Schema::new(
                    columns.iter().map(Column::field).collect::<Vec<_>>(),
                )))
            })
            .await
    }
}

fn everything(object: &str) -> ReadSpec {
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
        options: std::collections::BTreeMap::new(),
        parallel: 1,
        batch_rows: 8192,
        batch_bytes: 4 << 20,
        may_repeat: false,
    }
}

#[async_trait]
impl Source for CandidateSession {
    async fn open(
        &self,
        spec: &ReadSpec,
        _: Option<&Position>,
    ) -> std::result::Result<Box<dyn Reader>, Failure> {
        let (view, shown, asked) = (self.view.clone(), self.session.shown.clone(), spec.clone());
        let (subject, columns) = self
            .session
            .run(move |connection| look(connection, &view, &asked, &shown))
            .await?;
        let names: Vec<String> = columns.iter().map(|column| quoted(&column.name)).collect();
        let limit = spec
            .limit
            .map_or_else(String::new, |limit| format!(" LIMIT {limit}"));
        let piece = Piece {
            id: self.object.clone(),
            session: self.session.clone(),
            queries: vec![Query {
                sql: format!("SELECT {} FROM {}{limit}", names.join(", "), subject.from),
                params: Vec::new(),
                first: 0,
                given: None,
            }],
        };
        let bytes = batch_bytes(spec.batch_bytes, 1, self.memory.as_ref());
        Ok(Box::new(TableReader {
            shape: shape(spec, self.object.clone(), &columns, bytes),
            pieces: vec![piece],
            memory: Arc::clone(&self.memory),
            position: Position::default(),
            notes: Vec::new(),
        }))
    }

    async fn version(&self, _: &ReadSpec) -> std::result::Result<Option<InputVersion>, Failure> {
        Ok(None)
    }

    async fn replay(
        &self,
        _: &ReadSpec,
        _: Vec<RawRecord>,
    ) -> std::result::Result<Box<dyn Reader>, Failure> {
        Err(SqliteError::Misused {
            reason: "rejects rows, not text: there is nothing to parse again",
        }
        .into())
    }
}
