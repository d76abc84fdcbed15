//! Raw copy data in, record batches and rejects out.
//!
//! Promise: copy data may be cut anywhere; a batch ends at the asked number of rows or bytes, never
//! in the middle of a row. Rows with a flawed cell leave the batch as rejects with every reason and
//! the exact text of the cell. It does no I/O and waits for nothing. Read next: `pump.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow_schema::SchemaRef;
use arrow_select::filter::{filter, filter_record_batch};
use towpath_ports::{BatchOrigin, Event, Rows, row_as_json};
use towpath_vocab::{RawRecord, Reason, RecordLocation, Reject};

use super::decode::{Decoder, ValueError, next_cell};
use super::error::{PgError, Result};
use super::types::Column;
use crate::relational::reader::ReadLayout;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
const LONGEST_VALUE: usize = 200;
/// No value of a server is longer: one gigabyte.
const LONGEST_CELL: i32 = 1 << 30;
/// Nothing is defined for the extension of the header yet, so it is short.
const LONGEST_EXTENSION: i32 = 64 << 10;

/// What the batches are to look like.
#[derive(Clone)]
pub(super) struct BatchLayout {
    pub(super) read: ReadLayout,
    pub(super) columns: Arc<[Column]>,
}

/// Turns copy data into events.
pub(super) struct Assembler {
    shape: BatchLayout,
    decoders: Vec<Decoder>,
    /// What a row takes at least, however many of its cells are NULL.
    row_bytes: usize,
    rows: usize,
    bytes: usize,
    flaws: BTreeMap<usize, Vec<(usize, Box<ValueError>)>>,
    next_ordinal: u64,
    begun: bool,
    ended: bool,
    /// The beginning of a row whose end has not come yet.
    carry: Vec<u8>,
}

impl Assembler {
    pub(super) fn new(shape: BatchLayout, first_ordinal: u64) -> Self {
        let columns = shape.columns.iter();
        let row_bytes: usize = columns.map(|column| column.kind.cell_bytes()).sum();
        let mut assembler = Self {
            decoders: Vec::new(),
            row_bytes: row_bytes.max(1),
            rows: 0,
            bytes: 0,
            flaws: BTreeMap::new(),
            next_ordinal: first_ordinal,
            begun: false,
            ended: false,
            carry: Vec::new(),
            shape,
        };
        assembler.restart();
        assembler
    }

    /// Takes a piece of copy data; gives what became complete.
    #[inline]
    pub(super) fn feed(&mut self, data: &[u8], out: &mut Vec<Event>) -> Result<()> {
        if self.carry.is_empty() {
            let used = self.walk(data, out)?;
            self.carry.extend_from_slice(&data[used..]);
            return Ok(());
        }
        let mut carry = std::mem::take(&mut self.carry);
        carry.extend_from_slice(data);
        let used = self.walk(&carry, out)?;
        carry.drain(..used);
        self.carry = carry;
        Ok(())
    }

    /// The copy has ended: what is still held.
    pub(super) fn finish(mut self, out: &mut Vec<Event>) -> Result<()> {
        if !self.ended || !self.carry.is_empty() {
            return Err(malformed("the copy ended in the middle of a row"));
        }
        self.cut(out)
    }

    fn walk(&mut self, data: &[u8], out: &mut Vec<Event>) -> Result<usize> {
        let mut rest = data;
        if !self.begun {
            match after_header(rest)? {
                Some(after) => rest = after,
                None => return Ok(0),
            }
            self.begun = true;
        }
        while !self.ended {
            let Some((count, cells)) = rest.split_first_chunk::<2>() else {
                break;
            };
            let count = i16::from_be_bytes(*count);
            if count == -1 {
                self.ended = true;
                rest = cells;
                break;
            }
            if usize::try_from(count) != Ok(self.decoders.len()) {
                return Err(malformed(
                    "the number of columns of a row differs from that of the table",
                ));
            }
            let Some(length) = length_of(cells, self.decoders.len())? else {
                break;
            };
            self.push_row(&cells[..length])?;
            rest = &cells[length..];
            if self.rows >= self.shape.read.batch_rows || self.bytes >= self.shape.read.batch_bytes
            {
                self.cut(out)?;
            }
        }
        Ok(data.len() - rest.len())
    }

    #[inline]
    fn push_row(&mut self, mut cells: &[u8]) -> Result<()> {
        self.bytes += cells.len().max(self.row_bytes);
        for (index, decoder) in self.decoders.iter_mut().enumerate() {
            let Some((cell, after)) = next_cell(cells) else {
                return Err(malformed("a cell is longer than its row"));
            };
            if let Err(flaw) = decoder.push(cell) {
                self.flaws.entry(self.rows).or_default().push((index, flaw));
            }
            cells = after;
        }
        self.rows += 1;
        Ok(())
    }

    fn restart(&mut self) -> Vec<Decoder> {
        // Room for no more rows than a batch may have bytes: a table of many columns would take many times
        // as much.
        let most = self.shape.read.batch_rows.clamp(1, 65_536);
        let rows = (self.shape.read.batch_bytes / self.row_bytes).clamp(1, most);
        let fresh = self
            .shape
            .columns
            .iter()
            .map(|column| Decoder::new(&column.kind, rows))
            .collect();
        std::mem::replace(&mut self.decoders, fresh)
    }

