//! Compiles SQL expressions over one batch: for `set:`, `where:`, rules and checks.
//!
//! Promise: an expression is parsed, resolved, type-coerced and simplified once. Evaluating it is one pass
//! over the columns it reads, and always gives one value per row. NULL behaves as in SQL. Integer
//! arithmetic that overflows is an error, never a wrapped number. It knows no table; subqueries in an
//! expression are refused. Read next: `query.rs`.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, SchemaRef};
use datafusion::common::{DFSchemaRef, DataFusionError};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use towpath_ports::{ExpressionCompiler, Result, RowExpression};
use towpath_sql::SqlProblem;
use towpath_vocab::{Failure, Remedy};

use crate::session::Engine;
use crate::session::border::{plain_array, plain_type};
use crate::session::exact::exact;
use crate::session::failure::{arrow_failure, failure};
use crate::session::settings;
use crate::session::statement::from_problem;

/// The longest part of an expression in a message.
const SPOKEN_CHARS: usize = 120;

impl ExpressionCompiler for Engine {
    fn compile(&self, expression: &str, schema: &SchemaRef) -> Result<Arc<dyn RowExpression>> {
        let compiled = compile(self.bare_session(), expression, schema)?;
        Ok(Arc::new(compiled))
    }

    fn in_own_names(&self, expression: &str, schema: &SchemaRef) -> Result<String> {
        towpath_sql::in_own_names(expression, schema)
            .map_err(|problem| expression_failure(expression, &problem))
    }
}

/// What a run says about a problem that `sql` found in an expression.
pub fn expression_failure(expression: &str, problem: &SqlProblem) -> Failure {
    from_problem(
        &subject(expression),
        expression,
        std::slice::from_ref(problem),
    )
}

/// A compiled expression.
#[derive(Debug)]
struct Compiled {
    subject: String,
    physical: Arc<dyn PhysicalExpr>,
    input: SchemaRef,
    used: Vec<usize>,
    data_type: DataType,
}

fn compile(mut session: SessionState, text: &str, schema: &SchemaRef) -> Result<Compiled> {
    let subject = subject(text);
    let fail = |error| failure(&subject, &error);
    settings::begin(&mut session);
    let planned = towpath_sql::plan_expression(text, schema)
        .map_err(|problem| expression_failure(text, &problem))?;
    let exact = exact(planned.expr, &planned.schema).map_err(fail)?;
    let simplified = simplify(&session, exact, &planned.schema).map_err(fail)?;
    let physical = session
        .create_physical_expr(simplified, &planned.schema)
        .map_err(fail)?;
    let inner = physical.data_type(schema).map_err(fail)?;
    let mut used: Vec<usize> = collect_columns(&physical)
        .iter()
        .map(Column::index)
        .collect();
    used.sort_unstable();
    Ok(Compiled {
        data_type: plain_type(&inner),
        physical,
        input: Arc::clone(schema),
        used,
        subject,
    })
}

fn subject(text: &str) -> String {
    let short: String = text.trim().chars().take(SPOKEN_CHARS).collect();
    let more = if text.trim().chars().count() > SPOKEN_CHARS {
        "..."
    } else {
        ""
    };
    format!("expression `{short}{more}`")
}

fn simplify(
    session: &SessionState,
    expression: Expr,
    columns: &DFSchemaRef,
) -> Result<Expr, DataFusionError> {
    let context = SimplifyContext::builder()
        .with_schema(Arc::clone(columns))
        .with_config_options(Arc::clone(session.config_options()))
        .with_query_execution_start_time(session.execution_props().query_execution_start_time)
        .build();
    ExprSimplifier::new(context).simplify(expression)
}

impl RowExpression for Compiled {
    fn data_type(&self) -> &DataType {
        &self.data_type
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        self.expect_columns(batch)?;
        let value = self
            .physical
            .evaluate(batch)
            .map_err(|error| failure(&self.subject, &error))?;
        let array = value
            .into_array(batch.num_rows())
            .map_err(|error| failure(&self.subject, &error))?;
        if array.len() != batch.num_rows() {
            return Err(Failure::new(
                "R0515",
                Remedy::Bug,
                format!(
                    "{} gave {} values for {} rows",
                    self.subject,
                    array.len(),
                    batch.num_rows()
                ),
            ));
        }
        plain_array(&array, &self.data_type).map_err(|error| arrow_failure(&self.subject, &error))
    }
}

