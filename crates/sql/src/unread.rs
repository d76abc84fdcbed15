//! Refuses the parts of a statement that the parser accepts and the planner does not read.
//!
//! Promise: what passes has no part that would be ignored, such as `TABLESAMPLE`, `FOR UPDATE`, `PREWHERE` or
//! `FILTER` of a scalar function. All fields of the syntax tree are named here, so that a new one of the
//! parser does not compile before somebody has decided about it. It reads syntax, and knows which functions
//! are aggregates; no table, no type. Read next: `statement.rs`, which calls it, `unread_calls.rs`.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    Cte, Expr, FunctionArg, GroupByExpr, Join, JoinConstraint, JoinOperator, LimitClause,
    PipeOperator, Query, Select, SelectFlavor, SetExpr, SetOperator, TableAlias, TableFactor,
    TableFunctionArgs, TableWithJoins, Visit, Visitor, With,
};

use crate::place;
use crate::problem::SqlProblem;
use crate::unread_calls;

/// What is not supported: its name, the word of the text at which it stands (the first one of several that is
/// there), and what to write in its place.
pub(crate) type Unread = (String, &'static str, &'static str);

/// Refuses a query or an expression with a part that the planner ignores. `sql` is the text of its positions.
pub(crate) fn refuse<V: Visit>(sql: &str, tree: &V) -> Result<(), SqlProblem> {
    match tree.visit(&mut Parts(sql)) {
        ControlFlow::Break(problem) => Err(problem),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Parts<'a>(&'a str);

impl Parts<'_> {
    fn place(&self, word: &str) -> Option<(usize, usize)> {
        match word {
            "" => None,
            word => place::of_word(self.0, word),
        }
    }

    fn judge(&self, found: Option<Unread>) -> ControlFlow<SqlProblem> {
        match found {
            None => ControlFlow::Continue(()),
            Some((what, word, help)) => {
                let problem = SqlProblem::new("M0311", format!("not supported: {what}"))
                    .at(word.split('|').find_map(|word| self.place(word)));
                ControlFlow::Break(match help {
                    "" => problem,
                    help => problem.help(help),
                })
            }
        }
    }
}

