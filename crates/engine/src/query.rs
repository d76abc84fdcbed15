//! Runs one reading statement on the lakehouse, and returns its rows as a stream.
//!
//! Promise: nothing is changed, whatever the statement says. Rows are computed when they are read, so a
//! slow reader slows the query instead of filling the memory. A candidate replaces the table with its name,
//! also inside views. It knows no checks: `flow` measures and judges them.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::DataFusionError;
use datafusion::execution::session_state::SessionState;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::stream::{self, BoxStream, StreamExt};
use towpath_ports::{Candidate, Query, QueryResult, Result};
use towpath_vocab::{Failure, Remedy, TableName};

use crate::session::Engine;
use crate::session::border::{plain_batch, plain_schema};
use crate::session::catalog::StatementCatalog;
use crate::session::failure::{arrow_failure, failure};
use crate::session::information::described;
use crate::session::statement::carried;
use crate::session::watchdog::{PATIENCE, Watched};
use crate::session::{recursion, settings};

/// The name of a query in messages.
const SUBJECT: &str = "the query";

#[async_trait]
impl Query for Engine {
    async fn query(
        &self,
        sql: &str,
        candidates: &BTreeMap<TableName, Candidate>,
    ) -> Result<QueryResult> {
        answer(&self.query_catalog(candidates)?, sql).await
    }
}

/// Runs a query on the tables of a catalog.
pub(crate) async fn answer(
    statement_catalog: &Arc<StatementCatalog>,
    sql: &str,
) -> Result<QueryResult> {
    let planned = statement_catalog.plan(SUBJECT, sql, &[]).await?;
    if let LogicalPlan::DescribeTable(table) = &planned.plan {
        let rows = described(&table.schema).map_err(|error| arrow_failure(SUBJECT, &error))?;
        return Ok(QueryResult {
            schema: rows.schema(),
            batches: stream::iter([Ok(rows)]).boxed(),
        });
    }
    let ready = ready(SUBJECT, &planned.session, &planned.plan).await?;
    let schema = Arc::clone(&ready.schema);
    let batches = ready.start(SUBJECT)?;
    Ok(QueryResult {
        batches: outside(SUBJECT.to_owned(), Arc::clone(&schema), batches),
        schema,
    })
}

/// An optimised plan that has not reserved memory yet.
pub(crate) struct Ready {
    /// Its columns, with the types that leave this crate.
    pub(crate) schema: SchemaRef,
    physical: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    timeout: Option<Duration>,
}

impl Ready {
    /// Starts the plan and returns its rows, with DataFusion's types. Some operators begin to work before
    /// their rows are read.
    pub(crate) fn start(self, subject: &str) -> Result<SendableRecordBatchStream> {
        let timeout = self.timeout;
        let pool = Arc::clone(&self.context.runtime_env().memory_pool);
        let batches = execute_stream(Arc::clone(&self.physical), self.context)
            .map_err(|error| failure(subject, &error))?;
        let watched = Box::pin(Watched::new(
            unbroken(batches, subject.to_owned()),
            self.physical,
            pool,
            subject,
            PATIENCE,
        ));
        Ok(match timeout {
            Some(timeout) => within(watched, timeout, subject.to_owned()),
            None => watched,
        })
    }
}

/// Optimises a plan; no row is read yet.
pub(crate) async fn ready(
    subject: &str,
    session: &SessionState,
    plan: &LogicalPlan,
) -> Result<Ready> {
    let carried = |error: DataFusionError| failure(subject, &error);
    let first = physical(session, plan).await.map_err(carried)?;
    let narrower = settings::for_columns(session, widest(first.as_ref()));
    let (physical, context) = match narrower {
        Some(session) => {
            let again = physical(&session, plan).await.map_err(carried)?;
            (again, session.task_ctx())
        }
        None => (first, session.task_ctx()),
    };
    Ok(Ready {
        schema: plain_schema(&physical.schema()),
        physical,
        context,
        timeout: settings::timeout(session),
    })
}