impl Compiled {
    /// Checks the columns of a batch: they are addressed by position, so a batch with other columns must
    /// not be evaluated.
    fn expect_columns(&self, batch: &RecordBatch) -> Result<()> {
        let given = batch.schema_ref();
        if Arc::ptr_eq(given, &self.input) {
            return Ok(());
        }
        let wrong = self.used.iter().find(|index| {
            let wanted = self.input.field(**index);
            let field = given.fields().get(**index);
            field.is_none_or(|field| {
                field.name() != wanted.name() || field.data_type() != wanted.data_type()
            })
        });
        match wrong {
            None => Ok(()),
            Some(index) => Err(Failure::new(
                "R0515",
                Remedy::Bug,
                format!(
                    "{} was compiled for other columns: `{}` is missing",
                    self.subject,
                    self.input.field(*index).name()
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "tests"
    )]
    use arrow_array::BooleanArray;
    use towpath_vocab::types;

    use super::*;
    use crate::session::fixture::{
        Fixture, batch, dates, decimals, floats, instants, ints, text_rows, texts,
    };

    fn rows() -> RecordBatch {
        batch(vec![
            ("id", ints(vec![Some(1), None, Some(i64::MAX)])),
            ("price", decimals(vec![Some(1_999), Some(-5), None], 10, 2)),
            ("name", texts(vec![Some(" Ada "), None, Some("Bob")])),
            ("ratio", floats(vec![Some(0.5), Some(f64::NAN), None])),
            ("day", dates(vec![Some(15_706), None, Some(0)])),
            (
                "at",
                instants(vec![Some(1_356_998_400_000_000), None, Some(0)]),
            ),
        ])
    }

    fn values(text: &str) -> (DataType, Vec<String>) {
        let rows = rows();
        let compiled = Fixture::new().engine.compile(text, &rows.schema()).unwrap();
        let array = compiled.evaluate(&rows).unwrap();
        assert_eq!(array.len(), rows.num_rows(), "{text}");
        assert_eq!(array.data_type(), compiled.data_type(), "{text}");
        (
            compiled.data_type().clone(),
            text_rows(&[batch(vec![("v", array)])]),
        )
    }

    fn refusal(text: &str) -> Failure {
        match Fixture::new().engine.compile(text, &rows().schema()) {
            Ok(_) => panic!("{text} was compiled"),
            Err(failure) => failure,
        }
    }

    #[test]
    fn nulls_behave_as_sql_says() {
        assert_eq!(values("id is null").1, ["false", "true", "false"]);
        assert_eq!(
            values("id = 1 or name is null").1,
            ["true", "true", "false"]
        );
        assert_eq!(values("id <> 1").1, ["false", "-", "true"]);
        assert_eq!(values("name in ('Bob', null)").1, ["-", "-", "true"]);
        assert_eq!(
            values("coalesce(name, 'nobody')").1,
            [" Ada ", "nobody", "Bob"]
        );
        assert_eq!(values("null").0, DataType::Utf8);
    }

    #[test]
    fn types_stay_exact() {
        assert_eq!(values("price * 2").1, ["39.98", "-0.10", "-"]);
        assert_eq!(values("price > 19.98").1, ["true", "false", "-"]);
        assert_eq!(
            values("lower(trim(name))"),
            (
                DataType::Utf8,
                vec!["ada".to_owned(), "-".to_owned(), "bob".to_owned()]
            )
        );
        assert_eq!(
            values("regexp_replace(name, '[^a-z]', '', 'g')").1,
            ["da", "-", "ob"]
        );
        assert_eq!(
            values("ratio is not null and isnan(ratio)").1,
            ["false", "true", "false"]
        );
        assert_eq!(values("day >= date '2013-01-01'").1, ["true", "-", "false"]);
        assert_eq!(
            values("date_trunc('month', at)"),
            (
                types::instant(),
                vec![
                    "2013-01-01T00:00:00Z".to_owned(),
                    "-".to_owned(),
                    "1970-01-01T00:00:00Z".to_owned()
                ]
            )
        );
        assert_eq!(
            values("case when id = 1 then 'one' else 'more' end").1,
            ["one", "more", "more"]
        );
        assert_eq!(values("'x' || 1").1, ["x1", "x1", "x1"]);
    }

    #[test]
    fn constants_have_one_value_per_row() {
        assert_eq!(values("1 + 1").1, ["2", "2", "2"]);
        let compiled = Fixture::new()
            .engine
            .compile("true", &rows().schema())
            .unwrap();
        let none = rows().slice(0, 0);
        assert_eq!(
            compiled.evaluate(&none).unwrap().as_ref(),
            &BooleanArray::from(Vec::<bool>::new())
        );
    }

    #[test]
    fn overflow_and_bad_casts_are_about_data() {
        for text in [
            "id + 1",
            "id * 3",
            "name::int",
            "1 / (id - id)",
            "case when id = 1 then id * 9223372036854775807 * 2 else 0 end",
            "9223372036854775807 + 1",
            "-9223372036854775808 * -1",
            "-(id - id - 9223372036854775807 - 1)",
            "price * '99999999999999999999999999999999999999'::decimal(38,0)",
        ] {
            let rows = rows();
            let compiled = Fixture::new().engine.compile(text, &rows.schema()).unwrap();
            let failure = compiled.evaluate(&rows).unwrap_err();
            assert_eq!(
                (failure.code.as_str(), failure.remedy),
                ("R0508", Remedy::FixData),
                "{text}: {failure}"
            );
            assert!(failure.message.contains(text), "{failure}");
        }
        assert_eq!(values("try_cast(name as int)").1, ["-", "-", "-"]);
    }

    #[test]
    fn what_is_no_expression_is_refused_with_a_way_out() {
        let column = refusal("lower(nmae)");
        assert_eq!(
            (column.code.as_str(), column.remedy),
            ("R0503", Remedy::FixConfig)
        );
        assert!(
            column.help.iter().any(|line| line.contains("`name`")),
            "{:?}",
            column.help
        );
        for text in [
            "id +",
            "id id id",
            "sum(id)",
            "(select 1)",
            "row_number() over ()",
            "id; drop table x",
            "lower(id, 3)",
        ] {
            assert_eq!(refusal(text).remedy, Remedy::FixConfig, "{text}");
        }
    }

    #[test]
    fn batches_with_other_columns_are_not_read_by_mistake() {
        let rows = rows();
        let compiled = Fixture::new()
            .engine
            .compile("name", &rows.schema())
            .unwrap();
        let swapped = rows.project(&[2, 1, 0]).unwrap();
        assert_eq!(compiled.evaluate(&swapped).unwrap_err().remedy, Remedy::Bug);
        let cut = rows.project(&[0, 1, 2]).unwrap();
        assert_eq!(compiled.evaluate(&cut).unwrap().len(), 3);
    }
}
