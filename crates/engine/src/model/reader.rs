//! A planned model as a `Reader` with one bounded split, whose rows are computed when they are read.
//!
//! Promise: a permit is held from the first row to the last. If memory runs out before the first row was
//! returned, the model is planned once more without the reader noticing: alone, with joins that spill and
//! fewer threads. If it runs out later, the attempt fails with `Retry`, and the next attempt starts in this
//! form. It writes nothing.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::SendableRecordBatchStream;
use futures::stream::{self, StreamExt};
use towpath_ports::{Assignment, BoxStream, Event, Reader, Result, Rows, Split, TableSchema};
use towpath_vocab::{Failure, Position, Remedy, SplitId, SplitPosition, TableName};

use super::run::RestartableModel;
use crate::query::Ready;
use crate::session::border::plain_batch;
use crate::session::failure::{arrow_failure, failure, is_exhausted};
use crate::session::permits::ComputePermit;

/// The name of the only split.
const SPLIT: &str = "model";

/// Reads a model's rows.
pub(super) struct ModelReader {
    table: TableName,
    schema: SchemaRef,
    rows: Option<ModelRows>,
    notes: Vec<String>,
}

/// The state of a split while it is read.
pub(super) struct ModelRows {
    recipe: RestartableModel,
    schema: SchemaRef,
    /// The plan, until it is started.
    ready: Option<Ready>,
    batches: Option<SendableRecordBatchStream>,
    permit: Option<ComputePermit>,
    tight: bool,
    given: u64,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Rows,
    End,
    Over,
}

impl ModelReader {
    /// A reader of these batches in place of the first result of its plan.
    #[cfg(test)]
    pub(super) fn begun(mut self, batches: SendableRecordBatchStream) -> Self {
        if let Some(rows) = &mut self.rows {
            (rows.ready, rows.batches) = (None, Some(batches));
        }
        self
    }

    /// A reader of a plan; `tight` says whether the plan is the form that needs less memory.
    pub(super) fn new(recipe: RestartableModel, ready: Ready, tight: bool) -> Self {
        let table = recipe.table().clone();
        let schema = Arc::clone(&ready.schema);
        let rows = ModelRows {
            recipe,
            schema: Arc::clone(&schema),
            ready: Some(ready),
            batches: None,
            permit: None,
            tight,
            given: 0,
            stage: Stage::Rows,
        };
        Self {
            table,
            schema,
            rows: Some(rows),
            notes: Vec::new(),
        }
    }

    /// With what the user is told about its columns.
    pub(super) fn with_notes(mut self, notes: Vec<String>) -> Self {
        self.notes = notes;
        self
    }
}

#[async_trait]
impl Reader for ModelReader {
    fn tables(&self) -> Vec<TableSchema> {
        vec![TableSchema {
            table: self.table.clone(),
            schema: Arc::clone(&self.schema),
        }]
    }

    fn bounded(&self) -> bool {
        true
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn splits(&mut self) -> BoxStream<Result<Assignment>> {
        let split = self.rows.take().map(|rows| {
            let events =
                stream::unfold(rows, |rows| async move { Box::pin(rows.next()).await }).boxed();
            Ok(Assignment::Assigned(Split {
                id: SplitId(SPLIT.to_owned()),
                events,
            }))
        });
        stream::iter(
            split
                .into_iter()
                .chain([Ok(Assignment::Complete(Position::default()))]),
        )
        .boxed()
    }

    async fn committed(&mut self, _position: &Position) -> Result<()> {
        Ok(())
    }
}

impl ModelRows {
    async fn next(mut self) -> Option<(Result<Event>, Self)> {
        match self.stage {
            Stage::Over => return None,
            Stage::End => {
                self.stage = Stage::Over;
                return Some((Ok(Event::End), self));
            }
            Stage::Rows => {}
        }
        let event = match self.next_rows().await {
            Ok(Some(rows)) => Ok(Event::Rows(rows)),
            Ok(None) => {
                self.stage = Stage::End;
                (self.batches, self.permit) = (None, None);
                Ok(Event::Boundary(SplitPosition::at(self.given)))
            }
            Err(failure) => {
                self.stage = Stage::Over;
                Err(failure)
            }
        };
        Some((event, self))
    }

    /// Starts the plan with a permit, and returns its rows.
    async fn begun(&mut self) -> Result<&mut SendableRecordBatchStream> {
        if self.permit.is_none() {
            self.permit = Some(self.recipe.permit(self.tight).await);
        }
        let batches = match (self.batches.take(), self.ready.take()) {
            (Some(batches), _) => batches,
            (None, Some(ready)) => ready.start(&self.recipe.subject())?,
            (None, None) => self
                .recipe
                .ready(self.tight)
                .await?
                .start(&self.recipe.subject())?,
        };
        Ok(self.batches.insert(batches))
    }

    async fn next_rows(&mut self) -> Result<Option<Rows>> {
        loop {
            let batches = self.begun().await?;
            match batches.next().await {
                None => return Ok(None),
                Some(Ok(batch)) if batch.num_rows() == 0 => {}
                Some(Ok(batch)) => {
                    let subject = self.recipe.subject();
                    let batch = plain_batch(&batch, &self.schema)
                        .map_err(|error| arrow_failure(&subject, &error))?;
                    let first = self.given;
                    self.given += batch.num_rows() as u64;
                    return Ok(Some(Rows::of_batch(
                        self.recipe.table().clone(),
                        self.recipe.name(),
                        batch,
                        first,
                    )));
                }
                Some(Err(error)) if is_exhausted(&error) && !self.tight => {
                    self.recipe.remember_tight();
                    if self.given > 0 {
                        return Err(starts_over(
                            &self.recipe.subject(),
                            failure(&self.recipe.subject(), &error),
                        ));
                    }
                    tracing::info!(
                        model = self.recipe.name(),
                        "out of memory: trying again, alone and with joins that spill"
                    );
                    (self.batches, self.permit) = (None, None);
                    self.tight = true;
                }
                Some(Err(error)) => return Err(failure(&self.recipe.subject(), &error)),
            }
        }
    }
}

/// The failure if rows were already returned: only the whole attempt can be repeated.
fn starts_over(subject: &str, failure: Failure) -> Failure {
    let mut over = Failure::new(
        &failure.code,
        Remedy::Retry,
        format!(
            "{subject} needs more memory than it may use; the next attempt uses joins that spill and fewer threads"
        ),
    );
    over.help = failure.help;
    over
}
