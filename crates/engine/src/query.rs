//! Questions to the lakehouse: one reading statement, answered as a stream.
//!
//! Promise: nothing is changed, whatever the text says; rows come as they are asked for, so a slow
//! reader slows the query instead of filling memory; candidates are seen in place of the tables whose
//! names they bear, also through views. It knows no checks: `flow` asks and judges.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::stream::{BoxStream, StreamExt};
use towpath_ports::{Candidate, Query, QueryResult, Result};
use towpath_vocab::{Failure, TableName};

use crate::session::Engine;
use crate::session::border::{plain_batch, plain_schema};
use crate::session::catalog::Sight;
use crate::session::failure::{arrow_failure, failure};

/// How a query is called in messages.
const SUBJECT: &str = "the query";

#[async_trait]
impl Query for Engine {
    async fn query(
        &self,
        sql: &str,
        candidates: &BTreeMap<TableName, Candidate>,
    ) -> Result<QueryResult> {
        answer(&self.wide_sight(candidates)?, sql).await
    }
}

/// Answers a question over what is in sight.
pub(crate) async fn answer(sight: &Arc<Sight>, sql: &str) -> Result<QueryResult> {
    let planned = sight.plan(SUBJECT, sql, &[]).await?;
    let running = start(SUBJECT, &planned.session, &planned.plan).await?;
    let schema = running.schema;
    Ok(QueryResult {
        batches: outside(SUBJECT.to_owned(), Arc::clone(&schema), running.batches),
        schema,
    })
}

/// A plan that gives rows when polled.
pub(crate) struct Running {
    /// Its columns, as they are outside.
    pub(crate) schema: SchemaRef,
    /// Its rows, as they are inside.
    pub(crate) batches: SendableRecordBatchStream,
}

/// Optimises a plan and gets it ready; no row is read yet.
pub(crate) async fn start(
    subject: &str,
    session: &SessionState,
    plan: &LogicalPlan,
) -> Result<Running> {
    let physical = physical(session, plan)
        .await
        .map_err(|error| failure(subject, &error))?;
    let schema = plain_schema(&physical.schema());
    let batches =
        execute_stream(physical, session.task_ctx()).map_err(|error| failure(subject, &error))?;
    Ok(Running { schema, batches })
}

async fn physical(
    session: &SessionState,
    plan: &LogicalPlan,
) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    Box::pin(session.create_physical_plan(plan)).await
}

/// Rows as they leave this crate.
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
