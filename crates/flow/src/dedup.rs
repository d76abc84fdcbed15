//! An operator that keeps one row of each key: the one with the largest (or smallest) value of a column,
//! and the later one of equal values. In a change feed it keeps the last event of the key.
//!
//! Promise: rows are kept until the commit, in memory up to a limit and above it on disk, partitioned by
//! key, so the number of rows is not limited. An event does not change: if a delete is the last event of
//! its key, it stays a delete. While all rows fit in memory, their order is kept. Read next: `spill.rs`.

use std::hash::BuildHasher;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{
    Array, ArrayRef, BooleanArray, RecordBatch, UInt8Array, UInt64Array, new_null_array,
};
use arrow_row::{RowConverter, SortField};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::interleave::interleave_record_batch;
use async_trait::async_trait;
use hashbrown::{DefaultHashBuilder, HashMap};
use towpath_ports::{Op, OpColumn, Operator, OperatorOutput, Origin, Result, Rows};
use towpath_vocab::types::one_form;
use towpath_vocab::{Dedup, TableName};

use crate::predicate::{column_index, kernel};
use crate::projection::keep_rows;
use crate::services::MemoryShare;
use crate::spill::{BatchReader, PARTITIONS, Partitions};

/// Rows per batch when the kept rows are passed on.
const RELEASE_ROWS: usize = 16 * 1024;
/// Rows per batch on disk.
const SPILL_ROWS: usize = 1024;
/// The bytes of an entry in addition to its key and value.
const ENTRY_BYTES: u64 = 96;
/// How often rows are partitioned again before a part is kept in memory whatever its size.
const MOST_LEVELS: u32 = 8;

/// Which row of a key is kept.
#[derive(Clone, Copy)]
pub(crate) enum KeptRow {
    /// The one with the largest or smallest value of a column.
    By { column: usize, largest: bool },
    /// The last event. If it is a delete, no row is kept, because the target is empty.
    LastPresent,
}

impl KeptRow {
    pub(crate) fn of(dedup: &Dedup, schema: &SchemaRef) -> Result<Self> {
        Ok(KeptRow::By {
            column: column_index(schema, &dedup.by)?,
            largest: dedup.keep_last,
        })
    }
}

/// The operator that keeps one row of each key.
pub(crate) struct Deduplicate {
    rule: Arc<KeyRule>,
    best: BestRows,
    spilled: Option<Partitions>,
    /// Parts on disk that are passed on one after the other, each with how often it was partitioned.
    parts: Vec<(BatchReader, u32)>,
    /// The table and origin of the rows.
    like: Option<(TableName, Arc<dyn Origin>)>,
}

/// How rows are compared; the same for all parts.
struct KeyRule {
    schema: SchemaRef,
    /// `schema` and two more columns: ordinal and op.
    stored: SchemaRef,
    key: Vec<usize>,
    stays: KeptRow,
    share: MemoryShare,
    hash: DefaultHashBuilder,
}

/// Rows in memory.
struct BestRows {
    level: u32,
    keys: RowConverter,
    values: Option<RowConverter>,
    best: HashMap<Box<[u8]>, Best>,
    /// In the form of `KeyRule::stored`.
    batches: Vec<RecordBatch>,
    bytes: u64,
}

/// The row to keep so far: its deciding value, its batch, its row.
struct Best {
    value: Box<[u8]>,
    place: (usize, usize),
}

impl Deduplicate {
    pub(crate) fn new(
        stays: KeptRow,
        key: &[String],
        schema: &SchemaRef,
        share: MemoryShare,
    ) -> Result<Self> {
        let key = key
            .iter()
            .map(|c| column_index(schema, c))
            .collect::<Result<Vec<_>>>()?;
        let mut fields: Vec<Arc<Field>> = schema.fields().to_vec();
        fields.push(Arc::new(Field::new("ordinal", DataType::UInt64, false)));
        fields.push(Arc::new(Field::new("op", DataType::UInt8, true)));
        let rule = Arc::new(KeyRule {
            schema: SchemaRef::clone(schema),
            stored: Arc::new(Schema::new(fields)),
            key,
            stays,
            share,
            hash: DefaultHashBuilder::default(),
        });
        Ok(Self {
            best: BestRows::new(&rule, 0)?,
            rule,
            spilled: None,
            parts: Vec::new(),
            like: None,
        })
    }

