//! The columns that history adds: `_valid_from`, `_valid_to`, `_is_current`, of snapshots `_snapshot_at`.
//!
//! Promise: rows get them before they are written to files, so that a row that stays as it is is written
//! once. Times are microseconds since 1970 UTC; a time without a zone is taken as UTC. It does not know what
//! the table holds. Read next: `../scd2.rs`.

use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{
    Array as _, ArrayRef, BooleanArray, RecordBatch, TimestampMicrosecondArray, new_null_array,
};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use towpath_ports::{Op, OpColumn, WriteRequest};
use towpath_vocab::{
    IS_CURRENT, RowHistoryPlan, SNAPSHOT_AT, VALID_FROM, VALID_TO, WriteMode, added_fields,
    is_added_column, is_audit_field, written_columns,
};

use crate::lake::error::{LakeError, LakeResult};
use crate::lake::evolve::EvolvedColumns;
use crate::lake::names::word;
use crate::lake::row_history_refusal::RowHistoryRefusal;
use crate::lake::table::Snapshot;

/// What the versions of a write are made by.
pub(crate) struct RowHistory {
    /// The time of the load.
    pub(crate) at: i64,
    /// The column that says from when on rows are valid, by place in the table's columns; `None` means that
    /// they are so since the load.
    pub(crate) said: Option<usize>,
    /// The rows are changes, in the order of a feed.
    pub(crate) is_feed: bool,
    /// Current rows whose key does not come are closed.
    pub(crate) closes_absent: bool,
    /// Columns whose change makes a version, by place in the table's columns.
    pub(crate) tracked: Vec<usize>,
    /// The places of `_valid_from`, `_valid_to` and `_is_current`.
    pub(crate) own: [usize; 3],
}

impl RowHistory {
    /// The rows say themselves from when on they are valid.
    pub(crate) fn by_column(&self) -> bool {
        self.said.is_some()
    }
}

/// Incoming rows of a history: gives them their three columns.
pub(crate) struct Dated {
    mode: WriteMode,
    plan: RowHistoryPlan,
    at: i64,
    /// The column with the time, by place in the rows.
    valid_from: Option<usize>,
    table: String,
    /// The columns that rows come with.
    rows: SchemaRef,
}

impl Dated {
    /// For the rows of a write, whose columns become those that it writes. `None` for other modes.
    pub(crate) fn of(intent: &mut WriteRequest) -> LakeResult<Option<Self>> {
        let mode = intent.write.mode;
        if added_fields(mode).is_empty() {
            return Ok(None);
        }
        let table = intent.table.to_string();
        let mut own = intent.schema.fields().iter();
        if let Some(field) = own.find(|field| is_added_column(mode, field.name())) {
            let column = field.name().clone();
            let mode = word(mode);
            return Err(RowHistoryRefusal::OwnColumn {
                table,
                column,
                mode,
            }
            .into());
        }
        let plan = RowHistoryPlan::of(&intent.write).unwrap_or_default();
        let at = plan.at_us;
        let at = at.ok_or(LakeError::Misuse(
            "a write of history has no time of the load",
        ))?;
        let valid_from = match &plan.valid_from {
            None => None,
            Some(column) => Some(time_column(&intent.schema, column, &table)?),
        };
        let rows = Arc::clone(&intent.schema);
        intent.schema = written_columns(mode, &rows);
        Ok(Some(Self {
            mode,
            plan,
            at,
            valid_from,
            table,
            rows,
        }))
    }

    /// The columns that rows come with.
    pub(crate) fn rows(&self) -> &SchemaRef {
        &self.rows
    }

    /// The rows with the columns that are added: a version is current until another one is known.
    /// A row that says that its key is gone needs no time.
    pub(crate) fn dated(
        &self,
        batch: &RecordBatch,
        ops: Option<&OpColumn>,
    ) -> LakeResult<RecordBatch> {
        let rows = batch.num_rows();
        let from: ArrayRef = match self.valid_from {
            None => Arc::new(utc(TimestampMicrosecondArray::from_value(self.at, rows))),
            Some(place) => self.times(batch.column(place), ops)?,
        };
        let mut columns = batch.columns().to_vec();
        columns.push(Arc::clone(&from));
        if self.mode == WriteMode::Scd2 {
            columns.push(new_null_array(from.data_type(), rows));
            columns.push(Arc::new(BooleanArray::from(vec![true; rows])));
        }
        let schema = written_columns(self.mode, &batch.schema());
        RecordBatch::try_new(schema, columns).map_err(dating)
    }

    fn times(&self, column: &ArrayRef, ops: Option<&OpColumn>) -> LakeResult<ArrayRef> {
        let times = said_times(column)?;
        let delete = Op::Delete as u8;
        let is_delete =
            |row: usize| ops.is_some_and(|ops| row < ops.len() && ops.value(row) == delete);
        let times: TimestampMicrosecondArray = times
            .iter()
            .enumerate()
            .map(|(row, time)| if is_delete(row) { Some(self.at) } else { time })
            .collect();
        if times.null_count() > 0 {
            let (table, column) = (self.table.clone(), self.plan.valid_from.clone());
            let column = column.unwrap_or_default();
            return Err(RowHistoryRefusal::NoTime { table, column }.into());
        }
        Ok(Arc::new(utc(times)))
    }

    /// The place of the column with the times of snapshots, and the time of this one; `None` where
    /// versions are kept.
    pub(crate) fn snapshots(&self, target: &EvolvedColumns) -> Option<(usize, i64)> {
        let is_snapshot = self.mode == WriteMode::Snapshot;
        let column = find(&target.schema, SNAPSHOT_AT).filter(|_| is_snapshot)?;
        Some((column, self.at))
    }

