//! A candidate as a source: reads through the writer's own session, inside its open transaction.
//!
//! Promise: it sees exactly what readers would see after the commit (or only the new rows), with the
//! types a read of the table would give. One copy runs at a time. It changes nothing.

use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio_postgres::Client;
use towpath_ports::{InputVersion, Memory, ReadSpec, Reader, Source};
use towpath_vocab::{Failure, Position, RawRecord};

use super::catalog::{RawColumn, look_up, query_columns, readable_columns};
use super::error::{Doing as _, PgError, Result};
use super::names::Relation;
use super::pieces::select_list;
use super::pump::{Piece, TableReader, batch_bytes};
use super::session::Session;
use super::snapshot::Lanes;
use super::source::{choose, shape};

/// What a candidate shows.
#[derive(Clone)]
pub(super) enum View {
    Table(Relation),
    Query(String),
}

/// A candidate and the session that holds it.
pub(super) struct CandidateSession {
    pub(super) session: Arc<Mutex<Session>>,
    pub(super) view: View,
    pub(super) object: String,
    pub(super) memory: Arc<dyn Memory>,
}

impl CandidateSession {
    /// Its columns.
    pub(super) async fn schema(&self) -> Result<SchemaRef> {
        let session = self.session.lock().await;
        let raw = self.columns(session.client()).await?;
        let fields: Vec<_> = raw.iter().map(|column| column.column(None).field).collect();
        Ok(Arc::new(Schema::new(fields)))
    }

    async fn columns(&self, client: &Client) -> Result<Vec<RawColumn>> {
        match &self.view {
            View::Table(relation) => {
                let found = look_up(client, relation).await?;
                let found = found.ok_or_else(|| PgError::NoTable {
                    object: relation.to_string(),
                    similar: None,
                })?;
                readable_columns(client, found.oid).await
            }
            View::Query(sql) => {
                let statement = client
                    .prepare(sql)
                    .await
                    .doing("looking at the candidate")?;
                query_columns(client, &statement).await
            }
        }
    }
}

#[async_trait]
impl Source for CandidateSession {
    async fn open(
        &self,
        spec: &ReadSpec,
        _from: Option<&Position>,
    ) -> std::result::Result<Box<dyn Reader>, Failure> {
        let raw = {
            let session = self.session.lock().await;
            self.columns(session.client()).await?
        };
        let columns = choose(&self.object, &raw, spec)?;
        let from = match &self.view {
            View::Table(relation) => relation.sql(),
            View::Query(sql) => format!("({sql}) AS q"),
        };
        let limit = spec
            .limit
            .map_or_else(String::new, |limit| format!(" LIMIT {limit}"));
        let piece = Piece {
            id: self.object.clone(),
            query: format!("SELECT {} FROM {from}{limit}", select_list(&columns)),
            first_ordinal: 0,
        };
        let bytes = batch_bytes(spec.batch_bytes, 1, self.memory.as_ref());
        Ok(Box::new(TableReader {
            shape: shape(spec, self.object.clone(), columns, bytes),
            pieces: vec![piece],
            lanes: Lanes::Held(Arc::clone(&self.session)),
            memory: Arc::clone(&self.memory),
            position: Position::default(),
            notes: Vec::new(),
        }))
    }

    async fn version(
        &self,
        _spec: &ReadSpec,
    ) -> std::result::Result<Option<InputVersion>, Failure> {
        Ok(None)
    }

    async fn replay(
        &self,
        _spec: &ReadSpec,
        _records: Vec<RawRecord>,
    ) -> std::result::Result<Box<dyn Reader>, Failure> {
        Err(PgError::Misused {
            reason: "rejects rows, not text: there is nothing to parse again",
        }
        .into())
    }
}
