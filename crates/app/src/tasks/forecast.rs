//! Predicts what a run would do with each task, and why, without contacting an external system.
//!
//! Promise: nothing is written and nothing is guessed. Files are read; what a database contains is unknown
//! until it is asked, and so is everything that depends on it. Read next: `app/src/plan.rs`.

use std::collections::BTreeMap;

use towpath_ports::Destination;
use towpath_vocab::{
    Action, Generation, Materialized, PlannedPipeline, PlannedTask, RunName, TaskId,
};

use super::executor::RunExecutor;
use super::generation::GenerationClaim;
use super::nondeterministic::{depends_on_time, loads_by_time};
use crate::Result;
use crate::services::spec_of;

/// The forecast for one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// What it would do.
    pub effect: PlannedEffect,
    /// The reason, in words.
    pub because: String,
}

/// What a task would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlannedEffect {
    /// Nothing: its result exists and would be the same.
    Nothing,
    /// It would run.
    Does,
    /// It is known only in the run.
    Depends,
}

impl Forecast {
    pub(crate) fn does(because: impl Into<String>) -> Self {
        Self {
            effect: PlannedEffect::Does,
            because: because.into(),
        }
    }

    fn depends(because: impl Into<String>) -> Self {
        Self {
            effect: PlannedEffect::Depends,
            because: because.into(),
        }
    }
}

impl RunExecutor {
    /// What a run of this pipeline would do with each task.
    pub(crate) async fn forecast(
        &self,
        pipeline: &PlannedPipeline,
    ) -> Result<BTreeMap<TaskId, Forecast>> {
        let mut earlier: BTreeMap<TaskId, Forecast> = BTreeMap::new();
        for task in &pipeline.tasks {
            let forecast = self.forecast_of(task, &earlier).await?;
            earlier.insert(task.id.clone(), forecast);
        }
        Ok(earlier)
    }

    async fn forecast_of(
        &self,
        task: &PlannedTask,
        earlier: &BTreeMap<TaskId, Forecast>,
    ) -> Result<Forecast> {
        if let Some(forecast) = self.whatever_is_there(task) {
            return Ok(forecast);
        }
        let store = self.services.store.as_ref();
        let last = store
            .last_success(&self.environment, &self.pipeline, &task.id)
            .await?;
        let Some((run, record)) = last else {
            return Ok(Forecast::does("it has not succeeded yet"));
        };
        let parents = |effect: PlannedEffect| {
            let known =
                |parent: &&TaskId| earlier.get(*parent).is_some_and(|it| it.effect == effect);
            let names: Vec<&str> = task
                .after
                .iter()
                .filter(known)
                .map(TaskId::as_str)
                .collect();
            (!names.is_empty()).then(|| names.join(", "))
        };
        let is_load = matches!(task.action, Action::Load(_));
        if let Some(parents) = parents(PlannedEffect::Does).filter(|_| !is_load) {
            return Ok(Forecast::does(format!("{parents} comes before it")));
        }
        let now = match self.print_now(task).await {
            Ok(Some(now)) => now,
            Ok(None) => {
                return Ok(Forecast::does(format!(
                    "it is not known whether it is the same as in {run}"
                )));
            }
            Err(failure) => return Ok(Forecast::does(failure.message)),
        };
        if record.fingerprint.as_deref() != Some(now.as_str()) {
            return Ok(Forecast::does(changed(task, &run)));
        }
        if !self.holds(task, &now).await? {
            return Ok(Forecast::does(
                "the table was deleted, or another program changed it since",
            ));
        }
        if let Some(parents) = parents(PlannedEffect::Depends).filter(|_| !is_load) {
            return Ok(Forecast::depends(format!("{parents} may give new rows")));
        }
        Ok(Forecast {
            effect: PlannedEffect::Nothing,
            because: format!("unchanged since {run}"),
        })
    }

    /// The forecast that does not depend on existing results, if there is one.
    fn whatever_is_there(&self, task: &PlannedTask) -> Option<Forecast> {
        match &task.action {
            Action::Command(_) => Some(Forecast::does("a command runs every time")),
            Action::Sql(sql) if !sql.connection.writable => Some(Forecast {
                effect: PlannedEffect::Nothing,
                because: "the connection is read-only".to_owned(),
            }),
            Action::Sql(_) => Some(Forecast::does("SQL runs every time")),
            Action::Http(_) => Some(Forecast::does("a request is sent every time")),
            Action::Publish(publish) if !publish.connection.writable => Some(Forecast {
                effect: PlannedEffect::Nothing,
                because: "the connection is read-only".to_owned(),
            }),
            Action::Publish(publish) if depends_on_time(&publish.table) => {
                Some(Forecast::does("its `where` depends on the time"))
            }
            Action::Load(load) if loads_by_time(load) => {
                Some(Forecast::does("its `where` depends on the time"))
            }
            Action::Load(load) if !tells_version(&load.connection.kind) => {
                Some(Forecast::depends("the source is asked during the run"))
            }
            Action::Model(model) if self.options.changing.contains(&model.table.target) => {
                Some(Forecast::does("its result depends on the time"))
            }
            _ => None,
        }
    }

    /// True if the lakehouse has the result of a task. External systems are not contacted.
    async fn holds(&self, task: &PlannedTask, now: &str) -> Result<bool> {
        let plan = match &task.action {
            Action::Load(load) => &load.table,
            Action::Model(model) if model.materialized == Materialized::View => {
                return Ok(self
                    .stored_view_version(task, &model.table.target)
                    .await?
                    .is_some());
            }
            Action::Model(model) => &model.table,
            Action::Command(_) | Action::Publish(_) | Action::Sql(_) | Action::Http(_) => {
                return Ok(true);
            }
        };
        let key = self.key(&task.step, &plan.target);
        let claim = GenerationClaim {
            generation: Generation(0),
            last: self.services.lake.last(&key, &plan.target).await?,
            is_done: false,
        };
        self.is_up_to_date(task, now, &claim, plan.write.mode).await
    }
}

fn changed(task: &PlannedTask, run: &RunName) -> String {
    let what = match &task.action {
        Action::Load(_) => "the source or its definition",
        Action::Model(_)
        | Action::Publish(_)
        | Action::Command(_)
        | Action::Sql(_)
        | Action::Http(_) => "an input or its definition",
    };
    format!("{what} changed since {run}")
}

/// True if a source can say whether it has something new.
fn tells_version(kind: &str) -> bool {
    spec_of(kind).is_some_and(|spec| spec.tells_version)
}