    /// Ends the batch at hand.
    fn cut(&mut self, out: &mut Vec<Event>) -> Result<()> {
        let rows = std::mem::take(&mut self.rows);
        if rows == 0 {
            return Ok(());
        }
        self.bytes = 0;
        let mut flaws = std::mem::take(&mut self.flaws);
        let mut arrays = Vec::with_capacity(self.decoders.len());
        for (index, decoder) in self.restart().into_iter().enumerate() {
            let (array, found) = decoder.finish();
            for (row, flaw) in found {
                flaws.entry(row).or_default().push((index, flaw));
            }
            arrays.push(array);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        // Flawed rows hold NULLs that a NOT NULL column does not allow: they leave before anyone looks.
        let nullable = if flaws.is_empty() {
            Arc::clone(&self.shape.read.schema)
        } else {
            all_nullable(&self.shape.read.schema)
        };
        let batch = RecordBatch::try_new_with_options(nullable, arrays, &options)
            .map_err(|_| malformed("a NOT NULL column has a NULL"))?;
        let first = self.next_ordinal;
        self.next_ordinal += rows as u64;
        if flaws.is_empty() {
            out.push(Event::Rows(Rows::of_batch(
                self.shape.read.table.clone(),
                &self.shape.read.object,
                batch,
                first,
            )));
            return Ok(());
        }
        self.reject_rows(&batch, first, flaws, out)
    }

    #[cold]
    fn reject_rows(
        &self,
        batch: &RecordBatch,
        first: u64,
        flaws: BTreeMap<usize, Vec<(usize, Box<ValueError>)>>,
        out: &mut Vec<Event>,
    ) -> Result<()> {
        let keep: BooleanArray = (0..batch.num_rows())
            .map(|row| Some(!flaws.contains_key(&row)))
            .collect();
        let ordinals = UInt64Array::from_iter_values(first..first + batch.num_rows() as u64);
        let kept = filter_record_batch(batch, &keep)
            .and_then(|kept| {
                RecordBatch::try_new(Arc::clone(&self.shape.read.schema), kept.columns().to_vec())
            })
            .map_err(|_| malformed("a NOT NULL column has a NULL"))?;
        let kept_ordinals = filter(&ordinals, &keep)
            .map(|array| array.to_data())
            .map_err(|_| malformed("rows cannot be filtered"))?;
        if kept.num_rows() > 0 {
            out.push(Event::Rows(Rows {
                table: self.shape.read.table.clone(),
                batch: kept,
                ordinals: UInt64Array::from(kept_ordinals),
                ops: None,
                origin: Arc::new(BatchOrigin {
                    object: self.shape.read.object.clone(),
                    batch: batch.clone(),
                    first,
                }),
            }));
        }
        let rejects = flaws
            .into_iter()
            .map(|(row, cells)| self.reject(batch, first, row, cells))
            .collect();
        out.push(Event::Rejects(rejects));
        Ok(())
    }

    fn reject(
        &self,
        batch: &RecordBatch,
        first: u64,
        row: usize,
        cells: Vec<(usize, Box<ValueError>)>,
    ) -> Reject {
        let mut record: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&row_as_json(batch, row)).unwrap_or_default();
        let mut reasons = Vec::with_capacity(cells.len());
        for (index, flaw) in cells {
            let Some(column) = self.shape.columns.get(index) else {
                continue;
            };
            record.insert(
                column.name.clone(),
                serde_json::Value::String(flaw.value.clone()),
            );
            reasons.push(Reason {
                code: flaw.code.to_owned(),
                column: Some(column.name.clone()),
                value: Some(flaw.value.chars().take(LONGEST_VALUE).collect()),
                message: flaw.reason.to_owned(),
            });
        }
        Reject {
            table: self.shape.read.table.clone(),
            place: RecordLocation {
                object: self.shape.read.object.clone(),
                line: None,
                ordinal: first + row as u64 + 1,
            },
            raw: RawRecord::Row(serde_json::Value::Object(record).to_string()),
            reasons,
        }
    }
}

fn all_nullable(schema: &SchemaRef) -> SchemaRef {
    let fields: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| field.as_ref().clone().with_nullable(true))
        .collect();
    Arc::new(arrow_schema::Schema::new_with_metadata(
        fields,
        schema.metadata().clone(),
    ))
}

/// How many bytes the cells of a row take; `None` when they are not all there yet.
#[inline]
fn length_of(bytes: &[u8], columns: usize) -> Result<Option<usize>> {
    let mut at = 0_usize;
    for _ in 0..columns {
        let Some(length) = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()) else {
            return Ok(None);
        };
        let length = i32::from_be_bytes(*length);
        if !(-1..=LONGEST_CELL).contains(&length) {
            return Err(malformed("the length of a cell is not possible"));
        }
        at += 4 + usize::try_from(length).unwrap_or(0);
    }
    Ok((at <= bytes.len()).then_some(at))
}

/// What follows signature, flags and header extension; `None` when they are not all there yet.
fn after_header(bytes: &[u8]) -> Result<Option<&[u8]>> {
    let seen = bytes.len().min(SIGNATURE.len());
    if bytes[..seen] != SIGNATURE[..seen] {
        return Err(malformed("the copy does not begin with its signature"));
    }
    let Some(rest) = bytes.get(SIGNATURE.len() + 4..) else {
        return Ok(None);
    };
    let Some((length, rest)) = rest.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let length = i32::from_be_bytes(*length);
    if !(0..=LONGEST_EXTENSION).contains(&length) {
        return Err(malformed("the extension of the header is not possible"));
    }
    Ok(usize::try_from(length)
        .ok()
        .and_then(|length| rest.get(length..)))
}

fn malformed(reason: &'static str) -> PgError {
    PgError::Protocol {
        doing: "reading a copy".to_owned(),
        reason,
    }
}