impl Visitor for Parts<'_> {
    type Break = SqlProblem;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<SqlProblem> {
        self.judge(of_query(query))
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<SqlProblem> {
        self.judge(of_select(select))
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<SqlProblem> {
        self.judge(of_factor(factor))
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<SqlProblem> {
        self.judge(unread_calls::of_expr(expr))
    }
}

pub(crate) fn unread(what: &str, word: &'static str, help: &'static str) -> Option<Unread> {
    Some((what.to_owned(), word, help))
}

fn of_query(query: &Query) -> Option<Unread> {
    let Query {
        with,
        body: _,
        order_by: _,
        limit_clause: _,
        fetch: _,
        locks,
        for_clause,
        settings,
        format_clause,
        pipe_operators,
    } = query;
    if !locks.is_empty() {
        return unread(
            "FOR UPDATE and FOR SHARE",
            "for",
            "leave it out: a query reads one version of each table, and nothing locks rows",
        );
    }
    if for_clause.is_some() {
        return unread("FOR JSON, FOR XML and FOR BROWSE", "for", "leave it out");
    }
    if settings.is_some() {
        return unread("SETTINGS", "settings", "leave it out");
    }
    if format_clause.is_some() {
        return unread(
            "FORMAT",
            "format",
            "leave it out; `--format` is an option of the command",
        );
    }
    with.as_ref()
        .and_then(of_with)
        .or_else(|| pipe_operators.iter().find_map(of_pipe))
}

fn of_with(with: &With) -> Option<Unread> {
    let With {
        with_token: _,
        recursive,
        cte_tables,
    } = with;
    cte_tables.iter().find_map(|cte| {
        let Cte {
            alias,
            query,
            from,
            // It has no effect on the rows.
            materialized: _,
            closing_paren_token: _,
        } = cte;
        if from.is_some() {
            return unread("FROM behind a CTE", "from", "name the table in the CTE's query");
        }
        of_alias(alias).or_else(|| match *recursive && ends_union(query) {
            true => unread(
                "WITH, ORDER BY, LIMIT or OFFSET of a UNION in WITH RECURSIVE",
                "union",
                "write it in the query that reads the CTE, or put the UNION in parentheses if it is not recursive",
            ),
            false => None,
        })
    })
}

/// A union with something around it that the planner of recursive queries does not read.
fn ends_union(query: &Query) -> bool {
    let is_union = matches!(
        query.body.as_ref(),
        SetExpr::SetOperation {
            op: SetOperator::Union,
            ..
        }
    );
    let limits = match &query.limit_clause {
        Some(LimitClause::LimitOffset {
            limit,
            offset,
            limit_by,
        }) => limit.is_some() || offset.is_some() || !limit_by.is_empty(),
        Some(LimitClause::OffsetCommaLimit { .. }) => true,
        None => false,
    };
    is_union
        && (limits || query.order_by.is_some() || query.fetch.is_some() || query.with.is_some())
}

fn of_pipe(operator: &PipeOperator) -> Option<Unread> {
    match operator {
        PipeOperator::Aggregate {
            full_table_exprs,
            group_by_expr,
        } => {
            let mut items = full_table_exprs.iter().chain(group_by_expr);
            let orders =
                |asc: &Option<bool>, nulls: &Option<bool>| asc.is_some() || nulls.is_some();
            match items.any(|item| orders(&item.order_by.asc, &item.order_by.nulls_first)) {
                true => unread(
                    "ASC and DESC in AGGREGATE",
                    "aggregate",
                    "write `|> ORDER BY …` after it",
                ),
                false => None,
            }
        }
        PipeOperator::Join(join) => of_join(join),
        _ => None,
    }
}

fn of_select(select: &Select) -> Option<Unread> {
    let Select {
        select_token: _,
        // A comment.
        optimizer_hints: _,
        distinct: _,
        select_modifiers,
        // The planner refuses TOP, LATERAL VIEW, CLUSTER BY and SORT BY.
        top: _,
        top_before_distinct: _,
        projection: _,
        exclude,
        into: _,
        from,
        lateral_views: _,
        prewhere,
        selection: _,
        connect_by,
        group_by,
        cluster_by: _,
        distribute_by,
        sort_by: _,
        having: _,
        named_window: _,
        qualify: _,
        window_before_qualify: _,
        value_table_mode,
        flavor,
    } = select;
    if prewhere.is_some() {
        return unread("PREWHERE", "prewhere", "write the condition in WHERE");
    }
    if !connect_by.is_empty() {
        return unread(
            "CONNECT BY and START WITH",
            "connect",
            "write `WITH RECURSIVE`",
        );
    }
    if !distribute_by.is_empty() {
        return unread("DISTRIBUTE BY", "distribute", "leave it out");
    }
    if select_modifiers.is_some() {
        return unread("a modifier of SELECT", "select", "leave it out");
    }
    if exclude.is_some() {
        return unread("EXCLUDE of a SELECT", "exclude", "write `* EXCLUDE (…)`");
    }
    if value_table_mode.is_some() {
        return unread(
            "SELECT AS STRUCT and SELECT AS VALUE",
            "as",
            "write `named_struct(…)`",
        );
    }
    let (GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers)) = group_by;
    if !modifiers.is_empty() {
        return unread(
            "WITH ROLLUP, WITH CUBE and WITH TOTALS",
            "with",
            "write `GROUP BY ROLLUP (…)` or `GROUP BY CUBE (…)`",
        );
    }
    if *flavor == SelectFlavor::FromFirstNoSelect {
        return unread("FROM without SELECT", "from", "write `SELECT * FROM …`");
    }
    from.iter().find_map(of_joins)
}

fn of_joins(from: &TableWithJoins) -> Option<Unread> {
    from.joins.iter().find_map(of_join)
}

fn of_join(join: &Join) -> Option<Unread> {
    let Join {
        relation: _,
        global,
        join_operator,
    } = join;
    if *global {
        return unread("GLOBAL JOIN", "global", "leave out GLOBAL");
    }
    match join_operator {
        JoinOperator::Join(_)
        | JoinOperator::Inner(_)
        | JoinOperator::Left(_)
        | JoinOperator::LeftOuter(_)
        | JoinOperator::Right(_)
        | JoinOperator::RightOuter(_)
        | JoinOperator::FullOuter(_)
        | JoinOperator::LeftSemi(_)
        | JoinOperator::RightSemi(_)
        | JoinOperator::LeftAnti(_)
        | JoinOperator::RightAnti(_)
        | JoinOperator::CrossJoin(JoinConstraint::None) => None,
        JoinOperator::CrossJoin(_) => {
            unread("CROSS JOIN with a condition", "cross", "write `JOIN … ON`")
        }
        JoinOperator::Semi(_) => unread("SEMI JOIN", "semi", "write `LEFT SEMI JOIN`"),
        JoinOperator::Anti(_) => unread("ANTI JOIN", "anti", "write `LEFT ANTI JOIN`"),
        JoinOperator::CrossApply | JoinOperator::OuterApply => {
            unread("CROSS APPLY and OUTER APPLY", "apply", "")
        }
        JoinOperator::AsOf { .. } => unread("ASOF JOIN", "asof", ""),
        JoinOperator::StraightJoin(_) => unread("STRAIGHT_JOIN", "straight_join", "write `JOIN`"),
        JoinOperator::ArrayJoin | JoinOperator::LeftArrayJoin | JoinOperator::InnerArrayJoin => {
            unread(
                "ARRAY JOIN",
                "array",
                "write `unnest(…)` in the select list",
            )
        }
    }
}

fn of_factor(factor: &TableFactor) -> Option<Unread> {
    match factor {
        TableFactor::Table { .. } => of_table(factor),
        TableFactor::Derived {
            lateral: _,
            subquery: _,
            alias,
            sample,
        } => of_sample(sample.is_some()).or_else(|| of_some_alias(alias.as_ref())),
        TableFactor::Function {
            lateral: _,
            name: _,
            args,
            with_ordinality,
            alias,
        } => {
            let named = |arg: &FunctionArg| !matches!(arg, FunctionArg::Unnamed(_));
            if args.iter().any(named) {
                return unread(
                    "names of arguments in FROM",
                    "lateral",
                    "give them by position",
                );
            }
            of_ordinality(*with_ordinality).or_else(|| of_some_alias(alias.as_ref()))
        }
        TableFactor::UNNEST {
            alias,
            array_exprs: _,
            // Refused by the planner.
            with_offset: _,
            with_offset_alias: _,
            with_ordinality: _,
        } => of_some_alias(alias.as_ref()),
        TableFactor::NestedJoin {
            table_with_joins,
            alias,
        } => of_joins(table_with_joins).or_else(|| of_some_alias(alias.as_ref())),
        TableFactor::TableFunction { .. } => unread(
            "TABLE(…)",
            "table",
            "write the function itself: `FROM generate_series(1, 3)`",
        ),
        TableFactor::JsonTable { .. } => unread("JSON_TABLE", "json_table", OF_JSON),
        TableFactor::OpenJsonTable { .. } => unread("OPENJSON", "openjson", OF_JSON),
        TableFactor::Pivot { .. } => unread(
            "PIVOT",
            "pivot",
            "write `sum(x) FILTER (WHERE kind = 'a') AS a` for each column",
        ),
        TableFactor::Unpivot { .. } => unread("UNPIVOT", "unpivot", "write `UNION ALL`"),
        TableFactor::MatchRecognize { .. } => unread("MATCH_RECOGNIZE", "match_recognize", ""),
        TableFactor::XmlTable { .. } => unread("XMLTABLE", "xmltable", ""),
        TableFactor::SemanticView { .. } => unread("SEMANTIC_VIEW", "semantic_view", ""),
    }
}

/// What stands in place of tables that are made of JSON.
const OF_JSON: &str = "write `json_array_elements(…)` in the select list";

fn of_table(factor: &TableFactor) -> Option<Unread> {
    let TableFactor::Table {
        name: _,
        alias,
        args,
        with_hints,
        version,
        with_ordinality,
        partitions,
        json_path,
        sample,
        index_hints,
    } = factor
    else {
        return None;
    };
    if !with_hints.is_empty() {
        return unread("WITH (…) behind a table", "with", "leave it out");
    }
    if version.is_some() {
        return unread(
            "a version of a table",
            "for",
            "write `at_version('TABLE', N)`",
        );
    }
    if !partitions.is_empty() {
        return unread("PARTITION", "partition", "write a condition in WHERE");
    }
    if json_path.is_some() {
        return unread(
            "a path behind a table",
            "from",
            "write it in the select list",
        );
    }
    if !index_hints.is_empty() {
        return unread("USE, IGNORE and FORCE INDEX", "index", "leave it out");
    }
    args.as_ref()
        .and_then(of_arguments)
        .or_else(|| of_ordinality(*with_ordinality))
        .or_else(|| of_sample(sample.is_some()))
        .or_else(|| of_some_alias(alias.as_ref()))
}

fn of_arguments(args: &TableFunctionArgs) -> Option<Unread> {
    let TableFunctionArgs { args: _, settings } = args;
    settings
        .as_ref()
        .and_then(|_| unread("SETTINGS", "settings", "leave it out"))
}

fn of_sample(sampled: bool) -> Option<Unread> {
    match sampled {
        true => unread(
            "TABLESAMPLE and SAMPLE",
            "tablesample|sample",
            "for a part of the rows write a condition: `WHERE id % 10 = 0`, `ORDER BY … LIMIT 100`",
        ),
        false => None,
    }
}

fn of_ordinality(numbered: bool) -> Option<Unread> {
    match numbered {
        true => unread(
            "WITH ORDINALITY",
            "ordinality",
            "number the rows in the select list: `row_number() OVER (…)`",
        ),
        false => None,
    }
}

fn of_some_alias(alias: Option<&TableAlias>) -> Option<Unread> {
    alias.and_then(of_alias)
}

fn of_alias(alias: &TableAlias) -> Option<Unread> {
    let TableAlias {
        explicit: _,
        name: _,
        columns,
        at,
    } = alias;
    if columns.iter().any(|column| column.data_type.is_some()) {
        return unread(
            "types in the list of columns behind a table",
            "from",
            "name only the columns, and cast them in the select list: `x::int`",
        );
    }
    at.as_ref()
        .and_then(|_| unread("AT behind a table", "at", "leave it out"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "tests")]

    #[test]
    fn parts_that_would_be_ignored_are_refused() {
        let mut failed = Vec::new();
        for (sql, said) in [
            (
                "select * from raw.a tablesample bernoulli (10)",
                "TABLESAMPLE",
            ),
            ("select * from raw.a sample 0.1", "SAMPLE"),
            (
                "select * from (select 1) x tablesample (1 rows)",
                "TABLESAMPLE",
            ),
            ("select x from raw.a where x = 1 for update", "FOR UPDATE"),
            (
                "select x from (select x from raw.a for share) b",
                "FOR SHARE",
            ),
            ("select x from raw.a for json auto", "FOR JSON"),
            ("select x from raw.a limit 1 format json", "FORMAT"),
            ("select x from raw.a settings s = 1", "SETTINGS"),
            ("select x from raw.a prewhere x = 1", "PREWHERE"),
            ("select x from raw.a connect by x = 1", "CONNECT BY"),
            ("select x from raw.a distribute by x", "DISTRIBUTE BY"),
            (
                "select x, count(*) from raw.a group by x with rollup",
                "WITH ROLLUP",
            ),
            (
                "select x, count(*) from raw.a group by all with cube",
                "WITH CUBE",
            ),
            ("from raw.a", "FROM without SELECT"),
            ("select x from raw.a with (nolock)", "WITH (…)"),
            ("select x from raw.a partition (p0)", "PARTITION"),
            (
                "select * from generate_series(1, 2) with ordinality",
                "WITH ORDINALITY",
            ),
            ("select x from (values (1)) v(x int)", "types in the list"),
            (
                "select * from raw.a global join raw.b using (x)",
                "GLOBAL JOIN",
            ),
            ("select * from raw.a semi join raw.b using (x)", "SEMI JOIN"),
            (
                "with recursive r(n) as (select 1 union all select n + 1 from r limit 3) select * from r",
                "WITH RECURSIVE",
            ),
            (
                "select x from raw.a |> aggregate count(*) group by x desc",
                "AGGREGATE",
            ),
            ("select upper(x) over () from raw.a", "OVER of `upper`"),
            (
                "select upper(x) filter (where false) from raw.a",
                "FILTER of `upper`",
            ),
            ("select upper(distinct x) from raw.a", "DISTINCT of `upper`"),
            (
                "select coalesce(x order by y) from raw.a",
                "ORDER BY of `coalesce`",
            ),
            (
                "select upper(x) within group (order by y) from raw.a",
                "WITHIN GROUP of `upper`",
            ),
            (
                "select 1 where upper(x) ignore nulls = 'A'",
                "IGNORE NULLS of `upper`",
            ),
            (
                "select row_number() ignore nulls over () from raw.a",
                "IGNORE NULLS of `row_number`",
            ),
            (
                "select quantile_cont(0.5)(x) from raw.a",
                "two lists of arguments",
            ),
            (
                "select array(select x from raw.a)",
                "a query as the only argument",
            ),
            (
                "select x from raw.a order by x collate \"de_DE\"",
                "COLLATE",
            ),
            ("select substring(x from '[0-9]+') from raw.a", "SUBSTRING"),
            (
                "select x from raw.a where (x, y) in (select 1, 2)",
                "IN (SELECT",
            ),
        ] {
            match crate::query(sql) {
                Ok(_) => failed.push(format!("{sql}: accepted")),
                Err(problem) if problem.message.contains(said) && problem.offset.is_some() => {}
                Err(problem) => failed.push(format!("{sql}: {problem:?}")),
            }
        }
        assert!(failed.is_empty(), "{failed:#?}");
    }

    #[test]
    fn what_the_planner_reads_passes() {
        for sql in [
            "select count(*) from raw.orders final",
            "with recursive r(n) as (select 1 union all select n + 1 from r where n < 5) select * from r limit 3",
            "with x as (select 1 union select 2 limit 1) select * from x",
            "select lag(x) ignore nulls over (order by x), first_value(x) ignore nulls over () from raw.a",
            "select sum(x) filter (where y) over (order by x), count(distinct x) from raw.a",
            "select percentile_cont(0.5) within group (order by x), string_agg(x, ',' order by y) from raw.a",
            "select * from raw.a left semi join raw.b using (x) cross join raw.c",
            "from raw.a select x",
            "select substring(x from 2 for 3) from raw.a order by x collate \"C\"",
        ] {
            if let Err(problem) = crate::query(sql) {
                panic!("{sql}: {problem:?}");
            }
        }
    }
}
