//! The table that a kill loop prints: how many kills happened at which failpoint.

use std::collections::BTreeMap;
use std::fmt;

pub(crate) struct Table {
    noun: &'static str,
    columns: Vec<&'static str>,
    rows: BTreeMap<String, Vec<usize>>,
}

impl Table {
    pub(crate) fn new(noun: &'static str, columns: impl Iterator<Item = &'static str>) -> Self {
        Self {
            noun,
            columns: columns.collect(),
            rows: BTreeMap::new(),
        }
    }

    pub(crate) fn count(&mut self, row: &str, column: usize) {
        let width = self.columns.len();
        self.rows
            .entry(row.to_owned())
            .or_insert_with(|| vec![0; width])[column] += 1;
    }

    pub(crate) fn total(&self, row: &str) -> usize {
        self.rows.get(row).map_or(0, |counts| counts.iter().sum())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{:<38}", format!("kills at {}", self.noun))?;
        for column in &self.columns {
            write!(f, "{column:>15}")?;
        }
        writeln!(f, "{:>8}", "total")?;
        for (row, counts) in &self.rows {
            write!(f, "{row:<38}")?;
            for count in counts {
                write!(f, "{count:>15}")?;
            }
            writeln!(f, "{:>8}", counts.iter().sum::<usize>())?;
        }
        Ok(())
    }
}
