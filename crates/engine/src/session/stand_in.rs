//! Tables that are not in the lakehouse: a candidate before its commit, or any other `Source`.
//!
//! Promise: a candidate is read as a stream, as often as the plan scans it, and is never collected in
//! memory. If its reader fails, the caller gets that failure unchanged. It knows no catalog and no checks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::DataFusionError;
use datafusion::datasource::ViewTable;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use towpath_ports::{Assignment, Candidate, Event, ReadSpec, Source, Split};
use towpath_vocab::{Failure, ReadMode, Reject, Remedy, Selection, TableName};

use super::border::by_name;
use super::failure::failure;
use super::scan::FilesTable;
use super::statement::carried;
use crate::lake::LakeCandidate;

/// Bytes of one batch read from a source.
const BATCH_BYTES: usize = 4 << 20;

/// A candidate as a table: a candidate of the lakehouse by its files, any other as a stream.
pub(crate) fn provider(
    name: &TableName,
    candidate: &Candidate,
) -> Result<Arc<dyn TableProvider>, Failure> {
    if let Some(files) = candidate.native.downcast_ref::<LakeCandidate>() {
        return Ok(Arc::new(FilesTable::new(Arc::new(files.clone()))));
    }
    if let Some(view) = candidate.native.downcast_ref::<ViewCandidate>() {
        return Ok(Arc::clone(&view.0) as Arc<dyn TableProvider>);
    }
    let partition = SourcePartition {
        name: name.clone(),
        schema: Arc::clone(&candidate.schema),
        source: Arc::clone(&candidate.source),
    };
    let table = StreamingTable::try_new(Arc::clone(&candidate.schema), vec![Arc::new(partition)])
        .map_err(|error| failure(&format!("candidate of `{name}`"), &error))?;
    Ok(Arc::new(table))
}

/// A view before it is stored: the `native` form of its candidate.
pub(crate) struct ViewCandidate(pub(crate) Arc<ViewTable>);

struct SourcePartition {
    name: TableName,
    schema: SchemaRef,
    source: Arc<dyn Source>,
}

impl fmt::Debug for SourcePartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourcePartition")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl PartitionStream for SourcePartition {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let spec = read_spec(
            &self.name,
            &self.schema,
            context.session_config().batch_size(),
        );
        let batches = read(
            Arc::clone(&self.source),
            spec,
            Arc::clone(&self.schema),
            |name, _| gave(name, "records that cannot become rows"),
        );
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            batches,
        ))
    }
}

fn read_spec(name: &TableName, schema: &SchemaRef, batch_rows: usize) -> ReadSpec {
    ReadSpec {
        table: name.clone(),
        selection: Selection::Object(name.to_string()),
        mode: ReadMode::Full,
        cursor: None,
        declared: Vec::new(),
        known: Some(Arc::clone(schema)),
        observed: None,
        projection: None,
        limit: None,
        options: BTreeMap::new(),
        parallel: 1,
        batch_rows,
        batch_bytes: BATCH_BYTES,
        may_repeat: false,
    }
}

/// Opens the source when it is first polled, and reads one split after the other; a rejected record ends it
/// with the failure of `rejected`.
pub(super) fn read(
    source: Arc<dyn Source>,
    spec: ReadSpec,
    schema: SchemaRef,
    rejected: fn(&TableName, &[Reject]) -> Failure,
) -> BoxStream<'static, Result<RecordBatch, DataFusionError>> {
    let name = spec.table.clone();
    let opened = async move {
        let mut reader = source.open(&spec, None).await.map_err(carried)?;
        let splits = reader.splits();
        // The reader must live as long as its splits, because they may read from it.
        Ok::<_, DataFusionError>(splits.map(move |assignment| {
            let _alive = &reader;
            assignment
        }))
    };
    futures::stream::once(opened)
        .try_flatten_splits(name.clone())
        .map(move |event| batch_of(event, &name, &schema, rejected).transpose())
        .filter_map(futures::future::ready)
        .boxed()
}

fn batch_of(
    event: Result<Event, DataFusionError>,
    name: &TableName,
    schema: &SchemaRef,
    rejected: fn(&TableName, &[Reject]) -> Failure,
) -> Result<Option<RecordBatch>, DataFusionError> {
    match event? {
        Event::Rows(rows) if rows.ops.is_some() => Err(refused(name, "changes instead of rows")),
        Event::Rows(rows) => {
            let batch = by_name(&rows.batch, schema)
                .map_err(|error| DataFusionError::ArrowError(Box::new(error), None))?;
            Ok(Some(batch))
        }
        Event::Rejects(rejects) if rejects.is_empty() => Ok(None),
        Event::Rejects(rejects) => Err(carried(rejected(name, &rejects))),
        Event::Truncate(_) => Err(refused(name, "a truncation")),
        Event::Schema(_) | Event::Watermark { .. } | Event::Boundary(_) | Event::End => Ok(None),
    }
}

fn refused(name: &TableName, what: &str) -> DataFusionError {
    carried(gave(name, what))
}

fn gave(name: &TableName, what: &str) -> Failure {
    let message = format!("the candidate of `{name}` gave {what}");
    Failure::new("R0515", Remedy::Bug, message)
}

/// The events of a split, which must end with `End`; otherwise rows may be missing.
fn whole(split: Split, name: TableName) -> BoxStream<'static, Result<Event, DataFusionError>> {
    let state = (split.events.fuse(), false, name);
    futures::stream::unfold(state, |(mut events, ended, name)| async move {
        let event = match events.next().await {
            Some(event) => event.map_err(carried),
            None if ended => return None,
            None => Err(refused(&name, "a part that stops before its end")),
        };
        let ended = ended || matches!(event, Ok(Event::End) | Err(_));
        Some((event, (events, ended, name)))
    })
    .boxed()
}

/// Reads the events of all splits, in the order in which they are assigned.
trait Splits: Sized {
    fn try_flatten_splits(
        self,
        name: TableName,
    ) -> BoxStream<'static, Result<Event, DataFusionError>>;
}

impl<S, A> Splits for S
where
    S: futures::Stream<Item = Result<A, DataFusionError>> + Send + 'static,
    A: futures::Stream<Item = Result<Assignment, Failure>> + Send + 'static,
{
    fn try_flatten_splits(
        self,
        name: TableName,
    ) -> BoxStream<'static, Result<Event, DataFusionError>> {
        self.map_ok(|splits| splits.map_err(carried))
            .try_flatten()
            .map_ok(move |assignment| match assignment {
                Assignment::Assigned(split) => whole(split, name.clone()),
                Assignment::Revoked(_) | Assignment::Complete(_) => {
                    futures::stream::empty().boxed()
                }
            })
            .try_flatten()
            .boxed()
    }
}
