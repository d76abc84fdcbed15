//! The source capability: opens a read of a table, view or query on one snapshot.
//!
//! Promise: all pieces see the same state of the database, also while others write (WAL); what is asked
//! for and not there is refused with the nearest name. Read next: `types.rs`, `cursor.rs`, `pump.rs`.

use std::sync::Arc;

use arrow_schema::{DataType, Field};
use async_trait::async_trait;
use rusqlite::Connection;
use rusqlite::types::Value;
use towpath_ports::{InputVersion, Memory, ReadSpec, Reader, RejectedRecord, Source};
use towpath_vocab::types::SOURCE_NAME;
use towpath_vocab::{Failure, Position, ReadMode, Selection};

use super::catalog::{self, CatalogTable};
use super::cursor::{self, Cursor};
use super::error::{ErrorContext as _, Result, SqliteError};
use super::names::{quoted, same};
use super::pump::{Piece, Queries, Query};
use super::session::{Session, Settings, blocking};
use super::types::{Column, Raw, settle};
use crate::relational::boundary::{FIRST_ORDINAL, Given};
use crate::relational::cursor::end_position;
use crate::relational::reader::{ReadColumn, ReadLayout, TableReader, limit};
use crate::relational::selection::{Columns, Unknown};

/// Fewer row numbers are not worth a second connection.
const PIECE_ROWS: i64 = 50_000;
/// Tries to get several connections onto one state.
const TRIES: usize = 8;

/// Reads a SQLite database.
pub(super) struct SqliteSource {
    pub(super) settings: Settings,
    pub(super) memory: Arc<dyn Memory>,
}

impl ReadColumn for Column {
    fn field(&self) -> Field {
        Self::field(self)
    }

    fn selected(&self) -> String {
        quoted(&self.name)
    }
}

/// What a read is of.
pub(super) struct Subject {
    pub(super) object: String,
    /// What can stand after FROM.
    pub(super) from: String,
    pub(super) raw: Vec<Raw>,
    /// The row number's name.
    pub(super) rowid: Option<&'static str>,
}

impl Subject {
    pub(super) fn of_table(found: CatalogTable) -> Self {
        Self {
            from: quoted(&found.name),
            object: found.name,
            raw: found.columns,
            rowid: found.rowid,
        }
    }

    fn look_at(connection: &Connection, selection: &Selection, shown: &str) -> Result<Self> {
        match selection {
            Selection::Object(name) => Ok(Self::of_table(catalog::find(connection, name, shown)?)),
            Selection::Query(sql) => {
                let sql = sql.trim().trim_end_matches(';');
                let raw = catalog::query_columns(connection, sql)?;
                Ok(Self {
                    object: "the query".to_owned(),
                    from: format!("({sql}\n)"),
                    raw,
                    rowid: None,
                })
            }
        }
    }
}

#[async_trait]
impl Source for SqliteSource {
    async fn open(
        &self,
        spec: &ReadSpec,
        from: Option<&Position>,
    ) -> std::result::Result<Box<dyn Reader>, Failure> {
        let (settings, memory) = (self.settings.clone(), Arc::clone(&self.memory));
        let (spec, from) = (spec.clone(), from.cloned());
        let shown = settings.shown.clone();
        let reader = blocking(&shown, move || {
            plan(&settings, &spec, from.as_ref(), memory)
        })
        .await?;
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
        Err(SqliteError::Misused {
            reason: "rejects rows, not text: there is nothing to parse again",
        }
        .into())
    }
}

