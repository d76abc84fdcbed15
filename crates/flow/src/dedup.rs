//! Removes rows that repeat a key within one load, keeping the one with the largest (or smallest)
//! value of a column; of equals the later one stays. It holds every row until the end and says so
//! when that would not fit into memory.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, UInt64Array};
use arrow_row::{RowConverter, SortField};
use arrow_schema::SchemaRef;
use arrow_select::interleave::{interleave, interleave_record_batch};
use hashbrown::HashMap;
use towpath_ports::{Result, Rows};
use towpath_vocab::types::one_form;
use towpath_vocab::{Dedup, Failure, Remedy};

use crate::predicate::{column_index, kernel};

/// Rows that are held until the end of the load.
pub(crate) struct Deduplicate {
    key: Vec<usize>,
    by: usize,
    keep_last: bool,
    keys: RowConverter,
    values: RowConverter,
    best: HashMap<Box<[u8]>, Best>,
    held: Vec<Rows>,
    held_bytes: u64,
    most_bytes: u64,
    dropped_rows: u64,
}

/// The row that stays so far: its deciding value, its batch, its row.
type Best = (Box<[u8]>, usize, usize);

impl Deduplicate {
    pub(crate) fn new(
        dedup: &Dedup,
        key: &[String],
        schema: &SchemaRef,
        most_bytes: u64,
    ) -> Result<Self> {
        let key = key
            .iter()
            .map(|c| column_index(schema, c))
            .collect::<Result<Vec<_>>>()?;
        let by = column_index(schema, &dedup.by)?;
        let sort = |index: usize| SortField::new(schema.field(index).data_type().clone());
        Ok(Self {
            keys: RowConverter::new(key.iter().map(|&i| sort(i)).collect()).map_err(kernel)?,
            values: RowConverter::new(vec![sort(by)]).map_err(kernel)?,
            key,
            by,
            keep_last: dedup.keep_last,
            best: HashMap::new(),
            held: Vec::new(),
            held_bytes: 0,
            most_bytes,
            dropped_rows: 0,
        })
    }

    pub(crate) fn dropped_rows(&self) -> u64 {
        self.dropped_rows
    }

    pub(crate) fn hold(&mut self, rows: Rows) -> Result<()> {
        self.held_bytes += rows.batch.get_array_memory_size() as u64;
        if self.held_bytes > self.most_bytes {
            return Err(Failure::new(
                "R0604",
                Remedy::FixConfig,
                format!("`dedup` holds all rows until the end and needs more than {} MB", self.most_bytes >> 20),
            )
            .help("raise `memory:` in towpath.yml, or load without `dedup` and remove repeats in a model"));
        }
        let columns: Vec<ArrayRef> = self
            .key
            .iter()
            .map(|&i| one_form(rows.batch.column(i)))
            .collect();
        let keys = self.keys.convert_columns(&columns).map_err(kernel)?;
        let by = one_form(rows.batch.column(self.by));
        let values = self.values.convert_columns(&[by]).map_err(kernel)?;
        let batch = self.held.len();
        for (row, (key, value)) in keys.iter().zip(values.iter()).enumerate() {
            let value = value.as_ref();
            match self.best.get_mut(key.as_ref()) {
                None => {
                    self.best
                        .insert(key.as_ref().into(), (value.into(), batch, row));
                }
                Some(best) => {
                    self.dropped_rows += 1;
                    let later = if self.keep_last {
                        value >= &*best.0
                    } else {
                        value < &*best.0
                    };
                    if later {
                        *best = (value.into(), batch, row);
                    }
                }
            }
        }
        self.held.push(rows);
        Ok(())
    }

    /// The rows that stay, in the order they came, in batches of at most `batch_rows`.
    pub(crate) fn release(&mut self, batch_rows: usize) -> Result<Vec<Rows>> {
        let mut picks: Vec<(usize, usize)> =
            self.best.drain().map(|(_, (_, b, r))| (b, r)).collect();
        picks.sort_unstable();
        let held = std::mem::take(&mut self.held);
        self.held_bytes = 0;
        let batches: Vec<&RecordBatch> = held.iter().map(|rows| &rows.batch).collect();
        let ordinals: Vec<&dyn Array> = held
            .iter()
            .map(|rows| &rows.ordinals as &dyn Array)
            .collect();
        let Some(first) = held.first() else {
            return Ok(Vec::new());
        };
        picks
            .chunks(batch_rows.max(1))
            .map(|chunk| {
                let ordinals = interleave(&ordinals, chunk).map_err(kernel)?;
                let ordinals: UInt64Array = ordinals.as_primitive().clone();
                let batch = interleave_record_batch(&batches, chunk).map_err(kernel)?;
                Ok(Rows {
                    batch,
                    ordinals,
                    ops: None,
                    ..first.clone()
                })
            })
            .collect()
    }
}
