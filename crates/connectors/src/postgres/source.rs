//! The source capability: opens a read of a table, view or query.
//!
//! Promise: catalogue, horizon and rows are of one snapshot; what is asked for and not there is
//! refused with the nearest name; mappings and cuts a person should know of are notes. It moves no
//! rows itself. Read next: `pieces.rs`, `cursor.rs`, then `pump.rs`.

use std::sync::Arc;

use arrow_schema::Field;
use async_trait::async_trait;
use tokio_postgres::Client;
use towpath_ports::{InputVersion, Memory, ReadSpec, Reader, RejectedRecord, Source};
use towpath_vocab::{ColumnPlan, CursorPlan, Failure, Naming, Position, ReadMode, Selection};

use super::assemble::BatchLayout;
use super::catalog::{self, CatalogRelation, RawColumn};
use super::cursor::{Cursor, CursorRead, LateRows, Subject};
use super::error::{PgError, Result};
use super::members::Members;
use super::pieces::{self, Cut};
use super::pump::{Copies, Piece};
use super::session::Session;
use super::settings::Settings;
use super::snapshot::{Lanes, Pool};
use super::types::Column;
use crate::relational::columns::SeenColumn;
use crate::relational::cursor::end_position;
use crate::relational::reader::{ReadColumn, ReadLayout, TableReader, limit, select_list};
use crate::relational::selection::{Columns, Unknown};

/// So often a read begins again because others rewrote its tables.
const MOST_SNAPSHOTS: usize = 20;

/// Reads a PostgreSQL database.
pub(super) struct PostgresSource {
    pub(super) settings: Settings,
    pub(super) memory: Arc<dyn Memory>,
}

impl ReadColumn for Column {
    fn field(&self) -> Field {
        self.field.clone()
    }

    fn selected(&self) -> String {
        self.expression.clone()
    }
}

/// What a selection turned out to be.
enum SelectedObject {
    Relation(Box<CatalogRelation>),
    Query(String),
}

impl SelectedObject {
    fn object(&self) -> String {
        match self {
            SelectedObject::Relation(found) => found.relation.to_string(),
            SelectedObject::Query(_) => "the query".to_owned(),
        }
    }

    /// What can stand after FROM.
    fn sql(&self) -> String {
        match self {
            SelectedObject::Relation(found) => found.relation.sql(),
            SelectedObject::Query(sql) => format!("({sql}) AS q"),
        }
    }

    /// The tables the rows stand in, where every row carries the transaction that wrote it.
    async fn members(&self, client: &Client) -> Result<Option<Members>> {
        let SelectedObject::Relation(found) = self else {
            return Ok(None);
        };
        let tables = match found.kind.as_str() {
            "r" if !found.has_children => vec![CatalogRelation::clone(found)],
            "r" | "p" => catalog::members(client, found.oid).await?,
            _ => return Ok(None),
        };
        let carry = tables.iter().all(|table| table.is_heap);
        Ok(carry.then(|| Members::of(&tables)))
    }
}

#[async_trait]
impl Source for PostgresSource {
    async fn open(
        &self,
        spec: &ReadSpec,
        from: Option<&Position>,
    ) -> std::result::Result<Box<dyn Reader>, Failure> {
        let session = Session::open(&self.settings).await?;
        session.begin_read(None, &self.settings.schema).await?;
        let reader = Box::pin(self.plan(session, spec, from)).await?;
        Ok(Box::new(reader))
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
        _records: Vec<RejectedRecord>,
    ) -> std::result::Result<Box<dyn Reader>, Failure> {
        Err(PgError::Misused {
            reason: "rejects rows, not text: there is nothing to parse again",
        }
        .into())
    }
}