fn plan(
    settings: &Settings,
    spec: &ReadSpec,
    from: Option<&Position>,
    memory: Arc<dyn Memory>,
) -> Result<TableReader<Queries>> {
    let shown = &*settings.shown;
    let first = settings.open_read()?;
    begin(&first, shown)?;
    let subject = Subject::look_at(&first, &spec.selection, shown)?;
    let wanted = if spec.limit.is_none() && subject.rowid.is_some() {
        spec.parallel.max(1)
    } else {
        1
    };
    let lanes = lanes(settings, first, &subject, wanted)?;
    let Some(first) = lanes.first() else {
        return Err(SqliteError::Broken {
            path: shown.to_owned(),
        });
    };
    let columns = choose(first, &subject, spec, shown)?;
    let mut cursor = cursor(first, &subject, &columns, spec, from, shown)?;
    let ranges = ranges(first, &subject, lanes.len(), shown)?;
    let mut notes: Vec<String> = columns
        .iter()
        .filter_map(|column| column.note.clone())
        .collect();
    let end = cursor.as_ref().map(Cursor::position).transpose()?;
    let position = end_position(end, from, spec.limit);
    notes.extend(cursor.iter().flat_map(|cursor| cursor.notes.clone()));
    let (object, parts) = (subject.object.clone(), (lanes.len(), memory.as_ref()));
    let layout = ReadLayout::of(spec, object, &columns, parts);
    // The rows at the last cursor value are read by the first lane: all lanes see one state.
    let mut others = cursor
        .as_mut()
        .and_then(Cursor::others)
        .map(|(condition, value, given)| {
            let mut select = Select::new(&subject, &columns, &given.more);
            select.add(&condition, [value]);
            select.query(FIRST_ORDINAL, spec.limit, Some(given))
        });
    let pieces = lanes.into_iter().zip(ranges).map(|(lane, range)| {
        let mut piece = piece(
            Session::new(lane, shown),
            &subject,
            &columns,
            range,
            cursor.as_ref(),
            spec.limit,
        );
        piece.queries.extend(others.take());
        piece
    });
    Ok(TableReader {
        pieces: pieces.collect(),
        reads: Queries { layout, memory },
        position,
        notes,
    })
}

/// Starts a read transaction: the state seen from here on does not change.
fn begin(connection: &Connection, shown: &str) -> Result<()> {
    connection
        .execute_batch("BEGIN; SELECT 1 FROM sqlite_master LIMIT 1")
        .doing(shown, "starting to read")
}

/// Connections on one state. In WAL mode a commit may fall between two of them; the first one's
/// `data_version`, asked outside of a transaction, tells.
fn lanes(
    settings: &Settings,
    first: Connection,
    subject: &Subject,
    wanted: usize,
) -> Result<Vec<Connection>> {
    let shown = &*settings.shown;
    let spans = span(&first, subject, shown)?
        .map_or(0, |(least, most)| most.saturating_sub(least) / PIECE_ROWS);
    let wanted = wanted.min(usize::try_from(spans).unwrap_or(1)).max(1);
    if wanted == 1 {
        return Ok(vec![first]);
    }
    let watcher = settings.open_read()?;
    let version = || {
        watcher
            .query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0))
            .doing(shown, "starting to read")
    };
    let mut lanes = vec![first];
    for _ in 0..TRIES {
        let before = version()?;
        for lane in &lanes {
            lane.execute_batch("ROLLBACK")
                .doing(shown, "starting to read")?;
            begin(lane, shown)?;
        }
        while lanes.len() < wanted {
            let lane = settings.open_read()?;
            begin(&lane, shown)?;
            lanes.push(lane);
        }
        if version()? == before {
            return Ok(lanes);
        }
    }
    // Somebody commits all the time: one connection sees one state.
    lanes.truncate(1);
    Ok(lanes)
}

/// The smallest and largest row number.
fn span(connection: &Connection, subject: &Subject, shown: &str) -> Result<Option<(i64, i64)>> {
    let Some(rowid) = subject.rowid else {
        return Ok(None);
    };
    // Two queries, because each alone is answered from the end of the tree.
    let end = |which: &str| {
        let sql = format!("SELECT {which}({rowid}) FROM {}", subject.from);
        connection
            .query_row(&sql, [], |row| row.get::<_, Option<i64>>(0))
            .doing(shown, "cutting the table")
    };
    Ok(end("min")?.zip(end("max")?))
}

/// Row numbers per lane, and the number of the first row; one open range when there is nothing to cut.
fn ranges(
    connection: &Connection,
    subject: &Subject,
    lanes: usize,
    shown: &str,
) -> Result<Vec<Option<(i64, i64)>>> {
    let (1.., Some((least, most))) = (lanes - 1, span(connection, subject, shown)?) else {
        return Ok(vec![None]);
    };
    let count = lanes as i128;
    let width = (i128::from(most) - i128::from(least) + 1 + count - 1) / count;
    let at = |lane: i128| {
        i64::try_from((i128::from(least) + lane * width).min(i128::from(most) + 1))
            .unwrap_or(i64::MAX)
    };
    let range = |lane: i128| {
        Some((
            at(lane),
            if lane + 1 == count {
                most
            } else {
                at(lane + 1).saturating_sub(1)
            },
        ))
    };
    Ok((0..count).map(range).collect())
}

/// One query that grows.
struct Select<'a> {
    subject: &'a Subject,
    columns: Vec<String>,
    conditions: Vec<String>,
    params: Vec<Value>,
}

