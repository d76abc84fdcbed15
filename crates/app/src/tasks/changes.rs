//! Compares two versions of a table, so that a publish by key sends only the rows that changed.
//!
//! Promise: it distinguishes rows that are new or different from keys that are gone, by what the step sent
//! last time and what it sends now. Files that both versions contain are not read. If a comparison is not
//! possible (other column types, a vacuumed version, a key that repeats), all rows are sent, with the
//! reason. It writes nothing. Read next: `publish.rs`, `sent_version.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use arrow_array::{RecordBatch, new_null_array};
use arrow_schema::{Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use towpath_engine::lake::LakeCandidate;
use towpath_engine::{Lake, expression_failure};
use towpath_flow::{Differences, TableVersions, can_compare, differences, key_repeats};
use towpath_ports::{
    Assignment, BoxStream, Candidate, Event, Op, OpColumn, Query, QueryResult, Reader, Rows, Split,
    TableSchema,
};
use towpath_sql::in_own_names;
use towpath_vocab::types::{AUDIT, BLANKS, MASKED};
use towpath_vocab::{Failure, Position, PublishPlan, Remedy, SplitId, TableName, is_audit_field};

use crate::Result;
use crate::services::ProjectServices;

/// Why a version is not compared if its `where` cannot be used.
const NOT_EVALUATED: &str = "was sent with a `where` that cannot be evaluated any more";

/// The SQL schema of the two versions in a comparison.
pub(super) const SCHEMA: &str = "towpath_publish";

/// A lakehouse table at one version.
pub(super) struct Pinned {
    pub(super) version: u64,
    pub(super) id: String,
    /// Identifies its commit, because other commits may have had, or may get, the same version number.
    pub(super) commit: Option<String>,
    pub(super) table: LakeCandidate,
}

impl Pinned {
    /// The present version of a table; `None` if there is no such table.
    pub(super) async fn now(lake: &Lake, name: &TableName) -> Result<Option<Self>> {
        let Some(table) = lake.snapshot(name).await? else {
            return Ok(None);
        };
        let described = lake.describe(name).await?;
        if table.version != Some(described.version) {
            return Err(overtaken(name));
        }
        Ok(Some(Self {
            version: described.version,
            id: described.id,
            commit: lake.commit_id(name, described.version).await?,
            table,
        }))
    }

    /// Its files as a candidate for the engine.
    fn candidate(&self, services: &ProjectServices, publish: &PublishPlan) -> Result<Candidate> {
        Ok(Candidate {
            schema: Arc::clone(&self.table.schema),
            source: services.lake.source(&publish.from)?,
            native: Arc::new(self.table.clone()),
        })
    }

    /// The version for a fingerprint: with the id of the table, and its commit.
    pub(super) fn input(&self) -> String {
        let (version, id, commit) = (self.version, &self.id, &self.commit);
        format!("version {version} of {id}, commit {commit:?}")
    }
}

/// The failure if another commit was made to the table between two reads of its log.
pub(super) fn overtaken(name: &TableName) -> Failure {
    Failure::new(
        "R0941",
        Remedy::Retry,
        format!("another process wrote `{name}` while it was being published"),
    )
    .help("the next attempt sends the new version")
}

/// Which rows of the present version are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PublishScope {
    /// Rows that differ.
    Changed,
    /// All rows, because the user asked for it. Keys that are gone are deleted as well.
    All,
}

/// What a publish sends.
pub(super) enum Sending {
    /// Nothing: the destination has exactly these rows.
    Nothing,
    /// These changes.
    Changes(Box<dyn Reader>),
    /// Everything, because the versions cannot be compared, with the reason.
    Everything(String),
}

/// A comparison of two versions.
pub(super) struct Comparison<'a> {
    pub(super) services: &'a ProjectServices,
    pub(super) publish: &'a PublishPlan,
    pub(super) now: &'a Pinned,
    pub(super) before: u64,
    /// The filter with which the earlier version was sent.
    pub(super) filter_before: Option<&'a str>,
    /// Columns that are no longer sent: they become NULL.
    pub(super) dropped: &'a [FieldRef],
    pub(super) extent: PublishScope,
}

