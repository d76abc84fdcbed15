//! A write to an API: each row becomes an insert, an update or a delete, by what the API has taken before.
//!
//! Promise: nothing is sent before `deliver`. A change for which the table declares no request stops the write,
//! and so does a key that comes twice. Rows that the API refused before, and that did not change since, are
//! sent again. Read next: `delivery.rs`.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{BufWriter, Write as _};

use arrow_array::RecordBatch;
use async_trait::async_trait;
use towpath_ports::{
    FINISH_DELIVERY, ONLY_CHANGES, Op, OpColumn, Prepared, PreparedStats, ReservedMemory, Result,
    StagedFile, WriteRequest, Writer,
};

use super::super::error::RestError;
use super::delivery::PreparedDelivery;
use super::destination::RestDestination;
use super::options::{Change, SendOptions, Sent};
use super::outbox::{Outbox, RefusedRecord, rows_file};
use super::record::{Record, RecordMaker};
use super::sent_keys::{HELD_BYTES, RowKey, SentKeys};
use crate::stage::{Stage, private};

/// A write in progress.
pub(super) struct RestWriter {
    destination: RestDestination,
    intent: WriteRequest,
    send: SendOptions,
    outbox: Outbox,
    stage: Stage,
    files: [BufWriter<File>; 3],
    counts: [usize; 3],
    records: RecordMaker,
    keys: SentKeys,
    /// Rows that the API refused and that did not come in this write.
    refused: BTreeMap<RowKey, RefusedRecord>,
    came: HashSet<RowKey>,
    bytes: u64,
    /// The memory of the keys.
    leases: Vec<ReservedMemory>,
}

fn failed(source: std::io::Error) -> RestError {
    RestError::KeptRows {
        folder: ".towpath/rest-rows".to_owned(),
        source,
    }
}

const fn index(change: Change) -> usize {
    match change {
        Change::Delete => 0,
        Change::Update => 1,
        Change::Insert => 2,
    }
}

impl RestWriter {
    pub(super) async fn begin(
        destination: RestDestination,
        intent: WriteRequest,
        send: SendOptions,
    ) -> Result<Self, RestError> {
        let outbox = destination.outbox(&intent.task);
        let keys = outbox.keys()?;
        let before = outbox.key_columns()?;
        let is_finish = intent.write.options.contains_key(FINISH_DELIVERY);
        // An interrupted delivery ends by the key that it had.
        if let Some(before) = before.filter(|before| !is_finish && *before != intent.write.key) {
            return Err(RestError::OtherKey {
                table: intent.table.to_string(),
                before: before.join(", "),
                now: intent.write.key.join(", "),
            });
        }
        let project = &destination.context.project_dir;
        let stage = Stage::make(&project.join(".towpath"), "rest-rows").map_err(failed)?;
        let file = |change| {
            let file = private(&rows_file(stage.folder(), change)).map_err(failed)?;
            Ok::<_, RestError>(BufWriter::with_capacity(256 << 10, file))
        };
        let [delete, update, insert] = Change::ALL;
        let files = [file(delete)?, file(update)?, file(insert)?];
        // Where all rows come, one that does not come is gone.
        let is_again = intent.write.options.contains_key(ONLY_CHANGES);
        let refused = match is_again {
            true => outbox.refused()?,
            false => Vec::new(),
        };
        let mut writer = Self {
            records: RecordMaker::new(&intent.write.key),
            refused: refused
                .into_iter()
                .map(|row| (row.record.key, row))
                .collect(),
            destination,
            intent,
            send,
            outbox,
            stage,
            files,
            counts: [0; 3],
            keys,
            came: HashSet::new(),
            bytes: 0,
            leases: Vec::new(),
        };
        writer.lease(writer.keys.len()).await?;
        Ok(writer)
    }

    async fn lease(&mut self, keys: usize) -> Result<(), RestError> {
        let holder = format!("keys of rows of {}", self.intent.table);
        let memory = &self.destination.context.memory;
        let lease = memory.lease(&holder, keys as u64 * HELD_BYTES).await;
        self.leases.push(lease.map_err(RestError::Memory)?);
        Ok(())
    }

    fn add(&mut self, batch: &RecordBatch, ops: Option<&OpColumn>) -> Result<(), RestError> {
        let table = self.intent.table.to_string();
        let records = self.records.records(batch);
        let records = records.map_err(|why| RestError::NoRecord {
            table: table.clone(),
            why: why.to_string(),
        })?;
        for (row, record) in records.into_iter().enumerate() {
            if !self.came.insert(record.key) {
                return Err(RestError::RepeatedKey {
                    table,
                    key: self.intent.write.key.join(", "),
                });
            }
            self.refused.remove(&record.key);
            let op = ops.and_then(|ops| Op::from_byte(ops.value(row)));
            self.put(op == Some(Op::Delete), &record)?;
        }
        Ok(())
    }

    /// Keeps a row for the request that it needs.
    fn put(&mut self, is_gone: bool, record: &Record) -> Result<(), RestError> {
        let change = match (is_gone, self.keys.has(record.key)) {
            // The API never had it.
            (true, false) => return Ok(()),
            (true, true) => Change::Delete,
            (false, true) => Change::Update,
            (false, false) => Change::Insert,
        };
        match self.send.of(change) {
            Sent::Call(_) => {}
            Sent::Ignored => return Ok(()),
            Sent::Undeclared => {
                return Err(RestError::NoRequest {
                    table: self.intent.table.to_string(),
                    change: change.word(),
                });
            }
        }
        let mut line = serde_json::to_vec(record).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        self.bytes += line.len() as u64;
        let at = index(change);
        if let (Some(count), Some(file)) = (self.counts.get_mut(at), self.files.get_mut(at)) {
            *count += 1;
            file.write_all(&line).map_err(failed)?;
        }
        Ok(())
    }

    /// Adds the rows that were refused before and are as they were.
    fn add_refused(&mut self) -> Result<(), RestError> {
        for (_, row) in std::mem::take(&mut self.refused) {
            let record = Record {
                again: true,
                ..row.record
            };
            self.put(row.change == Change::Delete, &record)?;
        }
        Ok(())
    }
}

#[async_trait]
impl Writer for RestWriter {
    async fn write(&mut self, batch: RecordBatch, ops: Option<OpColumn>) -> Result<()> {
        self.lease(batch.num_rows()).await?;
        Ok(self.add(&batch, ops.as_ref())?)
    }

    async fn add_files(&mut self, _: Vec<StagedFile>) -> Result<()> {
        Err(RestError::NoCandidate {
            table: self.intent.table.to_string(),
        }
        .into())
    }

    async fn prepare(mut self: Box<Self>) -> Result<Box<dyn Prepared>> {
        self.add_refused()?;
        for file in &mut self.files {
            file.flush().map_err(failed)?;
        }
        let is_finish = self.intent.write.options.contains_key(FINISH_DELIVERY);
        let Self {
            destination,
            intent,
            send,
            outbox,
            stage,
            counts,
            keys,
            bytes,
            leases,
            ..
        } = *self;
        let stats = PreparedStats {
            rows_in: counts.iter().sum::<usize>() as u64,
            bytes,
            ..PreparedStats::default()
        };
        Ok(Box::new(PreparedDelivery {
            destination,
            key: intent.write.key.clone(),
            intent,
            send,
            outbox,
            rows: (!is_finish).then_some((stage, counts)),
            keys,
            stats,
            _leases: leases,
            end: None,
        }))
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