    /// The kept rows, in batches of a size that suits a writer.
    fn released(&self, best: BestRows) -> Result<OperatorOutput> {
        let mut output = OperatorOutput::default();
        let Some((table, origin)) = &self.like else {
            return Ok(output);
        };
        let without_deletes = matches!(self.rule.stays, KeptRow::LastPresent);
        for stored in best.staying(RELEASE_ROWS)? {
            let (batch, ordinals, ops) = self.rule.loaded(&stored)?;
            let mut rows = Rows {
                table: table.clone(),
                batch,
                ordinals,
                ops,
                origin: Arc::clone(origin),
            };
            if without_deletes && let Some(ops) = rows.ops.take() {
                let keep = ops.values().iter().map(|op| *op != Op::Delete as u8);
                let keep: Vec<bool> = keep.collect();
                let before = rows.len();
                rows = keep_rows(rows, &BooleanArray::from(keep))?;
                output.repeated_rows += (before - rows.len()) as u64;
            }
            output.rows.push(rows);
        }
        Ok(output)
    }

    /// Moves what is in memory to disk.
    fn spill(&mut self) -> Result<()> {
        let partitions = match &mut self.spilled {
            Some(partitions) => partitions,
            None => {
                let new = Partitions::new(&self.rule.share.spill, &self.rule.stored);
                self.spilled.insert(new)
            }
        };
        let level = self.best.level;
        let best = std::mem::replace(&mut self.best, BestRows::new(&self.rule, level)?);
        best.spill(&self.rule, partitions)
    }

    /// The next part on disk; `None` if there is none left.
    fn next_part(&mut self) -> Result<Option<OperatorOutput>> {
        while let Some((reader, level)) = self.parts.pop() {
            let mut best = BestRows::new(&self.rule, level)?;
            let mut divided: Option<Partitions> = None;
            let mut repeated_rows = 0;
            for batch in reader {
                repeated_rows += best.add(&self.rule, batch?)?;
                if best.is_over(&self.rule) {
                    let partitions = divided.get_or_insert_with(|| {
                        Partitions::new(&self.rule.share.spill, &self.rule.stored)
                    });
                    let full = std::mem::replace(&mut best, BestRows::new(&self.rule, level)?);
                    full.spill(&self.rule, partitions)?;
                }
            }
            let Some(mut partitions) = divided else {
                let mut output = self.released(best)?;
                output.repeated_rows += repeated_rows;
                return Ok(Some(output));
            };
            best.spill(&self.rule, &mut partitions)?;
            let parts = partitions.read()?.into_iter().flatten();
            self.parts.extend(parts.map(|part| (part, level + 1)));
            if repeated_rows > 0 {
                return Ok(Some(OperatorOutput {
                    repeated_rows,
                    ..OperatorOutput::default()
                }));
            }
        }
        Ok(None)
    }
}

#[async_trait]
impl Operator for Deduplicate {
    fn name(&self) -> &'static str {
        "dedup"
    }

    fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.rule.schema)
    }

    async fn process(&mut self, rows: Rows) -> Result<OperatorOutput> {
        if rows.is_empty() {
            return Ok(OperatorOutput::default());
        }
        if self.like.is_none() {
            self.like = Some((rows.table.clone(), Arc::clone(&rows.origin)));
        }
        let stored = self.rule.stored(rows)?;
        let repeated_rows = self.best.add(&self.rule, stored)?;
        if self.best.is_over(&self.rule) {
            self.spill()?;
        }
        Ok(OperatorOutput {
            repeated_rows,
            ..OperatorOutput::default()
        })
    }

    async fn flush(&mut self) -> Result<Option<OperatorOutput>> {
        if self.spilled.is_some() {
            self.spill()?;
        }
        if let Some(partitions) = self.spilled.take() {
            let parts = partitions.read()?.into_iter().flatten();
            self.parts.extend(parts.map(|part| (part, 1)));
        }
        if let Some(output) = self.next_part()? {
            return Ok(Some(output));
        }
        if self.best.batches.is_empty() {
            return Ok(None);
        }
        let best = std::mem::replace(&mut self.best, BestRows::new(&self.rule, 0)?);
        self.released(best).map(Some)
    }
}

impl KeyRule {
    fn stored(&self, rows: Rows) -> Result<RecordBatch> {
        let count = rows.len();
        let mut columns = rows.batch.columns().to_vec();
        columns.push(Arc::new(rows.ordinals));
        columns.push(match rows.ops {
            Some(ops) => Arc::new(ops),
            None => new_null_array(&DataType::UInt8, count),
        });
        RecordBatch::try_new(SchemaRef::clone(&self.stored), columns).map_err(kernel)
    }

    /// The columns, the ordinals and, if any row had an op, the ops.
    fn loaded(&self, stored: &RecordBatch) -> Result<(RecordBatch, UInt64Array, Option<OpColumn>)> {
        let mut columns = stored.columns().to_vec();
        let (ops, ordinals) = (columns.pop(), columns.pop());
        let ordinals = ordinals.map(|c| c.as_primitive().clone());
        let ops: Option<UInt8Array> = ops.map(|c| c.as_primitive().clone());
        let ops = ops.filter(|ops| ops.null_count() < ops.len());
        let ops = ops.map(|ops| {
            ops.iter()
                .map(|op| op.unwrap_or(Op::Insert as u8))
                .collect()
        });
        let batch = RecordBatch::try_new(SchemaRef::clone(&self.schema), columns);
        let ordinals = ordinals.unwrap_or_else(|| UInt64Array::from(Vec::<u64>::new()));
        Ok((batch.map_err(kernel)?, ordinals, ops))
    }

