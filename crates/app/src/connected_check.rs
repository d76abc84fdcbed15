//! `check --connect`: compares the known columns of external tables with the present ones.
//!
//! Promise: it only collects both sides; `project` decides what a difference means. Each table is read with
//! the options of its load; queries are not compared. Read next: `external_systems.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_schema::Schema;
use towpath_project::{KnownColumns, OutlinedConnection, ReadOptions, compare, gone, unreachable};
use towpath_vocab::{
    Action, Capability, ConnectionPlan, Diagnostic, Facts, Failure, Guarantee, Naming, OptionValue,
    Plan, Selection, Span, TableFact,
};

use crate::Result;
use crate::external_systems::{ExternalSystems, fact, known_tables, outlined};
use crate::folder::ProjectFolder;
use crate::services::{connector_specs, spec_of};

/// The differences, and the connections that were contacted.
#[derive(Debug, Default)]
pub(crate) struct Live {
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) contacted: Vec<String>,
}

/// A table that a pipeline loads.
pub(crate) struct Load {
    pub(crate) connection: ConnectionPlan,
    /// Its options; they win over those of the connection.
    pub(crate) options: ReadOptions,
    span: Option<Span>,
    /// Source columns whose type the pipeline declares; the inferred type does not matter.
    declared: Vec<String>,
}

/// Compares the known columns with the present ones.
///
/// # Errors
/// Only if the project cannot be read; a difference is a diagnostic.
pub(crate) async fn compare_live(
    folder: &ProjectFolder,
    environment: Option<&str>,
    facts: &Facts,
    plan: Option<&Plan>,
) -> Result<Live> {
    let systems = ExternalSystems::new(&folder.dir);
    let mut live = Live::default();
    let loads = loads(plan);
    let published = published(plan);
    for (name, connection) in outlined(folder, environment)? {
        let known = known_tables(folder, &name)?;
        let loaded = loads.get(&name);
        if known.is_empty() && loaded.is_none() && made_when_written(&connection, &published) {
            continue;
        }
        // A program, say, lists nothing.
        let can_look = spec_of(&connection.plan.kind)
            .is_none_or(|spec| spec.capabilities.contains(&Capability::Discover));
        if !can_look {
            continue;
        }
        live.contacted.push(name.clone());
        let place = Some(connection.span.clone());
        let tested = match systems.discover(&connection.plan) {
            Ok(there) => there.test().await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = tested {
            live.diagnostics.push(unreachable(&name, place, &failure));
            continue;
        }
        let one = ConnectionComparison {
            systems: &systems,
            connection: &connection.plan,
            loads: loaded,
            observed: facts.outside.get(&name),
        };
        one.compare(&known, &mut live.diagnostics).await;
    }
    Ok(live)
}

/// The loads of tables, by connection and by the name of the table there.
pub(crate) fn loads(plan: Option<&Plan>) -> BTreeMap<String, BTreeMap<String, Load>> {
    let mut all: BTreeMap<String, BTreeMap<String, Load>> = BTreeMap::new();
    let tasks = plan.into_iter().flat_map(|plan| &plan.pipelines);
    for task in tasks.flat_map(|pipeline| &pipeline.tasks) {
        let Action::Load(load) = &task.action else {
            continue;
        };
        let Selection::Object(object) = &load.selection else {
            continue;
        };
        let mut connection = load.connection.clone();
        for (option, value) in &load.options {
            let value = OptionValue::Plain(value.clone());
            connection.options.insert(option.clone(), value);
        }
        let of = all.entry(connection.name.clone()).or_default();
        let columns = load.table.columns.iter();
        let declared = columns
            .filter(|column| column.data_type.is_some() && column.set.is_none())
            .map(|column| column.from.clone().unwrap_or_else(|| column.name.clone()))
            .collect();
        let one = Load {
            connection,
            options: load.options.clone(),
            span: task.span.clone(),
            declared,
        };
        of.insert(object.clone(), one);
    }
    all
}

fn published(plan: Option<&Plan>) -> BTreeSet<&str> {
    let tasks = plan.into_iter().flat_map(|plan| &plan.pipelines);
    tasks
        .flat_map(|pipeline| &pipeline.tasks)
        .filter_map(|task| match &task.action {
            Action::Publish(publish) => Some(publish.connection.name.as_str()),
            _ => None,
        })
        .collect()
}

/// True for a folder that is only written: it is created with its first file.
fn made_when_written(connection: &OutlinedConnection, published: &BTreeSet<&str>) -> bool {
    let spec = connector_specs()
        .into_iter()
        .find(|spec| spec.kind == connection.plan.kind);
    published.contains(connection.plan.name.as_str())
        && spec.is_some_and(|spec| spec.guarantee == Guarantee::AtomicFile)
}

/// A connection whose tables are compared with their facts.
struct ConnectionComparison<'a> {
    systems: &'a ExternalSystems,
    connection: &'a ConnectionPlan,
    loads: Option<&'a BTreeMap<String, Load>>,
    observed: Option<&'a BTreeMap<String, towpath_vocab::TableFact>>,
}

