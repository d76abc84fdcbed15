//! Records of keyed tables that would take the place of a newer row: left out of a replay, and told.
//!
//! The table may hold a record's key from a later load, which read the row as it was mended. A record
//! that the last load kept out is as new as anything the source gave; an older one goes in only where
//! its key is not there, or where the load's cursor says that it is the newer one. Of two records with
//! one key the newest, which comes first, goes in, however many commits and replays they lie apart: each
//! commit remembers the keys it let in. `insert_only` leaves known keys alone as ever. It knows no files
//! and no commit: it looks with one question to the engine for each batch of rows.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::filter::{filter, filter_record_batch};
use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use towpath_engine::Engine;
use towpath_flow::Sieve;
use towpath_ports::{
    Assignment, BoxStream, Candidate, Destination, Event, InputVersion, Query, ReadSpec, Reader,
    Rows, Source, Split, TableSchema,
};
use towpath_sql::{quote, quote_table};
use towpath_vocab::types::one_form;
use towpath_vocab::{
    Failure, Generation, Mark, Position, RawRecord, Remedy, SplitId, TableName, TablePlan,
    WriteMode,
};

use super::records::{Owner, Record};
use crate::Result;
use crate::house::House;

/// The name records have in the question.
const RECORDS: (&str, &str) = ("replayed", "records");

/// Leaves out what is older than the table.
pub(super) struct Newer {
    engine: Arc<Engine>,
    table: TableName,
    /// The table's columns; `None` before its first commit.
    held: Option<SchemaRef>,
    mode: WriteMode,
    key: Vec<String>,
    /// The column that says which of two rows is newer.
    cursor: Option<String>,
    /// The load's last commit.
    last: Generation,
    records: Arc<Vec<Record>>,
    seen: Seen,
    left_out: Mutex<BTreeSet<String>>,
    let_in: Mutex<LetIn>,
}

/// A key, as a digest.
type KeyDigest = [u8; 16];

/// Where a record stood: of two that one load kept out, the later one is newer.
type Stood = (String, u64);

/// The keys that were let in so far, as digests.
#[derive(Clone, Default)]
pub(super) struct Seen {
    /// By this replay, in all its commits: from the newest record on.
    now: Arc<Mutex<HashSet<KeyDigest>>>,
    /// By earlier replays of records of the load's last commit.
    before: Arc<Mutex<HashMap<KeyDigest, Stood>>>,
}

impl Seen {
    /// True for a key that is let in for the first time. A record that the last load kept out also has to
    /// be newer than the one an earlier replay let in.
    fn insert(&self, key: KeyDigest, fresh: Option<&Record>) -> bool {
        let before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let is_older = fresh
            .zip(before.get(&key))
            .is_some_and(|(record, before)| stood(record) <= *before);
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        !is_older && now.insert(key)
    }

    /// Takes over what an earlier replay let in.
    pub(super) fn remember(&self, keys: LetIn) {
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        for (object, keys) in keys.0 {
            for (digest, ordinal) in keys {
                let Some(key) = read(&digest) else { continue };
                let new = (object.clone(), ordinal);
                match before.get_mut(&key) {
                    Some(held) if *held >= new => {}
                    Some(held) => *held = new,
                    None => {
                        before.insert(key, new);
                    }
                }
            }
        }
    }
}

fn stood(record: &Record) -> Stood {
    (record.place.object.clone(), record.place.ordinal)
}

fn digest(key: impl Iterator<Item = Option<String>>) -> KeyDigest {
    let mut hash = Sha256::new();
    for part in key {
        let length = part.as_ref().map_or(u64::MAX, |part| part.len() as u64);
        hash.update(length.to_le_bytes());
        hash.update(part.unwrap_or_default());
    }
    let mut digest = [0; 16];
    for (to, from) in digest.iter_mut().zip(hash.finalize()) {
        *to = from;
    }
    digest
}

/// A digest as a commit's position has it.
fn written(key: KeyDigest) -> String {
    format!("{:032x}", u128::from_be_bytes(key))
}

