//! What SQLite adds to a candidate (`relational/candidate.rs`): its columns, and queries through the
//! writer's own connection.
//!
//! Promise: new rows have the types that the table's declarations give them. It changes nothing.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use rusqlite::Connection;
use towpath_ports::{Memory, ReadSpec, Reader};
use towpath_vocab::Position;

use super::catalog;
use super::error::{Result, SqliteError};
use super::names::quoted;
use super::pump::{Piece, Queries, Query};
use super::session::Session;
use super::source::{Subject, choose};
use super::stage::stored_as;
use super::types::{Column, Raw};
use crate::relational::candidate::{CandidateSession, View};
use crate::relational::reader::{ReadLayout, TableReader};

/// The session that holds a candidate.
pub(super) struct SqliteCandidate {
    pub(super) session: Session,
    pub(super) table: String,
    /// The columns of the new rows.
    pub(super) schema: SchemaRef,
    pub(super) memory: Arc<dyn Memory>,
}

/// The new rows as a subject of a read.
fn new_rows(connection: &Connection, query: &str, schema: &SchemaRef) -> Result<Subject> {
    // As the table would declare them.
    let declared = |name: &str| {
        let field = schema.fields().iter().find(|field| field.name() == name)?;
        stored_as(field.data_type())
    };
    let raw = catalog::query_columns(connection, query)?.into_iter();
    let raw = raw.map(|raw| Raw {
        declared: declared(&raw.name).unwrap_or_default(),
        ..raw
    });
    Ok(Subject {
        object: "the new rows".to_owned(),
        from: format!("({query})"),
        raw: raw.collect(),
        rowid: None,
    })
}

#[async_trait]
impl CandidateSession for SqliteCandidate {
    type Error = SqliteError;
    type Column = Column;

    fn table(&self) -> String {
        quoted(&self.table)
    }

    fn object(&self) -> String {
        self.table.clone()
    }

    async fn columns(&self, view: &View, spec: &ReadSpec) -> Result<Vec<Column>> {
        let (view, mut spec) = (view.clone(), spec.clone());
        let (table, schema) = (self.table.clone(), Arc::clone(&self.schema));
        let shown = self.session.shown.clone();
        let query = move |connection: &Connection| {
            let subject = match view {
                View::Table => Subject::of_table(catalog::find(connection, &table, &shown)?),
                View::NewRows(query) => {
                    let subject = new_rows(connection, &query, &schema)?;
                    spec.known = Some(schema);
                    subject
                }
            };
            choose(connection, &subject, &spec, &shown)
        };
        self.session.run(query).await
    }

    fn reader(&self, spec: &ReadSpec, columns: Vec<Column>, query: String) -> Box<dyn Reader> {
        let memory = (1, self.memory.as_ref());
        let reads = Queries {
            layout: ReadLayout::of(spec, self.object(), &columns, memory),
            memory: Arc::clone(&self.memory),
        };
        let piece = Piece {
            id: self.object(),
            session: self.session.clone(),
            queries: vec![Query {
                sql: query,
                params: Vec::new(),
                first: 0,
                given: None,
            }],
        };
        Box::new(TableReader {
            reads,
            pieces: vec![piece],
            position: Position::default(),
            notes: Vec::new(),
        })
    }
}
