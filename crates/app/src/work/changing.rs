//! Models that use the clock or random numbers: equal inputs do not give equal rows.
//!
//! Promise: a table that is built from such a query, directly or through views, is never `unchanged`. A
//! view itself may be: its query runs again whenever it is read. Read next: `sql/src/changing.rs`.

use std::collections::BTreeSet;

use towpath_sql::{changing_calls, changing_words};
use towpath_vocab::{Action, Materialized, ModelPlan, Plan, TableName};

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
