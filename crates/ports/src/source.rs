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
    ColumnPlan, CursorPlan, Position, RawRecord, ReadMode, Reject, Selection, SplitId,
    SplitPosition, TableName,
};

use crate::{Result, Rows};

/// A stream that can be sent between tasks.
pub type BoxStream<T> = Pin<Box<dyn Stream<Item = T> + Send>>;

/// What is to be read. The same for a table, a file, a topic.
#[derive(Clone, Debug)]
pub struct ReadSpec {
    /// The name the rows travel under.
    pub table: TableName,
    /// Which rows.
    pub selection: Selection,
    /// How.
    pub mode: ReadMode,
    /// For incremental reads.
    pub cursor: Option<CursorPlan>,
    /// Types declared for source columns (by source name); they win over inference and catalogue.
    pub declared: Vec<ColumnPlan>,
    /// What is known of the source's columns: used instead of inferring them anew. A value that does
    /// not fit is a reject.
    pub known: Option<SchemaRef>,
    /// What the columns were when they were last read. A source whose text does not say its types
    /// keeps these: a value that does not fit is a reject. A column may be missing from the source.
    pub observed: Option<SchemaRef>,
    /// Source columns to read; `None` means all. A source may give more.
    pub projection: Option<Vec<String>>,
    /// Stop after about this many rows.
    pub limit: Option<u64>,
    /// Options of this table over the connection's.
    pub options: BTreeMap<String, serde_json::Value>,
    /// At most this many splits at once.
    pub parallel: usize,
    /// Aim for batches of this many rows.
    pub batch_rows: usize,
    /// And of at most this many bytes.
    pub batch_bytes: usize,
    /// Rows that an earlier read gave may be given again: they are written by a key and stand once.
    /// A source that can no longer tell such rows from new ones then gives all of them, with a note,
    /// instead of failing.
    pub may_repeat: bool,
}

/// An identity of what a read would see: equal means there is nothing new to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InputVersion(pub String);

/// A table's name and columns.
#[derive(Clone, Debug)]
pub struct TableSchema {
    /// The name rows travel under.
    pub table: TableName,
    /// The columns.
    pub schema: SchemaRef,
}

/// Something that can be read.
#[async_trait]
pub trait Source: Send + Sync {
    /// Contacts the system and prepares a read from `from` (or from the start).
    ///
    /// # Errors
    /// `Remedy::Retry` when the system cannot be reached, `FixConfig` for wrong credentials or a
    /// missing object, `FixData` when the input cannot be read at all.
    async fn open(&self, spec: &ReadSpec, from: Option<&Position>) -> Result<Box<dyn Reader>>;

    /// What a read would see now, if the source can tell cheaply; `None` means always read.
    async fn version(&self, spec: &ReadSpec) -> Result<Option<InputVersion>>;

    /// A reader over records that were rejected, parsed as `spec` says now. Only sources that give
    /// `RawRecord::Text` need it.
    async fn replay(&self, spec: &ReadSpec, records: Vec<RawRecord>) -> Result<Box<dyn Reader>>;
}

/// An opened read.
#[async_trait]
pub trait Reader: Send {
    /// The tables it will give rows for, with their columns as known now.
    fn tables(&self) -> Vec<TableSchema>;

    /// True when it will end by itself.
    fn bounded(&self) -> bool;

    /// The splits, as they are assigned. Called once.
    fn splits(&mut self) -> BoxStream<Result<Assignment>>;

    /// Everything up to `position` is durably committed downstream.
    async fn committed(&mut self, position: &Position) -> Result<()>;

    /// Goes back to a committed position: gives the splits that are still this reader's once more, each
    /// from there. Asked when a split was revoked and rows of it were read since. `None` when the reader
    /// cannot: then whoever reads opens it anew.
    async fn rewind(
        &mut self,
        _position: &Position,
    ) -> Result<Option<BoxStream<Result<Assignment>>>> {
        Ok(None)
    }

    /// Notes about the source a person should know, gathered while opening: lossy mappings,
    /// ambiguous dates, a replica's lag.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What happens to the splits of a reader.
pub enum Assignment {
    /// A split to read.
    Assigned(Split),
    /// A split was taken away: what was read since its last committed boundary is dropped.
    Revoked(SplitId),
    /// No split will follow. The position holds once all assigned splits have ended; empty when
    /// their boundaries say it all.
    Complete(Position),
}

/// A part of a source that is read in order.
pub struct Split {
    /// Its name, stable over runs.
    pub id: SplitId,
    /// What it holds.
    pub events: BoxStream<Result<Event>>,
}

/// One thing a split gives.
#[derive(Debug)]
pub enum Event {
    /// Rows.
    Rows(Rows),
    /// Records that could not even become a row.
    Rejects(Vec<Reject>),
    /// From here on the table has these columns.
    Schema(TableSchema),
    /// The table was emptied at the source: all its rows of every split that came before are gone.
    Truncate(TableName),
    /// No row of this table with an earlier event time will follow in this split, in microseconds since
    /// 1970 UTC.
    Watermark {
        /// The table.
        table: TableName,
        /// The time.
        event_time_us: i64,
    },
    /// A checkpoint may stand here: everything before is complete.
    Boundary(SplitPosition),
    /// The split is read to its end.
    End,
}
