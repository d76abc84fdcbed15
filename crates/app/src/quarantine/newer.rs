//! Records of keyed tables that would take the place of a newer row: left out of a replay, and reported.
//!
//! The table may hold a record's key from a later load, which read the row as it was mended. A record
//! that the last load kept out is as new as anything the source gave; an older one goes in only where
//! its key is not there, or where the load's cursor says that it is the newer one. Of two records with
//! one key the newest goes in, however many commits and replays they lie apart: the one with the greater
//! cursor, and of equal or missing ones that which comes first, for which each commit remembers the keys
//! it let in. `insert_only` leaves known keys alone as ever. It knows no files
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
use towpath_flow::OperatorFactory;
use towpath_ports::{
    Assignment, BoxStream, Candidate, Destination, Event, InputVersion, Operator, Output, Query,
    ReadSpec, Reader, Rows, Source, Split, TableSchema,
};
use towpath_sql::{quote, quote_table};
use towpath_vocab::types::one_form;
use towpath_vocab::{
    Failure, Generation, Mark, Position, RawRecord, Remedy, SplitId, TableName, TablePlan,
    WriteMode,
};

use super::records::{Owner, Record};
use crate::Result;
use crate::services::ProjectServices;

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
    seen: SeenKeys,
    left_out: Mutex<BTreeSet<String>>,
    let_in: Mutex<LetIn>,
    /// Keys that earlier batches of this commit let in.
    going_in: Mutex<HashSet<KeyDigest>>,
    /// Ids of records that may be newer than those: they wait for the next replay, which sees the table.
    waiting: Mutex<BTreeSet<String>>,
}

/// What the table and a cursor say of a batch's rows, by their places.
#[derive(Default)]
struct Compared {
    /// The table has newer ones.
    older: HashSet<i64>,
    /// By the cursor, newer than the table's.
    newer: HashSet<i64>,
}

/// A key, as a digest.
type KeyDigest = [u8; 16];

/// Where a record stood: of two that one load kept out, the later one is newer.
type Stood = (String, u64);

/// The keys that were let in so far, as digests.
#[derive(Clone, Default)]
pub(super) struct SeenKeys {
    /// By this replay, in all its commits: from the newest record on.
    now: Arc<Mutex<HashSet<KeyDigest>>>,
    /// By earlier replays of records of the load's last commit.
    before: Arc<Mutex<HashMap<KeyDigest, Stood>>>,
}

impl SeenKeys {
    /// True for a key that is let in for the first time, and for a row that is newer by the cursor than
    /// the table's. A record that the last load kept out otherwise has to stand behind the one an earlier
    /// replay let in.
    fn insert(&self, key: KeyDigest, fresh: Option<&Record>, is_newer: bool) -> bool {
        let before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let is_older = fresh
            .zip(before.get(&key))
            .is_some_and(|(record, before)| stood(record) <= *before);
        if is_older && !is_newer {
            return false;
        }
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.insert(key) || is_newer
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
        services: &ProjectServices,
        owner: &Owner<'_>,
        records: &Arc<Vec<Record>>,
        seen: &SeenKeys,
    ) -> Result<Option<Self>> {
        let plan = &owner.load.table;
        if plan.write.key.is_empty() {
            return Ok(None);
        }
        let cursor = owner.load.cursor.as_ref();
        Ok(Some(Self {
            engine: Arc::clone(&services.engine),
            table: owner.table().clone(),
            held: services.lake.schema(owner.table()).await?,
            mode: plan.write.mode,
            key: plan.write.key.clone(),
            cursor: cursor.and_then(|cursor| as_loaded(plan, &cursor.column)),
            last: owner.generation(services).await?,
            records: Arc::clone(records),
            seen: seen.clone(),
            left_out: Mutex::default(),
            let_in: Mutex::default(),
            going_in: Mutex::default(),
            waiting: Mutex::default(),
        }))
    }