impl ConnectionComparison<'_> {
    async fn compare(
        &self,
        known: &[(String, towpath_project::KnownTable)],
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let name = &self.connection.name;
        for (object, table) in known {
            let load = self.loads.and_then(|loads| loads.get(object));
            match self.describe(object, load).await {
                Ok(live) => {
                    let expected = KnownColumns::written(name, object, table);
                    let live = as_declared(live, load, &table.fact);
                    diagnostics.extend(compare(&expected, &live));
                }
                Err(failure) => {
                    diagnostics.push(gone(name, object, Some(table.span.clone()), &failure));
                }
            }
        }
        let loads = self.loads.into_iter().flatten();
        for (object, load) in loads {
            if is_known(known, self.connection, object) {
                continue;
            }
            match self.describe(object, Some(load)).await {
                Ok(live) => {
                    let seen = self.observed.and_then(|tables| tables.get(object));
                    diagnostics.extend(seen.into_iter().flat_map(|fact| {
                        let live = as_declared(live.clone(), Some(load), fact);
                        let expected = KnownColumns {
                            connection: name,
                            object,
                            fact,
                            span: load.span.clone(),
                            columns: BTreeMap::new(),
                            written: false,
                        };
                        compare(&expected, &live)
                    }));
                }
                Err(failure) => {
                    diagnostics.push(gone(name, object, load.span.clone(), &failure));
                }
            }
        }
    }

    async fn describe(
        &self,
        object: &str,
        load: Option<&Load>,
    ) -> Result<towpath_vocab::TableFact, Failure> {
        let connection = load.map_or(self.connection, |load| &load.connection);
        let found = self.systems.discover(connection)?.describe(object).await?;
        Ok(fact(&found, &self.systems.now()))
    }
}

/// The present columns, with the known type for those whose type the pipeline declares.
fn as_declared(live: TableFact, load: Option<&Load>, known: &TableFact) -> TableFact {
    let declared = |name: &str| {
        load.is_some_and(|load| {
            let same = |one: &String| Naming::Snake.is_same(one, name);
            load.declared.iter().any(same)
        })
    };
    let fields = live.schema.fields().iter().map(|field| {
        let known = known.schema.field_with_name(field.name());
        match known {
            Ok(known) if declared(field.name()) => Arc::new(known.clone()),
            _ => Arc::clone(field),
        }
    });
    TableFact {
        schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
        ..live
    }
}

/// True if two names mean one table: `orders` and `public.orders` do if `public` is the schema of the
/// connection.
fn is_known(
    known: &[(String, towpath_project::KnownTable)],
    connection: &ConnectionPlan,
    object: &str,
) -> bool {
    let qualified = connection
        .text("schema")
        .map(|schema| format!("{schema}.{object}"));
    known
        .iter()
        .any(|(name, _)| name == object || Some(name) == qualified.as_ref())
}
