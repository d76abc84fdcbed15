//! Parses one statement, and refuses it unless it only reads.
//!
//! Promise: exactly one statement passes, and only `SELECT`, `WITH`, `VALUES`, `EXPLAIN`, `DESCRIBE` and
//! `SHOW`. Anything else is refused before planning, with an alternative. It knows no table: names are
//! resolved in `catalog.rs`.

use datafusion::common::DataFusionError;
use datafusion::execution::session_state::SessionState;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{
    Ident, ObjectName, ObjectNamePart, Statement as Sql, TableAlias, TableFactor, VisitMut,
    VisitorMut,
};
use towpath_sql::SqlProblem;
use towpath_vocab::{Failure, Remedy};

/// Parses one reading statement, and rewrites it as `sql` does before its analysis.
pub(crate) fn parse(subject: &str, sql: &str, state: &SessionState) -> Result<Statement, Failure> {
    towpath_sql::check_text(sql).map_err(|problem| from_problem(subject, sql, &[problem]))?;
    let limit = state.config().options().sql_parser.recursion_limit.get();
    let mut statements = DFParserBuilder::new(sql)
        .with_dialect(&towpath_sql::SQL_DIALECT)
        .with_recursion_limit(limit)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|_| match towpath_sql::query(sql) {
            Err(problem) => from_problem(subject, sql, &[problem]),
            Ok(_) => Failure::new(
                "R0501",
                Remedy::FixConfig,
                format!("{subject} is nested too deeply"),
            ),
        })?;
    match (statements.pop_front(), statements.len()) {
        // Positions in messages are those of the given text.
        (Some(Statement::Statement(only)), 0) if matches!(*only, Sql::Query(_)) => {
            query(subject, sql, sql)
        }
        (Some(statement), 0) => reading(subject, sql, statement),
        (Some(_), more) => Err(Failure::new(
            "R0506",
            Remedy::FixConfig,
            format!("{subject} has {} statements", more + 1),
        )
        .help("write one statement; a trailing `;` is fine")),
        (None, _) => Err(Failure::new(
            "R0501",
            Remedy::FixConfig,
            format!("{subject} has no statement"),
        )),
    }
}

/// The nesting depth of a statement.
pub(crate) fn depth(statement: &Statement) -> usize {
    match statement {
        Statement::Statement(sql) => towpath_sql::depth(sql).unwrap_or(towpath_sql::DEEPEST),
        Statement::Explain(explain) => depth(&explain.statement),
        _ => 0,
    }
}

/// The failure of a statement that nests too deeply with the views that it reads.
pub(crate) fn too_deep(subject: &str, views: usize) -> Failure {
    let message = format!("{subject} nests too deeply, together with the views that it reads");
    Failure::new("R0524", Remedy::FixConfig, message).help(match views {
        0 => "make one of the views a table: `materialized: table`".to_owned(),
        views => format!(
            "it is read through {views} views: make one of them a table (`materialized: table`)"
        ),
    })
}

fn query(subject: &str, text: &str, sql: &str) -> Result<Statement, Failure> {
    towpath_sql::query(sql).map_err(|problem| match problem.code {
        "M0306" if problem.message.contains("SELECT-INTO") => refused(subject, "SELECT INTO"),
        "M0306" => refused(subject, sql),
        _ => from_problem(subject, text, &[problem]),
    })
}

fn reading(subject: &str, text: &str, statement: Statement) -> Result<Statement, Failure> {
    match statement {
        Statement::Statement(sql) => {
            reading_sql(subject, text, *sql).map(|sql| Statement::Statement(Box::new(sql)))
        }
        Statement::Explain(mut explain) => {
            explain.statement = Box::new(reading(subject, text, *explain.statement)?);
            Ok(Statement::Explain(explain))
        }
        other => Err(refused(subject, &other.to_string())),
    }
}

fn reading_sql(subject: &str, text: &str, statement: Sql) -> Result<Sql, Failure> {
    match statement {
        Sql::Query(inner) => match query(subject, text, &inner.to_string())? {
            Statement::Statement(mended) => Ok(*mended),
            other => Err(refused(subject, &other.to_string())),
        },
        Sql::ExplainTable { .. }
        | Sql::ShowTables { .. }
        | Sql::ShowColumns { .. }
        | Sql::ShowFunctions { .. }
        | Sql::ShowVariable { .. }
        | Sql::ShowCreate { .. } => Ok(statement),
        Sql::Explain {
            describe_alias,
            analyze,
            verbose,
            query_plan,
            estimate,
            statement,
            format,
            options,
        } => {
            let statement = Box::new(reading_sql(subject, text, *statement)?);
            Ok(Sql::Explain {
                describe_alias,
                analyze,
                verbose,
                query_plan,
                estimate,
                statement,
                format,
                options,
            })
        }
        other => Err(refused(subject, &other.to_string())),
    }
}

