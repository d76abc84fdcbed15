//! Values before, of a merge that keeps them (`write: scd3`): each incoming row with a known key gets, beside a
//! tracked column, the value that the table had in it.
//!
//! Promise: where a tracked value did not change, the value before it stays what it was; a row with a new key
//! has none. NULL is a value here: it changes to and from others. Only the tracked columns of rows that are
//! hit are in memory, in passes if they are many. Read next: `merge.rs`, `keys.rs`.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow_row::{RowConverter, Rows, SortField};
use arrow_schema::{ArrowError, Schema, SchemaRef};
use arrow_select::concat::concat_batches;
use arrow_select::interleave::interleave;
use arrow_select::take::take_record_batch;
use deltalake_core::kernel::Add;
use futures::TryStreamExt as _;
use towpath_vocab::types::one_form;
use towpath_vocab::{AuditColumns, WriteMode, WritePlan, previous_column};

use super::bitmap::Bitmap;
use super::error::{LakeError, LakeResult};
use super::files::{self, FileWriter};
use super::keys::{KeyCode, KeySet, Pass};
use super::merge::{Incoming, KEY_OVERHEAD, Keyed, MergeContext, collect, columns, narrowed};

/// How much larger rows are in memory than in their files.
const UNPACKED: u64 = 4;

/// A tracked column, and the one that gets the value before, by place in the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Previous {
    column: usize,
    before: usize,
}

/// What a write keeps of the values before.
pub(crate) fn of(write: &WritePlan, schema: &Schema) -> LakeResult<Vec<Previous>> {
    let tracked = AuditColumns::of(write).map(|audit| audit.previous);
    let tracked = tracked.filter(|_| write.mode == WriteMode::Merge);
    let place = |name: &str| {
        let mut fields = schema.fields().iter();
        fields
            .position(|field| field.name().eq_ignore_ascii_case(name))
            .ok_or(LakeError::Misuse(
                "a write that keeps values before does not have their columns",
            ))
    };
    let pairs = tracked.iter().flatten().map(|column| {
        Ok(Previous {
            column: place(column)?,
            before: place(&previous_column(column))?,
        })
    });
    pairs.collect()
}

fn comparing(source: ArrowError) -> LakeError {
    LakeError::Arrow {
        doing: "keeping values before",
        source,
    }
}

/// Writes the incoming rows that stay anew, with their values before, and deletes the old files.
pub(crate) async fn fill(
    place: &MergeContext<'_>,
    incoming: &Incoming,
    keep: Option<&Bitmap>,
) -> LakeResult<Vec<Add>> {
    let mut writer = FileWriter::new(
        Arc::clone(place.table),
        Arc::clone(place.schema),
        place.sizes,
        place.attempt,
    )?;
    if let Err(error) = fill_all(place, incoming, keep, &mut writer).await {
        writer.abort().await?;
        return Err(error);
    }
    let filled = writer.close().await?;
    files::delete(place.table, &incoming.adds).await?;
    Ok(filled)
}

async fn fill_all(
    place: &MergeContext<'_>,
    incoming: &Incoming,
    keep: Option<&Bitmap>,
    writer: &mut FileWriter,
) -> LakeResult<()> {
    let key = columns(place.schema, place.key)?;
    let code = KeyCode::new(&key)?;
    let mut converters = Vec::with_capacity(place.previous.len());
    for previous in &place.previous {
        let data_type = place.schema.field(previous.column).data_type().clone();
        converters.push(RowConverter::new(vec![SortField::new(data_type)]).map_err(comparing)?);
    }
    let candidates = narrowed(place, &key, &incoming.adds);
    let packed: i64 = incoming.adds.iter().map(|add| add.size).sum();
    let rows = u64::try_from(packed).unwrap_or(0) * UNPACKED;
    let needed = incoming.key_bytes + incoming.rows * KEY_OVERHEAD + rows;
    let of = needed.div_ceil(place.sizes.key_bytes()).max(1);
    for number in 0..of {
        let mut keys = KeySet::new(&code, Pass { number, of });
        collect(place, &key, Keyed::Merge, incoming, &mut keys).await?;
        if keys.entries.is_empty() {
            continue;
        }
        let known = known(place, (&key, &keys), &candidates, &converters).await?;
        let pass = FilledPass {
            place,
            keys: &keys,
            known,
            converters: &converters,
        };
        pass.write(incoming, keep, writer).await?;
    }
    Ok(())
}

/// What the table has of the keys of a pass.
struct Known {
    /// Tracked columns, and behind them the values before.
    rows: RecordBatch,
    /// The tracked columns in a form that can be compared.
    compared: Vec<Rows>,
    /// The row of each key of the pass.
    found: Vec<Option<u32>>,
}

