//! The rows that a write is about to send, read like any other source.
//!
//! Promise: it gives exactly the rows that will be sent and are not deleted ones; what the target holds
//! besides nobody knows, so only what follows from the rows themselves is checked (a key is unique and not
//! NULL). Types that JSON has no form for are texts. Read next: `target_writer.rs`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use futures::stream;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use towpath_ports::{
    Assignment, BoxStream, Candidate, Event, InputVersion, Memory, ReadSpec, Reader,
    RejectedRecord, Result, Source, Split, TableSchema,
};
use towpath_vocab::{Failure, Position, SplitId, TableName};

use super::error::SingerError;
use crate::files::{ObjectColumns, ObjectLines, ObjectRows, is_readable_type};

/// Bytes of records that are read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// The records of a write in their file.
#[derive(Clone)]
pub(super) struct SentRows {
    pub(super) path: PathBuf,
    pub(super) table: TableName,
    pub(super) schema: SchemaRef,
    /// The bytes of a line before its record.
    pub(super) head: usize,
    pub(super) memory: Arc<dyn Memory>,
}

impl SentRows {
    /// The candidate of these rows.
    pub(super) fn candidate(self) -> Candidate {
        Candidate {
            schema: self.readable(),
            source: Arc::new(self),
            native: Arc::new(()),
        }
    }

    /// The columns as they can be read.
    fn readable(&self) -> SchemaRef {
        let fields = self.schema.fields().iter().map(|field| {
            let data_type = match is_readable_type(field.data_type()) {
                true => field.data_type().clone(),
                false => DataType::Utf8,
            };
            Field::new(field.name(), data_type, true)
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    fn rows(&self, spec: &ReadSpec) -> ObjectRows {
        ObjectRows::new(ObjectColumns {
            table: spec.table.clone(),
            schema: self.readable(),
            exact: BTreeSet::new(),
            batch_rows: spec.batch_rows,
            max_record_bytes: usize::MAX,
        })
    }
}

#[async_trait]
impl Source for SentRows {
    async fn open(&self, spec: &ReadSpec, _: Option<&Position>) -> Result<Box<dyn Reader>> {
        let file = File::open(&self.path).await;
        let file = file.map_err(|source| SingerError::Pipe {
            program: self.table.to_string(),
            source,
        })?;
        Ok(Box::new(SentReader {
            table: TableSchema {
                table: spec.table.clone(),
                schema: self.readable(),
            },
            lines: Some(SentLines {
                rows: self.rows(spec),
                sent: self.clone(),
                file: BufReader::with_capacity(256 << 10, file),
                waiting: Box::new(std::iter::empty()),
                read: 0,
                is_over: false,
            }),
        }))
    }

    async fn version(&self, _: &ReadSpec) -> Result<Option<InputVersion>> {
        Ok(None)
    }

    async fn replay(
        &self,
        spec: &ReadSpec,
        records: Vec<RejectedRecord>,
    ) -> Result<Box<dyn Reader>> {
        self.rows(spec).replay(records).map_err(Failure::from)
    }
}

/// A read of the rows.
struct SentReader {
    table: TableSchema,
    lines: Option<SentLines>,
}

#[async_trait]
impl Reader for SentReader {
    fn tables(&self) -> Vec<TableSchema> {
        vec![self.table.clone()]
    }

    fn bounded(&self) -> bool {
        true
    }

    fn splits(&mut self) -> BoxStream<Result<Assignment>> {
        let split = self.lines.take().map(|lines| {
            let events = stream::unfold(lines, |mut lines| async move {
                let next = lines.next().await.transpose()?;
                Some((next.map_err(Failure::from), lines))
            });
            Ok(Assignment::Assigned(Split {
                id: SplitId("sent".to_owned()),
                events: Box::pin(events),
            }))
        });
        let complete = Ok(Assignment::Complete(Position::default()));
        Box::pin(stream::iter(split.into_iter().chain([complete])))
    }

    async fn committed(&mut self, _: &Position) -> Result<()> {
        Ok(())
    }
}

/// The lines of the file as events.
struct SentLines {
    rows: ObjectRows,
    sent: SentRows,
    file: BufReader<File>,
    waiting: Box<dyn Iterator<Item = Event> + Send>,
    read: u64,
    is_over: bool,
}

impl SentLines {
    async fn next(&mut self) -> std::result::Result<Option<Event>, SingerError> {
        loop {
            if let Some(event) = self.waiting.next() {
                return Ok(Some(event));
            }
            if self.is_over {
                return Ok(None);
            }
            let (bytes, rows) = self.chunk().await?;
            if rows == 0 {
                self.is_over = true;
                return Ok(Some(Event::End));
            }
            let first = self.read + 1;
            self.read += rows;
            let lease = self
                .sent
                .memory
                .lease("rows for a Singer target", bytes.len() as u64);
            let lines = ObjectLines {
                object: self.sent.table.to_string().into(),
                offset: first,
                first,
                lease: lease.await.map_err(SingerError::Port)?,
                bytes,
            };
            let events = self.rows.read(lines);
            self.waiting = Box::new(events.map_err(|error| SingerError::Port(error.into()))?);
        }
    }

    /// Records of some lines, one in each line.
    async fn chunk(&mut self) -> std::result::Result<(Vec<u8>, u64), SingerError> {
        let (mut bytes, mut line, mut rows) = (Vec::new(), Vec::new(), 0);
        while bytes.len() < CHUNK_BYTES {
            line.clear();
            let read = self.file.read_until(b'\n', &mut line).await;
            let read = read.map_err(|source| SingerError::Pipe {
                program: self.sent.table.to_string(),
                source,
            })?;
            if read == 0 {
                break;
            }
            // A line is the head, the record, `}` and a line feed.
            let record = line.get(self.sent.head..line.len().saturating_sub(2));
            bytes.extend_from_slice(record.unwrap_or_default());
            bytes.push(b'\n');
            rows += 1;
        }
        Ok((bytes, rows))
    }
}
