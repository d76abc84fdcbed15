//! What MySQL adds to a candidate (`relational/candidate.rs`): its columns, and queries through the writer's own
//! session.
//!
//! Promise: a read of the whole table locks what it reads until the end of the transaction, so nobody changes rows
//! that were checked before the commit; others can still read them. It changes nothing.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;
use towpath_ports::{Memory, ReadSpec, Reader};
use towpath_vocab::{Position, Selection};

use super::catalog;
use super::error::{MysqlError, Result};
use super::pump::{Held, Piece, Queries, Query};
use super::session::Session;
use super::settings::ZeroDates;
use super::state::LOCKED;
use super::subject::Subject;
use super::target::{Facts, Target};
use super::types::Column;
use crate::relational::candidate::{CandidateSession, View};
use crate::relational::reader::{ReadLayout, TableReader};

/// The session that holds a candidate.
pub(super) struct MysqlCandidate {
    pub(super) session: Arc<Mutex<Session>>,
    pub(super) target: Target,
    pub(super) facts: Facts,
    pub(super) shown: String,
    pub(super) zero_dates: ZeroDates,
    pub(super) memory: Arc<dyn Memory>,
}

#[async_trait]
impl CandidateSession for MysqlCandidate {
    type Error = MysqlError;
    type Column = Column;

    /// Without an index all of its rows are locked, not only what an index has of them.
    fn table(&self) -> String {
        format!("{} USE INDEX ()", self.target.sql())
    }

    fn object(&self) -> String {
        self.shown.clone()
    }

    async fn columns(&self, view: &View, spec: &ReadSpec) -> Result<Vec<Column>> {
        let mut session = self.session.lock().await;
        let subject = match view {
            View::Table => {
                let found = catalog::exact(&mut session, &self.target, &self.facts).await?;
                let found = found.ok_or_else(|| MysqlError::NoTable {
                    object: self.shown.clone(),
                    similar: None,
                })?;
                Subject::of_table(&mut session, found).await?
            }
            View::NewRows(query) => {
                let selection = Selection::Query(query.clone());
                Subject::look_at(&mut session, &selection).await?
            }
        };
        subject.choose(spec)
    }

    fn reader(&self, spec: &ReadSpec, columns: Vec<Column>, query: String) -> Box<dyn Reader> {
        let memory = (1, self.memory.as_ref());
        let reads = Queries {
            layout: ReadLayout::of(spec, self.object(), &columns, memory),
            columns: columns.into(),
            zero_dates: self.zero_dates,
            memory: Arc::clone(&self.memory),
        };
        let piece = Piece {
            id: self.object(),
            session: Held::OfWrite(Arc::clone(&self.session)),
            queries: vec![Query {
                sql: format!("{query}{LOCKED}"),
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
