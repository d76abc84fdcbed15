//! Turns a checked model into its part of the plan.
//!
//! Promise: dbt's words for incremental models mean the same as in dbt. It checks no SQL. Read next:
//! `vocab/src/plan.rs`.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use towpath_vocab::{
    Action, BadRows, Materialized, ModelPlan, Naming, SchemaChange, TablePlan, Threshold,
    WriteMode, WritePlan,
};

use super::analyze::AnalyzedModel;
use super::draft::{Draft, Model, ModelContext};
use super::{place, resolve, tests_of};
use crate::checks::{self, Table, TableKey};
use crate::graph::Tables;
use crate::report::{FileRange, Report};
use crate::rules::Subject;

/// Plans a model.
pub(super) fn plan(
    draft: &Draft<'_>,
    drafts: &[Draft<'_>],
    found: AnalyzedModel,
    context: &ModelContext<'_>,
    tables: &Tables,
    report: &mut Report,
) -> Model {
    let config = &draft.scan.config;
    let key = if draft.materialized == Materialized::Incremental {
        texts(config.get("unique_key"))
    } else {
        Vec::new()
    };
    let mode = write_mode(draft, &key, report);
    let subject = Subject {
        schema: found.schema.as_ref().or(found.listed.as_ref()),
        // The names in the text do not depend on the tables that it reads.
        firm: found.firm || found.schema.is_none(),
        loaded: None,
    };
    let table = Table {
        name: &draft.table,
        subject,
        origin: "as its SQL says",
    };
    let mut checks = tests_of::read(
        draft.properties.as_ref(),
        &table,
        &resolver(drafts, context, tables),
        report,
    );
    let keyed = match mode {
        // With this mode a key may occur more than once.
        WriteMode::DeleteInsert => Vec::new(),
        _ => key.clone(),
    };
    let key_at = key
        .first()
        .map(|first| key_place(draft, first).unwrap_or_else(|| place::head(&draft.file)));
    let table_key = TableKey::new(&keyed, key_at, mode);
    checks::implied(table_key, &table, &mut checks, report);
    checks::name_apart(&mut checks.list, report);
    let helpers = resolve::ephemerals(draft, drafts);
    let mut references = draft.references.clone();
    let mut env_vars: BTreeMap<String, Option<String>> = BTreeMap::new();
    for one in helpers.iter().copied().chain([draft]) {
        references.extend(one.references.clone());
        env_vars.extend(
            one.scan
                .env_vars
                .iter()
                .map(|variable| (variable.name.clone(), variable.default.clone())),
        );
    }
    let write = WritePlan {
        mode,
        key,
        schema_change: schema_change(draft, report),
        options: BTreeMap::new(),
    };
    let table = TablePlan {
        target: draft.table.clone(),
        write,
        filter: None,
        columns: Vec::new(),
        names: Naming::Exact,
        keep: Vec::new(),
        drop: Vec::new(),
        dedup: None,
        rules: Vec::new(),
        checks: checks.list,
        bad_rows: BadRows::Fail,
        fail_above: Threshold::default(),
        lineage: found.lineage,
    };
    let macros: Vec<&str> = context
        .macros
        .iter()
        .map(|file| file.text.as_str())
        .collect();
    let plan = ModelPlan {
        name: draft.name.clone(),
        file: draft.file.path.to_owned(),
        template: draft.file.text.to_owned(),
        sql: found.sql,
        materialized: draft.materialized,
        references,
        ephemerals: helpers
            .iter()
            .map(|one| (one.name.clone(), one.file.text.to_owned()))
            .collect(),
        macros: macros.join("\n"),
        vars: context.vars.clone(),
        env_vars,
        reads: found.reads.clone(),
        asks: found.asks,
        full_refresh: full_refresh(draft, report),
        deferred: found.deferred,
        table,
    };
    Model {
        name: draft.name.clone(),
        file: draft.file.path.to_owned(),
        table: draft.table.clone(),
        action: Action::Model(Box::new(plan)),
        reads: found.reads,
        references: checks.references,
        at: place::head(&draft.file),
    }
}

/// The position of `unique_key`.
fn key_place(draft: &Draft<'_>, first: &str) -> Option<FileRange> {
    let config = draft
        .properties
        .as_ref()
        .and_then(|node| node.get("config"));
    let described = config.and_then(|config| config.get("unique_key"));
    place::setting(&draft.file, "unique_key", first).or(described.map(|node| node.at))
}

/// Resolves `to:` of a relationship test.
pub(super) fn resolver<'r>(
    drafts: &'r [Draft<'_>],
    context: &'r ModelContext<'_>,
    tables: &'r Tables,
) -> impl Fn(&tests_of::RelationshipTarget) -> Option<towpath_vocab::TableName> + 'r {
    move |to| match to {
        tests_of::RelationshipTarget::Ref(name) => drafts
            .iter()
            .find(|draft| &draft.name == name)
            .map(|draft| draft.table.clone())
            .or_else(|| context.seeds.get(name).cloned()),
        tests_of::RelationshipTarget::Source(name, table) => {
            resolve::find_source(name, table, context, tables)
        }
        tests_of::RelationshipTarget::Table(table) => {
            Some(table.clone()).filter(|table| tables.contains(table))
        }
    }
}

