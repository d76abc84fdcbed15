//! What DuckDB adds to a candidate (`relational/candidate.rs`): its columns, and queries through the session that wrote.
//!
//! Promise: new rows have the types of the stage. It changes nothing, and cancels nothing of the write.

use std::sync::Arc;

use async_trait::async_trait;
use towpath_ports::{Memory, ReadSpec, Reader};
use towpath_vocab::Position;

use super::error::{AdbcError, Result};
use super::pump::{Filter, Piece, Queries, Query};
use super::session::Session;
use super::subject::Subject;
use super::target::Target;
use super::types::Column;
use super::vendor::Vendor;
use crate::relational::candidate::{CandidateSession, View};
use crate::relational::reader::{ReadLayout, TableReader};

/// The session that holds a candidate.
pub(super) struct AdbcCandidate {
    pub(super) session: Session,
    pub(super) target: Target,
    pub(super) memory: Arc<dyn Memory>,
}

#[async_trait]
impl CandidateSession for AdbcCandidate {
    type Error = AdbcError;
    type Column = Column;

    fn table(&self) -> String {
        self.target.sql()
    }

    fn object(&self) -> String {
        self.target.shown()
    }

    async fn columns(&self, view: &View, spec: &ReadSpec) -> Result<Vec<Column>> {
        let (object, from) = match view {
            View::Table => (self.object(), self.target.sql()),
            View::NewRows(query) => ("the new rows".to_owned(), format!("({query}) q")),
        };
        let spec = spec.clone();
        let columns = self.session.run(move |work| {
            let subject = Subject {
                object,
                from,
                raws: Vec::new(),
                table: None,
                vendor: Vendor::DuckDb,
            };
            subject.with_columns(work)?.choose(work, &spec)
        });
        columns.await
    }

    fn reader(&self, spec: &ReadSpec, columns: Vec<Column>, query: String) -> Box<dyn Reader> {
        let memory = (1, self.memory.as_ref());
        let layout = ReadLayout::of(spec, self.object(), &columns, memory);
        let columns: Arc<[Column]> = columns.into();
        let reads = Queries {
            layout,
            columns: Arc::clone(&columns),
            memory: Arc::clone(&self.memory),
        };
        let piece = Piece {
            id: self.object(),
            session: self.session.clone(),
            queries: vec![Query {
                columns,
                sql: query,
                first: 0,
                filter: Filter::default(),
            }],
            limit: spec.limit,
            of_write: true,
        };
        Box::new(TableReader {
            reads,
            pieces: vec![piece],
            position: Position::default(),
            notes: Vec::new(),
        })
    }
}
