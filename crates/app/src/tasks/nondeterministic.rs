//! Models and publishes that use the clock or random numbers: equal inputs do not give equal rows.
//!
//! Promise: a table that is built from such a query, directly or through views, is never `unchanged`. A
//! view itself may be: its query runs again whenever it is read. A publish with such a `where` is never
//! `unchanged` either; its queries use the moment at which the run began, and it stores this moment for the
//! next run. Read next: `sql/src/changing.rs`, `sql/src/moment.rs`.

use std::collections::BTreeSet;

use towpath_engine::expression_failure;
use towpath_sql::{at_moment, changing_calls, changing_in_expression, changing_words};
use towpath_vocab::{
    Action, LoadPlan, Materialized, ModelPlan, Plan, PublishPlan, ReadMode, TableName, TablePlan,
    WriteMode,
};

use crate::Result;

/// The tables of models whose results change over time.
pub(crate) fn changing_models(plan: &Plan) -> BTreeSet<TableName> {
    let tasks = plan.pipelines.iter().flat_map(|pipeline| &pipeline.tasks);
    let models: Vec<&ModelPlan> = tasks
        .filter_map(|task| match &task.action {
            Action::Model(model) => Some(model.as_ref()),
            _ => None,
        })
        .collect();
    let mut changing: BTreeSet<TableName> = models
        .iter()
        .filter(|model| asks_for_more(model))
        .map(|model| model.table.target.clone())
        .collect();
    let views: BTreeSet<&TableName> = models
        .iter()
        .filter(|model| model.materialized == Materialized::View)
        .map(|model| &model.table.target)
        .collect();
    // Views may read views, so this repeats until nothing changes.
    loop {
        let through: Vec<TableName> = models
            .iter()
            .filter(|model| !changing.contains(&model.table.target))
            .filter(|model| {
                let mut reads = model.references.values();
                reads.any(|table| views.contains(table) && changing.contains(table))
            })
            .map(|model| model.table.target.clone())
            .collect();
        if through.is_empty() {
            return changing;
        }
        changing.extend(through);
    }
}

/// Whether a model's own text uses the clock or random numbers. A template that is rendered in the run is
/// checked by its words.
fn asks_for_more(model: &ModelPlan) -> bool {
    match &model.sql {
        Some(sql) => !changing_calls(sql).is_empty(),
        None => [&model.template, &model.macros]
            .into_iter()
            .chain(model.ephemerals.values())
            .any(|text| !changing_words(text).is_empty()),
    }
}

/// Whether the `where` of a table gives other rows at another time.
pub(super) fn depends_on_time(table: &TablePlan) -> bool {
    let filter = table.filter.as_deref();
    filter.is_some_and(|text| !changing_in_expression(text).is_empty())
}

/// Whether a load that reads everything gives other rows at another time, although its source is the same.
pub(super) fn loads_by_time(load: &LoadPlan) -> bool {
    let adds = load.table.write.mode == WriteMode::Append;
    load.read == ReadMode::Full && !adds && depends_on_time(&load.table)
}

/// A publish whose `where` asks the clock, as it is at a moment; `None` for one that does not.
///
/// # Errors
/// A `where` in which the clock is asked in a way that has no value at a moment, or that is not SQL.
pub(super) fn publish_at(publish: &PublishPlan, moment_us: i64) -> Result<Option<PublishPlan>> {
    let filter = publish.table.filter.as_deref();
    let Some(text) = filter.filter(|_| depends_on_time(&publish.table)) else {
        return Ok(None);
    };
    let fixed = at_moment(text, moment_us);
    let fixed = fixed.map_err(|problem| expression_failure(text, &problem))?;
    let mut then = publish.clone();
    then.table.filter = Some(fixed);
    Ok(Some(then))
}