fn texts(value: Option<&Json>) -> Vec<String> {
    match value {
        Some(Json::String(one)) => one
            .split(',')
            .map(|part| part.trim().to_owned())
            .filter(|part| !part.is_empty())
            .collect(),
        Some(Json::Array(all)) => all
            .iter()
            .filter_map(|one| one.as_str().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    }
}

fn write_mode(draft: &Draft<'_>, key: &[String], report: &mut Report) -> WriteMode {
    if draft.materialized != Materialized::Incremental {
        return WriteMode::Replace;
    }
    let default = if key.is_empty() {
        WriteMode::Append
    } else {
        WriteMode::Merge
    };
    let mode = match draft
        .scan
        .config
        .get("incremental_strategy")
        .and_then(Json::as_str)
    {
        None => default,
        Some("append") => WriteMode::Append,
        Some("merge") => WriteMode::Merge,
        Some("delete+insert") => WriteMode::DeleteInsert,
        Some(other) => {
            report
                .error(
                    "M0336",
                    place::head(&draft.file),
                    format!("this version does not have the incremental strategy `{other}`"),
                )
                .suggest(other, ["append", "merge", "delete+insert"], "there is");
            default
        }
    };
    if key.is_empty() && mode == WriteMode::Append {
        report
            .note(
                "M0338",
                place::head(&draft.file),
                format!(
                    "`{}` only grows: a row that changes later is added again",
                    draft.table
                ),
            )
            .help("config(unique_key='…') replaces changed rows");
    }
    if key.is_empty() && mode != WriteMode::Append {
        report
            .error(
                "P0124",
                place::head(&draft.file),
                format!("`{}` is written by key but has none", draft.table),
            )
            .help("config(unique_key='…'): the columns that identify a row");
    }
    mode
}

/// What happens with new columns of an incremental model; other models are rebuilt each time.
fn schema_change(draft: &Draft<'_>, report: &mut Report) -> SchemaChange {
    let said = draft.scan.config.get("on_schema_change");
    let Some(said) = said.filter(|_| draft.materialized == Materialized::Incremental) else {
        return SchemaChange::Evolve;
    };
    match said.as_str() {
        Some("fail") => return SchemaChange::Fail,
        Some("ignore") => return SchemaChange::Ignore,
        Some("append_new_columns") => {}
        Some("sync_all_columns") => {
            report
                .error(
                    "P0115",
                    config_place(draft, "on_schema_change"),
                    "`on_schema_change: sync_all_columns` is not supported in this version",
                )
                .help(
                    "`append_new_columns` adds new ones; columns are removed with --full-refresh",
                );
        }
        other => {
            let word = other.map_or_else(|| said.to_string(), str::to_owned);
            report
                .error(
                    "P0111",
                    config_place(draft, "on_schema_change"),
                    format!("`{word}` is not an accepted word"),
                )
                .suggest(
                    &word,
                    ["ignore", "fail", "append_new_columns"],
                    "`on_schema_change` takes",
                );
        }
    }
    SchemaChange::Evolve
}

/// Whether it is always rebuilt, or never.
fn full_refresh(draft: &Draft<'_>, report: &mut Report) -> Option<bool> {
    match draft.scan.config.get("full_refresh")? {
        Json::Bool(said) => Some(*said),
        Json::Null => None,
        other => {
            report
                .error(
                    "P0127",
                    config_place(draft, "full_refresh"),
                    format!("`{other}` is not true or false"),
                )
                .help("write true or false");
            None
        }
    }
}

/// The position of a key of a model's config: in its file, or otherwise in its YAML.
fn config_place(draft: &Draft<'_>, key: &str) -> FileRange {
    let config = draft
        .properties
        .as_ref()
        .and_then(|node| node.get("config"));
    let described = config.and_then(|config| config.get(key));
    place::key(&draft.file, key)
        .or(described.map(|node| node.at.head()))
        .unwrap_or_else(|| place::head(&draft.file))
}