impl<'a> Select<'a> {
    fn new(subject: &'a Subject, columns: &[Column], more: &[String]) -> Self {
        let names = columns.iter().map(|column| &column.name).chain(more);
        Self {
            subject,
            columns: names.map(|name| quoted(name)).collect(),
            conditions: Vec::new(),
            params: Vec::new(),
        }
    }

    fn add(&mut self, condition: &str, params: impl IntoIterator<Item = Value>) {
        self.conditions.push(condition.to_owned());
        self.params.extend(params);
    }

    fn query(self, first: u64, rows: Option<u64>, given: Option<Given>) -> Query {
        let filter = if self.conditions.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", self.conditions.join(" AND "))
        };
        // Rows that are left out do not count, so they cannot be limited here.
        let limit = limit(rows.filter(|_| given.is_none()));
        Query {
            sql: format!(
                "SELECT {} FROM {}{filter}{limit}",
                self.columns.join(", "),
                self.subject.from
            ),
            params: self.params,
            first,
            given,
        }
    }
}

fn piece(
    session: Session,
    subject: &Subject,
    columns: &[Column],
    range: Option<(i64, i64)>,
    cursor: Option<&Cursor>,
    limit: Option<u64>,
) -> Piece {
    let mut select = Select::new(subject, columns, &[]);
    let (mut id, mut first) = (subject.object.clone(), 0);
    if let (Some((from, to)), Some(rowid)) = (range, subject.rowid) {
        select.add(
            &format!("{rowid} BETWEEN ? AND ?"),
            [Value::Integer(from), Value::Integer(to)],
        );
        id = format!("{id}/{from}-{to}");
        // Distinct over the pieces, whatever row numbers are.
        first = from.abs_diff(i64::MIN) & (u64::MAX >> 1);
    }
    if let Some((condition, value)) = cursor.and_then(Cursor::condition) {
        select.add(condition, value.cloned());
    }
    Piece {
        id,
        session,
        queries: vec![select.query(first, limit, None)],
    }
}

fn cursor(
    connection: &Connection,
    subject: &Subject,
    columns: &[Column],
    spec: &ReadSpec,
    from: Option<&Position>,
    shown: &str,
) -> Result<Option<Cursor>> {
    let (ReadMode::Incremental, Some(plan)) = (spec.mode, &spec.cursor) else {
        return Ok(None);
    };
    let column = Columns::of(&subject.raw).find(&plan.column);
    let column = &column.map_err(|unknown| no_column(subject, unknown))?.name;
    let wanted: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let all: Vec<String> = subject.raw.iter().map(|raw| raw.name.clone()).collect();
    let of = cursor::Subject {
        sql: &subject.from,
        object: &subject.object,
        wanted: &wanted,
        all: &all,
        may_repeat: spec.may_repeat,
    };
    Cursor::decide(connection, plan, column, &of, from, shown).map(Some)
}

/// Columns with their types, as the spec wants them.
pub(super) fn choose(
    connection: &Connection,
    subject: &Subject,
    spec: &ReadSpec,
    shown: &str,
) -> Result<Vec<Column>> {
    let present = Columns::of(&subject.raw);
    if let Some(column) = present.repeated(same) {
        return Err(SqliteError::SameName {
            object: subject.object.clone(),
            column: column.to_owned(),
        });
    }
    let columns = settle(
        connection,
        &subject.from,
        &subject.raw,
        &|name| given(spec, &present, name),
        shown,
    )?;
    let wanted = present.projected(spec);
    let wanted = wanted.map_err(|unknown| no_column(subject, unknown))?;
    let typed = |wanted: &Raw| {
        let column = columns.iter().find(|column| column.name == wanted.name);
        column.cloned().ok_or(SqliteError::Misused {
            reason: "lost a column",
        })
    };
    wanted.into_iter().map(typed).collect()
}

/// The type a project or an earlier look gives a column.
fn given(spec: &ReadSpec, present: &Columns<'_, Raw>, name: &str) -> Option<DataType> {
    let known = || {
        let own = |field: &&Arc<Field>| {
            let written = field.metadata().get(SOURCE_NAME).unwrap_or(field.name());
            let column = present.get(written);
            column.is_some_and(|column| column.name == name)
        };
        let field = spec.known.as_ref()?.fields().iter().find(own)?;
        Some(field.data_type().clone())
    };
    present.declared(spec, name).or_else(known)
}

fn no_column(subject: &Subject, unknown: Unknown) -> SqliteError {
    SqliteError::NoColumn {
        object: subject.object.clone(),
        column: unknown.column,
        nearest: unknown.nearest,
    }
}
