//! The keys of incoming rows as a set that fits in memory: encoded once, looked up by hash.
//!
//! When all keys would be too many, a merge makes several passes and each takes the keys of one part
//! of the hash space (`Pass`). Encoded keys are compared byte by byte, so no two keys are ever mixed up.

use std::hash::BuildHasher as _;

use arrow_array::ArrayRef;
use arrow_row::{RowConverter, Rows, SortField};
use arrow_schema::Schema;
use hashbrown::{DefaultHashBuilder, HashTable};
use towpath_vocab::types::one_form;

use super::error::{LakeError, LakeResult};

/// Encodes and hashes keys the same way in every pass.
pub(crate) struct KeyCode {
    converter: RowConverter,
    hasher: DefaultHashBuilder,
}

/// Which part of the hash space a pass takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass {
    pub(crate) number: u64,
    pub(crate) of: u64,
}

impl Pass {
    fn takes(self, hash: u64) -> bool {
        self.of <= 1 || (hash >> 40) % self.of == self.number
    }
}

/// One incoming key.
pub(crate) struct Entry {
    hash: u64,
    /// The last incoming row with it.
    pub(crate) last: u64,
    /// A row of the table has it.
    pub(crate) matched: bool,
    /// Incoming rows that have it.
    pub(crate) rows: u64,
}

impl KeyCode {
    pub(crate) fn new(key: &Schema) -> LakeResult<Self> {
        let fields = key
            .fields()
            .iter()
            .map(|field| SortField::new(field.data_type().clone()))
            .collect();
        let converter = RowConverter::new(fields).map_err(encoding)?;
        Ok(Self {
            converter,
            hasher: DefaultHashBuilder::default(),
        })
    }

    fn encode(&self, columns: &[ArrayRef]) -> LakeResult<Rows> {
        let columns: Vec<ArrayRef> = columns.iter().map(one_form).collect();
        self.converter.convert_columns(&columns).map_err(encoding)
    }
}

fn encoding(source: arrow_schema::ArrowError) -> LakeError {
    LakeError::Arrow {
        doing: "comparing keys",
        source,
    }
}

/// The incoming keys of one pass.
pub(crate) struct KeySet<'a> {
    code: &'a KeyCode,
    pass: Pass,
    rows: Rows,
    table: HashTable<u32>,
    pub(crate) entries: Vec<Entry>,
}

impl<'a> KeySet<'a> {
    pub(crate) fn new(code: &'a KeyCode, pass: Pass) -> Self {
        Self {
            code,
            pass,
            rows: code.converter.empty_rows(0, 0),
            table: HashTable::new(),
            entries: Vec::new(),
        }
    }

    /// Takes the keys of incoming rows, numbered from `first`. Gives the row in this batch whose key
    /// was there before, when `unique` is asked for.
    pub(crate) fn add(
        &mut self,
        columns: &[ArrayRef],
        first: u64,
        unique: bool,
    ) -> LakeResult<Option<usize>> {
        let encoded = self.code.encode(columns)?;
        for (at, row) in encoded.iter().enumerate() {
            let hash = self.code.hasher.hash_one(row.as_ref());
            if !self.pass.takes(hash) {
                continue;
            }
            let position = first + at as u64;
            let (rows, entries) = (&self.rows, &mut self.entries);
            let known = self
                .table
                .find(hash, |index| rows.row(*index as usize) == row)
                .copied();
            match known.and_then(|index| entries.get_mut(index as usize)) {
                Some(_) if unique => return Ok(Some(at)),
                Some(entry) => {
                    entry.last = position;
                    entry.rows += 1;
                }
                None => {
                    let index = u32::try_from(entries.len())
                        .map_err(|_| LakeError::Misuse("a pass of a merge holds too many keys"))?;
                    entries.push(Entry {
                        hash,
                        last: position,
                        matched: false,
                        rows: 1,
                    });
                    self.rows.push(row);
                    let entries = &self.entries;
                    self.table.insert_unique(hash, index, |index| {
                        entries.get(*index as usize).map_or(0, |entry| entry.hash)
                    });
                }
            }
        }
        Ok(None)
    }

    /// Finds the keys of rows; `each` gets the row in this batch of every key of this pass, with the place
    /// of its entry if it is incoming.
    pub(crate) fn find(
        &self,
        columns: &[ArrayRef],
        mut each: impl FnMut(usize, Option<usize>),
    ) -> LakeResult<()> {
        let encoded = self.code.encode(columns)?;
        for (at, row) in encoded.iter().enumerate() {
            let hash = self.code.hasher.hash_one(row.as_ref());
            if self.pass.takes(hash) {
                let rows = &self.rows;
                let same = |index: &u32| rows.row(*index as usize) == row;
                let known = self.table.find(hash, same);
                each(at, known.map(|index| *index as usize));
            }
        }
        Ok(())
    }

    /// Looks up the keys of table rows; `hit` gets the row in this batch of each that is incoming.
    pub(crate) fn probe(
        &mut self,
        columns: &[ArrayRef],
        mut hit: impl FnMut(usize),
    ) -> LakeResult<()> {
        let encoded = self.code.encode(columns)?;
        for (at, row) in encoded.iter().enumerate() {
            let hash = self.code.hasher.hash_one(row.as_ref());
            if !self.pass.takes(hash) {
                continue;
            }
            let rows = &self.rows;
            let known = self
                .table
                .find(hash, |index| rows.row(*index as usize) == row)
                .copied();
            if let Some(entry) = known.and_then(|index| self.entries.get_mut(index as usize)) {
                entry.matched = true;
                hit(at);
            }
        }
        Ok(())
    }
}
