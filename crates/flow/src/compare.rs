//! Finds the rows that differ between two versions of a table, by key, with limited memory.
//!
//! Promise: a row that is new or differs in any column comes as an update, and a row whose key is gone as a
//! delete, each once; NULL equals NULL. The old version is in memory up to a limit; above it, both versions
//! are partitioned by key on disk and compared part by part, so their size is not limited. It does not know
//! where the versions come from. Read next: `spill.rs`, `repeats.rs`.

use std::hash::BuildHasher;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, UInt64Array};
use arrow_row::{RowConverter, Rows as Converted, SortField};
use arrow_schema::{Schema, SchemaRef};
use arrow_select::interleave::interleave_record_batch;
use arrow_select::take::take_record_batch;
use futures::{StreamExt, TryStreamExt, stream};
use hashbrown::{DefaultHashBuilder, HashMap};
use tokio::sync::mpsc;
use towpath_ports::{BoxStream, Op, OpColumn, QueryResult, Result};
use towpath_vocab::types::one_form;
use towpath_vocab::{Failure, Remedy};

use crate::predicate::{column_index, kernel};
use crate::services::{MemoryShare, TransferServices};
use crate::spill::{BatchReader, PARTITIONS, Partitions};

/// The bytes of an entry in addition to its key.
const ENTRY_BYTES: u64 = 96;
/// How often rows are partitioned again before a part is kept in memory whatever its size.
const MOST_LEVELS: u32 = 8;
/// Deletes in one batch.
const BATCH_ROWS: usize = 8 * 1024;
/// The most batches that wait for the reader.
const IN_FLIGHT: usize = 2;

/// The changes, in batches.
pub type Differences = BoxStream<Result<(RecordBatch, OpColumn)>>;

/// Two versions of a table with the same columns.
pub struct TableVersions {
    /// The old version.
    pub then: QueryResult,
    /// The new version; no key occurs twice in it.
    pub now: QueryResult,
    /// The key's columns.
    pub key: Vec<String>,
    /// Columns whose values make no difference.
    pub ignored: Vec<String>,
}

/// False if a column has one of the rare types that cannot be compared here.
pub fn can_compare(schema: &Schema) -> bool {
    let fields = schema.fields().iter();
    let fields: Vec<SortField> = fields
        .map(|field| SortField::new(field.data_type().clone()))
        .collect();
    RowConverter::supports_fields(&fields)
}

/// Compares two versions; the next batch is computed when it is read.
///
/// # Errors
/// `FixConfig` if a key column is missing.
pub fn differences(versions: TableVersions, services: &TransferServices) -> Result<Differences> {
    let TableVersions {
        then,
        now,
        key,
        ignored,
    } = versions;
    // A column may contain NULL in both versions if one of them allows it.
    let fields = now.schema.fields().iter();
    let nullable = fields.map(|field| field.as_ref().clone().with_nullable(true));
    let schema: SchemaRef = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
    let key = key
        .iter()
        .map(|column| column_index(&schema, column))
        .collect::<Result<Vec<_>>>()?;
    let names = schema.fields().iter().map(|field| field.name());
    let compared = names
        .enumerate()
        .filter(|(at, name)| key.contains(at) || !ignored.contains(name))
        .map(|(at, _)| at)
        .collect();
    let comparing = Comparing {
        schema,
        key,
        compared,
        share: services.share(),
        hash: DefaultHashBuilder::default(),
    };
    let (sender, receiver) = mpsc::channel(IN_FLIGHT);
    let task = async move {
        if let Err(failure) = comparing.run(then, now, &sender).await {
            // A reader that is gone needs no failure.
            let _ = sender.send(Err(failure)).await;
        }
    };
    let running = Running(tokio::spawn(task));
    let next = |(mut receiver, running): (mpsc::Receiver<_>, Running)| async move {
        let change = receiver.recv().await?;
        Some((change, (receiver, running)))
    };
    Ok(stream::unfold((receiver, running), next).boxed())
}