impl Comparison<'_> {
    /// Finds out what to send.
    ///
    /// # Errors
    /// Those of the query. A missing old version is not an error.
    pub(super) async fn compare(&self) -> Result<Sending> {
        let from = &self.publish.from;
        let lake = &self.services.lake;
        let gone = |why: &str| {
            let (version, target) = (self.before, &self.publish.table.target);
            Ok(Sending::Everything(format!(
                "version {version} of `{from}`, which `{target}` held, {why}"
            )))
        };
        let Ok(then) = lake.snapshot_at(from, self.before).await else {
            return gone("cannot be read any more");
        };
        let Some(schema) = common(&then.schema, &self.now.table.schema) else {
            return gone("has columns of other types");
        };
        // The filter of the earlier version used its own columns.
        let then_schema = Arc::clone(&then.schema);
        let then_columns = with_columns_of(&schema, &then_schema);
        // If the filter has changed, rows of a file that both versions have may differ.
        let same_rows = self.filter_before == self.publish.table.filter.as_deref();
        let (then_only, now_only) = match same_rows {
            true => apart(&then, &self.now.table),
            false => (then, self.now.table.clone()),
        };
        if !then_only.is_all_there().await? {
            return gone("was vacuumed");
        }
        let is_same = then_only.files.is_empty() && now_only.files.is_empty();
        if is_same && self.extent == PublishScope::Changed {
            return Ok(Sending::Nothing);
        }
        // New columns are NULL in files that do not have them.
        let seen = |files: LakeCandidate| files.with_columns(&schema);
        let seen_then = |files: LakeCandidate| files.with_columns(&then_columns);
        let candidates = BTreeMap::from([
            (
                seen_as("now"),
                self.candidate(seen(self.now.table.clone()))?,
            ),
            (seen_as("now_only"), self.candidate(seen(now_only))?),
            (seen_as("then_only"), self.candidate(seen_then(then_only))?),
        ]);
        let columns = sent_columns(self.publish, &schema);
        if !can_compare(&columns) {
            return gone("has columns of a type that cannot be compared");
        }
        let Some(text) = Text::of(self, &columns, (&schema, &then_schema))? else {
            return gone(NOT_EVALUATED);
        };
        let engine = self.services.engine.as_ref();
        let transfer = self.services.transfer_services(Arc::default());
        if key_repeats(engine, &text.keys(), &candidates, &transfer).await? {
            return Ok(Sending::Everything(format!(
                "the key ({}) is not unique in `{from}`",
                self.publish.table.write.key.join(", ")
            )));
        }
        let then = match engine.query(&text.rows_before(), &candidates).await {
            Ok(then) => then,
            Err(failure) if !same_rows && !failure.remedy.may_pass() => {
                return gone(NOT_EVALUATED);
            }
            Err(failure) => return Err(failure),
        };
        let versions = TableVersions {
            then,
            now: engine.query(&text.rows("now_only"), &candidates).await?,
            key: self.publish.table.write.key.clone(),
            ignored: audit_columns(&columns),
        };
        let changed = differences(versions, &transfer)?;
        let mut changes = match self.extent {
            PublishScope::Changed => changed,
            PublishScope::All => {
                let all = engine.query(&text.rows("now"), &candidates).await?;
                every_row(all, changed)
            }
        };
        let Some(first) = changes.next().await else {
            return Ok(Sending::Nothing);
        };
        let changes = Box::pin(stream::iter([first]).chain(changes));
        Ok(Sending::Changes(self.reader(&columns, changes)))
    }

    fn reader(&self, columns: &SchemaRef, changes: Differences) -> Box<dyn Reader> {
        let changes = changes.map_ok(|(batch, ops)| (batch, Some(ops)));
        let changes = Box::pin(changes);
        Box::new(Changes::of(self.publish, columns, self.dropped, changes))
    }

    /// Files as a candidate, which the engine reads by `native`.
    fn candidate(&self, files: LakeCandidate) -> Result<Candidate> {
        Ok(Candidate {
            schema: Arc::clone(&files.schema),
            source: self.services.lake.source(&self.publish.from)?,
            native: Arc::new(files),
        })
    }
}

