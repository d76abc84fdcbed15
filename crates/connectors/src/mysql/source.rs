//! The source capability: opens a read of a table, view or query on one snapshot.
//!
//! Promise: catalogue, cursor and rows are of one snapshot where the storage engine has any, and a note says
//! where it has none; what is asked for and not there is refused with the nearest name. It moves no rows
//! itself. Read next: `subject.rs`, `cursor.rs`, then `pump.rs`.

use std::sync::Arc;

use async_trait::async_trait;
use towpath_ports::{InputVersion, Memory, ReadSpec, Reader, RejectedRecord, Source};
use towpath_vocab::{Failure, Position, ReadMode};

use super::cursor::{Cursor, CursorRead};
use super::error::{MysqlError, Result};
use super::literal::quoted;
use super::pump::{Held, Piece, Queries, Query};
use super::session::Session;
use super::settings::Settings;
use super::subject::Subject;
use super::types::Column;
use crate::relational::boundary::{FIRST_ORDINAL, Given};
use crate::relational::cursor::end_position;
use crate::relational::reader::{ReadLayout, TableReader, limit, select_list};

/// Reads a MySQL or MariaDB database.
pub(super) struct MysqlSource {
    pub(super) settings: Settings,
    pub(super) memory: Arc<dyn Memory>,
}

#[async_trait]
impl Source for MysqlSource {
    async fn open(
        &self,
        spec: &ReadSpec,
        from: Option<&Position>,
    ) -> std::result::Result<Box<dyn Reader>, Failure> {
        let session = Session::open(&self.settings).await?;
        let reader = Box::pin(self.plan(session, spec, from)).await?;
        Ok(Box::new(reader))
    }

    async fn version(&self, _: &ReadSpec) -> std::result::Result<Option<InputVersion>, Failure> {
        Ok(None)
    }

    async fn replay(
        &self,
        _: &ReadSpec,
        _: Vec<RejectedRecord>,
    ) -> std::result::Result<Box<dyn Reader>, Failure> {
        Err(MysqlError::Misused {
            reason: "rejects rows, not text: there is nothing to parse again",
        }
        .into())
    }
}

impl MysqlSource {
    async fn plan(
        &self,
        mut session: Session,
        spec: &ReadSpec,
        from: Option<&Position>,
    ) -> Result<TableReader<Queries>> {
        let zero_dates = self.settings.zero_dates(spec)?;
        session.begin_read().await?;
        let subject = Subject::look_at(&mut session, &spec.selection).await?;
        let columns = subject.choose(spec)?;
        let mut notes: Vec<String> = Vec::new();
        notes.extend(columns.iter().filter_map(|column| column.note.clone()));
        notes.extend(snapshot_note(&subject));
        let mut cursor = match (spec.mode, &spec.cursor) {
            (ReadMode::Incremental, Some(plan)) => {
                let read = CursorRead {
                    plan,
                    subject: &subject,
                    wanted: &columns,
                    spec,
                };
                Some(Cursor::decide(&mut session, &read, from).await?)
            }
            _ => None,
        };
        notes.extend(cursor.iter().flat_map(|cursor| cursor.notes.clone()));
        let end = cursor.as_ref().map(Cursor::position).transpose()?;
        let position = end_position(end, from, spec.limit);
        let condition = cursor.as_ref().and_then(Cursor::condition);
        let mut queries = vec![query(&subject, &columns, condition, spec.limit, None)];
        if let Some((at, given)) = cursor.as_mut().and_then(Cursor::others) {
            queries.push(query(
                &subject,
                &columns,
                Some(&at),
                spec.limit,
                Some(given),
            ));
        }
        let memory = (1, self.memory.as_ref());
        let layout = ReadLayout::of(spec, subject.object.clone(), &columns, memory);
        Ok(TableReader {
            pieces: vec![Piece {
                id: subject.object,
                session: Held::Own(session),
                queries,
            }],
            reads: Queries {
                layout,
                columns: columns.into(),
                zero_dates,
                memory: Arc::clone(&self.memory),
            },
            position,
            notes,
        })
    }
}

/// What a person should know about a table whose rows are not of one moment.
pub(super) fn snapshot_note(subject: &Subject) -> Option<String> {
    let table = subject
        .table
        .as_ref()
        .filter(|table| !table.has_snapshots)?;
    Some(format!(
        "`{}` is stored in {}, which has no snapshots: rows are read as they are when the read starts, and its writers wait for the read",
        subject.object,
        table.engine.as_deref().unwrap_or("an unknown engine")
    ))
}

fn query(
    subject: &Subject,
    columns: &[Column],
    condition: Option<&str>,
    rows: Option<u64>,
    given: Option<Given>,
) -> Query {
    let more = given.iter().flat_map(|given| &given.more);
    let more: String = more.map(|name| format!(", {}", quoted(name))).collect();
    let filter = condition.map_or_else(String::new, |condition| format!(" WHERE {condition}"));
    // Rows that are left out do not count, so they cannot be limited here.
    let limit = limit(rows.filter(|_| given.is_none()));
    Query {
        sql: format!(
            "SELECT {}{more} FROM {}{filter}{limit}",
            select_list(columns),
            subject.from
        ),
        first: if given.is_some() { FIRST_ORDINAL } else { 0 },
        given,
    }
}
