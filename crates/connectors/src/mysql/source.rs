//! The source capability: opens a read of a table, view or query on one snapshot.
//!
//! Promise: cursor and rows are of one snapshot where the storage engine has any, also when several sessions read
//! ranges of a table, and a note says where it has none; what is asked for and not there is refused with the
//! nearest name. It moves no rows itself. Read next: `subject.rs`, `cursor.rs`, `pieces.rs`, `lanes.rs`, then `pump.rs`.

use std::sync::Arc;

use async_trait::async_trait;
use towpath_ports::{InputVersion, Memory, ReadSpec, Reader, RejectedRecord, Source};
use towpath_vocab::{Failure, Position, ReadMode};

use super::cursor::{Cursor, CursorRead};
use super::error::{MysqlError, Result};
use super::lanes::{Lanes, Together, together};
use super::literal::quoted;
use super::pieces::{self, Cut, Key, Part};
use super::pump::{Held, Piece, Queries, Query};
use super::session::Session;
use super::settings::Settings;
use super::subject::Subject;
use super::types::Column;
use crate::relational::boundary::{FIRST_ORDINAL, Given};
use crate::relational::cursor::{end_position, last_position};
use crate::relational::reader::{ReadLayout, TableReader, limit, select_list};

/// Each piece of a table has room for so many rows, as a power of two, before the numbers of the next one.
const ORDINALS: u32 = 40;

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

/// Sessions that see what the first one sees, and the key by which they share a table.
struct Spread {
    others: Vec<Session>,
    key: Key,
}

/// What the pieces of a read are made of.
struct Parts<'a> {
    subject: &'a Subject,
    columns: &'a [Column],
    spec: &'a ReadSpec,
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
        let is_whole = spec.mode == ReadMode::Full || last_position(from).is_none();
        let spread = match is_whole && spec.limit.is_none() {
            true => {
                let spread = self.spread(&mut session, &subject, spec, &mut notes);
                Box::pin(spread).await?
            }
            false => None,
        };
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
        let parts = Parts {
            subject: &subject,
            columns: &columns,
            spec,
        };
        let (lanes, pieces) = match spread {
            Some(spread) => parts.side_by_side(session, spread).await?,
            None => (1, vec![parts.one(session, cursor.as_mut())]),
        };
        let memory = (lanes, self.memory.as_ref());
        let layout = ReadLayout::of(spec, subject.object.clone(), &columns, memory);
        Ok(TableReader {
            pieces,
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

    /// Opens more sessions for a large table, where they can see one moment: one of those that a read may have
    /// only holds the lock while the others begin. Adds to `notes` what keeps a table with one.
    async fn spread(
        &self,
        session: &mut Session,
        subject: &Subject,
        spec: &ReadSpec,
        notes: &mut Vec<String>,
    ) -> Result<Option<Spread>> {
        let lanes = spec
            .parallel
            .min(self.settings.connections.saturating_sub(1));
        let Some(table) = subject.table.as_ref().filter(|_| lanes > 1) else {
            return Ok(None);
        };
        let key = match pieces::look(session, subject).await? {
            Cut::By(key) => key,
            Cut::Whole(note) => {
                notes.extend(note);
                return Ok(None);
            }
        };
        match together(&self.settings, session, table, lanes - 1).await? {
            Together::Joined(others) => Ok(Some(Spread { others, key })),
            Together::Alone(reason) => {
                notes.push(format!(
                    "one connection reads `{}`, not several: {reason}",
                    subject.object
                ));
                Ok(None)
            }
        }
    }
}

impl Parts<'_> {
    /// One piece, in one session.
    fn one(&self, session: Session, mut cursor: Option<&mut Cursor>) -> Piece {
        let rows = self.spec.limit;
        let at_the_end = cursor.as_mut().and_then(|cursor| cursor.others());
        let condition = match &cursor {
            Some(cursor) => cursor.condition(),
            None => None,
        };
        let (subject, columns) = (self.subject, self.columns);
        let from = subject.from.as_str();
        let mut queries = vec![query((from, condition), columns, rows, None)];
        if let Some((at, given)) = at_the_end {
            queries.push(query((from, Some(&at)), columns, rows, Some(given)));
        }
        Piece {
            id: subject.object.clone(),
            session: Held::Own(session),
            queries,
        }
    }

    /// Pieces for several sessions, and how many read at once.
    async fn side_by_side(
        &self,
        mut session: Session,
        spread: Spread,
    ) -> Result<(usize, Vec<Piece>)> {
        let Spread { mut others, key } = spread;
        let parts = pieces::cut(&mut session, &key, others.len() + 1).await?;
        let count = parts.len();
        if count < 2 {
            return Ok((1, vec![self.one(session, None)]));
        }
        others.push(session);
        others.truncate(count);
        let lanes = others.len();
        let shared = Lanes::of(others);
        let piece = |(at, part): (usize, Part)| {
            let (from, condition) = (part.from.as_str(), Some(part.condition.as_str()));
            let mut query = query((from, condition), self.columns, None, None);
            query.first = (at as u64) << ORDINALS;
            Piece {
                id: format!("{} part {} of {count}", self.subject.object, at + 1),
                session: Held::Shared(Arc::clone(&shared)),
                queries: vec![query],
            }
        };
        let pieces = parts.into_iter().enumerate().map(piece).collect();
        Ok((lanes, pieces))
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
    (from, condition): (&str, Option<&str>),
    columns: &[Column],
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
            "SELECT {}{more} FROM {from}{filter}{limit}",
            select_list(columns)
        ),
        first: if given.is_some() { FIRST_ORDINAL } else { 0 },
        given,
    }
}
