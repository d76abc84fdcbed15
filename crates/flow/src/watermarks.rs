//! The event time up to which a table is complete: the minimum over its splits.
//!
//! Promise: a split without a watermark holds the table back; a split that has ended does not. It does not
//! know what the time is used for. Read next: `transfer.rs`.

use std::collections::{BTreeMap, HashMap};

use towpath_vocab::{SplitId, TableName};

/// The last watermark of every split and table, in microseconds since 1970 UTC.
#[derive(Default)]
pub(crate) struct Watermarks {
    said: HashMap<TableName, BTreeMap<SplitId, i64>>,
    given: HashMap<TableName, i64>,
}

impl Watermarks {
    /// Sets the watermark of one split, and returns that of the table if it has moved. `live` are the
    /// splits that are being read.
    pub(crate) fn advance<'a>(
        &mut self,
        table: &TableName,
        split: &SplitId,
        event_time_us: i64,
        live: impl Iterator<Item = &'a SplitId>,
    ) -> Option<i64> {
        let said = self.said.entry(table.clone()).or_default();
        let of_split = said.entry(split.clone()).or_insert(event_time_us);
        *of_split = event_time_us.max(*of_split);
        let mut least = *of_split;
        for split in live {
            least = least.min(*said.get(split)?);
        }
        let given = self.given.get(table).copied();
        if given.is_some_and(|given| given >= least) {
            return None;
        }
        self.given.insert(table.clone(), least);
        Some(least)
    }

    /// Forgets all watermarks, because everything is read again from the last commit.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_split_decides() {
        let table = TableName::new("raw", "t");
        let splits = ["a", "b"].map(|name| SplitId(name.to_owned()));
        let mut watermarks = Watermarks::default();
        let mut say =
            |split: usize, time| watermarks.advance(&table, &splits[split], time, splits.iter());
        assert_eq!(say(0, 10), None);
        assert_eq!(say(1, 5), Some(5));
        assert_eq!(say(1, 4), None);
        assert_eq!(say(1, 20), Some(10));
        assert_eq!(say(0, 30), Some(20));
    }
}