pub(super) fn seen_as(name: &str) -> TableName {
    TableName::new(SCHEMA, name)
}

/// The columns of the present version, if none of them had another type in the old version. Both may allow
/// NULL or not.
pub(super) fn common(then: &Schema, now: &SchemaRef) -> Option<SchemaRef> {
    let mut fields = Vec::with_capacity(now.fields().len());
    for field in now.fields() {
        let old = then.field_with_name(field.name()).ok();
        let is_other = old
            .is_some_and(|old| old.data_type() != field.data_type() || words(old) != words(field));
        if is_other {
            return None;
        }
        let nullable = field.is_nullable() || old.is_none_or(|old| old.is_nullable());
        fields.push(field.as_ref().clone().with_nullable(nullable));
    }
    Some(Arc::new(Schema::new_with_metadata(
        fields,
        now.metadata().clone(),
    )))
}

/// The metadata of a column that may change the meaning of its values. How the values came to be what they
/// are, with cut blanks or masked, does not.
fn words(field: &Field) -> BTreeMap<&str, &str> {
    let words = field.metadata().iter();
    let words = words.map(|(key, word)| (key.as_str(), word.as_str()));
    words
        .filter(|(key, _)| ![AUDIT, BLANKS, MASKED].contains(key))
        .collect()
}

/// The present columns, followed by those that only the older version had.
fn with_columns_of(now: &SchemaRef, then: &Schema) -> SchemaRef {
    let is_old = |field: &&FieldRef| now.field_with_name(field.name()).is_err();
    let old = then.fields().iter().filter(is_old);
    let fields: Vec<_> = now.fields().iter().chain(old).cloned().collect();
    Arc::new(Schema::new_with_metadata(fields, now.metadata().clone()))
}

/// The files that only one of two versions has. A file in both has the same rows in both.
fn apart(then: &LakeCandidate, now: &LakeCandidate) -> (LakeCandidate, LakeCandidate) {
    (then.without(now), now.without(then))
}

