//! The interface of a source: a source opens a reader, a reader has splits, a split is a stream of events.
//!
//! Promise: a bounded source ends and an endless one does not; nothing else differs. A checkpoint is
//! possible only at a `Boundary`. `Reader::committed` lets a source confirm an LSN or offsets. It does not
//! know which system it reads. Read next: `flow/src/split_merger.rs`, which reads the splits.

use std::collections::BTreeMap;
use std::pin::Pin;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use futures::Stream;
use serde::{Deserialize, Serialize};
use towpath_vocab::{
    ColumnPlan, CursorPlan, Position, RawRecord, ReadMode, RecordLocation, Reject, Selection,
    SplitId, SplitPosition, TableName,
};

use crate::{Result, Rows};

/// A stream that can be sent between tasks.
pub type BoxStream<T> = Pin<Box<dyn Stream<Item = T> + Send>>;

/// What to read. It has the same form for a table, a file and a topic.
#[derive(Clone, Debug)]
pub struct ReadSpec {
    /// The table name of the rows.
    pub table: TableName,
    /// Which rows.
    pub selection: Selection,
    /// How they are read.
    pub mode: ReadMode,
    /// For incremental reads.
    pub cursor: Option<CursorPlan>,
    /// Declared types of source columns (by their name in the source); they win over inference and the
    /// catalog.
    pub declared: Vec<ColumnPlan>,
    /// The known columns of the source, which are used instead of inferring them. A value that does not fit
    /// is a reject.
    pub known: Option<SchemaRef>,
    /// The columns of the last read. A source whose text does not give types uses these, and a value that
    /// does not fit is a reject. A column may be missing in the source.
    pub observed: Option<SchemaRef>,
    /// Source columns to read; `None` means all. A source may return more.
    pub projection: Option<Vec<String>>,
    /// Stops after approximately this many rows.
    pub limit: Option<u64>,
    /// Options of this table; they win over those of the connection.
    pub options: BTreeMap<String, serde_json::Value>,
    /// The most splits at once.
    pub parallel: usize,
    /// The number of rows that a batch should have.
    pub batch_rows: usize,
    /// The most bytes that a batch should have.
    pub batch_bytes: usize,
    /// True if rows of an earlier read may be returned again, because they are written by a key. A source
    /// that cannot distinguish them from new rows then returns all of them, with a note, instead of
    /// failing.
    pub may_repeat: bool,
}

/// Identifies what a read would return: if it is equal, there is nothing new to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InputVersion(pub String);

/// A table's name and columns.
#[derive(Clone, Debug)]
pub struct TableSchema {
    /// The table name of its rows.
    pub table: TableName,
    /// The columns.
    pub schema: SchemaRef,
}

/// A rejected record that is read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRecord {
    /// Its location in the source: a part of its values may come from there.
    pub place: RecordLocation,
    /// The record as it came.
    pub raw: RawRecord,
}

/// A system, file or candidate that can be read.
#[async_trait]
pub trait Source: Send + Sync {
    /// Contacts the system and opens a read after the position `from` (or from the start).
    ///
    /// # Errors
    /// `Remedy::Unreachable` or `Retry` if the system cannot be reached, `FixConfig` for wrong credentials
    /// or a missing object, `FixData` if the input cannot be read at all.
    async fn open(&self, spec: &ReadSpec, from: Option<&Position>) -> Result<Box<dyn Reader>>;

    /// The version of what a read would return now, if the source can find it out cheaply; `None` means
    /// always read.
    async fn version(&self, spec: &ReadSpec) -> Result<Option<InputVersion>>;

    /// A reader over rejected records, parsed with the present `spec`. Only sources that return
    /// `RawRecord::Text` need it.
    async fn replay(
        &self,
        spec: &ReadSpec,
        records: Vec<RejectedRecord>,
    ) -> Result<Box<dyn Reader>>;
}

/// An open read.
#[async_trait]
pub trait Reader: Send {
    /// The tables whose rows it returns, with their columns as known now.
    fn tables(&self) -> Vec<TableSchema>;

    /// True if it ends by itself.
    fn bounded(&self) -> bool;

    /// The splits, when they are assigned. It is called once.
    fn splits(&mut self) -> BoxStream<Result<Assignment>>;

    /// Confirms that everything up to `position` is durably committed in the destination.
    async fn committed(&mut self, position: &Position) -> Result<()>;

    /// Goes back to a committed position: returns the splits that this reader still has, each from that
    /// position. It is called if a split was revoked after some of its rows were read. `None` if the reader
    /// cannot do it; then the caller opens a new one.
    async fn rewind(
        &mut self,
        _position: &Position,
    ) -> Result<Option<BoxStream<Result<Assignment>>>> {
        Ok(None)
    }

    /// Notes for the user that were collected while it was opened: lossy type mappings, ambiguous dates,
    /// the lag of a replica.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What happens to the splits of a reader.
pub enum Assignment {
    /// A split to read.
    Assigned(Split),
    /// A split was assigned to another reader: what was read since its last committed boundary is dropped.
    Revoked(SplitId),
    /// No more splits follow. The position is reached when all assigned splits have ended; it is empty if
    /// their boundaries are sufficient.
    Complete(Position),
}

/// A part of a source that is read in order.
pub struct Split {
    /// Its name, the same in every run.
    pub id: SplitId,
    /// Its events.
    pub events: BoxStream<Result<Event>>,
}

/// An event of a split.
#[derive(Debug)]
pub enum Event {
    /// Rows.
    Rows(Rows),
    /// Records that could not become a row.
    Rejects(Vec<Reject>),
    /// From here on the table has these columns.
    Schema(TableSchema),
    /// The table was emptied at the source: all earlier rows of all splits are deleted.
    Truncate(TableName),
    /// No row of this table with an earlier event time will follow in this split, in microseconds since
    /// 1970 UTC.
    Watermark {
        /// The table.
        table: TableName,
        /// The time.
        event_time_us: i64,
    },
    /// A checkpoint is possible here, because everything before it is complete.
    Boundary(SplitPosition),
    /// The split has been read to its end.
    End,
}
