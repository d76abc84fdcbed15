//! What the API said about the rows of a delivery: one line for each answer, before the next request.
//!
//! Promise: an answer is on disk before it counts. A line that a crash cut off is as if the answer had never
//! come, so its request is sent again. A row that was refused is open again for the next process: it is sent
//! once more. Stored form, version 1, one JSON object in each line: `{"change": …, "from": …, "to": …}` of
//! rows that were taken, with `"refused": true` of those that were not. Read next: `delivery.rs`.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::kept_file::private;
use super::options::Change;

#[derive(Serialize, Deserialize)]
struct Line {
    change: Change,
    from: usize,
    to: usize,
    /// Rows among them that were refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    refused: Vec<usize>,
    /// Rows among them that may be taken later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    open: Vec<usize>,
    /// They were refused together: nothing is known of each.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    divided: bool,
}

/// The rows of one change.
#[derive(Clone, Debug, Default)]
struct Rows {
    taken: Vec<bool>,
    refused: Vec<bool>,
    /// How often each was refused by an earlier process.
    earlier: Vec<u32>,
    /// Ranges that are sent in halves.
    divided: HashSet<Range<usize>>,
}

/// The rows of a delivery, with what was said about them.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    rows: [Rows; 3],
}

const fn index(change: Change) -> usize {
    match change {
        Change::Delete => 0,
        Change::Update => 1,
        Change::Insert => 2,
    }
}

impl Journal {
    /// Opens the journal of a delivery with so many rows for each change.
    pub(super) fn open(path: &Path, counts: impl Fn(Change) -> usize) -> std::io::Result<Self> {
        let mut file = private(path, false)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let whole = text
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        file.set_len(whole as u64)?;
        file.seek(SeekFrom::End(0))?;
        let empty = |change| Rows {
            taken: vec![false; counts(change)],
            refused: vec![false; counts(change)],
            earlier: vec![0; counts(change)],
            divided: HashSet::new(),
        };
        let mut journal = Self {
            file,
            rows: Change::ALL.map(empty),
        };
        for line in text
            .get(..whole)
            .unwrap_or_default()
            .split(|byte| *byte == b'\n')
        {
            if line.is_empty() {
                continue;
            }
            let line: Line = serde_json::from_slice(line)
                .map_err(|_| std::io::Error::other("the journal of a delivery is damaged"))?;
            journal.note(&line, true);
        }
        Ok(journal)
    }

    fn of(&self, change: Change) -> &Rows {
        let [delete, update, insert] = &self.rows;
        [delete, update, insert][index(change)]
    }

    fn note(&mut self, line: &Line, is_earlier: bool) {
        let [delete, update, insert] = &mut self.rows;
        let rows = match line.change {
            Change::Delete => delete,
            Change::Update => update,
            Change::Insert => insert,
        };
        if line.divided {
            rows.divided.insert(line.from..line.to);
            return;
        }
        for at in (line.from..line.to).filter(|at| !line.open.contains(at)) {
            let is_refused = line.refused.contains(&at);
            let marks = match is_refused {
                true => &mut rows.refused,
                false => &mut rows.taken,
            };
            if let Some(earlier) = rows.earlier.get_mut(at)
                && is_refused
                && is_earlier
            {
                *earlier += 1;
            } else if let Some(mark) = marks.get_mut(at) {
                *mark = true;
            }
        }
    }

    fn add(&mut self, line: &Line) -> std::io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.file.write_all(&text)?;
        self.file.sync_data()?;
        self.note(line, false);
        Ok(())
    }

    /// The API has answered a request of these rows: it took them, but for those that it refused, and for those
    /// that are still open.
    pub(super) fn answered(
        &mut self,
        change: Change,
        rows: &Range<usize>,
        (refused, open): (Vec<usize>, Vec<usize>),
    ) -> std::io::Result<()> {
        self.add(&Line {
            change,
            from: rows.start,
            to: rows.end,
            refused,
            open,
            divided: false,
        })
    }

    /// The API has refused these rows together.
    pub(super) fn divide(&mut self, change: Change, rows: &Range<usize>) -> std::io::Result<()> {
        self.add(&Line {
            change,
            from: rows.start,
            to: rows.end,
            refused: Vec::new(),
            open: Vec::new(),
            divided: true,
        })
    }

    /// True if these rows are sent in halves, because they were refused together.
    pub(super) fn is_divided(&self, change: Change, rows: &Range<usize>) -> bool {
        self.of(change).divided.contains(rows)
    }

    /// True if nothing has to be sent for this row any more.
    pub(super) fn is_settled(&self, change: Change, row: usize) -> bool {
        let rows = self.of(change);
        let is = |marks: &[bool]| marks.get(row).copied().unwrap_or(true);
        is(&rows.taken) || is(&rows.refused)
    }

    /// True if the API has taken this row.
    pub(super) fn is_taken(&self, change: Change, row: usize) -> bool {
        self.of(change).taken.get(row).copied().unwrap_or(false)
    }

    /// True if the API has refused this row now.
    pub(super) fn is_refused(&self, change: Change, row: usize) -> bool {
        self.of(change).refused.get(row).copied().unwrap_or(false)
    }

    /// How often earlier processes were refused a row that is sent alone: its request is a new one then. A
    /// request of several rows keeps its key, because one of them may have been taken by it.
    pub(super) fn refused_before(&self, change: Change, rows: &Range<usize>) -> u64 {
        let earlier = self.of(change).earlier.get(rows.clone());
        match earlier {
            Some([count]) => u64::from(*count),
            _ => 0,
        }
    }

    /// The number of rows that were taken.
    pub(super) fn taken(&self, change: Change) -> u64 {
        self.of(change).taken.iter().filter(|taken| **taken).count() as u64
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_was_said_comes_back_and_a_cut_line_was_never_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let open =
            || Journal::open(&path, |change| 4 * usize::from(change == Change::Insert)).unwrap();
        let mut journal = open();
        journal
            .answered(Change::Insert, &(0..3), (vec![2], Vec::new()))
            .unwrap();
        journal.divide(Change::Insert, &(2..4)).unwrap();
        assert!(journal.is_settled(Change::Insert, 2));
        assert!(journal.is_refused(Change::Insert, 2) && !journal.is_taken(Change::Insert, 2));
        drop(journal);
        let mut text = std::fs::read(&path).unwrap();
        text.extend_from_slice(b"{\"change\":\"insert\",\"fr");
        std::fs::write(&path, text).unwrap();
        let mut journal = open();
        assert_eq!(journal.taken(Change::Insert), 2);
        let settled: Vec<bool> = (0..4)
            .map(|row| journal.is_settled(Change::Insert, row))
            .collect();
        assert_eq!(settled, [true, true, false, false]);
        assert_eq!(journal.refused_before(Change::Insert, &(2..3)), 1);
        assert_eq!(journal.refused_before(Change::Insert, &(2..4)), 0);
        assert!(journal.is_divided(Change::Insert, &(2..4)));
        journal
            .answered(Change::Insert, &(2..4), (Vec::new(), vec![2]))
            .unwrap();
        drop(journal);
        assert_eq!(open().taken(Change::Insert), 3);
        std::fs::write(&path, "x\n").unwrap();
        assert!(Journal::open(&path, |_| 1).is_err());
    }
}