fn read(text: &str) -> Option<KeyDigest> {
    u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes)
}

/// Keys that a commit let in, of records that the load's last commit kept out: by the object they stood
/// in, each with its place there.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct LetIn(BTreeMap<String, Vec<(String, u64)>>);

impl LetIn {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, key: KeyDigest, record: &Record) {
        let (object, ordinal) = stood(record);
        let keys = self.0.entry(object).or_default();
        keys.push((written(key), ordinal));
    }
}

impl Newer {
    /// For the replay of these records; `None` for tables without a key.
    pub(super) async fn of(
        house: &House,
        owner: &Owner<'_>,
        records: &Arc<Vec<Record>>,
        seen: &Seen,
    ) -> Result<Option<Self>> {
        let plan = &owner.load.table;
        if plan.write.key.is_empty() {
            return Ok(None);
        }
        let cursor = owner.load.cursor.as_ref();
        Ok(Some(Self {
            engine: Arc::clone(&house.engine),
            table: owner.table().clone(),
            held: house.lake.schema(owner.table()).await?,
            mode: plan.write.mode,
            key: plan.write.key.clone(),
            cursor: cursor.and_then(|cursor| as_loaded(plan, &cursor.column)),
            last: owner.generation(house).await?,
            records: Arc::clone(records),
            seen: seen.clone(),
            left_out: Mutex::default(),
            let_in: Mutex::default(),
        }))
    }

    /// Ids of what was left out so far.
    pub(super) fn left_out(&self) -> BTreeSet<String> {
        self.leaving_out().clone()
    }

    /// The keys of what went in so far.
    pub(super) fn let_in(&self) -> LetIn {
        self.letting_in().clone()
    }

    fn letting_in(&self) -> std::sync::MutexGuard<'_, LetIn> {
        self.let_in.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A record that the load's last commit kept out.
    fn fresh(&self, ordinal: u64) -> Option<&Record> {
        self.record(ordinal)
            .filter(|record| record.generation == self.last)
    }

    fn leaving_out(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.left_out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, ordinal: u64) -> Option<&Record> {
        self.records.get(usize::try_from(ordinal).ok()?)
    }

    /// Places of the rows the table has newer ones of.
    async fn older(&self, rows: &Rows, keys: &[ArrayRef]) -> Result<HashSet<i64>> {
        let Some(held) = &self.held else {
            return Ok(HashSet::new());
        };
        let theirs = |name: &String| {
            let mut fields = held.fields().iter();
            let found = fields.find(|field| field.name().to_lowercase() == name.to_lowercase());
            found.map(|field| format!("t.{}", quote(field.name())))
        };
        let mut columns: Vec<(String, ArrayRef)> = Vec::new();
        let mut same = Vec::new();
        for (at, (name, array)) in self.key.iter().zip(keys).enumerate() {
            let Some(their) = theirs(name) else {
                return Ok(HashSet::new());
            };
            same.push(format!("r.k{at} = {their}"));
            columns.push((format!("k{at}"), Arc::clone(array)));
        }
        let fresh = rows
            .ordinals
            .values()
            .iter()
            .map(|ordinal| Some(self.fresh(*ordinal).is_some()));
        columns.push((
            "fresh".to_owned(),
            Arc::new(fresh.collect::<BooleanArray>()),
        ));
        let places = 0..i64::try_from(rows.len()).unwrap_or(i64::MAX);
        columns.push((
            "place".to_owned(),
            Arc::new(Int64Array::from_iter_values(places)),
        ));
        let cursor = self.cursor.as_ref().and_then(|name| {
            let array = rows.batch.column_by_name(name)?;
            Some((theirs(name)?, Arc::clone(array)))
        });
        let is_older = match (self.mode, cursor) {
            (WriteMode::InsertOnly, _) => "true".to_owned(),
            (_, Some((their, array))) => {
                columns.push(("c".to_owned(), array));
                format!(
                    "case when r.fresh then coalesce({their} > r.c, false) \
                     else coalesce({their} >= r.c, true) end"
                )
            }
            _ => "not r.fresh".to_owned(),
        };
        let records = TableName::new(RECORDS.0, RECORDS.1);
        let sql = format!(
            "select r.place from {} r join {} t on {} where {is_older}",
            quote_table(&records),
            quote_table(&self.table),
            same.join(" and ")
        );
        let candidates = BTreeMap::from([(records, Batch::of(columns)?.candidate())]);
        let found = self.engine.query(&sql, &candidates).await?;
        let found: Vec<RecordBatch> = found.batches.try_collect().await?;
        let places = found.iter().flat_map(|batch| {
            let places = batch.column(0).as_primitive::<Int64Type>();
            places.values().to_vec()
        });
        Ok(places.collect())
    }
}