    fn part(&self, level: u32, key: &[u8]) -> usize {
        let hash = self.hash.hash_one((level, key));
        usize::try_from(hash % PARTITIONS as u64).unwrap_or(0)
    }
}

impl BestRows {
    fn new(rule: &KeyRule, level: u32) -> Result<Self> {
        let sort = |at: usize| SortField::new(rule.schema.field(at).data_type().clone());
        let values = match rule.stays {
            KeptRow::By { column, .. } => Some(vec![sort(column)]),
            KeptRow::LastPresent => None,
        };
        let keys = rule.key.iter().map(|at| sort(*at)).collect();
        Ok(Self {
            level,
            keys: RowConverter::new(keys).map_err(kernel)?,
            values: values.map(RowConverter::new).transpose().map_err(kernel)?,
            best: HashMap::new(),
            batches: Vec::new(),
            bytes: 0,
        })
    }

    fn is_over(&self, rule: &KeyRule) -> bool {
        self.bytes > rule.share.bytes && self.best.len() > 1 && self.level < MOST_LEVELS
    }

    /// Adds a batch, and returns how many rows were removed.
    fn add(&mut self, rule: &KeyRule, batch: RecordBatch) -> Result<u64> {
        let columns: Vec<ArrayRef> = rule
            .key
            .iter()
            .map(|&i| one_form(batch.column(i)))
            .collect();
        let keys = self.keys.convert_columns(&columns).map_err(kernel)?;
        let (values, largest) = match (&mut self.values, rule.stays) {
            (Some(converter), KeptRow::By { column, largest }) => {
                let by = one_form(batch.column(column));
                (
                    Some(converter.convert_columns(&[by]).map_err(kernel)?),
                    largest,
                )
            }
            _ => (None, true),
        };
        let ops = batch.columns().last().map(|c| c.as_primitive());
        let is_event = |row: usize| ops.is_some_and(|ops: &UInt8Array| ops.is_valid(row));
        let at = self.batches.len();
        let mut left_out = 0;
        for (row, key) in keys.iter().enumerate() {
            let key = key.as_ref();
            let value = values.as_ref().map(|values| values.row(row));
            let value = value.as_ref().map_or(&[][..], |value| value.as_ref());
            let Some(best) = self.best.get_mut(key) else {
                self.bytes += (key.len() + value.len()) as u64 + ENTRY_BYTES;
                let best = Best {
                    value: value.into(),
                    place: (at, row),
                };
                self.best.insert(key.into(), best);
                continue;
            };
            left_out += 1;
            // Events are in order; their columns outside the key may be NULL.
            let stays = is_event(row)
                || match largest {
                    true => value >= &*best.value,
                    false => value < &*best.value,
                };
            if stays {
                best.value = value.into();
                best.place = (at, row);
            }
        }
        self.bytes += batch.get_array_memory_size() as u64;
        self.batches.push(batch);
        Ok(left_out)
    }

    /// The kept rows, in the order in which they came.
    fn staying(self, batch_rows: usize) -> Result<Vec<RecordBatch>> {
        let mut places: Vec<(usize, usize)> = self.best.values().map(|best| best.place).collect();
        places.sort_unstable();
        picked(&self.batches, &places, batch_rows).collect()
    }

    /// Writes the kept rows, each to the partition of its key.
    fn spill(self, rule: &KeyRule, partitions: &mut Partitions) -> Result<()> {
        let mut parts: Vec<Vec<(usize, usize)>> = vec![Vec::new(); PARTITIONS];
        for (key, best) in &self.best {
            if let Some(part) = parts.get_mut(rule.part(self.level, key)) {
                part.push(best.place);
            }
        }
        for (part, places) in parts.iter_mut().enumerate() {
            places.sort_unstable();
            for batch in picked(&self.batches, places, SPILL_ROWS) {
                partitions.write(part, &batch?)?;
            }
        }
        Ok(())
    }
}

fn picked<'a>(
    batches: &'a [RecordBatch],
    places: &'a [(usize, usize)],
    batch_rows: usize,
) -> impl Iterator<Item = Result<RecordBatch>> + 'a {
    let batches: Vec<&RecordBatch> = batches.iter().collect();
    places
        .chunks(batch_rows)
        .map(move |chunk| interleave_record_batch(&batches, chunk).map_err(kernel))
}

#[cfg(test)]
mod tests;