async fn known(
    place: &MergeContext<'_>,
    (key, keys): (&SchemaRef, &KeySet<'_>),
    candidates: &[usize],
    converters: &[RowConverter],
) -> LakeResult<Known> {
    let tracked = place.previous.iter().map(|previous| previous.column);
    let before = place.previous.iter().map(|previous| previous.before);
    let kept: Vec<usize> = tracked.chain(before).collect();
    let width = key.fields().len();
    let read: Vec<usize> = place.key.iter().chain(&kept).copied().collect();
    let read = columns(place.schema, &read)?;
    let schema = columns(place.schema, &kept)?;
    let mut found = vec![None; keys.entries.len()];
    let (mut parts, mut count) = (Vec::new(), 0_u32);
    for at in candidates {
        let Some(file) = place.files.get(*at) else {
            continue;
        };
        let mut batches = place.read(vec![file.clone()], &read);
        while let Some(batch) = batches.try_next().await? {
            let (key, rest) = batch.columns().split_at(width);
            let mut hit = Vec::new();
            keys.find(key, |row, entry| {
                let slot = entry.and_then(|entry| found.get_mut(entry));
                if let (Some(slot), Ok(row)) = (slot, u32::try_from(row)) {
                    *slot = Some(count);
                    count += 1;
                    hit.push(row);
                }
            })?;
            if hit.is_empty() {
                continue;
            }
            let part = RecordBatch::try_new(Arc::clone(&schema), rest.to_vec());
            let part = part.and_then(|part| take_record_batch(&part, &UInt32Array::from(hit)));
            parts.push(part.map_err(comparing)?);
        }
    }
    let rows = concat_batches(&schema, &parts).map_err(comparing)?;
    let tracked = rows.columns().iter().zip(converters);
    let compared = tracked.map(|(column, converter)| compared(converter, column));
    Ok(Known {
        compared: compared.collect::<LakeResult<_>>()?,
        rows,
        found,
    })
}

fn compared(converter: &RowConverter, column: &ArrayRef) -> LakeResult<Rows> {
    let column = one_form(column);
    converter.convert_columns(&[column]).map_err(comparing)
}

/// The incoming rows of a pass.
struct FilledPass<'p> {
    place: &'p MergeContext<'p>,
    keys: &'p KeySet<'p>,
    known: Known,
    converters: &'p [RowConverter],
}

impl FilledPass<'_> {
    async fn write(
        &self,
        incoming: &Incoming,
        keep: Option<&Bitmap>,
        writer: &mut FileWriter,
    ) -> LakeResult<()> {
        let place = self.place;
        let files = files::lake_files(place.table, &incoming.adds);
        let mut batches = place.read(files, place.schema);
        let mut first = 0;
        while let Some(batch) = batches.try_next().await? {
            let key: Vec<ArrayRef> = place
                .key
                .iter()
                .map(|at| Arc::clone(batch.column(*at)))
                .collect();
            let (mut rows, mut entries) = (Vec::new(), Vec::new());
            self.keys.find(&key, |row, entry| {
                let stays = keep.is_none_or(|keep| keep.get(first + row));
                if let (true, Some(entry), Ok(row)) = (stays, entry, u32::try_from(row)) {
                    rows.push(row);
                    entries.push(entry);
                }
            })?;
            first += batch.num_rows();
            if rows.is_empty() {
                continue;
            }
            let taken = take_record_batch(&batch, &UInt32Array::from(rows)).map_err(comparing)?;
            writer.write(&self.filled(&taken, &entries)?).await?;
        }
        Ok(())
    }

    /// Rows with their values before; `entries` are their keys.
    fn filled(&self, rows: &RecordBatch, entries: &[usize]) -> LakeResult<RecordBatch> {
        let mut columns = rows.columns().to_vec();
        let pairs = self.place.previous.iter().zip(self.converters).enumerate();
        for (number, (previous, converter)) in pairs {
            let new = compared(converter, rows.column(previous.column))?;
            let old = self.known.compared.get(number);
            let width = self.place.previous.len();
            let tracked = self.known.rows.column(number);
            let before = self.known.rows.column(width + number);
            let none = new_null_array(tracked.data_type(), 1);
            let source = |(row, entry): (usize, &usize)| {
                let found = self.known.found.get(*entry).copied().flatten();
                let Some((at, old)) = found.map(|at| at as usize).zip(old) else {
                    return (0, 0);
                };
                // One that did not change keeps what was before it.
                match old.row(at) == new.row(row) {
                    true => (2, at),
                    false => (1, at),
                }
            };
            let sources: Vec<(usize, usize)> = entries.iter().enumerate().map(source).collect();
            let arrays = [none.as_ref(), tracked.as_ref(), before.as_ref()];
            let values = interleave(&arrays, &sources).map_err(comparing)?;
            if let Some(slot) = columns.get_mut(previous.before) {
                *slot = values;
            }
        }
        RecordBatch::try_new(rows.schema(), columns).map_err(comparing)
    }
}
