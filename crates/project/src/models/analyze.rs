//! Renders one model with the known facts, and analyses its SQL.
//!
//! Promise: mistakes are shown in the template, not in the rendered SQL. If rendering needs the warehouse,
//! the model is deferred to the run, not wrong. Read next: `check.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use towpath_sql::{AnalysisResult, SqlProblem, UnnamedColumn};
use towpath_template::{Render, Rendered, TemplateProblem};
use towpath_vocab::{
    Diagnostic, Introspect, Level, Materialized, NeedsWarehouse, TableLineage, TableName,
    WarehouseAnswer, WarehouseQuestion,
};

use super::draft::{Draft, ModelContext};
use super::{place, resolve};
use crate::graph::Tables;
use crate::report::{FileRange, Report};

/// The result of the check of a model.
#[derive(Default)]
pub(super) struct AnalyzedModel {
    /// The SQL, if it does not depend on the contents of the warehouse.
    pub(super) sql: Option<String>,
    pub(super) schema: Option<SchemaRef>,
    /// Its columns as far as its text alone says their names, if `schema` is not known; the types are unknown.
    pub(super) listed: Option<SchemaRef>,
    /// False if its columns depend on columns that were only observed.
    pub(super) firm: bool,
    pub(super) lineage: TableLineage,
    pub(super) deferred: bool,
    /// True if its SQL has a mistake.
    is_wrong: bool,
    unnamed: Vec<UnnamedColumn>,
    pub(super) reads: Vec<TableName>,
    /// True if its template asks the warehouse for rows, or for something that is not known yet.
    pub(super) asks: bool,
}

/// Answers from facts; what only a live system knows is pending. Tables in questions count as read.
struct FromFacts<'a> {
    tables: &'a Tables,
    asked: Vec<TableName>,
}

impl Introspect for FromFacts<'_> {
    fn ask(&mut self, question: WarehouseQuestion) -> Result<WarehouseAnswer, NeedsWarehouse> {
        match question {
            WarehouseQuestion::Columns(table) => {
                self.asked.push(table.clone());
                match self.tables.schema(&table) {
                    Some(schema) => Ok(WarehouseAnswer::Columns(schema.clone())),
                    None => Err(NeedsWarehouse(format!("the columns of {table}"))),
                }
            }
            WarehouseQuestion::Exists(table) => {
                self.asked.push(table.clone());
                Err(NeedsWarehouse(format!("whether {table} exists")))
            }
            WarehouseQuestion::Rows(sql) => {
                self.asked
                    .extend(towpath_sql::inputs(&sql).unwrap_or_default());
                Err(NeedsWarehouse(format!(
                    "the rows of a query: {}",
                    sql.trim()
                )))
            }
        }
    }
}

impl towpath_sql::TableLookup for Tables {
    fn columns(&self, table: &TableName) -> Option<SchemaRef> {
        self.schema(table).cloned()
    }

    fn known(&self) -> Vec<TableName> {
        self.names().cloned().collect()
    }

    fn knows(&self, table: &TableName) -> bool {
        self.has(table)
    }
}

