//! Checks all models of a project, parents first.
//!
//! Promise: each model is read, resolved, analysed and planned once. It only calls the phases: `read.rs`,
//! `resolve.rs`, `analyze.rs`, `plan.rs`.

use std::collections::BTreeMap;

use towpath_template::MacroFile;
use towpath_vocab::Materialized;

use super::draft::{Draft, ModelContext, Models};
use super::properties::Properties;
use super::{analyze, plan, read, resolve, tests_of};
use crate::checks::Table;
use crate::context::StepContext;
use crate::dbt::{self, ConfigReaders, DbtProject};
use crate::graph::Tables;
use crate::inputs::CheckInputs;
use crate::parsed::Parsed;
use crate::report::Report;
use crate::step::Node as Task;
use crate::yaml::Node;

/// The input of the check of models.
pub(crate) struct ModelCheckInput<'a> {
    pub(crate) parsed: &'a Parsed<'a>,
    pub(crate) properties: &'a Properties,
    pub(crate) inputs: &'a CheckInputs<'a>,
    pub(crate) context: &'a StepContext<'a>,
    pub(crate) environment: &'a str,
}

/// Reads and checks all models, and adds their tables to `tables`.
pub(crate) fn check(
    given: &ModelCheckInput<'_>,
    loads: &[&Task],
    tables: &mut Tables,
    report: &mut Report,
) -> Models {
    let ModelCheckInput {
        parsed,
        properties,
        inputs,
        context,
        environment,
    } = *given;
    let macros: Vec<MacroFile> = parsed
        .macros
        .iter()
        .map(|file| MacroFile {
            file: file.path.to_owned(),
            text: file.text.to_owned(),
        })
        .collect();
    let asked = ConfigReaders::of(&parsed.models, &macros);
    let root = parsed.dbt_project.as_ref();
    let project = dbt::project_file(root, &parsed.paths, &asked, report);
    let given_seeds = dbt::SeedContext {
        inputs,
        context,
        project: &project,
        properties,
    };
    let seeds = dbt::seeds(&parsed.seeds, &given_seeds, &asked, report);
    for seed in &seeds {
        let fact = context.lakehouse(&seed.table);
        tables.add(&seed.table, fact.map(|fact| fact.schema.clone()), false);
    }
    let context = ModelContext {
        inputs,
        context,
        environment,
        macros: macros.clone(),
        macro_files: &parsed.macros,
        vars: vars(context, &project),
        properties,
        project: &project,
        asked: &asked,
        seeds: seeds
            .iter()
            .map(|seed| (seed.name.clone(), seed.table.clone()))
            .collect(),
        loaded: resolve::loaded(loads),
    };
    let mut drafts = read::read(&parsed.models, &context, report);
    for draft in &drafts {
        if draft.materialized != Materialized::Ephemeral {
            tables.add(&draft.table, None, true);
        }
    }
    resolve::resolve(&mut drafts, &context, tables, report);
    let order = resolve::order(&mut drafts, report);
    let of_models = drafts
        .iter()
        .map(|draft| (draft.name.clone(), draft.table.clone()));
    let refs = of_models.chain(context.seeds.clone()).collect();
    let mut models = Models {
        list: Vec::new(),
        refs,
    };
    for index in order {
        let Some(draft) = drafts.get(index) else {
            continue;
        };
        let found = analyze::analyze(draft, &drafts, &context, tables, report);
        if draft.materialized == Materialized::Ephemeral {
            tests_of::say_ephemeral(&draft.name, draft.properties.as_ref(), report);
            continue;
        }
        tables.add(&draft.table, found.schema.clone(), found.firm);
        models
            .list
            .push(plan::plan(draft, &drafts, found, &context, tables, report));
    }
    for seed in &seeds {
        let tests = |table: &Table<'_>, report: &mut Report| {
            let resolve = plan::resolver(&drafts, &context, tables);
            tests_of::read(seed.properties.as_ref(), table, &resolve, report)
        };
        models.list.extend(seed.plan(&given_seeds, &tests, report));
    }
    check_names(properties, &drafts, tables, report);
    models
}

/// Variables; those of `towpath.yml` win over those of `dbt_project.yml`.
fn vars(context: &StepContext<'_>, project: &DbtProject) -> BTreeMap<String, serde_json::Value> {
    let node = context.root.get("vars");
    let own = node
        .into_iter()
        .flat_map(Node::entries)
        .map(|(name, entry)| (name.to_owned(), entry.value.json()));
    project.vars.clone().into_iter().chain(own).collect()
}

/// Reports descriptions of models and seeds that do not exist.
fn check_names(
    properties: &Properties,
    drafts: &[Draft<'_>],
    tables: &Tables,
    report: &mut Report,
) {
    for (name, node) in properties.models() {
        let disabled = node
            .get("config")
            .and_then(|config| config.get_bool("enabled"))
            == Some(false);
        if !disabled && !drafts.iter().any(|draft| draft.name == name) {
            let at = node.get("name").map_or(node.at, |name| name.at);
            report
                .warning(
                    "M0333",
                    at,
                    format!("there is no model `{name}` for this description"),
                )
                .suggest(
                    name,
                    drafts.iter().map(|draft| draft.name.as_str()),
                    "models",
                );
        }
    }
    for source in properties.sources() {
        if !tables.contains(&source.table) {
            let word = source.table.to_string();
            let names: Vec<String> = tables.names().map(ToString::to_string).collect();
            report
                .warning(
                    "M0333",
                    source.at,
                    format!("no step loads the table `{word}` of this description"),
                )
                .suggest(&word, names.iter().map(String::as_str), "tables");
        }
    }
}
