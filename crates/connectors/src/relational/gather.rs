//! From single rows to events: batches of rows that fit, groups of rows that do not.
//!
//! Promise: every row has a number; rows between rejects are numbered without a gap, so a batch ends where a
//! row is missing. A batch ends at the number of rows or bytes that was asked for. It does no I/O and waits
//! for nothing. Read next: `batch.rs`, `mysql/pump.rs`.

use arrow_schema::ArrowError;
use towpath_ports::{Event, Rows};
use towpath_vocab::{RawRecord, Reason, RecordLocation, Reject};

use super::batch::{Batch, Cell};
use super::reader::ReadLayout;

/// Rejects are handed over in groups.
const REJECTS: usize = 1_000;

/// A row that does not fit, as it came, and why.
pub(crate) struct Misfit {
    pub(crate) raw: RawRecord,
    pub(crate) reasons: Vec<Reason>,
}

/// What a piece of a read has read and not handed over yet.
pub(crate) struct Gather {
    layout: ReadLayout,
    batch: Batch,
    rejects: Vec<Reject>,
    /// The next row's.
    number: u64,
    /// The batch's first row's.
    first: u64,
}

impl Gather {
    pub(crate) fn new(layout: &ReadLayout) -> Self {
        Self {
            batch: Batch::new(&layout.schema),
            layout: layout.clone(),
            rejects: Vec::new(),
            number: 0,
            first: 0,
        }
    }

    /// The rows that follow are counted from `first`.
    pub(crate) fn start_at(&mut self, first: u64, out: &mut Vec<Event>) -> Result<(), ArrowError> {
        self.cut(out)?;
        (self.number, self.first) = (first, first);
        Ok(())
    }

    /// Takes a row; gives what became complete.
    pub(crate) fn take(
        &mut self,
        row: Result<Vec<Cell<'_>>, Misfit>,
        out: &mut Vec<Event>,
    ) -> Result<(), ArrowError> {
        let misfit = match row {
            Ok(cells) => {
                self.batch.push(cells);
                None
            }
            Err(misfit) => Some(misfit),
        };
        if let Some(misfit) = misfit {
            self.cut(out)?;
            self.first = self.number + 1;
            self.rejects.push(Reject {
                table: self.layout.table.clone(),
                place: RecordLocation {
                    object: self.layout.object.clone(),
                    line: None,
                    ordinal: self.number + 1,
                },
                raw: misfit.raw,
                reasons: misfit.reasons,
            });
        }
        self.number += 1;
        let (rows, bytes) = (self.layout.batch_rows, self.layout.batch_bytes);
        if self.batch.rows >= rows || self.batch.bytes >= bytes {
            self.cut(out)?;
            self.first = self.number;
        }
        if self.rejects.len() >= REJECTS {
            out.push(Event::Rejects(std::mem::take(&mut self.rejects)));
        }
        Ok(())
    }

    /// What is still held.
    pub(crate) fn finish(mut self, out: &mut Vec<Event>) -> Result<(), ArrowError> {
        self.cut(out)?;
        if !self.rejects.is_empty() {
            out.push(Event::Rejects(self.rejects));
        }
        Ok(())
    }

    /// Ends the batch at hand.
    fn cut(&mut self, out: &mut Vec<Event>) -> Result<(), ArrowError> {
        if self.batch.rows > 0 {
            let (table, object) = (&self.layout.table, &self.layout.object);
            let batch = self.batch.finish()?;
            let rows = Rows::of_batch(table.clone(), object, batch, self.first);
            out.push(Event::Rows(rows));
        }
        Ok(())
    }
}