impl PostgresSource {
    async fn plan(
        &self,
        session: Session,
        spec: &ReadSpec,
        from: Option<&Position>,
    ) -> Result<TableReader<Copies>> {
        let (selected, mut raw) = self.hold(&session, &spec.selection).await?;
        let client = session.client();
        let mut notes = Vec::new();
        if let Some(note) = standby(client).await? {
            notes.push(note);
        }
        let object = selected.object();
        notes.extend(leave_out_unreadable(&object, &mut raw, spec)?);
        let columns = choose(&object, &raw, spec)?;
        notes.extend(columns.iter().filter_map(|column| column.note.clone()));
        let members = match spec.mode {
            ReadMode::Incremental => selected.members(client).await?,
            _ => None,
        };
        let sql = selected.sql();
        let is_table = matches!(selected, SelectedObject::Relation(_));
        let all: Vec<SeenColumn> = raw
            .iter()
            .map(|column| SeenColumn {
                name: column.name.clone(),
                number: is_table.then_some(column.number),
            })
            .collect();
        let subject = Subject {
            sql: &sql,
            object: &object,
            members: members.as_ref(),
            columns: &columns,
            all: &all,
        };
        let cursor = self.cursor(client, spec, &subject, &raw, from).await?;
        if let Some(cursor) = &cursor {
            notes.extend(cursor.notes(client, &subject).await?);
        }
        let lanes = spec.parallel.min(self.settings.connections).max(1);
        let filter = cursor.as_ref().and_then(Cursor::condition);
        let others = match &cursor {
            Some(cursor) => cursor.others(&subject, spec.limit)?,
            None => None,
        };
        let mut pieces = match &selected {
            SelectedObject::Relation(found) => {
                let version = session.version;
                let cut = Cut {
                    found,
                    columns: &columns,
                    lanes,
                    version,
                    limit: spec.limit,
                    filter: filter.as_deref(),
                };
                pieces::cut(client, &cut, &mut notes).await?
            }
            SelectedObject::Query(_) => vec![query_piece(&selected, &columns, filter, spec.limit)],
        };
        pieces.extend(others);
        if cursor.as_ref().is_some_and(Cursor::found_nothing) {
            pieces.clear();
        }
        let end = cursor.as_ref().map(|cursor| cursor.position(&object));
        let position = end_position(end.transpose()?, from, spec.limit);
        let lanes = lanes.min(pieces.len()).max(1);
        let read = ReadLayout::of(spec, object, &columns, (lanes, self.memory.as_ref()));
        let pool = Pool::around(self.settings.clone(), session, lanes).await?;
        let reads = Copies {
            shape: BatchLayout {
                read,
                columns: columns.into(),
            },
            lanes: Lanes::Snapshot(Arc::new(pool)),
            memory: Arc::clone(&self.memory),
        };
        Ok(TableReader {
            reads,
            pieces,
            position,
            notes,
        })
    }

    /// Finds what is to be read and holds it as the snapshot sees it. A table that was rewritten, emptied or
    /// made anew after the snapshot and before this session had its lock would look empty: then the
    /// transaction begins again.
    async fn hold(
        &self,
        session: &Session,
        selection: &Selection,
    ) -> Result<(SelectedObject, Vec<RawColumn>)> {
        for _ in 0..MOST_SNAPSHOTS {
            let found = self.look_at(session.client(), selection).await?;
            if catalog::hold(session.client(), &found.0.sql()).await? {
                return Ok(found);
            }
            session.end_read().await?;
            session.begin_read(None, &self.settings.schema).await?;
        }
        Err(PgError::Passing {
            doing: "opening a read transaction".to_owned(),
            reason: "other programs replace or rewrite the table all the time".to_owned(),
        })
    }

    async fn look_at(
        &self,
        client: &Client,
        selection: &Selection,
    ) -> Result<(SelectedObject, Vec<RawColumn>)> {
        match selection {
            Selection::Object(text) => {
                let found = catalog::find(client, text, &self.settings.schema).await?;
                if !found.can_read && !found.can_read_some {
                    return Err(PgError::NoRight {
                        doing: format!("read `{}`", found.relation),
                        reason: "permission denied".to_owned(),
                    });
                }
                let columns = catalog::table_columns(client, found.oid).await?;
                Ok((SelectedObject::Relation(Box::new(found)), columns))
            }
            Selection::Query(sql) => {
                let sql = sql.trim().trim_end_matches(';').to_owned();
                let asked = client
                    .prepare(&format!("SELECT * FROM ({sql}\n) AS q"))
                    .await;
                let statement = asked.map_err(|error| {
                    match PgError::from_driver(&error, "checking the query") {
                        PgError::Server { reason, .. } => PgError::Query { reason },
                        other => other,
                    }
                })?;
                let columns = catalog::query_columns(client, &statement).await?;
                Ok((SelectedObject::Query(format!("{sql}\n")), columns))
            }
        }
    }