    /// Ids of what has to wait for the next replay.
    pub(super) fn waiting(&self) -> BTreeSet<String> {
        let waiting = self.waiting.lock();
        waiting.unwrap_or_else(PoisonError::into_inner).clone()
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

    /// Places of the rows, newest first: by the cursor, then as they came.
    async fn newest_first(&self, rows: &Rows) -> Result<Vec<i64>> {
        let places = 0..i64::try_from(rows.len()).unwrap_or(i64::MAX);
        let cursor = self.cursor.as_ref();
        let Some(cursor) = cursor.and_then(|name| rows.batch.column_by_name(name)) else {
            return Ok(places.collect());
        };
        let places: ArrayRef = Arc::new(Int64Array::from_iter_values(places));
        let columns = vec![
            ("place".to_owned(), places),
            ("c".to_owned(), Arc::clone(cursor)),
        ];
        let records = TableName::new(RECORDS.0, RECORDS.1);
        let sql = format!(
            "select r.place from {} r order by r.c desc nulls last, r.place",
            quote_table(&records)
        );
        let found = self.ask(&sql, Batch::of(columns)?).await?;
        let places = found.iter().flat_map(|batch| {
            let places = batch.column(0).as_primitive::<Int64Type>();
            places.values().to_vec()
        });
        Ok(places.collect())
    }

    async fn ask(&self, sql: &str, records: Batch) -> Result<Vec<RecordBatch>> {
        let name = TableName::new(RECORDS.0, RECORDS.1);
        let candidates = BTreeMap::from([(name, records.candidate())]);
        let found = self.engine.query(sql, &candidates).await?;
        found.batches.try_collect().await
    }

    /// Which rows are older and newer than the table's.
    async fn compared(&self, rows: &Rows, keys: &[ArrayRef]) -> Result<Compared> {
        let Some(held) = &self.held else {
            return Ok(Compared::default());
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
                return Ok(Compared::default());
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
        let no = || "false".to_owned();
        let (is_older, is_newer) = match (self.mode, cursor) {
            (WriteMode::InsertOnly, _) => ("true".to_owned(), no()),
            (_, Some((their, array))) => {
                columns.push(("c".to_owned(), array));
                let older = format!(
                    "case when r.fresh then coalesce({their} > r.c, false) \
                     else coalesce({their} >= r.c, true) end"
                );
                (older, format!("coalesce({their} < r.c, false)"))
            }
            _ => ("not r.fresh".to_owned(), no()),
        };
        let records = TableName::new(RECORDS.0, RECORDS.1);
        let sql = format!(
            "select r.place, {is_newer} as newer from {} r join {} t on {} \
             where {is_older} or {is_newer}",
            quote_table(&records),
            quote_table(&self.table),
            same.join(" and ")
        );
        let mut compared = Compared::default();
        for batch in self.ask(&sql, Batch::of(columns)?).await? {
            let places = batch.column(0).as_primitive::<Int64Type>();
            for (place, newer) in places.values().iter().zip(batch.column(1).as_boolean()) {
                match newer {
                    Some(true) => compared.newer.insert(*place),
                    _ => compared.older.insert(*place),
                };
            }
        }
        Ok(compared)
    }

    /// Which rows go in; notes what becomes of the others. `key` tells that of the row at a place.
    fn decide(
        &self,
        rows: &Rows,
        newest_first: &[i64],
        compared: &Compared,
        key: impl Fn(usize) -> KeyDigest,
    ) -> BooleanArray {
        let (mut left_out, mut let_in) = (self.leaving_out(), self.letting_in());
        let waiting = self.waiting.lock();
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        let going_in = self.going_in.lock();
        let mut going_in = going_in.unwrap_or_else(PoisonError::into_inner);
        let mut here = HashSet::new();
        let mut keep = vec![false; rows.len()];
        for place in newest_first {
            let row = usize::try_from(*place).unwrap_or(usize::MAX);
            let (Some(keep), Some(ordinal)) = (keep.get_mut(row), rows.ordinals.values().get(row))
            else {
                continue;
            };
            let (key, fresh) = (key(row), self.fresh(*ordinal));
            let is_newer = compared.newer.contains(place);
            let is_known = here.contains(&key) || going_in.contains(&key);
            *keep = !compared.older.contains(place)
                && !is_known
                && self.seen.insert(key, fresh, is_newer);
            if *keep {
                here.insert(key);
                if let Some(fresh) = fresh {
                    let_in.add(key, fresh);
                }
            } else if let Some(record) = self.record(*ordinal) {
                // A row of an earlier batch goes in, and its cursor is not at hand.
                let may_be_newer = self.cursor.is_some()
                    && self.mode != WriteMode::InsertOnly
                    && !compared.older.contains(place)
                    && going_in.contains(&key);
                let to = match may_be_newer {
                    true => &mut *waiting,
                    false => &mut *left_out,
                };
                to.insert(record.id.clone());
            }
        }
        going_in.extend(here);
        BooleanArray::from(keep)
    }
}

/// A source column under its name in the target, if its values arrive there unchanged.
fn as_loaded(plan: &TablePlan, column: &str) -> Option<String> {
    let renamed = plan.columns.iter().find(|wish| {
        let from = wish.from.as_ref();
        from.is_some_and(|from| plan.names.is_same(from, column))
    });
    let name = renamed.map_or_else(|| plan.names.apply(column), |wish| wish.name.clone());
    let wish = plan.columns.iter().find(|wish| wish.name == name);
    let is_changed = wish.is_some_and(|wish| wish.set.is_some() || wish.mask.is_some());
    (!is_changed).then_some(name)
}

/// The operator that leaves out what is older, right before the writer.
struct LeaveOutOlder {
    newer: Arc<Newer>,
    schema: SchemaRef,
}

#[async_trait]
impl Operator for LeaveOutOlder {
    fn name(&self) -> &'static str {
        "newer"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    async fn process(&mut self, rows: Rows) -> Result<Output> {
        let before = rows.len();
        let rows = self.newer.filter(rows).await?;
        Ok(Output {
            filtered_rows: (before - rows.len()) as u64,
            ..Output::of(rows)
        })
    }
}

impl Newer {
    /// As an operator of the replay's table.
    pub(super) fn operator(self: Arc<Self>) -> OperatorFactory {
        Arc::new(move |schema| {
            Ok(Box::new(LeaveOutOlder {
                newer: Arc::clone(&self),
                schema: Arc::clone(schema),
            }))
        })
    }

    async fn filter(&self, rows: Rows) -> Result<Rows> {
        let keys = self.key.iter().map(|name| {
            let found = rows.batch.column_by_name(name);
            found.map(one_form).ok_or_else(|| no_key(name))
        });
        let keys: Vec<ArrayRef> = keys.collect::<Result<_>>()?;
        let compared = self.compared(&rows, &keys).await?;
        let newest_first = self.newest_first(&rows).await?;
        let texts = keys.iter().map(|key| cast(key, &DataType::Utf8));
        let texts: Vec<ArrayRef> = texts.collect::<Result<_, _>>().map_err(bent)?;
        let keep = self.decide(&rows, &newest_first, &compared, |row| {
            digest(texts.iter().map(|text| {
                let text = text.as_string::<i32>();
                text.is_valid(row).then(|| text.value(row).to_owned())
            }))
        });
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
    use towpath_vocab::{RawRecord, RecordLocation};

    use super::*;

    fn record(id: &str) -> Record {
        Record {
            id: id.to_owned(),
            raw: RawRecord::Row("{}".to_owned()),
            place: RecordLocation {
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
        let (services, _scratch) = ProjectServices::of_files(std::path::Path::new(".")).unwrap();
        let seen = SeenKeys::default();
        let commit = |ids: &[&str]| Newer {
            engine: Arc::clone(&services.engine),
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
            going_in: Mutex::default(),
            waiting: Mutex::default(),
        };
        let first = commit(&["new 1", "new 2", "none"]);
        let kept = first.filter(rows(&[Some(1), Some(2), None])).await.unwrap();
        assert_eq!((kept.len(), first.left_out().len()), (3, 0));
        let second = commit(&["old 2", "new 3", "old 3"]);
        let kept = second
            .filter(rows(&[Some(2), Some(3), Some(3)]))
            .await
            .unwrap();
        assert_eq!(kept.ordinals.values(), &[1]);
        let left_out = ["old 2".to_owned(), "old 3".to_owned()];
        assert_eq!(second.left_out(), BTreeSet::from(left_out));
    }
}
