//! Counts the keys that occur more than once in a candidate, without grouping it.
//!
//! Promise: the number and length of keys are not limited by memory. The keys are read once and hashed.
//! Only if hashes repeat, the keys are read again and those with repeated hashes are compared. If more
//! hashes repeat than fit in memory, the rest is counted by hash. Keys with a NULL part do not count. Read
//! next: `unique.rs`, `sorted_runs.rs`.

use std::collections::BTreeMap;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_row::{RowConverter, SortField};
use arrow_schema::SchemaRef;
use futures::TryStreamExt;
use hashbrown::{HashMap, HashSet};
use sha2::{Digest, Sha256};
use towpath_ports::{Candidate, Query, QueryResult, Result};
use towpath_vocab::TableName;
use towpath_vocab::types::one_form;

use crate::checks::{Measured, SAMPLES};
use crate::predicate::kernel;
use crate::projection::value_text;
use crate::services::{MemoryShare, TransferServices};
use crate::unique::{KeyHasher, Unique};

/// The bytes in memory of a key that may repeat.
const KEY_BYTES: u64 = 128;

/// True if a key occurs twice in the rows of `sql`; all of its columns are the key.
///
/// # Errors
/// Those of the query.
pub async fn key_repeats(
    query: &dyn Query,
    sql: &str,
    candidates: &BTreeMap<TableName, Candidate>,
    services: &TransferServices,
) -> Result<bool> {
    let keys = query.query(sql, candidates).await?;
    let fields = keys.schema.fields().iter();
    let names: Vec<String> = fields.map(|field| field.name().clone()).collect();
    match suspects(keys, &names, &services.share()).await? {
        Err(_) => Ok(false),
        Ok(suspects) => {
            let again = query.query(sql, candidates).await?;
            Ok(suspects.measure(again).await?.value > 0.0)
        }
    }
}

/// The result of the first read: the hashes that repeat.
pub(crate) struct Suspects {
    hasher: KeyHasher,
    /// As many as fit in memory.
    hashes: HashSet<u64>,
    /// The number of the others.
    beyond: u64,
    rows: u64,
}

/// Reads all keys; `Err` with the measured value if none repeats.
pub(crate) async fn suspects(
    mut keys: QueryResult,
    names: &[String],
    share: &MemoryShare,
) -> Result<std::result::Result<Suspects, Measured>> {
    let mut unique = Unique::new(names, &keys.schema, share.clone())?;
    while let Some(batch) = keys.batches.try_next().await? {
        unique.observe(&batch, None)?;
    }
    let rows = unique.seen();
    let most = usize::try_from(share.bytes / KEY_BYTES)
        .unwrap_or(usize::MAX)
        .max(1);
    let (mut hashes, mut beyond) = (HashSet::new(), 0);
    let hasher = unique.repeats(|hash| match hashes.len() < most {
        true => {
            hashes.insert(hash);
        }
        false => beyond += 1,
    })?;
    Ok(match hashes.is_empty() {
        true => Err(Measured {
            rows,
            ..Measured::default()
        }),
        false => Ok(Suspects {
            hasher,
            hashes,
            beyond,
            rows,
        }),
    })
}

impl Suspects {
    /// The second read of the same keys: how many repeat, and the first few of them.
    pub(crate) async fn measure(mut self, mut keys: QueryResult) -> Result<Measured> {
        let mut found = Repeated::new(&keys.schema)?;
        while let Some(batch) = keys.batches.try_next().await? {
            let hashed = self.hasher.hash(&batch)?;
            let is_whole = |row: usize| hashed.whole.as_ref().is_none_or(|bits| bits.value(row));
            let suspect = hashed.hashes.iter().enumerate();
            let suspect =
                suspect.filter(|(row, hash)| self.hashes.contains(*hash) && is_whole(*row));
            let suspect: Vec<usize> = suspect.map(|(row, _)| row).collect();
            if !suspect.is_empty() {
                found.search(&batch, &suspect)?;
            }
        }
        Ok(Measured {
            value: (found.count + self.beyond) as f64,
            rows: self.rows,
            samples: found.first.into_values().collect(),
        })
    }
}

/// The keys that were read, by a digest of all their bytes.
struct Repeated {
    converter: RowConverter,
    /// True if the key was read again.
    seen: HashMap<[u8; 16], bool>,
    count: u64,
    /// The smallest repeated keys, as text.
    first: BTreeMap<Box<[u8]>, String>,
}

