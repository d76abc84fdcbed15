//! Finds the replayed records for which a keyed table has a newer row, and leaves them out.
//!
//! Promise: each batch of rows takes one query; `admission.rs` decides what follows from its result. It
//! knows no file and no commit. Read next: `replay.rs`, which puts it before the writer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::filter::{filter, filter_record_batch};
use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use towpath_flow::OperatorFactory;
use towpath_ports::{
    Assignment, BoxStream, Candidate, Event, InputVersion, Operator, OperatorOutput, Query,
    ReadSpec, Reader, RejectedRecord, Result, Rows, Source, Split, TableSchema,
};
use towpath_vocab::types::one_form;
use towpath_vocab::{
    Failure, IS_CURRENT, Position, Remedy, SplitId, SplitPosition, TableName, TablePlan, WriteMode,
    quote, quote_table,
};

use crate::QuarantinePorts;
use crate::admission::{Admission, Admitted, Compared, SeenKeys, digest};
use crate::records::{Owner, Record};

/// The table name of the records in the query.
const RECORDS: (&str, &str) = ("replayed", "records");

/// Leaves out records for which the table has a newer row.
pub(crate) struct OlderRowFilter {
    query: Arc<dyn Query>,
    table: TableName,
    /// The table's columns; `None` before its first commit.
    columns: Option<SchemaRef>,
    mode: WriteMode,
    key: Vec<String>,
    /// The column by which the newer of two rows is found.
    cursor: Option<String>,
    admission: Mutex<Admission>,
}

impl OlderRowFilter {
    /// For the replay of these records; `None` for tables without a key.
    pub(crate) async fn of(
        ports: &QuarantinePorts,
        owner: &Owner<'_>,
        records: &Arc<Vec<Record>>,
        seen: &SeenKeys,
    ) -> Result<Option<Self>> {
        let plan = &owner.load.table;
        if plan.write.key.is_empty() {
            return Ok(None);
        }
        let cursor = owner.load.cursor.as_ref();
        let cursor = cursor.and_then(|cursor| as_loaded(plan, &cursor.column));
        let is_by_cursor = cursor.is_some() && plan.write.mode != WriteMode::InsertOnly;
        let last = owner.generation(ports).await?;
        let admission = Admission::new(Arc::clone(records), last, is_by_cursor, seen.clone());
        Ok(Some(Self {
            query: Arc::clone(&ports.query),
            table: owner.table().clone(),
            columns: ports.lake.schema(owner.table()).await?,
            mode: plan.write.mode,
            key: plan.write.key.clone(),
            cursor,
            admission: Mutex::new(admission),
        }))
    }

    /// What happened to the rows so far.
    pub(crate) fn admitted(&self) -> Admitted {
        self.admission().admitted().clone()
    }

    fn admission(&self) -> MutexGuard<'_, Admission> {
        let admission = self.admission.lock();
        admission.unwrap_or_else(PoisonError::into_inner)
    }

    /// The positions of the rows, newest first: by the cursor, then in their order.
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
        let found = self.query.query(sql, &candidates).await?;
        found.batches.try_collect().await
    }

    /// Which rows are older, and which are newer, than those of the table.
    async fn compared(&self, rows: &Rows, keys: &[ArrayRef]) -> Result<Compared> {
        let Some(columns) = &self.columns else {
            return Ok(Compared::default());
        };
        let theirs = |name: &String| {
            let mut fields = columns.fields().iter();
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
        let fresh = self.admission().fresh(rows.ordinals.values());
        columns.push(("fresh".to_owned(), Arc::new(BooleanArray::from(fresh))));
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
        if self.mode == WriteMode::Scd2 {
            same.push(format!("t.{}", quote(IS_CURRENT)));
        }
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
}

/// The name of a source column in the target, if its values are the same there.
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

/// The operator that leaves out older rows, directly before the writer.
struct LeaveOutOlder {
    newer: Arc<OlderRowFilter>,
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

    async fn process(&mut self, rows: Rows) -> Result<OperatorOutput> {
        let before = rows.len();
        let rows = self.newer.filter(rows).await?;
        Ok(OperatorOutput {
            filtered_rows: (before - rows.len()) as u64,
            ..OperatorOutput::of(rows)
        })
    }
}

impl OlderRowFilter {
    /// The factory of the operator for the replay's table.
    pub(crate) fn operator(self: Arc<Self>) -> OperatorFactory {
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
        let key = |row: usize| {
            digest(texts.iter().map(|text| {
                let text = text.as_string::<i32>();
                text.is_valid(row).then(|| text.value(row).to_owned())
            }))
        };
        let keep = self
            .admission()
            .judge(rows.ordinals.values(), &newest_first, &compared, key);
        let keep = BooleanArray::from(keep);
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

/// One batch as a table of the query.
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

    async fn replay(
        &self,
        _spec: &ReadSpec,
        _records: Vec<RejectedRecord>,
    ) -> Result<Box<dyn Reader>> {
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
            Ok(Event::Boundary(SplitPosition::at(0))),
            Ok(Event::End),
        ];
        let split = Split {
            id: SplitId("records".to_owned()),
            events: stream::iter(events).boxed(),
        };
        let events = [
            Ok(Assignment::Assigned(split)),
            Ok(Assignment::Complete(Position::default())),
        ];
        stream::iter(events).boxed()
    }

    async fn committed(&mut self, _position: &Position) -> Result<()> {
        Ok(())
    }
}