/// Renders and analyses one model.
pub(super) fn analyze(
    draft: &Draft<'_>,
    drafts: &[Draft<'_>],
    context: &ModelContext<'_>,
    tables: &Tables,
    report: &mut Report,
) -> AnalyzedModel {
    let reads = resolve::reads(draft, drafts);
    let firm = reads.iter().all(|table| tables.is_firm(table));
    let inputs: Vec<String> = reads.iter().map(ToString::to_string).collect();
    let unknown = TableLineage {
        inputs,
        edges: Vec::new(),
        partial: true,
    };
    let mut found = AnalyzedModel {
        firm,
        reads,
        deferred: true,
        lineage: unknown,
        ..AnalyzedModel::default()
    };
    let helpers = resolve::ephemerals(draft, drafts);
    if !draft.sound || helpers.iter().any(|one| !one.sound) {
        return found;
    }
    let incremental = draft.materialized == Materialized::Incremental && draft.scan.incremental;
    let (rendered, asked) = render(draft, &helpers, false, context, tables);
    found.read(asked, draft);
    let rendered = match rendered {
        Ok(rendered) => rendered,
        Err(problem) => {
            found.asks = true;
            place::say(&problem, &draft.file, context, report);
            return found;
        }
    };
    let mut found = judge(draft, &rendered, found, tables, report);
    if found.is_wrong {
        found.listed = towpath_sql::column_names(&rendered.sql).map(listed);
    }
    if !found.is_wrong && draft.materialized != Materialized::Ephemeral {
        say_unnamed(&found.unnamed, draft, &rendered, report);
    }
    if incremental {
        judge_incremental(draft, &helpers, &mut found, context, tables, report);
    }
    let fixed = !rendered.introspective && !draft.scan.introspective && !incremental;
    found.deferred = !fixed || found.schema.is_none();
    found.sql = fixed.then_some(rendered.sql);
    found
}

/// Columns with unknown types.
fn listed(names: Vec<String>) -> SchemaRef {
    let fields: Vec<Field> = names
        .into_iter()
        .map(|name| Field::new(name, DataType::Null, true))
        .collect();
    Arc::new(Schema::new(fields))
}

/// Analyses the text for the case that the table exists already.
fn judge_incremental(
    draft: &Draft<'_>,
    helpers: &[&Draft<'_>],
    found: &mut AnalyzedModel,
    context: &ModelContext<'_>,
    tables: &Tables,
    report: &mut Report,
) {
    let mut with_this = Tables::default();
    for table in tables.names() {
        with_this.add(table, tables.schema(table).cloned(), tables.is_firm(table));
    }
    with_this.add(&draft.table, found.schema.clone(), found.firm);
    let (rendered, asked) = render(draft, helpers, true, context, &with_this);
    found.read(asked, draft);
    match rendered {
        // Its mistakes were already reported for the first form.
        Ok(rendered) if found.schema.is_none() => {
            let named = towpath_sql::inputs(&rendered.sql).unwrap_or_default();
            found.read(named, draft);
        }
        Ok(rendered) => {
            let blank = AnalyzedModel {
                firm: found.firm,
                ..AnalyzedModel::default()
            };
            let again = judge(draft, &rendered, blank, &with_this, report);
            found.read(again.reads, draft);
        }
        Err(problem) => {
            found.asks = true;
            place::say(&problem, &draft.file, context, report);
        }
    }
}

impl AnalyzedModel {
    /// Adds tables that are read in addition to those of `ref` and `source`, except its own.
    fn read(&mut self, more: Vec<TableName>, draft: &Draft<'_>) {
        let others = more.into_iter().filter(|table| table != &draft.table);
        self.reads.extend(others);
        self.reads.sort();
        self.reads.dedup();
    }
}

fn render(
    draft: &Draft<'_>,
    helpers: &[&Draft<'_>],
    incremental: bool,
    context: &ModelContext<'_>,
    tables: &Tables,
) -> (Result<Rendered, TemplateProblem>, Vec<TableName>) {
    let mut relations = draft.references.clone();
    let mut names: BTreeSet<&str> = draft
        .scan
        .env_vars
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    let mut bodies = BTreeMap::new();
    for helper in helpers {
        relations.extend(helper.references.clone());
        names.extend(helper.scan.env_vars.iter().map(|one| one.name.as_str()));
        bodies.insert(helper.name.clone(), helper.file.text.to_owned());
    }
    let variables = context.inputs.variables;
    let env: BTreeMap<String, String> = variables
        .iter()
        .filter(|(name, _)| names.contains(name.as_str()))
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect();
    let request = Render {
        file: draft.file.path,
        text: draft.file.text,
        macros: &context.macros,
        vars: &context.vars,
        env: &env,
        this: &draft.table,
        relations: &relations,
        ephemerals: &bodies,
        full_refresh: false,
        incremental,
        target: context.environment,
        schema: draft.table.schema(),
    };
    let mut facts = FromFacts {
        tables,
        asked: Vec::new(),
    };
    let rendered = towpath_template::render(&request, &mut facts);
    (rendered, facts.asked)
}

fn judge(
    draft: &Draft<'_>,
    rendered: &Rendered,
    mut found: AnalyzedModel,
    tables: &Tables,
    report: &mut Report,
) -> AnalyzedModel {
    match towpath_sql::analyze(&rendered.sql, tables) {
        AnalysisResult::Proven(analysis) => {
            let mut names = BTreeSet::new();
            if let Some(twice) = analysis
                .schema
                .fields()
                .iter()
                .find(|field| !names.insert(field.name().to_lowercase()))
            {
                report
                    .error(
                        "M0309",
                        place::head(&draft.file),
                        format!("the result has two columns named `{}`", twice.name()),
                    )
                    .help("give one of them a different name with `as`");
                found.is_wrong = true;
                return found;
            }
            let table = draft.table.to_string();
            let mut lineage = analysis.lineage;
            for edge in &mut lineage.edges {
                edge.to.table.clone_from(&table);
            }
            found.schema = Some(analysis.schema);
            found.lineage = lineage;
            found.unnamed = analysis.unnamed;
            // Tables that the SQL names itself are read too.
            found.read(analysis.inputs, draft);
        }
        AnalysisResult::Unknown {
            inputs,
            unnamed,
            columns,
            ..
        } => {
            found.unnamed = unnamed;
            found.listed = columns.map(listed);
            found.read(inputs, draft);
        }
        AnalysisResult::Wrong(problems) => {
            found.is_wrong = true;
            for problem in &problems {
                say(problem, draft, rendered, found.firm, report);
            }
        }
    }
    found
}

/// Reports columns whose name is the text of their expression.
fn say_unnamed(
    columns: &[UnnamedColumn],
    draft: &Draft<'_>,
    rendered: &Rendered,
    report: &mut Report,
) {
    for column in columns {
        let at = position(column.offset, draft, rendered);
        let message = column.name.as_ref().map_or_else(
            || "this column has no name: what it is called is not sure".to_owned(),
            |name| format!("this column has no name: it is called `{name}`"),
        );
        report.warning("M0342", at, message).help(
            "give it a name: `… as NAME`; other programs may not read a table with such a column",
        );
    }
}

/// The position in the template of a range of the rendered SQL.
fn position(offset: Option<(usize, usize)>, draft: &Draft<'_>, rendered: &Rendered) -> FileRange {
    let range = offset.and_then(|offset| rendered.map.locate(offset));
    range.map_or_else(
        || place::head(&draft.file),
        |range| place::at(&draft.file, range),
    )
}

fn say(
    problem: &SqlProblem,
    draft: &Draft<'_>,
    rendered: &Rendered,
    firm: bool,
    report: &mut Report,
) {
    let at = position(problem.offset, draft, rendered);
    let about_columns = matches!(
        problem.code,
        "M0301" | "M0302" | "M0307" | "M0308" | "M0310"
    );
    let level = if firm || !about_columns {
        Level::Error
    } else {
        Level::Warning
    };
    let mut help = problem.help.clone();
    if level == Level::Warning {
        help.push(
            "the columns are those of the last run; the next run checks them again".to_owned(),
        );
    }
    report.say(Diagnostic {
        code: problem.code.to_owned(),
        level,
        message: problem.message.clone(),
        span: Some(report.span(at)),
        label: problem.label.clone(),
        help,
    });
}