/// A source column under its name in the target, if its values arrive there unchanged.
fn as_loaded(plan: &TablePlan, column: &str) -> Option<String> {
    let renamed = plan
        .columns
        .iter()
        .find(|wish| wish.from.as_deref() == Some(column));
    let name = renamed.map_or_else(|| plan.names.apply(column), |wish| wish.name.clone());
    let wish = plan.columns.iter().find(|wish| wish.name == name);
    let is_changed = wish.is_some_and(|wish| wish.set.is_some() || wish.mask.is_some());
    (!is_changed).then_some(name)
}

#[async_trait]
impl Sieve for Newer {
    async fn sift(&self, rows: Rows) -> Result<Rows> {
        let keys = self.key.iter().map(|name| {
            let found = rows.batch.column_by_name(name);
            found.map(one_form).ok_or_else(|| no_key(name))
        });
        let keys: Vec<ArrayRef> = keys.collect::<Result<_>>()?;
        let older = self.older(&rows, &keys).await?;
        let texts = keys.iter().map(|key| cast(key, &DataType::Utf8));
        let texts: Vec<ArrayRef> = texts.collect::<Result<_, _>>().map_err(bent)?;
        let keep = {
            let (mut left_out, mut let_in) = (self.leaving_out(), self.letting_in());
            let kept = (0_i64..)
                .zip(rows.ordinals.values())
                .map(|(place, ordinal)| {
                    let row = usize::try_from(place).unwrap_or(usize::MAX);
                    let text = |text: &ArrayRef| {
                        let text = text.as_string::<i32>();
                        text.is_valid(row).then(|| text.value(row).to_owned())
                    };
                    let key = digest(texts.iter().map(text));
                    let fresh = self.fresh(*ordinal);
                    let goes_in = !older.contains(&place) && self.seen.insert(key, fresh);
                    match (goes_in, fresh, self.record(*ordinal)) {
                        (true, Some(fresh), _) => let_in.add(key, fresh),
                        (false, _, Some(record)) => {
                            left_out.insert(record.id.clone());
                        }
                        _ => {}
                    }
                    Some(goes_in)
                });
            kept.collect::<BooleanArray>()
        };
        let ordinals = filter(&rows.ordinals, &keep).map_err(bent)?;
        Ok(Rows {
            batch: filter_record_batch(&rows.batch, &keep).map_err(bent)?,
            ordinals: ordinals.as_primitive().clone(),
            ops: None,
            ..rows
        })
    }
}

fn no_key(column: &str) -> Failure {
    let message = format!("replayed rows have no key column `{column}`");
    Failure::new("R0977", Remedy::Bug, message)
}

fn bent(error: arrow_schema::ArrowError) -> Failure {
    let message = format!("replayed rows cannot be compared: {error}");
    Failure::new("R0977", Remedy::Bug, message)
}

/// One batch as a table of the question.
struct Batch(RecordBatch);