/// The largest number of columns of a step of a plan.
fn widest(plan: &dyn ExecutionPlan) -> usize {
    let below = plan.children().into_iter();
    let below = below.map(|child| widest(child.as_ref()));
    below.fold(plan.schema().fields().len(), usize::max)
}

/// The rows of a statement; a panic of the library becomes a failure.
fn unbroken(rows: SendableRecordBatchStream, subject: String) -> SendableRecordBatchStream {
    let schema = rows.schema();
    let caught = AssertUnwindSafe(rows).catch_unwind();
    let rows = caught.map(move |row| match row {
        Ok(row) => row,
        Err(panic) => Err(carried(broken_off(&subject, panic.as_ref()))),
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}

/// True for what Arrow and the standard library panic with where an array or a buffer would be too large.
fn is_too_large(why: &str) -> bool {
    const TEXTS: [&str; 6] = [
        "offset overflow",
        "capacity overflow",
        "length overflow",
        "usize overflow",
        "failed to round upto multiple of 64",
        "failed to create layout for MutableBuffer",
    ];
    TEXTS.iter().any(|text| why.contains(text))
}

fn broken_off(subject: &str, panic: &(dyn Any + Send)) -> Failure {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let why = text.unwrap_or("no reason is given");
    if !is_too_large(why) {
        let message = format!("{subject}: the engine broke off: {why}");
        return Failure::new("R0515", Remedy::Bug, message)
            .help("this should not happen; please report it with the statement");
    }
    let message = format!("{subject} makes values that the engine cannot hold: {why}");
    Failure::new("R0528", Remedy::FixData, message)
        .help("texts or lists of many megabytes in each row are the usual cause: make fewer or shorter ones")
        .help("if the values are small, please report the statement")
}

/// The rows of a statement with a time limit; the time that its reader takes between rows does not count.
fn within(
    rows: SendableRecordBatchStream,
    timeout: Duration,
    subject: String,
) -> SendableRecordBatchStream {
    let schema = rows.schema();
    let state = (rows, Some(timeout), subject);
    let bounded = stream::unfold(state, move |(mut rows, left, subject)| async move {
        let left = left?;
        let began = tokio::time::Instant::now();
        match tokio::time::timeout(left, rows.next()).await {
            Ok(batch) => {
                let left = left.saturating_sub(began.elapsed());
                Some((batch?, (rows, Some(left), subject)))
            }
            Err(_) => Some((
                Err(carried(too_long(&subject, timeout))),
                (rows, None, subject),
            )),
        }
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, bounded))
}

fn too_long(subject: &str, timeout: Duration) -> Failure {
    Failure::new(
        "R0520",
        Remedy::FixConfig,
        format!("{subject} ran for more than {} s", timeout.as_secs()),
    )
    .help("a recursive query needs a condition under which it ends; a join needs a key")
    .help("to allow more time: `statement_timeout: 6h` in `towpath.yml`; `0` means no limit")
}

async fn physical(
    session: &SessionState,
    plan: &LogicalPlan,
) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    recursion::bounded(Box::pin(session.create_physical_plan(plan)).await?)
}

/// Rows with the types that leave this crate.
pub(crate) fn outside(
    subject: String,
    schema: SchemaRef,
    batches: SendableRecordBatchStream,
) -> BoxStream<'static, Result<RecordBatch, Failure>> {
    batches
        .map(move |batch| {
            let batch = batch.map_err(|error| failure(&subject, &error))?;
            plain_batch(&batch, &schema).map_err(|error| arrow_failure(&subject, &error))
        })
        .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_about_the_values_only_where_it_says_so() {
        for (panic, code, remedy) in [
            ("byte array offset overflow", "R0528", Remedy::FixData),
            ("capacity overflow", "R0528", Remedy::FixData),
            ("attempt to add with overflow", "R0515", Remedy::Bug),
            ("index out of bounds: the len is 3", "R0515", Remedy::Bug),
        ] {
            let failure = broken_off("the query", &panic);
            assert_eq!((failure.code.as_str(), failure.remedy), (code, remedy));
            assert!(failure.message.contains(panic), "{failure}");
            let owned = broken_off("the query", &panic.to_owned());
            assert_eq!(owned.message, failure.message);
        }
    }
}