/// The problems that `sql` found in a text, as one failure: the first one, with the others as help.
pub(crate) fn from_problem(subject: &str, text: &str, problems: &[SqlProblem]) -> Failure {
    let Some((first, others)) = problems.split_first() else {
        return Failure::new("R0510", Remedy::FixConfig, format!("{subject} is wrong"));
    };
    let code = match first.code {
        "M0301" => "R0503",
        "M0302" | "M0303" => "R0502",
        "M0305" => "R0501",
        "M0306" => "R0505",
        "M0307" => "R0504",
        "M0309" => "R0521",
        "M0311" => "R0509",
        "M0313" => "R0524",
        _ => "R0510",
    };
    let message = format!("{subject}{}: {}", place(text, first), first.message);
    let mut failure = Failure::new(code, Remedy::FixConfig, message);
    for line in first
        .label
        .iter()
        .filter(|label| *label != "here")
        .chain(&first.help)
    {
        failure = failure.help(line.clone());
    }
    for other in others {
        failure = failure.help(format!("and{}: {}", place(text, other), other.message));
    }
    failure
}

/// ` (line 3)` for a text with several lines.
fn place(text: &str, problem: &SqlProblem) -> String {
    match problem.offset.and_then(|(start, _)| text.get(..start)) {
        Some(before) if text.trim().contains('\n') => {
            format!(" (line {})", before.matches('\n').count() + 1)
        }
        _ => String::new(),
    }
}

fn refused(subject: &str, text: &str) -> Failure {
    let verb: Vec<&str> = text
        .split_whitespace()
        .take(2)
        .filter(|word| word.chars().all(char::is_alphabetic))
        .collect();
    Failure::new(
        "R0505",
        Remedy::Refused,
        format!(
            "{subject} is `{}`, and only queries are allowed here",
            verb.join(" ").to_uppercase()
        ),
    )
    .help("queries only read: `select`, `with`, `values`, `explain`, `describe`, `show tables`")
    .help("tables are written by pipelines: a `load:` step, or a model in `models/`")
}

/// A table at an older version: `at_version('raw.flights', 3)` in place of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OldVersion {
    /// The table, as it was written.
    pub(crate) table: String,
    /// The version.
    pub(crate) version: u64,
}

/// The schema into which `at_version` is rewritten.
pub(crate) const AT_VERSION: &str = "at_version";

/// Rewrites each `at_version('schema.table', N)` into a table `at_version."schema.table@N"`, with the alias
/// `table` unless it has one.
///
/// # Errors
/// R0510 if the arguments are not a name and a number.
pub(crate) fn rewrite_old_versions(
    subject: &str,
    statement: &mut Statement,
) -> Result<Vec<OldVersion>, Failure> {
    let mut visitor = OldVersions {
        found: Vec::new(),
        wrong: false,
    };
    let inner = match statement {
        Statement::Statement(sql) => sql.as_mut(),
        Statement::Explain(explain) => match explain.statement.as_mut() {
            Statement::Statement(sql) => sql.as_mut(),
            _ => return Ok(Vec::new()),
        },
        _ => return Ok(Vec::new()),
    };
    let _ = inner.visit(&mut visitor);
    if visitor.wrong {
        return Err(Failure::new(
            "R0510",
            Remedy::FixConfig,
            format!("{subject} calls `at_version` without a table and a version"),
        )
        .help(
            "write `at_version('raw.flights', 3)`; `towpath lake history TABLE` lists versions",
        ));
    }
    Ok(visitor.found)
}

struct OldVersions {
    found: Vec<OldVersion>,
    wrong: bool,
}

impl VisitorMut for OldVersions {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> std::ops::ControlFlow<()> {
        let TableFactor::Table {
            name, args, alias, ..
        } = factor
        else {
            return std::ops::ControlFlow::Continue(());
        };
        let Some(arguments) = args.as_ref() else {
            return std::ops::ControlFlow::Continue(());
        };
        if !name.to_string().eq_ignore_ascii_case(AT_VERSION) {
            return std::ops::ControlFlow::Continue(());
        }
        let words: Vec<String> = arguments.args.iter().map(ToString::to_string).collect();
        let parsed = match words.as_slice() {
            [table, version] => table
                .strip_prefix('\'')
                .and_then(|rest| rest.strip_suffix('\''))
                .zip(version.parse::<u64>().ok()),
            _ => None,
        };
        let Some((table, version)) = parsed else {
            self.wrong = true;
            return std::ops::ControlFlow::Break(());
        };
        let known_as = table.rsplit('.').next().unwrap_or(table).to_owned();
        alias.get_or_insert_with(|| TableAlias {
            explicit: true,
            name: Ident::with_quote('"', known_as),
            columns: Vec::new(),
            at: None,
        });
        let found = OldVersion {
            table: table.to_owned(),
            version,
        };
        *name = ObjectName(vec![
            ObjectNamePart::Identifier(Ident::with_quote('"', AT_VERSION)),
            ObjectNamePart::Identifier(Ident::with_quote('"', found.to_string())),
        ]);
        *args = None;
        self.found.push(found);
        std::ops::ControlFlow::Continue(())
    }
}

impl std::fmt::Display for OldVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.table, self.version)
    }
}

/// Wraps a failure so that it can pass through DataFusion.
pub(crate) fn carried(failure: Failure) -> DataFusionError {
    DataFusionError::External(Box::new(failure))
}