/// Stops the comparison when its result is dropped.
struct Running(tokio::task::JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

type Sender = mpsc::Sender<Result<(RecordBatch, OpColumn)>>;

struct Comparing {
    schema: SchemaRef,
    key: Vec<usize>,
    /// The columns in which rows may differ.
    compared: Vec<usize>,
    share: MemoryShare,
    hash: DefaultHashBuilder,
}

impl Comparing {
    async fn run(self, mut then: QueryResult, mut now: QueryResult, sender: &Sender) -> Result<()> {
        let mut old_rows = OldRows::new(&self)?;
        let mut divided: Option<Partitions> = None;
        while let Some(batch) = then.batches.try_next().await? {
            let batch = self.same_columns(batch)?;
            if let Some(partitions) = &mut divided {
                self.divide(0, &batch, partitions)?;
                continue;
            }
            old_rows.add(batch)?;
            if old_rows.is_over(&self.share, 0) {
                let partitions = divided.insert(self.partitions());
                let full = std::mem::replace(&mut old_rows, OldRows::new(&self)?);
                full.divide(&self, 0, partitions)?;
            }
        }
        let Some(then_parts) = divided else {
            while let Some(batch) = now.batches.try_next().await? {
                let changed = old_rows.changed(&self.same_columns(batch)?)?;
                if !send(sender, changed, Op::Update).await {
                    return Ok(());
                }
            }
            for gone in old_rows.gone()? {
                if !send(sender, gone, Op::Delete).await {
                    return Ok(());
                }
            }
            return Ok(());
        };
        let mut now_parts = self.partitions();
        while let Some(batch) = now.batches.try_next().await? {
            self.divide(0, &self.same_columns(batch)?, &mut now_parts)?;
        }
        let sender = sender.clone();
        let parts = move || self.parts(then_parts, now_parts, &sender);
        match tokio::task::spawn_blocking(parts).await {
            Ok(compared) => compared,
            Err(_) => Err(Failure::new(
                "R0728",
                Remedy::Bug,
                "the comparison of two versions ended early",
            )),
        }
    }

    /// Compares part by part; a part that does not fit in memory is partitioned again.
    fn parts(self, then: Partitions, now: Partitions, sender: &Sender) -> Result<()> {
        let pairs = |then: Partitions, now: Partitions, level: u32| -> Result<Vec<Part>> {
            let parts = then.read()?.into_iter().zip(now.read()?);
            Ok(parts.map(|(then, now)| Part { then, now, level }).collect())
        };
        let mut waiting = pairs(then, now, 1)?;
        while let Some(Part { then, now, level }) = waiting.pop() {
            let mut old_rows = OldRows::new(&self)?;
            let mut divided: Option<Partitions> = None;
            for batch in then.into_iter().flatten() {
                if let Some(partitions) = &mut divided {
                    self.divide(level, &batch?, partitions)?;
                    continue;
                }
                old_rows.add(batch?)?;
                if old_rows.is_over(&self.share, level) {
                    let partitions = divided.insert(self.partitions());
                    let full = std::mem::replace(&mut old_rows, OldRows::new(&self)?);
                    full.divide(&self, level, partitions)?;
                }
            }
            if let Some(then) = divided {
                let mut parts = self.partitions();
                for batch in now.into_iter().flatten() {
                    self.divide(level, &batch?, &mut parts)?;
                }
                waiting.extend(pairs(then, parts, level + 1)?);
                continue;
            }
            for batch in now.into_iter().flatten() {
                if !blocking_send(sender, old_rows.changed(&batch?)?, Op::Update) {
                    return Ok(());
                }
            }
            for gone in old_rows.gone()? {
                if !blocking_send(sender, gone, Op::Delete) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn partitions(&self) -> Partitions {
        Partitions::new(&self.share.spill, &self.schema)
    }

    /// The columns of a batch, with the schema of the new version.
    fn same_columns(&self, batch: RecordBatch) -> Result<RecordBatch> {
        RecordBatch::try_new(SchemaRef::clone(&self.schema), batch.columns().to_vec())
            .map_err(kernel)
    }

    /// Writes each row to the partition of its key.
    fn divide(&self, level: u32, batch: &RecordBatch, partitions: &mut Partitions) -> Result<()> {
        let keys = self.converter(&self.key)?;
        let keys = keys
            .convert_columns(&self.key_columns(batch))
            .map_err(kernel)?;
        let mut parts: Vec<Vec<u64>> = vec![Vec::new(); PARTITIONS];
        for (row, key) in (0..).zip(keys.iter()) {
            let hash = self.hash.hash_one((level, key.as_ref()));
            let part = usize::try_from(hash % PARTITIONS as u64).unwrap_or(0);
            if let Some(part) = parts.get_mut(part) {
                part.push(row);
            }
        }
        for (part, rows) in parts.into_iter().enumerate() {
            if !rows.is_empty() {
                let rows = take_record_batch(batch, &UInt64Array::from(rows)).map_err(kernel)?;
                partitions.write(part, &rows)?;
            }
        }
        Ok(())
    }

    fn key_columns(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        let columns = self.key.iter();
        columns.map(|&at| one_form(batch.column(at))).collect()
    }

    fn compared_columns(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        let columns = self.compared.iter();
        columns.map(|&at| Arc::clone(batch.column(at))).collect()
    }

    fn converter(&self, columns: &[usize]) -> Result<RowConverter> {
        let fields = columns
            .iter()
            .map(|&at| SortField::new(self.schema.field(at).data_type().clone()));
        RowConverter::new(fields.collect()).map_err(kernel)
    }
}

/// A part of both versions with the same keys.
struct Part {
    then: Option<BatchReader>,
    now: Option<BatchReader>,
    level: u32,
}

/// The old version, or a part of it, in memory.
struct OldRows<'a> {
    comparing: &'a Comparing,
    keys: RowConverter,
    whole: RowConverter,
    batches: Vec<RecordBatch>,
    /// Parallel to `batches`: each row as bytes that are equal when the rows are.
    rows: Vec<Converted>,
    by_key: HashMap<Box<[u8]>, Entry>,
    bytes: u64,
}

/// The rows of one key: one, unless the key repeats in the old version.
struct Entry {
    place: (usize, usize),
    others: Vec<(usize, usize)>,
    is_there_still: bool,
}

impl<'a> OldRows<'a> {
    fn new(comparing: &'a Comparing) -> Result<Self> {
        Ok(Self {
            comparing,
            keys: comparing.converter(&comparing.key)?,
            whole: comparing.converter(&comparing.compared)?,
            batches: Vec::new(),
            rows: Vec::new(),
            by_key: HashMap::new(),
            bytes: 0,
        })
    }

    fn is_over(&self, share: &MemoryShare, level: u32) -> bool {
        self.bytes > share.bytes && self.by_key.len() > 1 && level < MOST_LEVELS
    }

    fn add(&mut self, batch: RecordBatch) -> Result<()> {
        let columns = self.comparing.key_columns(&batch);
        let keys = self.keys.convert_columns(&columns).map_err(kernel)?;
        let rows = self
            .whole
            .convert_columns(&self.comparing.compared_columns(&batch))
            .map_err(kernel)?;
        let at = self.batches.len();
        for (row, key) in keys.iter().enumerate() {
            let place = (at, row);
            match self.by_key.get_mut(key.as_ref()) {
                Some(entry) => entry.others.push(place),
                None => {
                    self.bytes += key.as_ref().len() as u64 + ENTRY_BYTES;
                    let entry = Entry {
                        place,
                        others: Vec::new(),
                        is_there_still: false,
                    };
                    self.by_key.insert(key.as_ref().into(), entry);
                }
            }
        }
        self.bytes += (batch.get_array_memory_size() + rows.size()) as u64;
        self.batches.push(batch);
        self.rows.push(rows);
        Ok(())
    }

    fn divide(self, comparing: &Comparing, level: u32, partitions: &mut Partitions) -> Result<()> {
        let mut batches = self.batches.iter();
        batches.try_for_each(|batch| comparing.divide(level, batch, partitions))
    }

    /// The rows of the new version that are not equal to a row of the old one.
    fn changed(&mut self, now: &RecordBatch) -> Result<RecordBatch> {
        let columns = self.comparing.key_columns(now);
        let keys = self.keys.convert_columns(&columns).map_err(kernel)?;
        let compared = self.comparing.compared_columns(now);
        let rows = self.whole.convert_columns(&compared).map_err(kernel)?;
        let then = &self.rows;
        let mut changed = Vec::new();
        for (at, (key, row)) in (0_u64..).zip(keys.iter().zip(rows.iter())) {
            let is_same = |(batch, place): &(usize, usize)| {
                let old = then.get(*batch).map(|rows| rows.row(*place));
                old.is_some_and(|old| old == row)
            };
            let known = self.by_key.get_mut(key.as_ref());
            let is_known = known.is_some_and(|entry| {
                entry.is_there_still = true;
                is_same(&entry.place) || entry.others.iter().any(is_same)
            });
            if !is_known {
                changed.push(at);
            }
        }
        take_record_batch(now, &UInt64Array::from(changed)).map_err(kernel)
    }

    /// The rows of the old version whose key the new one does not have.
    fn gone(self) -> Result<Vec<RecordBatch>> {
        let gone = self.by_key.values().filter(|entry| !entry.is_there_still);
        let mut places: Vec<(usize, usize)> = gone.map(|entry| entry.place).collect();
        places.sort_unstable();
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let chunks = places.chunks(BATCH_ROWS);
        chunks
            .map(|chunk| interleave_record_batch(&batches, chunk).map_err(kernel))
            .collect()
    }
}

fn change(batch: RecordBatch, op: Op) -> Option<(RecordBatch, OpColumn)> {
    let rows = batch.num_rows();
    (rows > 0).then(|| (batch, OpColumn::from(vec![op as u8; rows])))
}

/// False if nobody reads the changes any more.
async fn send(sender: &Sender, batch: RecordBatch, op: Op) -> bool {
    match change(batch, op) {
        Some(change) => sender.send(Ok(change)).await.is_ok(),
        None => true,
    }
}

fn blocking_send(sender: &Sender, batch: RecordBatch, op: Op) -> bool {
    match change(batch, op) {
        Some(change) => sender.blocking_send(Ok(change)).is_ok(),
        None => true,
    }
}

#[cfg(test)]
mod tests;
