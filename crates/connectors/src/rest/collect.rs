//! Takes the records of a read: writes them to the spool, and looks at their cursor.
//!
//! Promise: where a listing may fail without ending the read, its records are kept apart until all of them
//! are there: the spool has all records of a listing or none. It does not know why one failed. Read next:
//! `listing.rs`, which gives the records.

use std::collections::HashMap;

use super::cursor::Seen;
use super::error::Result;
use super::listing::{ListingEvent, Taken};
use super::path::JsonPath;
use super::spool::{Segment, SpoolWriter};

/// Takes the records of a read.
pub(super) struct Collector {
    /// The column of the cursor.
    column: Option<JsonPath>,
    pub(super) writer: SpoolWriter,
    pub(super) seen: Seen,
    /// Listings of which some records are there; `None` when records are written as they come.
    open: Option<HashMap<usize, (Segment, Seen)>>,
    /// What each listing has seen by itself; `None` when there is only one.
    pub(super) each: Option<HashMap<usize, Seen>>,
}

impl Collector {
    /// A collector for a read that is about to begin, and has seen nothing.
    pub(super) fn new(
        writer: SpoolWriter,
        column: Option<JsonPath>,
        seen: Seen,
        keeps_apart: bool,
        has_many: bool,
    ) -> Self {
        let each = (has_many && column.is_some()).then(HashMap::new);
        Self {
            each,
            column,
            writer,
            seen,
            open: keeps_apart.then(HashMap::new),
        }
    }

    /// Takes what a listing gives.
    pub(super) fn take(&mut self, given: ListingEvent<'_>) -> Result<()> {
        if let (ListingEvent::Record(taken), Some(each)) = (&given, &mut self.each) {
            let seen = each
                .entry(taken.listing)
                .or_insert_with(|| self.seen.apart());
            note_cursor(seen, self.column.as_ref(), taken, taken.is_first_of_listing);
        }
        match (given, &mut self.open) {
            (ListingEvent::Record(taken), None) => {
                note_cursor(
                    &mut self.seen,
                    self.column.as_ref(),
                    &taken,
                    taken.is_first_page,
                );
                self.writer.write(&taken.line)
            }
            (ListingEvent::Record(taken), Some(open)) => {
                let (segment, seen) = match open.remove(&taken.listing) {
                    Some(apart) => apart,
                    None => (self.writer.segment(taken.listing)?, self.seen.apart()),
                };
                let (segment, seen) = open.entry(taken.listing).or_insert((segment, seen));
                note_cursor(seen, self.column.as_ref(), &taken, taken.is_first_page);
                segment.write(&taken.line)
            }
            (ListingEvent::Complete(listing), Some(open)) => {
                let Some((segment, seen)) = open.remove(&listing) else {
                    return Ok(());
                };
                self.seen.extend(&seen);
                self.writer.append(segment)
            }
            (ListingEvent::Failed(listing), Some(open)) => {
                open.remove(&listing);
                Ok(())
            }
            (ListingEvent::Complete(_) | ListingEvent::Failed(_), None) => Ok(()),
        }
    }
}

fn note_cursor(seen: &mut Seen, column: Option<&JsonPath>, taken: &Taken<'_>, is_first: bool) {
    if let Some(column) = column {
        seen.take(column.find(taken.record), is_first);
    }
}
