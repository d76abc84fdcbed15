//! The source capability: opens a read of a table, view or query.
//!
//! Promise: a read has one session and one piece. In DuckDB, PostgreSQL and SQLite all of its queries see one moment;
//! elsewhere each sees its own, and `cursor.rs` needs no more. What is asked for and not there is refused with the
//! nearest name. It moves no rows itself. Read next: `subject.rs`, `look/`, `cursor.rs`, `pump.rs`.

use std::sync::Arc;

use async_trait::async_trait;
use towpath_ports::{InputVersion, Memory, ReadSpec, Reader, RejectedRecord, Source};
use towpath_vocab::{Failure, Position, ReadMode};

use super::cursor::{Cursor, CursorRead};
use super::error::{AdbcError, Result};
use super::pump::{Filter, Piece, Queries, Query};
use super::session::{Session, Work};
use super::settings::Settings;
use super::subject::Subject;
use super::types::{Column, select};
use super::vendor::Vendor;
use crate::relational::boundary::{FIRST_ORDINAL, Given};
use crate::relational::cursor::end_position;
use crate::relational::reader::{ReadLayout, TableReader};

/// Reads a database through its driver.
pub(super) struct AdbcSource {
    pub(super) settings: Settings,
    pub(super) memory: Arc<dyn Memory>,
}

#[async_trait]
impl Source for AdbcSource {
    async fn open(
        &self,
        spec: &ReadSpec,
        from: Option<&Position>,
    ) -> std::result::Result<Box<dyn Reader>, Failure> {
        let session = Session::open(&self.settings).await?;
        session.begin_read().await?;
        let (own, from) = (spec.clone(), from.cloned());
        let planned = session
            .run(move |work| plan(work, &own, from.as_ref()))
            .await?;
        let memory = (1, self.memory.as_ref());
        let object = planned.subject.object.clone();
        let reads = Queries {
            layout: ReadLayout::of(spec, object.clone(), &planned.columns, memory),
            columns: planned.columns,
            memory: Arc::clone(&self.memory),
        };
        let piece = Piece {
            id: object,
            session,
            queries: planned.queries,
            limit: spec.limit,
            of_write: false,
        };
        Ok(Box::new(TableReader {
            reads,
            pieces: vec![piece],
            position: planned.position,
            notes: planned.notes,
        }))
    }

    async fn version(&self, _: &ReadSpec) -> std::result::Result<Option<InputVersion>, Failure> {
        Ok(None)
    }

    async fn replay(
        &self,
        _: &ReadSpec,
        _: Vec<RejectedRecord>,
    ) -> std::result::Result<Box<dyn Reader>, Failure> {
        Err(AdbcError::Misused {
            reason: "rejects rows, not text: there is nothing to parse again",
        }
        .into())
    }
}

/// A read that only has to be carried out.
struct Planned {
    subject: Subject,
    columns: Arc<[Column]>,
    queries: Vec<Query>,
    position: Position,
    notes: Vec<String>,
}

fn plan(work: &mut Work<'_>, spec: &ReadSpec, from: Option<&Position>) -> Result<Planned> {
    let subject = Subject::look_at(work, &spec.selection)?;
    let columns = subject.choose(work, spec)?;
    let mut notes: Vec<String> = columns
        .iter()
        .filter_map(|column| column.note.clone())
        .collect();
    let columns: Arc<[Column]> = columns.into();
    let cursor = match (spec.mode, &spec.cursor) {
        (ReadMode::Incremental, Some(plan)) => {
            let read = CursorRead {
                plan,
                subject: &subject,
                wanted: &columns,
                spec,
            };
            Some(Cursor::decide(work, &read, from)?)
        }
        _ => None,
    };
    notes.extend(cursor.iter().flat_map(|cursor| cursor.notes.clone()));
    let end = cursor.as_ref().map(Cursor::position).transpose()?;
    let position = end_position(end, from, spec.limit);
    let parts = Parts {
        columns: &columns,
        subject: &subject,
        limit: spec.limit,
    };
    let queries = parts.queries(work, cursor)?;
    Ok(Planned {
        columns,
        queries,
        position,
        notes,
        subject,
    })
}

/// What the queries of a read are made of.
struct Parts<'a> {
    columns: &'a Arc<[Column]>,
    subject: &'a Subject,
    limit: Option<u64>,
}

impl Parts<'_> {
    /// The rows below the end, those at the end of the last read, and those at the end of this one.
    fn queries(&self, work: &mut Work<'_>, cursor: Option<Cursor>) -> Result<Vec<Query>> {
        let below = cursor.as_ref().and_then(Cursor::below);
        let mut queries = vec![self.plain(below)];
        let Some(cursor) = cursor else {
            return Ok(queries);
        };
        if let Some((condition, given)) = cursor.last {
            let filter = Filter {
                counted: None,
                given: Some(given),
            };
            queries.push(self.filtered(work, &condition, filter)?);
        }
        if let Some(end) = cursor.end {
            let filter = Filter {
                counted: end.counted,
                given: end.given,
            };
            queries.push(self.filtered(work, &end.condition, filter)?);
        }
        Ok(queries)
    }

    fn sql(&self, columns: &[Column], rest: &str) -> String {
        select(columns, self.subject.vendor, rest)
    }

    fn plain(&self, condition: Option<&str>) -> Query {
        let filter = condition.map_or_else(String::new, |condition| format!(" WHERE {condition}"));
        let limit = self.subject.vendor.limit(self.limit);
        Query {
            columns: Arc::clone(self.columns),
            sql: self.sql(
                self.columns,
                &format!("{}{filter}{limit}", self.subject.from),
            ),
            first: 0,
            filter: Filter::default(),
        }
    }

    fn filtered(&self, work: &mut Work<'_>, condition: &str, filter: Filter) -> Result<Query> {
        let more = filter
            .given
            .as_ref()
            .map(|given: &Given| given.more.clone());
        let more = more.unwrap_or_default();
        let columns = match more.is_empty() {
            true => Arc::clone(self.columns),
            false => {
                let others = self.subject.plain(work, &more)?;
                self.columns.iter().cloned().chain(others).collect()
            }
        };
        Ok(Query {
            sql: self.sql(
                &columns,
                &format!("{} WHERE {condition}", self.subject.from),
            ),
            columns,
            first: FIRST_ORDINAL,
            filter,
        })
    }
}

/// What a person should know about a database that is not known.
pub(super) fn vendor_note(vendor: Vendor, shown: &str) -> Option<String> {
    (vendor == Vendor::Other).then(|| {
        format!(
            "{shown} is read by the SQL of the standard; the tests run against DuckDB, PostgreSQL and SQLite"
        )
    })
}
