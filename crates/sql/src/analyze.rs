//! Analyses a statement against known tables: the result is proven, unknown or wrong.
//!
//! Promise: only a proven mistake is called wrong. If the columns of a table are not known, or the planner
//! gives up for other reasons, the statement is unknown. Types are those after coercion and before
//! optimisation. It does not find out where columns come from: see `lineage/mod.rs`.

use std::cell::LazyCell;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion_common::{DataFusionError, Result, TableReference};
use datafusion_expr::LogicalPlan;
use datafusion_expr::planner::ContextProvider;
use datafusion_optimizer::Analyzer;
use datafusion_sql::parser::Statement;
use datafusion_sql::planner::SqlToRel;
use towpath_vocab::{TableLineage, TableName};

use crate::catalog::{Catalog, TableLookup};
use crate::comparison::PostgresSemantics;
use crate::decimals::exact_fractions;
use crate::grouping::sets_of_columns;
use crate::halves::halves;
use crate::headings::UnnamedColumn;
use crate::merged::MergedKeys;
use crate::mixed::one_kind_of_number;
use crate::names::Names;
use crate::nullable::nullable_values;
use crate::ordered::OrderedIntervals;
use crate::problem::{Judged, SqlProblem, from_planner, listed};
use crate::rounding::RoundedCasts;
use crate::statement::NamedQuery;
use crate::{functions, leftover, lineage, mend, place, statement, suggest};

/// The result for a correct statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Analysis {
    /// Its columns, in order. Names may repeat, but then the result cannot become a table.
    pub schema: SchemaRef,
    /// Where its columns come from; `to.table` is empty until the caller sets it.
    pub lineage: TableLineage,
    /// The tables it reads, sorted.
    pub inputs: Vec<TableName>,
    /// Its columns that have neither an alias nor a name of their own.
    pub unnamed: Vec<UnnamedColumn>,
}

/// The result of an analysis.
#[derive(Clone, Debug, PartialEq)]
pub enum AnalysisResult {
    /// It will run, with these columns.
    Proven(Analysis),
    /// It is not known yet.
    Unknown {
        /// The tables it reads, sorted.
        inputs: Vec<TableName>,
        /// Its columns that have neither an alias nor a name of their own.
        unnamed: Vec<UnnamedColumn>,
        /// The names of its columns, as far as its text alone says them.
        columns: Option<Vec<String>>,
        /// What is missing, in words.
        why: String,
    },
    /// It cannot run: at least one mistake.
    Wrong(Vec<SqlProblem>),
}

/// Analyses one query.
pub fn analyze(sql: &str, tables: &dyn TableLookup) -> AnalysisResult {
    match judge(sql, tables) {
        Ok(verdict) => verdict,
        Err(problem) => AnalysisResult::Wrong(vec![problem]),
    }
}

/// The tables that a query names, sorted, without CTEs.
///
/// # Errors
/// A statement that is not a single query, or a table without its schema.
pub fn inputs(sql: &str) -> std::result::Result<Vec<TableName>, SqlProblem> {
    Names::of(&statement::query(sql)?)?.inputs(sql)
}

fn judge(sql: &str, tables: &dyn TableLookup) -> std::result::Result<AnalysisResult, SqlProblem> {
    let NamedQuery {
        statement: parsed,
        unnamed,
        columns,
    } = statement::named_query(sql)?;
    let names = Names::of(&parsed)?;
    let mut problems = functions::unknown(sql, &names.calls);
    let found = ResolvedTables::resolve(sql, &names, tables, &mut problems);
    if let Some(table) = found.unknown.first() {
        return Ok(if problems.is_empty() {
            AnalysisResult::Unknown {
                inputs: found.inputs,
                unnamed,
                columns,
                why: format!("the columns of `{table}` are not known yet"),
            }
        } else {
            AnalysisResult::Wrong(problems)
        });
    }
    if !problems.is_empty() {
        problems.sort_by_key(|problem| problem.offset);
        return Ok(AnalysisResult::Wrong(problems));
    }
    Ok(match plan(&parsed, &found.catalog) {
        Ok(plan) if has_placeholder(&plan) => {
            return Err(
                SqlProblem::new("M0310", "a placeholder like `$1` has no value here")
                    .at(place::of_word(sql, "$1"))
                    .help("write the value itself; in a model, `{{ var('name') }}`"),
            );
        }
        Ok(plan) if let Some(problem) = leftover::problem(sql, &parsed, &plan) => {
            return Err(problem);
        }
        Ok(plan) => AnalysisResult::Proven(Analysis {
            schema: schema(&plan),
            lineage: lineage::of(&plan),
            inputs: found.inputs,
            unnamed,
        }),
        Err(error) => match from_planner(sql, &names, &error) {
            Judged::Mistake(first) => AnalysisResult::Wrong(mend::all_problems(
                sql,
                &parsed,
                &names,
                first,
                &found.catalog,
            )),
            Judged::CannotTell(why) => AnalysisResult::Unknown {
                inputs: found.inputs,
                unnamed,
                columns,
                why,
            },
        },
    })
}

/// Plans a statement with type coercion, without optimisation.
pub(crate) fn plan(parsed: &Statement, catalog: &Catalog) -> Result<LogicalPlan> {
    let planner = SqlToRel::new_with_options(catalog, statement::options());
    let plan = match parsed {
        Statement::Statement(inner) => planner.sql_statement_to_plan(inner.as_ref().clone())?,
        other => return Err(DataFusionError::Internal(format!("not a query: {other}"))),
    };
    let plan = settled(plan)?;
    let mut analyzer = Analyzer::new();
    analyzer.rules.insert(0, Arc::new(OrderedIntervals));
    analyzer.rules.push(Arc::new(MergedKeys));
    analyzer.rules.push(Arc::new(RoundedCasts));
    analyzer.rules.push(Arc::new(PostgresSemantics));
    analyzer.execute_and_check(plan, catalog.options(), |_, _| {})
}