impl Repeated {
    fn new(schema: &SchemaRef) -> Result<Self> {
        let fields = schema.fields().iter();
        let fields = fields.map(|field| SortField::new(field.data_type().clone()));
        Ok(Self {
            converter: RowConverter::new(fields.collect()).map_err(kernel)?,
            seen: HashMap::new(),
            count: 0,
            first: BTreeMap::new(),
        })
    }

    fn search(&mut self, batch: &RecordBatch, rows: &[usize]) -> Result<()> {
        let columns: Vec<ArrayRef> = batch.columns().iter().map(one_form).collect();
        let keys = self.converter.convert_columns(&columns).map_err(kernel)?;
        for row in rows {
            let key = keys.row(*row);
            match self.seen.get_mut(&digest(key.as_ref())) {
                Some(true) => {}
                None => {
                    self.seen.insert(digest(key.as_ref()), false);
                }
                Some(is_repeated) => {
                    *is_repeated = true;
                    self.count += 1;
                    self.first.insert(key.as_ref().into(), shown(batch, *row));
                    if self.first.len() > SAMPLES {
                        self.first.pop_last();
                    }
                }
            }
        }
        Ok(())
    }
}

fn digest(key: &[u8]) -> [u8; 16] {
    let mut digest = [0; 16];
    for (to, from) in digest.iter_mut().zip(Sha256::digest(key)) {
        *to = from;
    }
    digest
}

fn shown(batch: &RecordBatch, row: usize) -> String {
    let columns = batch.columns().iter();
    let values: Vec<String> = columns.map(|column| value_text(column, row)).collect();
    match values.len() {
        1 => values.concat(),
        _ => format!("({})", values.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use arrow_array::{Int64Array, StringArray};
    use arrow_schema::{DataType, Field, Schema};
    use futures::{StreamExt, stream};

    use super::*;
    use crate::spill::SpillFolder;

    fn keys(count: i64, repeat: impl Fn(i64) -> bool + Copy) -> QueryResult {
        let schema = Arc::new(Schema::new(vec![
            Field::new("k0", DataType::Utf8, true),
            Field::new("k1", DataType::Int64, true),
        ]));
        let columns = Arc::clone(&schema);
        let batches = (0..count).step_by(1000).map(move |start| {
            let ids = (start..(start + 1000).min(count)).flat_map(|n| {
                let times = if repeat(n) { 3 } else { 1 };
                std::iter::repeat_n(n, times)
            });
            let ids: Vec<i64> = ids.collect();
            let texts = ids
                .iter()
                .map(|n| (n % 100 != 0).then(|| format!("{n:0200}")));
            let texts: StringArray = texts.collect();
            let arrays: Vec<ArrayRef> = vec![Arc::new(texts), Arc::new(Int64Array::from(ids))];
            Ok(RecordBatch::try_new(Arc::clone(&columns), arrays).unwrap())
        });
        QueryResult {
            schema,
            batches: stream::iter(batches.collect::<Vec<_>>()).boxed(),
        }
    }

    async fn measured(count: i64, bytes: u64, repeat: impl Fn(i64) -> bool + Copy) -> Measured {
        let folder = tempfile::tempdir().unwrap();
        let share = MemoryShare {
            bytes,
            spill: SpillFolder::new(folder.path()),
        };
        let names = ["k0".to_owned(), "k1".to_owned()];
        match suspects(keys(count, repeat), &names, &share).await.unwrap() {
            Err(measured) => measured,
            Ok(suspects) => suspects.measure(keys(count, repeat)).await.unwrap(),
        }
    }

    #[tokio::test]
    async fn long_keys_are_counted_in_little_memory() {
        let unique = measured(20_000, 4_096, |_| false).await;
        assert_eq!((unique.value, unique.rows), (0.0, 19_800));
        let repeated = measured(20_000, 4_096, |n| n == 7 || n == 100 || n == 19_999).await;
        // A key with a NULL part does not count.
        assert_eq!((repeated.value, repeated.rows), (2.0, 19_804));
        assert_eq!(repeated.samples.len(), 2);
        assert!(
            repeated.samples[0].ends_with("7, 7)"),
            "{:?}",
            repeated.samples
        );
    }

    #[tokio::test]
    async fn more_repeats_than_memory_holds_are_counted_too() {
        let repeated = measured(5_000, 1_024, |n| n % 2 == 1).await;
        assert_eq!(repeated.value, 2_500.0);
        assert_eq!(repeated.samples.len(), 5);
    }
}