impl Batch {
    fn of(columns: Vec<(String, ArrayRef)>) -> Result<Self> {
        let fields = columns
            .iter()
            .map(|(name, array)| Field::new(name, array.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let arrays = columns.into_iter().map(|(_, array)| array).collect();
        RecordBatch::try_new(schema, arrays).map(Self).map_err(bent)
    }

    fn candidate(self) -> Candidate {
        Candidate {
            schema: self.0.schema(),
            source: Arc::new(self),
            native: Arc::new(()),
        }
    }
}

#[async_trait]
impl Source for Batch {
    async fn open(&self, spec: &ReadSpec, _from: Option<&Position>) -> Result<Box<dyn Reader>> {
        Ok(Box::new(BatchReader {
            table: spec.table.clone(),
            batch: self.0.clone(),
        }))
    }

    async fn version(&self, _spec: &ReadSpec) -> Result<Option<InputVersion>> {
        Ok(None)
    }

    async fn replay(&self, _spec: &ReadSpec, _records: Vec<RawRecord>) -> Result<Box<dyn Reader>> {
        Err(no_key("records of a question are never replayed"))
    }
}

struct BatchReader {
    table: TableName,
    batch: RecordBatch,
}

#[async_trait]
impl Reader for BatchReader {
    fn tables(&self) -> Vec<TableSchema> {
        vec![TableSchema {
            table: self.table.clone(),
            schema: self.batch.schema(),
        }]
    }

    fn bounded(&self) -> bool {
        true
    }

    fn splits(&mut self) -> BoxStream<Result<Assignment>> {
        let rows = Rows::of_batch(self.table.clone(), "records", self.batch.clone(), 0);
        let events = [
            Ok(Event::Rows(rows)),
            Ok(Event::Boundary(Mark::at(0))),
            Ok(Event::End),
        ];
        let split = Split {
            id: SplitId("records".to_owned()),
            events: stream::iter(events).boxed(),
        };
        let told = [
            Ok(Assignment::Assigned(split)),
            Ok(Assignment::Complete(Position::default())),
        ];
        stream::iter(told).boxed()
    }

    async fn committed(&mut self, _position: &Position) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use towpath_vocab::{Place, RawRecord};

    use super::*;

    fn record(id: &str) -> Record {
        Record {
            id: id.to_owned(),
            raw: RawRecord::Row("{}".to_owned()),
            place: Place {
                object: "x".to_owned(),
                line: None,
                ordinal: 0,
            },
            generation: Generation(1),
        }
    }

    fn rows(keys: &[Option<i64>]) -> Rows {
        let keys: ArrayRef = Arc::new(keys.iter().copied().collect::<Int64Array>());
        let batch = RecordBatch::try_from_iter_with_nullable([("id", keys, true)]).unwrap();
        Rows::of_batch("raw.t".parse().unwrap(), "x", batch, 0)
    }

    #[tokio::test]
    async fn of_one_key_the_newest_goes_in_however_many_commits_lie_between() {
        let (house, _scratch) = House::of_files(std::path::Path::new(".")).unwrap();
        let seen = Seen::default();
        let commit = |ids: &[&str]| Newer {
            engine: Arc::clone(&house.engine),
            table: "raw.t".parse().unwrap(),
            held: None,
            mode: WriteMode::Merge,
            key: vec!["id".to_owned()],
            cursor: None,
            last: Generation(1),
            records: Arc::new(ids.iter().map(|id| record(id)).collect()),
            seen: seen.clone(),
            left_out: Mutex::default(),
            let_in: Mutex::default(),
        };
        let first = commit(&["new 1", "new 2", "none"]);
        let kept = first.sift(rows(&[Some(1), Some(2), None])).await.unwrap();
        assert_eq!((kept.len(), first.left_out().len()), (3, 0));
        let second = commit(&["old 2", "new 3", "old 3"]);
        let kept = second
            .sift(rows(&[Some(2), Some(3), Some(3)]))
            .await
            .unwrap();
        assert_eq!(kept.ordinals.values(), &[1]);
        let left_out = ["old 2".to_owned(), "old 3".to_owned()];
        assert_eq!(second.left_out(), BTreeSet::from(left_out));
    }
}