/// The columns a publish sends.
pub(super) fn sent_columns(publish: &PublishPlan, schema: &SchemaRef) -> SchemaRef {
    let (keep, drop) = (&publish.table.keep, &publish.table.drop);
    let fields: Vec<_> = schema
        .fields()
        .iter()
        .filter(|field| keep.is_empty() || keep.contains(field.name()))
        .filter(|field| !drop.contains(field.name()))
        .cloned()
        .collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// The columns that say who wrote a row, not what it is: a row that differs only in them is not sent.
fn audit_columns(columns: &Schema) -> Vec<String> {
    let fields = columns.fields().iter();
    let audit = fields.filter(|field| is_audit_field(field));
    audit.map(|field| field.name().clone()).collect()
}

/// All rows of the new version, and deletes for the keys that are gone.
fn every_row(all: QueryResult, changed: Differences) -> Differences {
    let all = all.batches.try_filter_map(|batch| {
        let rows = batch.num_rows();
        let updates = OpColumn::from(vec![Op::Update as u8; rows]);
        std::future::ready(Ok((rows > 0).then_some((batch, updates))))
    });
    let gone = changed.try_filter(|(_, ops)| {
        let is_gone = ops.values().first() == Some(&(Op::Delete as u8));
        std::future::ready(is_gone)
    });
    Box::pin(all.chain(gone))
}

/// The SQL of the queries. They only read rows, so the engine needs no memory for them.
struct Text {
    columns: Vec<String>,
    key: Vec<String>,
    filter: String,
    filter_before: String,
}

impl Text {
    /// `None` if the earlier `where` is not an expression.
    fn of(
        comparison: &Comparison<'_>,
        columns: &Schema,
        (now, then): (&Schema, &Schema),
    ) -> Result<Option<Self>> {
        let table = &comparison.publish.table;
        let filter = filter_text(table.filter.as_deref(), now)?;
        let Ok(filter_before) = filter_text(comparison.filter_before, then) else {
            return Ok(None);
        };
        let fields = columns.fields().iter();
        Ok(Some(Self {
            columns: fields.map(|field| quoted(field.name())).collect(),
            key: table.write.key.iter().map(|k| quoted(k)).collect(),
            filter,
            filter_before,
        }))
    }

    /// The columns that are sent.
    fn rows(&self, table: &str) -> String {
        let (columns, filter) = (self.columns.join(", "), &self.filter);
        format!("select {columns} from {SCHEMA}.{table}{filter}")
    }

    /// The rows of the earlier version that were sent.
    fn rows_before(&self) -> String {
        let (columns, filter) = (self.columns.join(", "), &self.filter_before);
        format!("select {columns} from {SCHEMA}.then_only{filter}")
    }

    /// All keys of the new version.
    fn keys(&self) -> String {
        let (key, filter) = (self.key.join(", "), &self.filter);
        format!("select {key} from {SCHEMA}.now{filter}")
    }
}

/// A filter with the names of the table, as a write of all rows reads them: names of the source and other
/// case are allowed. It is on lines of its own, so that a comment at its end does not hide the SQL that
/// follows.
pub(super) fn filter_text(filter: Option<&str>, schema: &Schema) -> Result<String> {
    let Some(text) = filter else {
        return Ok(String::new());
    };
    let text = in_own_names(text, schema).map_err(|problem| expression_failure(text, &problem))?;
    Ok(format!(" where (\n{text}\n)"))
}

/// The number of rows of a version that are sent.
pub(super) async fn rows_to_send(
    services: &ProjectServices,
    publish: &PublishPlan,
    now: &Pinned,
) -> Result<Option<u64>> {
    let Some(filter) = publish.table.filter.as_deref() else {
        return Ok(now.table.rows());
    };
    let filter = filter_text(Some(filter), &now.table.schema)?;
    let sql = format!("select count(*) as n from {SCHEMA}.now{filter}");
    let candidates = BTreeMap::from([(seen_as("now"), now.candidate(services, publish)?)]);
    counted(services.engine.query(&sql, &candidates).await?).await
}

/// The number that a query gives.
pub(super) async fn counted(answer: QueryResult) -> Result<Option<u64>> {
    let batches: Vec<RecordBatch> = answer.batches.try_collect().await?;
    let first = batches.iter().find(|batch| batch.num_rows() > 0);
    let first = first.and_then(|batch| batch.column(0).as_primitive_opt::<Int64Type>());
    Ok(first.and_then(|counts| u64::try_from(counts.value(0)).ok()))
}

pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// All rows of a version that are sent, with NULL in columns that are no longer sent.
pub(super) async fn rows_with_nulls(
    services: &ProjectServices,
    publish: &PublishPlan,
    now: &Pinned,
    dropped: &[FieldRef],
) -> Result<Box<dyn Reader>> {
    let columns = sent_columns(publish, &now.table.schema);
    let names: Vec<String> = columns.fields().iter().map(|f| quoted(f.name())).collect();
    let (names, filter) = (
        names.join(", "),
        filter_text(publish.table.filter.as_deref(), &now.table.schema)?,
    );
    let sql = format!("select {names} from {SCHEMA}.now{filter}");
    let candidates = BTreeMap::from([(seen_as("now"), now.candidate(services, publish)?)]);
    let rows = services.engine.query(&sql, &candidates).await?;
    let rows = rows.batches.try_filter_map(|batch| {
        std::future::ready(Ok((batch.num_rows() > 0).then_some((batch, None))))
    });
    let rows = Changes::of(publish, &columns, dropped, Box::pin(rows));
    Ok(Box::new(rows))
}

/// No rows, with the columns that are sent.
pub(super) fn no_rows(publish: &PublishPlan, now: &Pinned) -> Box<dyn Reader> {
    let columns = sent_columns(publish, &now.table.schema);
    Box::new(Changes::of(
        publish,
        &columns,
        &[],
        Box::pin(stream::empty()),
    ))
}

/// Batches, each with the operations of its rows if not all are inserts.
type ChangedRows = BoxStream<Result<(RecordBatch, Option<OpColumn>)>>;

/// A reader of rows with their operations.
pub(super) struct Changes {
    table: TableName,
    object: String,
    /// The columns that are sent, followed by those that become NULL.
    schema: SchemaRef,
    changes: Option<ChangedRows>,
}

impl Changes {
    pub(super) fn of(
        publish: &PublishPlan,
        columns: &SchemaRef,
        dropped: &[FieldRef],
        changes: BoxStream<Result<(RecordBatch, Option<OpColumn>)>>,
    ) -> Self {
        let fields: Vec<_> = columns.fields().iter().chain(dropped).cloned().collect();
        let metadata = columns.metadata().clone();
        Self {
            table: publish.table.target.clone(),
            object: publish.from.to_string(),
            schema: Arc::new(Schema::new_with_metadata(fields, metadata)),
            changes: Some(changes),
        }
    }
}

/// A batch with the first columns, and with NULL in the others.
fn filled(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let dropped = schema.fields().iter().skip(batch.num_columns());
    let nulls = dropped.map(|field| new_null_array(field.data_type(), batch.num_rows()));
    let columns = batch.columns().iter().cloned().chain(nulls).collect();
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|error| other_columns(&error))
}