    /// What the versions are made by, when no row is missing but those that are gone; of rows or of changes.
    pub(crate) fn history(
        &self,
        target: &EvolvedColumns,
        key: &[usize],
        (is_whole, is_feed): (bool, bool),
    ) -> LakeResult<RowHistory> {
        let place = |name: &str| {
            let found = find(&target.schema, name);
            found.ok_or(LakeError::Misuse("a history does not have its columns"))
        };
        Ok(RowHistory {
            at: self.at,
            said: match &self.plan.valid_from {
                None => None,
                Some(column) => Some(place(column)?),
            },
            is_feed,
            closes_absent: self.plan.closes_absent && is_whole,
            tracked: self.tracked(target, key)?,
            own: [place(VALID_FROM)?, place(VALID_TO)?, place(IS_CURRENT)?],
        })
    }

    /// Places of the columns that are compared: those that come, without the key and the times.
    fn tracked(&self, target: &EvolvedColumns, key: &[usize]) -> LakeResult<Vec<usize>> {
        let is_time = |name: &str| {
            let named = self.plan.valid_from.as_ref();
            is_added_column(self.mode, name) || named.is_some_and(|column| same(column, name))
        };
        if let Some(column) = self
            .plan
            .track
            .iter()
            .find(|name| find(&target.schema, name).is_none())
        {
            let (table, column) = (self.table.clone(), column.clone());
            return Err(RowHistoryRefusal::Track { table, column }.into());
        }
        let track = &self.plan.track;
        let is_asked = |field: &Field| match track.as_slice() {
            // They say who wrote the row, not what it is.
            [] => !is_audit_field(field),
            track => track.iter().any(|asked| same(asked, field.name())),
        };
        let comes = |at: usize| target.from.get(at).is_some_and(Option::is_some);
        let fields = target.schema.fields().iter().enumerate();
        Ok(fields
            .filter(|(at, _)| comes(*at) && !key.contains(at))
            .filter(|(_, field)| !is_time(field.name()) && is_asked(field))
            .map(|(at, _)| at)
            .collect())
    }
}

/// Refuses to write a history into a table that has none, and anything else into one that has.
pub(crate) fn check_table(intent: &WriteRequest, known: &Snapshot) -> LakeResult<()> {
    let mode = intent.write.mode;
    let has_columns = added_fields(mode).iter().all(|own| {
        let found = find(&known.schema, own.name()).map(|at| known.schema.field(at));
        found.is_some_and(|field| field.data_type() == own.data_type())
    });
    let table = intent.table.to_string();
    let (mode, is_own) = (word(mode), !added_fields(mode).is_empty());
    match known.history() {
        Some(kept) if kept == mode && has_columns => Ok(()),
        Some(kept) if kept != mode => {
            let kept = kept.to_owned();
            Err(RowHistoryRefusal::HoldsHistory { table, kept, mode }.into())
        }
        None if !is_own => Ok(()),
        _ => Err(RowHistoryRefusal::NoHistory { table, mode }.into()),
    }
}

fn find(schema: &Schema, name: &str) -> Option<usize> {
    let mut fields = schema.fields().iter();
    fields.position(|field| same(field.name(), name))
}

fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

fn time_column(schema: &Schema, column: &str, table: &str) -> LakeResult<usize> {
    let wrong = |why: String| -> LakeError {
        let (table, column) = (table.to_owned(), column.to_owned());
        RowHistoryRefusal::ValidFrom { table, column, why }.into()
    };
    let place = find(schema, column).ok_or_else(|| wrong("is not among the columns".to_owned()))?;
    match schema.field(place).data_type() {
        DataType::Date32 => Ok(place),
        DataType::Timestamp(unit, _) if *unit != TimeUnit::Nanosecond => Ok(place),
        other => {
            let name = towpath_vocab::types::name(other);
            Err(wrong(format!("is `{name}`, not a timestamp or date")))
        }
    }
}

fn dating(source: arrow_schema::ArrowError) -> LakeError {
    LakeError::Arrow {
        doing: "dating rows",
        source,
    }
}

/// The first columns of a batch, and the one behind them.
pub(super) fn apart(batch: &RecordBatch, width: usize) -> LakeResult<(&[ArrayRef], &ArrayRef)> {
    let parts = batch.columns().split_at_checked(width);
    let parts = parts.and_then(|(first, rest)| Some((first, rest.first()?)));
    parts.ok_or(LakeError::Misuse("a batch has too few columns"))
}

/// The times of a column that says from when on rows are valid. Times of any zone are kept as UTC already;
/// one without a zone is taken as such.
pub(super) fn said_times(column: &ArrayRef) -> LakeResult<TimestampMicrosecondArray> {
    let zone = match column.data_type() {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    let found = cast(column, &DataType::Timestamp(TimeUnit::Microsecond, zone));
    Ok(times(&found.map_err(dating)?)?.clone())
}

/// A column of times.
pub(super) fn times(column: &ArrayRef) -> LakeResult<&TimestampMicrosecondArray> {
    column
        .as_primitive_opt::<TimestampMicrosecondType>()
        .ok_or(LakeError::Misuse("a column of times has another type"))
}

/// Times in the type of the table's columns.
pub(super) fn utc(times: TimestampMicrosecondArray) -> TimestampMicrosecondArray {
    times.with_timezone("UTC")
}

/// A time as people read it.
pub(super) fn shown(at_us: i64) -> String {
    chrono::DateTime::from_timestamp_micros(at_us).map_or_else(
        || format!("{at_us} µs after 1970"),
        |at| at.format("%Y-%m-%d %H:%M:%S%.6f UTC").to_string(),
    )
}