/// Rewrites a plan of the planner before type coercion: literal fractions are computed as decimals, halves are rounded by where they come from, grouping sets contain only columns, a query as a
/// value may be NULL.
///
/// # Errors
/// Those of rebuilding a node.
pub fn settled(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = halves(sets_of_columns(plan)?)?;
    nullable_values(one_kind_of_number(exact_fractions(plan)?)?)
}

fn has_placeholder(plan: &LogicalPlan) -> bool {
    plan.get_parameter_names()
        .is_ok_and(|names| !names.is_empty())
}

/// The tables of a statement, with their columns.
struct ResolvedTables {
    inputs: Vec<TableName>,
    unknown: Vec<TableName>,
    catalog: Catalog,
}

impl ResolvedTables {
    fn resolve(
        sql: &str,
        names: &Names,
        tables: &dyn TableLookup,
        problems: &mut Vec<SqlProblem>,
    ) -> Self {
        // There may be many: asked for only if the statement names one that is not among them.
        let known = LazyCell::new(|| tables.known());
        let mut found = Self {
            inputs: Vec::new(),
            unknown: Vec::new(),
            catalog: Catalog::new().with_default_schema(tables.default_schema()),
        };
        for (reference, span) in &names.tables {
            let place = span.and_then(|span| place::of_parse(sql, span));
            let named = match (reference, tables.default_schema()) {
                (TableReference::Bare { table }, Some(schema)) => {
                    Ok(TableName::new(schema, table.as_ref()))
                }
                _ => crate::names::table_name(sql, reference, *span),
            };
            let written = match named {
                Ok(written) => written,
                Err(problem) => {
                    problems.push(with_schema_hint(problem, reference.table(), &known));
                    continue;
                }
            };
            let (real, columns) = match tables.columns(&written) {
                Some(schema) => (written.clone(), Some(schema)),
                None if tables.knows(&written) => (written.clone(), None),
                None => {
                    let real = real_table(&written, &known);
                    let columns = tables.columns(&real);
                    (real, columns)
                }
            };
            match columns {
                Some(schema) => found.catalog.add(written, real.clone(), schema),
                None if tables.knows(&real) || may_exist(&real, &known) => {
                    found.unknown.push(real.clone())
                }
                None => {
                    problems.push(unknown_table(&written, &known).at(place));
                    continue;
                }
            }
            found.inputs.push(real);
        }
        found.inputs.sort();
        found.inputs.dedup();
        found
    }
}

/// The declared table of a name that is not known as it is written: the only one that differs in case.
fn real_table(written: &TableName, known: &[TableName]) -> TableName {
    let same = |other: &&TableName| {
        other.schema().eq_ignore_ascii_case(written.schema())
            && other.table().eq_ignore_ascii_case(written.table())
    };
    let mut alike = known.iter().filter(same);
    match (alike.next(), alike.next()) {
        (Some(only), None) => only.clone(),
        _ => written.clone(),
    }
}

/// Whether a table that is not among the known ones can be there.
fn may_exist(table: &TableName, known: &[TableName]) -> bool {
    known.is_empty() || table.schema() == "information_schema"
}

fn unknown_table(written: &TableName, known: &[TableName]) -> SqlProblem {
    let all: Vec<String> = known.iter().map(ToString::to_string).collect();
    let text = written.to_string();
    let beside = all
        .iter()
        .map(String::as_str)
        .filter(|name| name.split('.').next() == Some(written.schema()));
    let elsewhere = known
        .iter()
        .find(|other| other.table() == written.table())
        .map(ToString::to_string);
    let meant = suggest::closest(&text, beside.clone())
        .or(elsewhere.as_deref())
        .or_else(|| suggest::closest(&text, all.iter().map(String::as_str)));
    let problem = SqlProblem::new("M0302", format!("there is no table `{written}`")).meant(meant);
    let siblings: Vec<&str> = beside
        .map(|name| name.split_once('.').map_or(name, |(_, table)| table))
        .collect();
    if siblings.is_empty() {
        let mut schemas: Vec<&str> = known.iter().map(TableName::schema).collect();
        schemas.sort_unstable();
        schemas.dedup();
        problem.help(format!(
            "there is no schema `{}`; there is: {}",
            written.schema(),
            listed(&schemas)
        ))
    } else {
        problem.help(format!("{} has: {}", written.schema(), listed(&siblings)))
    }
}

fn with_schema_hint(problem: SqlProblem, table: &str, known: &[TableName]) -> SqlProblem {
    let mut alike = known.iter().filter(|other| other.table() == table);
    match (alike.next(), alike.next()) {
        (Some(only), None) => problem.label(format!("did you mean `{only}`?")),
        _ => problem,
    }
}

/// The columns of the result. View types of text and bytes become plain types, because they only concern
/// the engine.
fn schema(plan: &LogicalPlan) -> SchemaRef {
    let fields: Vec<FieldRef> = plan.schema().fields().iter().map(plain).collect();
    Arc::new(Schema::new(fields))
}

fn plain(field: &FieldRef) -> FieldRef {
    let data_type = plain_type(field.data_type());
    if &data_type == field.data_type() {
        return Arc::clone(field);
    }
    Arc::new(Field::clone(field).with_data_type(data_type))
}

pub(crate) fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::List(item) => DataType::List(plain(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain).collect()),
        other => other.clone(),
    }
}