#[async_trait]
impl Reader for Changes {
    fn tables(&self) -> Vec<TableSchema> {
        vec![TableSchema {
            table: self.table.clone(),
            schema: Arc::clone(&self.schema),
        }]
    }

    fn bounded(&self) -> bool {
        true
    }

    fn splits(&mut self) -> BoxStream<Result<Assignment>> {
        let (table, object, schema) = (
            self.table.clone(),
            self.object.clone(),
            Arc::clone(&self.schema),
        );
        let changes = stream::iter(self.changes.take()).flatten();
        let rows = changes.scan(0u64, move |first, change| {
            let event = change.and_then(|(batch, ops)| {
                let batch = filled(&batch, &schema)?;
                let rows = Rows::of_batch(table.clone(), &object, batch, *first);
                *first += rows.len() as u64;
                Ok(Event::Rows(Rows { ops, ..rows }))
            });
            std::future::ready(Some(event))
        });
        let split = Split {
            id: SplitId("changes".to_owned()),
            events: Box::pin(rows.chain(stream::iter([Ok(Event::End)]))),
        };
        Box::pin(stream::iter([
            Ok(Assignment::Assigned(split)),
            Ok(Assignment::Complete(Position::default())),
        ]))
    }

    async fn committed(&mut self, _position: &Position) -> Result<()> {
        Ok(())
    }
}

fn other_columns(error: &arrow_schema::ArrowError) -> Failure {
    let message = format!("the comparison of two versions gave other columns: {error}");
    Failure::new("R0942", Remedy::Bug, message)
}

/// A reader with additional notes.
pub(super) struct Noted {
    pub(super) reader: Box<dyn Reader>,
    pub(super) notes: Vec<String>,
}

#[async_trait]
impl Reader for Noted {
    fn tables(&self) -> Vec<TableSchema> {
        self.reader.tables()
    }

    fn bounded(&self) -> bool {
        self.reader.bounded()
    }

    fn splits(&mut self) -> BoxStream<Result<Assignment>> {
        self.reader.splits()
    }

    async fn committed(&mut self, position: &Position) -> Result<()> {
        self.reader.committed(position).await
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.reader.notes();
        notes.extend(self.notes.iter().cloned());
        notes
    }
}

#[cfg(test)]
mod tests;
