//! SQL models: files and dbt's YAML to checked models with columns, lineage and tests.
//!
//! Promise: each model is scanned, resolved and analysed once, parents first. Only what is proven
//! wrong is called wrong: columns that were merely observed in the last run give warnings. It renders
//! with `template`, judges with `sql`, and runs nothing. Read next: `read.rs`, then `analyze.rs`.

mod analyze;
mod place;
mod plan;
mod properties;
mod read;
mod resolve;
mod select;
mod tests_of;

use std::collections::{BTreeMap, HashMap};

use towpath_template::{MacroFile, Scan};
use towpath_vocab::{Materialized, ModelPlan, TableName};

use crate::Inputs;
use crate::checks::Reference;
use crate::graph::Tables;
use crate::parsed::{Parsed, TextFile};
use crate::report::Report;
use crate::step::Node as Task;
use crate::world::World;
use crate::yaml::Node;

pub(crate) use properties::{Properties, read as properties};
pub(crate) use select::select;
pub(crate) use tests_of::source_tests;

/// A model whose file has been read.
pub(crate) struct Draft<'a> {
    pub(crate) name: String,
    pub(crate) table: TableName,
    pub(crate) file: TextFile<'a>,
    pub(crate) scan: Scan,
    pub(crate) materialized: Materialized,
    /// Its entry in a YAML file.
    pub(crate) properties: Option<Node>,
    /// `ref` and `source` keys to tables.
    pub(crate) references: BTreeMap<String, TableName>,
    /// Models it refers to, by index.
    pub(crate) parents: Vec<usize>,
    /// False when a mistake in it was said already.
    pub(crate) sound: bool,
}

/// A model, checked.
pub(crate) struct Model {
    pub(crate) plan: ModelPlan,
    /// Tables it reads, also through ephemeral models.
    pub(crate) reads: Vec<TableName>,
    pub(crate) references: Vec<Reference>,
    pub(crate) at: crate::report::At,
}

/// All models of the project.
#[derive(Default)]
pub(crate) struct Models {
    pub(crate) list: Vec<Model>,
    /// Tables by the name that `ref` says.
    pub(crate) refs: HashMap<String, TableName>,
}

/// What models are read against.
pub(crate) struct Shelf<'a> {
    pub(crate) inputs: &'a Inputs<'a>,
    pub(crate) world: &'a World<'a>,
    pub(crate) environment: &'a str,
    pub(crate) macros: Vec<MacroFile>,
    pub(crate) macro_files: &'a [TextFile<'a>],
    pub(crate) vars: BTreeMap<String, serde_json::Value>,
    pub(crate) properties: &'a Properties,
    /// Loaded tables by connection and object: sources without declaration.
    pub(crate) loaded: HashMap<(String, String), TableName>,
}

/// What the check of models is given.
pub(crate) struct Given<'a> {
    pub(crate) parsed: &'a Parsed<'a>,
    pub(crate) properties: &'a Properties,
    pub(crate) inputs: &'a Inputs<'a>,
    pub(crate) world: &'a World<'a>,
    pub(crate) environment: &'a str,
}

/// Reads and checks all models. Their tables join `tables`.
pub(crate) fn check(
    given: &Given<'_>,
    loads: &[&Task],
    tables: &mut Tables,
    report: &mut Report,
) -> Models {
    let Given {
        parsed,
        properties,
        inputs,
        world,
        environment,
    } = *given;
    let shelf = Shelf {
        inputs,
        world,
        environment,
        macros: parsed
            .macros
            .iter()
            .map(|file| MacroFile {
                file: file.path.to_owned(),
                text: file.text.to_owned(),
            })
            .collect(),
        macro_files: &parsed.macros,
        vars: vars(world),
        properties,
        loaded: resolve::loaded(loads),
    };
    let mut drafts = read::read(&parsed.models, &shelf, report);
    for draft in &drafts {
        if draft.materialized != Materialized::Ephemeral {
            tables.add(&draft.table, None, true);
        }
    }
    resolve::resolve(&mut drafts, &shelf, tables, report);
    let order = resolve::order(&mut drafts, report);
    let refs = drafts
        .iter()
        .map(|draft| (draft.name.clone(), draft.table.clone()))
        .collect();
    let mut models = Models {
        list: Vec::new(),
        refs,
    };
    for index in order {
        let Some(draft) = drafts.get(index) else {
            continue;
        };
        let found = analyze::analyze(draft, &drafts, &shelf, tables, report);
        if draft.materialized == Materialized::Ephemeral {
            continue;
        }
        tables.add(&draft.table, found.schema.clone(), found.firm);
        models
            .list
            .push(plan::plan(draft, &drafts, found, &shelf, tables, report));
    }
    properties.check_names(&drafts, tables, report);
    models
}

fn vars(world: &World<'_>) -> BTreeMap<String, serde_json::Value> {
    let node = world.root.get("vars");
    node.into_iter()
        .flat_map(Node::entries)
        .map(|(name, entry)| (name.to_owned(), entry.value.json()))
        .collect()
}
