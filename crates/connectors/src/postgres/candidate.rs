//! What PostgreSQL adds to a candidate (`relational/candidate.rs`): its columns, and a copy through the
//! writer's own session.
//!
//! Promise: one copy runs at a time, inside the open transaction. It changes nothing.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio_postgres::Client;
use towpath_ports::{Memory, ReadSpec, Reader};
use towpath_vocab::Position;

use super::assemble::BatchLayout;
use super::catalog::{RawColumn, look_up, query_columns, readable_columns};
use super::error::{ErrorContext as _, PgError, Result};
use super::names::Relation;
use super::pump::{Copies, Piece};
use super::session::Session;
use super::snapshot::Lanes;
use super::source::choose;
use super::types::Column;
use crate::relational::candidate::{CandidateSession, View};
use crate::relational::reader::{ReadLayout, TableReader};

/// The session that holds a candidate.
pub(super) struct PostgresCandidate {
    pub(super) session: Arc<Session>,
    /// One copy runs at a time.
    pub(super) turn: Arc<Mutex<()>>,
    pub(super) relation: Relation,
    pub(super) memory: Arc<dyn Memory>,
}

impl PostgresCandidate {
    async fn raw_columns(&self, client: &Client, view: &View) -> Result<Vec<RawColumn>> {
        match view {
            View::Table => {
                let found = look_up(client, &self.relation).await?;
                let found = found.ok_or_else(|| PgError::NoTable {
                    object: self.relation.to_string(),
                    similar: None,
                })?;
                readable_columns(client, found.oid).await
            }
            View::NewRows(query) => {
                let statement = client
                    .prepare(query)
                    .await
                    .doing("looking at the candidate")?;
                query_columns(client, &statement).await
            }
        }
    }
}

#[async_trait]
impl CandidateSession for PostgresCandidate {
    type Error = PgError;
    type Column = Column;

    fn table(&self) -> String {
        self.relation.sql()
    }

    fn object(&self) -> String {
        self.relation.to_string()
    }

    async fn columns(&self, view: &View, spec: &ReadSpec) -> Result<Vec<Column>> {
        let turn = self.turn.lock().await;
        let raw = self.raw_columns(self.session.client(), view).await?;
        drop(turn);
        choose(&self.object(), &raw, spec)
    }

    fn reader(&self, spec: &ReadSpec, columns: Vec<Column>, query: String) -> Box<dyn Reader> {
        let memory = (1, self.memory.as_ref());
        let reads = Copies {
            shape: BatchLayout {
                read: ReadLayout::of(spec, self.object(), &columns, memory),
                columns: columns.into(),
            },
            lanes: Lanes::Held(Arc::clone(&self.session), Arc::clone(&self.turn)),
            memory: Arc::clone(&self.memory),
        };
        let piece = Piece {
            id: self.object(),
            query,
            first_ordinal: 0,
        };
        Box::new(TableReader {
            reads,
            pieces: vec![piece],
            position: Position::default(),
            notes: Vec::new(),
        })
    }
}
