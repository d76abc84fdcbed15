//! Reads rejected records of a load again with its source, and finds the columns that the source reads.
//!
//! Promise: a source that keeps the text of a record parses it with the present options; values of
//! databases get the types that the source had when it was last read (`typed.rs`). It decides nothing about
//! a record. Read next: `mod.rs`.

use std::sync::Arc;

use towpath_ports::{Reader, RejectedRecord};
use towpath_quarantine::{Owner, ReadAgain, Record};
use towpath_vocab::{
    Failure, LoadPlan, Plan, RawRecord, Remedy, Selection, TableFact, TableName, TablePlan,
};

use super::typed::TypedReader;
use crate::Result;
use crate::facts::external_key;
use crate::services::{ProjectServices, spec_of};
use crate::tasks::{load_spec, observed};

/// Reads records of this load with its source.
pub(super) fn reader_of<'a>(
    services: &'a ProjectServices,
    owner: &'a Owner<'a>,
) -> Box<ReadAgain<'a>> {
    Box::new(move |records| Box::pin(reader(services, owner.plan, owner.load, records)))
}

async fn reader(
    services: &ProjectServices,
    plan: &Plan,
    load: &LoadPlan,
    records: Arc<Vec<Record>>,
) -> Result<Box<dyn Reader>> {
    let table = &load.table.target;
    let spec = spec_of(&load.connection.kind);
    let keeps_text = spec.is_some_and(|spec| spec.keeps_text);
    let is_text = |record: &Record| matches!(record.raw, RawRecord::Text(_));
    let facts = services.store.facts(&plan.environment).await?;
    if keeps_text || records.iter().any(is_text) {
        let rejected = |record: &Record| RejectedRecord {
            place: record.place.clone(),
            raw: record.raw.clone(),
        };
        let rejected: Vec<RejectedRecord> = records.iter().map(rejected).collect();
        let source = services.source(&load.connection)?;
        let mut spec = load_spec(load);
        spec.observed = observed(services.lake.as_ref(), &facts, load).await?;
        return source.replay(&spec, rejected).await;
    }
    let Selection::Object(object) = &load.selection else {
        return Err(unknown_columns(table));
    };
    let key = external_key(&load.connection.name, object);
    let fact = facts.into_iter().find(|(known, _)| *known == key);
    let (_, fact) = fact.ok_or_else(|| unknown_columns(table))?;
    let reader = TypedReader::new(table.clone(), fact.schema, &records, &|name| {
        is_read(&load.table, name)
    })?;
    Ok(Box::new(reader))
}

/// Whether a load reads this column of its source, by `keep` and `drop`.
fn is_read(plan: &TablePlan, column: &str) -> bool {
    let is_named = |names: &[String]| names.iter().any(|name| plan.names.is_same(name, column));
    (plan.keep.is_empty() || is_named(&plan.keep)) && !is_named(&plan.drop)
}

fn unknown_columns(table: &TableName) -> Failure {
    let message = format!("the columns of the source of `{table}` are not known");
    Failure::new("R0958", Remedy::FixConfig, message).help("load the table once: towpath run")
}

/// The columns of the source: the discovered ones, or those that the last run read.
pub(super) async fn columns(
    services: &ProjectServices,
    plan: &Plan,
    load: &LoadPlan,
) -> Result<Vec<String>> {
    let names = |fact: &TableFact| -> Vec<String> {
        let fields = fact.schema.fields().iter();
        fields.map(|field| field.name().clone()).collect()
    };
    let Selection::Object(selected) = &load.selection else {
        return Ok(Vec::new());
    };
    let key = external_key(&load.connection.name, selected);
    let facts = services.store.facts(&plan.environment).await?;
    let read = facts.iter().find(|(known, _)| *known == key);
    Ok(read
        .map(|(_, fact)| names(fact))
        .or_else(|| load.known.as_ref().map(names))
        .unwrap_or_default())
}