    async fn cursor(
        &self,
        client: &Client,
        spec: &ReadSpec,
        subject: &Subject<'_>,
        raw: &[RawColumn],
        from: Option<&Position>,
    ) -> Result<Option<Cursor>> {
        let (ReadMode::Incremental, Some(plan)) = (spec.mode, &spec.cursor) else {
            return Ok(None);
        };
        let column = Columns::of(raw).find(&plan.column);
        let column = column.map_err(|unknown| no_column(subject.object, unknown))?;
        let column = column.column(None);
        let late = LateRows::read(
            spec.options
                .get("late_rows")
                .or(self.settings.late_rows.as_ref()),
            &self.settings.connection,
        )?;
        let plan = CursorPlan {
            column: column.name.clone(),
            ..plan.clone()
        };
        let asked = CursorRead {
            plan: &plan,
            late,
            may_repeat: spec.may_repeat,
        };
        let cursor = Cursor::decide(client, &asked, &column, subject, from).await?;
        Ok(Some(cursor))
    }
}

/// Takes away the columns this user may not read: a note names them, and one that is asked for or
/// was there before is a refusal, so that none ever vanishes in silence.
fn leave_out_unreadable(
    object: &str,
    raw: &mut Vec<RawColumn>,
    spec: &ReadSpec,
) -> Result<Option<String>> {
    let (readable, hidden): (Vec<_>, Vec<_>) =
        std::mem::take(raw).into_iter().partition(|c| c.readable);
    *raw = readable;
    let named = |name: &str| {
        let declared = |plan: &ColumnPlan| {
            let from = plan.from.as_deref().unwrap_or(&plan.name);
            plan.set.is_none() && Naming::Snake.is_same(from, name)
        };
        spec.declared.iter().any(declared)
            || spec.known.as_ref().is_some_and(|known| {
                let mut known = known.fields().iter();
                known.any(|field| Naming::Snake.is_same(field.name(), name))
            })
            || spec
                .projection
                .as_ref()
                .is_some_and(|names| names.iter().any(|wanted| wanted == name))
            || spec
                .cursor
                .as_ref()
                .is_some_and(|cursor| Naming::Snake.is_same(&cursor.column, name))
    };
    if let Some(column) = hidden.iter().find(|column| named(&column.name)) {
        return Err(PgError::NoRight {
            doing: format!("read column `{}` of `{object}`", column.name),
            reason: "permission denied".to_owned(),
        });
    }
    let names: Vec<String> = hidden
        .iter()
        .map(|column| format!("`{}`", column.name))
        .collect();
    Ok((!names.is_empty()).then(|| {
        format!(
            "left out, because this user may not read them: {}",
            names.join(", ")
        )
    }))
}

/// Columns as the spec wants them.
pub(super) fn choose(object: &str, raw: &[RawColumn], spec: &ReadSpec) -> Result<Vec<Column>> {
    if raw.is_empty() {
        return Err(PgError::NoColumns {
            object: object.to_owned(),
        });
    }
    let columns = Columns::of(raw);
    if let Some(column) = columns.repeated(|one, other| one == other) {
        return Err(PgError::SameName {
            object: object.to_owned(),
            column: column.to_owned(),
        });
    }
    let wanted = columns.projected(spec);
    let wanted = wanted.map_err(|unknown| no_column(object, unknown))?;
    let typed = |column: &RawColumn| column.column(columns.declared(spec, &column.name).as_ref());
    Ok(wanted.into_iter().map(typed).collect())
}

fn no_column(object: &str, unknown: Unknown) -> PgError {
    PgError::NoColumn {
        object: object.to_owned(),
        column: unknown.column,
        similar: unknown.nearest,
    }
}

fn query_piece(
    selected: &SelectedObject,
    columns: &[Column],
    filter: Option<String>,
    rows: Option<u64>,
) -> Piece {
    let condition = filter.map_or_else(String::new, |filter| format!(" WHERE {filter}"));
    Piece {
        id: "query".to_owned(),
        query: format!(
            "SELECT {} FROM {}{condition}{}",
            select_list(columns),
            selected.sql(),
            limit(rows)
        ),
        first_ordinal: 0,
    }
}

/// A note when the server only follows another one.
async fn standby(client: &Client) -> Result<Option<String>> {
    use super::error::ErrorContext as _;
    let sql = "SELECT pg_is_in_recovery(), coalesce(extract(epoch FROM now() - pg_last_xact_replay_timestamp()), 0)::float8";
    let row = client
        .query_one(sql, &[])
        .await
        .doing("asking whether this is a replica")?;
    let (standby, behind): (bool, f64) = (row.get(0), row.get(1));
    Ok(standby
        .then(|| format!("this is a replica; its last replayed transaction is {behind:.0} s old")))
}
