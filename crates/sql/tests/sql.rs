//! Statements and their verdicts: types, lineage, mistakes with their positions, what cannot be known.
#![allow(clippy::too_many_lines, reason = "lists of cases")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use towpath_sql::{Analysis, AnalysisResult, SqlProblem, TableLookup, analyze, expression, inputs};
use towpath_vocab::{EdgeKind, TableName, types};

/// Tables of a small shop. `raw.mystery` exists and its columns are not known.
struct Shop {
    tables: BTreeMap<TableName, SchemaRef>,
    known: Vec<TableName>,
}

fn shop() -> Shop {
    let day = DataType::Timestamp(TimeUnit::Microsecond, None);
    let tags = DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)));
    let address = DataType::Struct(
        vec![
            Field::new("city", DataType::Utf8, true),
            Field::new("zip", DataType::Utf8, true),
        ]
        .into(),
    );
    let table = |fields: &[(&str, DataType)]| {
        Arc::new(Schema::new(
            fields
                .iter()
                .map(|(n, t)| Field::new(*n, t.clone(), true))
                .collect::<Vec<_>>(),
        ))
    };
    let tables = BTreeMap::from([
        (
            TableName::new("raw", "orders"),
            table(&[
                ("order_id", DataType::Int64),
                ("customer_id", DataType::Int64),
                ("total", DataType::Decimal128(10, 2)),
                ("status", DataType::Utf8),
                ("updated_at", day.clone()),
            ]),
        ),
        (
            TableName::new("raw", "customers"),
            table(&[
                ("customer_id", DataType::Int64),
                ("email", DataType::Utf8),
                ("country", DataType::Utf8),
                ("tags", tags),
                ("address", address),
                ("Strange Name", DataType::Int32),
            ]),
        ),
        (
            TableName::new("raw", "edges"),
            table(&[("parent", DataType::Int64), ("child", DataType::Int64)]),
        ),
        (
            TableName::new("Mixed", "Case"),
            table(&[("id", DataType::Int32)]),
        ),
    ]);
    let mut known: Vec<TableName> = tables.keys().cloned().collect();
    known.push(TableName::new("raw", "mystery"));
    Shop { tables, known }
}

impl TableLookup for Shop {
    fn columns(&self, table: &TableName) -> Option<SchemaRef> {
        self.tables.get(table).cloned()
    }

    fn known(&self) -> Vec<TableName> {
        self.known.clone()
    }
}

fn proven(sql: &str) -> Analysis {
    match analyze(sql, &shop()) {
        AnalysisResult::Proven(analysis) => analysis,
        other => panic!("{sql}: {other:#?}"),
    }
}

fn wrong(sql: &str) -> Vec<SqlProblem> {
    match analyze(sql, &shop()) {
        AnalysisResult::Wrong(problems) => problems,
        other => panic!("{sql}: {other:#?}"),
    }
}

fn unknown(sql: &str) -> String {
    match analyze(sql, &shop()) {
        AnalysisResult::Unknown { why, .. } => why,
        other => panic!("{sql}: {other:#?}"),
    }
}

/// `name type, …`
fn columns(sql: &str) -> String {
    let analysis = proven(sql);
    let each = analysis
        .schema
        .fields()
        .iter()
        .map(|f| format!("{} {}", f.name(), types::name(f.data_type())));
    each.collect::<Vec<_>>().join(", ")
}

fn short(influence: EdgeKind) -> &'static str {
    match influence {
        EdgeKind::Identity => "is",
        EdgeKind::Transformation => "computed",
        EdgeKind::Aggregation => "aggregated",
        EdgeKind::Conditional => "conditional",
        EdgeKind::Filter => "filter",
        EdgeKind::Join => "join",
        EdgeKind::GroupBy => "group",
        EdgeKind::Sort => "sort",
        EdgeKind::Window => "window",
    }
}

/// One line per target: `target: influence table.column …`, `*` for the rows as a whole.
fn lineage(sql: &str) -> String {
    let analysis = proven(sql);
    assert!(!analysis.lineage.partial, "{sql}: partial");
    let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for edge in &analysis.lineage.edges {
        assert_eq!(edge.to.table, "");
        let to = if edge.to.column.is_empty() {
            "*"
        } else {
            &edge.to.column
        };
        let from = edge
            .from
            .table
            .strip_prefix("raw.")
            .unwrap_or(&edge.from.table);
        let text = format!("{} {from}.{}", short(edge.influence), edge.from.column);
        lines.entry(to.to_owned()).or_default().push(text);
    }
    lines
        .into_iter()
        .map(|(to, from)| format!("{to}: {}", from.join(", ")))
        .collect::<Vec<_>>()
        .join("\n")
}

#[track_caller]
fn same(found: &str, expected: &str) {
    let expected: Vec<&str> = expected
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    assert_eq!(found, expected.join("\n"));
}

#[test]
fn types_are_those_after_coercion() {
    for (sql, expected) in [
        (
            "select * from raw.orders",
            "order_id bigint, customer_id bigint, total decimal(10,2), status text, updated_at timestamp",
        ),
        (
            "select order_id::int a, 1 b, 1.5 c, 'x' d, total * 2 e from raw.orders",
            "a int, b bigint, c double, d text, e decimal(31,2)",
        ),
        (
            "select count(*) n, sum(total) s, avg(order_id) a, max(status) m from raw.orders",
            "n bigint, s decimal(20,2), a double, m text",
        ),
        (
            "select date_trunc('day', updated_at) d, extract(year from updated_at) y from raw.orders",
            "d timestamp, y int",
        ),
        (
            "select upper(status) || '!' as u, coalesce(status, 'x') c from raw.orders",
            "u text, c text",
        ),
        (
            "select total / 3 a, total / 1.5 b, avg(total) over () c, total / order_id * total d, order_id::numeric e, total::numeric f, 2.5::numeric g from raw.orders",
            "a decimal(28,20), b decimal(29,20), c decimal(28,20), d decimal(38,22), e decimal(38,10), f decimal(10,2), g decimal(38,10)",
        ),
        (
            "select order_id from raw.orders union all select 1.5",
            "order_id double",
        ),
        (
            "select address['city'] city, tags[1] t from raw.customers",
            "city text, t text",
        ),
        (
            "select customers.address.zip from raw.customers",
            "zip text",
        ),
        (
            "select \"Strange Name\" + 1 as x from raw.customers",
            "x bigint",
        ),
        ("select id from mixed.case", "id int"),
        ("select value from generate_series(1, 3)", "value bigint"),
        (
            "select iff(order_id > 1, 1, 2.5) a, zeroifnull(total) b, safe_divide(total, 0) c, nvl(status, 'x') d, ifnull(status, 'y') e from raw.orders",
            "a double, b decimal(10,2), c double, d text, e text",
        ),
        (
            "select dateadd(day, 3, updated_at) a, datediff(month, updated_at, now()) b, last_day(updated_at) c from raw.orders",
            "a timestamp, b bigint, c date",
        ),
        (
            "select * exclude (tags, address, \"Strange Name\") from raw.customers",
            "customer_id bigint, email text, country text",
        ),
        (
            "select * except (tags, address, \"Strange Name\", email) from raw.customers",
            "customer_id bigint, country text",
        ),
        (
            "select status, count(*) n from raw.orders group by all;",
            "status text, n bigint",
        ),
        ("select try_cast(status as int) i from raw.orders", "i int"),
        (
            "select * from (values (1, 'a'), (2, 'b')) t(x, y)",
            "x bigint, y text",
        ),
    ] {
        assert_eq!(columns(sql), expected, "{sql}");
    }
}

#[test]
fn inputs_are_tables_not_ctes() {
    let names = |sql: &str| {
        inputs(sql)
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        names(
            "with raw_orders as (select * from raw.orders) select * from raw_orders, \"Other\".T x"
        ),
        "Other.t raw.orders"
    );
    assert_eq!(
        names("with t as (select 1) select * from t where exists (select 1 from a.b)"),
        "a.b"
    );
    assert_eq!(names("select * from generate_series(1, 2)"), "");
    assert_eq!(inputs("select * from orders").unwrap_err().code, "M0303");
}

#[test]
fn lineage_of_plain_columns() {
    same(
        &lineage(
            "select order_id as id, total * 2 double, 7 seven, status::varchar s from raw.orders o where o.customer_id > 5 order by updated_at limit 3",
        ),
        "*: filter orders.customer_id, sort orders.updated_at
         double: computed orders.total
         id: is orders.order_id
         s: computed orders.status",
    );
    same(
        &lineage("select * from raw.edges"),
        "child: is edges.child\nparent: is edges.parent",
    );
    same(
        &lineage("select e.child as a, e.child as b from raw.edges e"),
        "a: is edges.child\nb: is edges.child",
    );
}

#[test]
fn lineage_through_ctes_and_joins() {
    same(
        &lineage(
            "with paid as (select customer_id, total from raw.orders where status = 'paid'),
                  c as (select customer_id as id, email from raw.customers)
             select c.email, sum(paid.total) as spent from c left join paid on paid.customer_id = c.id group by c.email having count(*) > 1",
        ),
        "*: filter customers., filter customers.customer_id, join customers.customer_id, group customers.email, filter orders., filter orders.customer_id, join orders.customer_id, filter orders.status
         email: is customers.email
         spent: aggregated orders.total",
    );
}

#[test]
fn lineage_of_using_and_self_joins() {
    same(
        &lineage(
            "select * from raw.orders join (select customer_id, email from raw.customers) c using (customer_id)",
        ),
        "*: join customers.customer_id, join orders.customer_id
         customer_id: is customers.customer_id
         email: is customers.email
         order_id: is orders.order_id
         status: is orders.status
         total: is orders.total
         updated_at: is orders.updated_at",
    );
    same(
        &lineage(
            "select customer_id, email from raw.orders full join raw.customers c using (customer_id)",
        ),
        "*: join customers.customer_id, join orders.customer_id
         customer_id: computed customers.customer_id, computed orders.customer_id, conditional orders.customer_id
         email: is customers.email",
    );
    same(
        &lineage(
            "select a.parent, b.child from raw.edges a join raw.edges b on a.child = b.parent and b.child > 3",
        ),
        "*: join edges.child, join edges.parent
         child: is edges.child
         parent: is edges.parent",
    );
}

#[test]
fn lineage_of_aggregates() {
    same(
        &lineage(
            "select status, count(*) n, count(distinct customer_id) c, sum(total) filter (where updated_at is not null) s from raw.orders group by status",
        ),
        "*: group orders.status
         c: aggregated orders.customer_id
         n: aggregated orders.
         s: aggregated orders.total, filter orders.updated_at
         status: is orders.status",
    );
    same(
        &lineage(
            "select status, customer_id, sum(total) t from raw.orders group by rollup(status, customer_id)",
        ),
        "*: group orders.customer_id, group orders.status
         customer_id: is orders.customer_id
         status: is orders.status
         t: aggregated orders.total",
    );
    same(
        &lineage("select total * 2 d, count(*) n from raw.orders group by rollup(total * 2)"),
        "*: group orders.total
         d: computed orders.total
         n: aggregated orders.",
    );
    same(
        &lineage("select string_agg(status, ',' order by updated_at) s from raw.orders"),
        "s: aggregated orders.status, sort orders.updated_at",
    );
}

#[test]
fn lineage_of_windows() {
    same(
        &lineage(
            "select order_id, sum(total) over (partition by customer_id order by updated_at) running, row_number() over (order by order_id) n from raw.orders",
        ),
        "n: window orders., window orders.order_id
         order_id: is orders.order_id
         running: window orders.customer_id, aggregated orders.total, window orders.updated_at",
    );
    same(
        &lineage(
            "select order_id from raw.orders qualify row_number() over (partition by customer_id order by updated_at desc) = 1",
        ),
        "*: filter orders., filter orders.customer_id, filter orders.updated_at
         order_id: is orders.order_id",
    );
}

#[test]
fn lineage_of_conditions() {
    same(
        &lineage("select case when status = 'x' then total else 0 end a, coalesce(email, country) b, iff(order_id > 1, o.customer_id, 0) c
                  from raw.orders o cross join raw.customers"),
        "a: conditional orders.status, computed orders.total
         b: computed customers.country, computed customers.email, conditional customers.email
         c: computed orders.customer_id, conditional orders.order_id",
    );
}

#[test]
fn lineage_of_set_operations_goes_by_position() {
    same(
        &lineage(
            "select order_id, status from raw.orders union all select child, 'x' from raw.edges where parent = 1",
        ),
        "*: filter edges.parent
         order_id: is edges.child, is orders.order_id
         status: is orders.status",
    );
    same(
        &lineage("select parent from raw.edges union select child from raw.edges"),
        "*: group edges.child, group edges.parent
         parent: is edges.child, is edges.parent",
    );
}

#[test]
fn lineage_of_subqueries() {
    same(
        &lineage(
            "select order_id, (select max(c.email) from raw.customers c where c.customer_id = o.customer_id) mail from raw.orders o",
        ),
        "mail: filter customers.customer_id, aggregated customers.email, filter orders.customer_id
         order_id: is orders.order_id",
    );
    same(
        &lineage(
            "select order_id from raw.orders where customer_id in (select customer_id from raw.customers where country = 'de')",
        ),
        "*: filter customers.country, filter customers.customer_id, filter orders.customer_id
         order_id: is orders.order_id",
    );
    same(
        &lineage(
            "select order_id from raw.orders o where exists (select 1 from raw.customers c where c.customer_id = o.customer_id)",
        ),
        "*: filter customers., filter customers.customer_id, filter orders.customer_id
         order_id: is orders.order_id",
    );
}

#[test]
fn lineage_of_distinct_on_and_nested_values() {
    same(
        &lineage(
            "select distinct on (customer_id) order_id, total from raw.orders order by customer_id, updated_at desc",
        ),
        "*: group orders.customer_id, sort orders.customer_id, sort orders.updated_at
         order_id: is orders.order_id
         total: is orders.total",
    );
    same(
        &lineage("select customer_id, unnest(tags) tag, address['city'] city from raw.customers"),
        "*: filter customers.tags
         city: computed customers.address
         customer_id: is customers.customer_id
         tag: computed customers.tags",
    );
    same(
        &lineage("select named_struct('a', order_id, 'b', total) s from raw.orders"),
        "s: computed orders.order_id, computed orders.total",
    );
}

#[test]
fn lineage_of_recursion_reaches_a_fixpoint() {
    same(
        &lineage(
            "with recursive tree(root, node) as (
                    select parent, child from raw.edges where parent = 1
                    union all
                    select e.child, tree.root from tree join raw.edges e on e.parent = tree.node)
                  select root, node from tree",
        ),
        "*: join edges.child, filter edges.parent, join edges.parent
         node: is edges.child, is edges.parent
         root: is edges.child, is edges.parent",
    );
}

#[test]
fn lineage_of_laterals() {
    same(
        &lineage(
            "select o.order_id, x.email from raw.orders o cross join lateral (select c.email from raw.customers c where c.customer_id = o.customer_id) x",
        ),
        "*: filter customers.customer_id, filter orders.customer_id
         email: is customers.email
         order_id: is orders.order_id",
    );
}

#[test]
fn unknown_columns_have_a_caret_and_a_suggestion() {
    let sql = "select o.order_id,\n  o.customer as ü\nfrom raw.orders o";
    let problems = wrong(sql);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    let problem = &problems[0];
    assert_eq!(
        (problem.code, problem.message.as_str()),
        ("M0301", "`raw.orders` has no column `customer`")
    );
    let (start, end) = problem.offset.unwrap();
    assert!(
        sql[start..end].ends_with("customer"),
        "{}",
        &sql[start..end]
    );
    assert_eq!(
        problem.label.as_deref(),
        Some("did you mean `customer_id`?")
    );
    assert_eq!(
        problem.help,
        ["raw.orders has: order_id, customer_id, total, status, updated_at"]
    );
}

/// A file of a query is a table without a schema.
struct Files;

impl TableLookup for Files {
    fn columns(&self, table: &TableName) -> Option<SchemaRef> {
        let columns = [("id", DataType::Int64), ("amount", DataType::Float64)];
        (*table == TableName::new("public", "data/o.csv")).then(|| {
            Arc::new(Schema::new(
                columns
                    .map(|(name, given)| Field::new(name, given, true))
                    .to_vec(),
            ))
        })
    }

    fn known(&self) -> Vec<TableName> {
        vec![TableName::new("public", "data/o.csv")]
    }

    fn default_schema(&self) -> Option<&str> {
        Some("public")
    }
}

#[test]
fn mistakes_of_a_query_over_a_file_are_named() {
    for (sql, code, said) in [
        ("select nope from 'data/o.csv'", "M0301", "`nope`"),
        ("select id, id from 'data/o.csv'", "M0309", "`id`"),
        ("select foo(id) from 'data/o.csv'", "M0304", "`foo`"),
        (
            "select id, sum(amount) from 'data/o.csv'",
            "M0310",
            "GROUP BY",
        ),
        ("select o.nope from 'data/o.csv' o", "M0301", "`nope`"),
    ] {
        match analyze(sql, &Files) {
            AnalysisResult::Wrong(problems) => {
                assert_eq!(problems[0].code, code, "{sql}: {problems:#?}");
                assert!(problems[0].message.contains(said), "{sql}: {problems:#?}");
                let all = format!("{problems:?}");
                assert!(
                    !all.contains("has no schema") && !all.contains("public"),
                    "{sql}: {all}"
                );
            }
            other => panic!("{sql}: {other:#?}"),
        }
    }
    assert!(matches!(
        analyze("select id from 'data/o.csv'", &Files),
        AnalysisResult::Proven(_)
    ));
}

#[test]
fn all_unknown_columns_are_said_at_once() {
    let sql = "with a as (select ordr_id, statsu as s from raw.orders where totl > 1)
        select a.ordr_id, a.s, a.nothing from a order by s";
    let problems = wrong(sql);
    let shown: Vec<&str> = problems
        .iter()
        .map(|p| {
            let (a, b) = p.offset.unwrap();
            &sql[a..b]
        })
        .collect();
    assert_eq!(
        shown,
        ["ordr_id", "statsu", "totl", "a.nothing"],
        "{problems:#?}"
    );
    assert!(problems.iter().all(|p| p.code == "M0301"));
}

#[test]
fn unknown_columns_everywhere_have_a_place() {
    for (sql, word) in [
        ("select 1 from raw.orders where statsu = 'x'", "statsu"),
        ("select count(*) from raw.orders group by statsu", "statsu"),
        ("select order_id from raw.orders order by statsu", "statsu"),
        ("select upper(statsu) from raw.orders", "statsu"),
        (
            "select sum(total) over (partition by statsu) from raw.orders",
            "statsu",
        ),
        (
            "select 1 from raw.orders a join raw.edges b on a.order_id = b.childd",
            "b.childd",
        ),
        (
            "select 1 from raw.orders a join raw.edges b using (order_idd)",
            "order_idd",
        ),
        ("select (select max(statsu) from raw.orders) x", "statsu"),
        (
            "select order_id from raw.orders having max(statsu) > 1",
            "statsu",
        ),
        ("select strange_name from raw.customers", "strange_name"),
        ("select x.order_id from raw.orders o", "x.order_id"),
        ("select statsu", "statsu"),
    ] {
        let problems = wrong(sql);
        let problem = &problems[0];
        let (start, end) = problem
            .offset
            .unwrap_or_else(|| panic!("{sql}: {problem:#?}"));
        let shown = &sql[start..end];
        assert!(
            shown == word || word.ends_with(shown),
            "{sql}: {shown} {problem:#?}"
        );
    }
    assert_eq!(
        wrong("select \"strange name\" from raw.customers")[0]
            .label
            .as_deref(),
        Some("did you mean `\"Strange Name\"`?")
    );
    assert_eq!(
        wrong("select x.order_id from raw.orders o")[0].code,
        "M0303"
    );
}

#[test]
fn other_mistakes_are_named() {
    for (sql, code, message, word) in [
        (
            "select * from raw.ordrs",
            "M0302",
            "there is no table `raw.ordrs`",
            "raw.ordrs",
        ),
        (
            "select * from rw.orders o",
            "M0302",
            "there is no table `rw.orders`",
            "rw.orders",
        ),
        (
            "select * from orders",
            "M0303",
            "`orders` has no schema",
            "orders",
        ),
        (
            "select uper(status), nope(1) from raw.orders",
            "M0304",
            "there is no function `uper`",
            "uper",
        ),
        (
            "select order_id from raw.orders a join raw.orders b on true",
            "M0307",
            "`order_id` could be a column of more than one table",
            "order_id",
        ),
        (
            "select 1 +",
            "M0305",
            "syntax: expected an expression, found the end of the statement",
            "",
        ),
        (
            "select a fro m",
            "M0305",
            "syntax: expected end of statement, found `m`",
            "m",
        ),
        (
            "select 'abc",
            "M0305",
            "syntax: unterminated string literal",
            "'abc",
        ),
        (
            "",
            "M0306",
            "there is no query here: the text is empty or only comments",
            "",
        ),
        (
            "select 1; select 2",
            "M0306",
            "one query is expected, and there are 2",
            "",
        ),
        (
            "drop table raw.orders",
            "M0306",
            "a query is expected, and this statement starts with `DROP`",
            "",
        ),
        (
            "insert into raw.orders select 1",
            "M0306",
            "a query is expected, and this statement starts with `INSERT`",
            "",
        ),
        (
            "select 1 into x",
            "M0306",
            "a query is expected, and this statement starts with `SELECT-INTO`",
            "",
        ),
    ] {
        let problems = wrong(sql);
        assert_eq!(
            (problems[0].code, problems[0].message.as_str()),
            (code, message),
            "{sql}"
        );
        if !word.is_empty() {
            let (start, end) = problems[0].offset.unwrap();
            assert!(
                sql[start..].starts_with(word) && end <= sql.len(),
                "{sql}: {}",
                &sql[start..end]
            );
        }
    }
    assert_eq!(
        wrong("select uper(status), nope(1) from raw.orders").len(),
        2
    );
    assert_eq!(
        wrong("select * from rw.orders o")[0].label.as_deref(),
        Some("did you mean `raw.orders`?")
    );
    assert_eq!(
        wrong("select * from orders")[0].label.as_deref(),
        Some("did you mean `raw.orders`?")
    );
}

#[test]
fn what_cannot_be_computed_or_would_be_wrong_is_refused_where_it_stands() {
    for (sql, stands, said) in [
        (
            "select order_id, case when customer_id in (select customer_id from raw.customers) then 1 end k from raw.orders",
            "customer_id in",
            "`IN (SELECT …)` is in a place where it does not filter rows",
        ),
        (
            "select order_id, exists (select 1 from raw.customers c where c.customer_id = o.customer_id) k from raw.orders o",
            "select 1",
            "`EXISTS (SELECT …)` is in a place where it does not filter rows",
        ),
        (
            "select order_id, (select max(c.email) from raw.customers c where c.customer_id >= o.customer_id) k from raw.orders o",
            "select max(c.email)",
            "this query inside depends on the row around it",
        ),
        (
            "select o.order_id, l.email from raw.orders o, lateral (select c.email from raw.customers c where c.customer_id = o.customer_id order by c.email limit 1) l",
            "select c.email",
            "this LATERAL query depends on the other row of the join",
        ),
        (
            "select order_id from raw.orders except all select 1",
            "except all",
            "EXCEPT ALL",
        ),
        (
            "select o.customer_id from raw.orders o right join raw.customers c using (customer_id)",
            "o.customer_id from",
            "`o.customer_id` in a query with a RIGHT or FULL JOIN",
        ),
        (
            "select c.email from raw.orders o natural full join raw.customers c",
            "c.email",
            "`c.email` in a query with a RIGHT or FULL JOIN",
        ),
        (
            "select to_char(updated_at, 'YYYY-MM-DD HH24:MI:SS') k from raw.orders",
            "'YYYY",
            "`YYYY-MM-DD HH24:MI:SS` is not a valid format",
        ),
        (
            "select order_id from raw.orders where (customer_id, 1) not in (select customer_id, 1 from raw.customers)",
            "customer_id, 1) not in",
            "several values before `NOT IN (SELECT …)`",
        ),
        (
            &nested(6),
            "total not in (select 1)",
            "`NOT IN (SELECT …)` nested more than 5 deep",
        ),
        (
            &turned(6),
            "total in (select 1)",
            "`NOT IN (SELECT …)` nested more than 5 deep",
        ),
        (
            "select order_id from raw.orders o where total not in (select max(c.customer_id) from raw.customers c where c.customer_id = o.customer_id)",
            "total not in",
            "this `IN (SELECT …)` depends on the row around it",
        ),
        (
            "select order_id from raw.orders o where total in (select c.customer_id from raw.customers c where c.customer_id = o.customer_id union select 5)",
            "total in",
            "this `IN (SELECT …)` depends on the row around it",
        ),
        (
            "select order_id from raw.orders o where total not in (select c.customer_id from raw.customers c where c.customer_id = o.customer_id union select 5)",
            "total not in",
            "this `IN (SELECT …)` depends on the row around it",
        ),
        (
            "select customer_id from raw.orders o right join raw.customers c using (customer_id) order by o.customer_id",
            "o.customer_id",
            "`o.customer_id` in a query with a RIGHT or FULL JOIN",
        ),
    ] {
        let problem = &wrong(sql)[0];
        assert_eq!(problem.code, "M0311", "{sql}: {problem:?}");
        assert!(problem.message.contains(said), "{sql}: {problem:?}");
        assert!(!problem.help.is_empty(), "{sql}: {problem:?}");
        let (start, _) = problem
            .offset
            .unwrap_or_else(|| panic!("{sql}: {problem:?}"));
        assert!(sql[start..].starts_with(stands), "{sql}: {}", &sql[start..]);
    }
    for sql in [
        "select order_id from raw.orders where customer_id not in (select customer_id from raw.customers) or total > 3",
        "select order_id, (select count(*) from raw.customers) k from raw.orders",
        "select o.order_id from raw.orders o where exists (select 1 from raw.customers c where c.customer_id = o.customer_id) or o.total > 3",
        "select order_id from raw.orders o where 0 = (select count(*) from raw.customers c where c.customer_id = o.customer_id)",
        "select c.country from raw.orders o full join raw.customers c using (customer_id)",
        "with p as (select o.customer_id from raw.orders o) select customer_id from raw.orders o full join raw.customers c using (customer_id)",
        "select order_id from raw.orders where customer_id not in (select max(customer_id) from raw.customers)",
        "select order_id from raw.orders where customer_id not in (select customer_id from raw.customers union select 1)",
        &nested(5),
        &turned(5),
        &doubled(7),
    ] {
        proven(sql);
    }
    for sql in [
        "select order_id from raw.orders where order_id in (values (1, 2))",
        "select order_id from raw.orders where order_id not in (select 1, 2 union select 3, 4)",
        "select order_id from raw.orders where order_id not in (select * from raw.orders union select * from raw.orders)",
    ] {
        let said = format!("{:?}", wrong(sql)[0]);
        assert!(said.contains("one column"), "{sql}: {said}");
        assert!(!said.contains("alias"), "{sql}: {said}");
    }
}

/// `NOT` around a condition that holds `IN`, that many times inside each other.
fn turned(depth: usize) -> String {
    let inner = "select total from raw.orders where not (total in (select 1) and total > 0)";
    (1..depth).fold(inner.to_owned(), |inner, _| {
        format!("select total from raw.orders where not (total in ({inner}) and total > 0)")
    })
}

/// `IN` under two `NOT`s, which is no copy.
fn doubled(depth: usize) -> String {
    let inner = "select total from raw.orders where not (not (total in (select 1)))".to_owned();
    (1..depth).fold(inner, |inner, _| {
        format!("select total from raw.orders where not (not (total in ({inner})))")
    })
}

/// `NOT IN` that many times inside each other.
fn nested(depth: usize) -> String {
    let inner = "select total from raw.orders where total not in (select 1)".to_owned();
    (1..depth).fold(inner, |inner, _| {
        format!("select total from raw.orders where total not in ({inner})")
    })
}

#[test]
fn type_errors_are_proven() {
    for sql in [
        "select status + 1 from raw.customers join raw.orders using (customer_id) where tags",
        "select sum(status) from raw.orders",
        "select tags + 1 from raw.customers",
        "select order_id from raw.orders where order_id",
        "select date_trunc('day', tags) from raw.customers",
        "select iff(true, 1) from raw.orders",
        "select order_id, count(*) from raw.orders",
        "select order_id from raw.orders union all select 1, 2",
    ] {
        let problems = wrong(sql);
        assert!(
            matches!(problems[0].code, "M0308" | "M0310"),
            "{sql}: {problems:#?}"
        );
    }
}

#[test]
fn what_is_not_known_is_unknown_not_wrong() {
    assert_eq!(
        unknown("select anything from raw.mystery"),
        "the columns of `raw.mystery` are not known yet"
    );
    assert!(matches!(
        analyze(
            "select x from new.table",
            &Shop {
                tables: BTreeMap::new(),
                known: vec![]
            }
        ),
        AnalysisResult::Unknown { .. }
    ));
    unknown("select * from information_schema.tables");
    // A mistake that needs no columns is still a mistake.
    assert_eq!(wrong("select uper(x) from raw.mystery")[0].code, "M0304");
}

#[test]
fn expressions_are_about_one_row() {
    let schema = shop().tables[&TableName::new("raw", "orders")].clone();
    let info = expression("lower(trim(status)) || order_id", &schema).unwrap();
    assert_eq!(
        (info.data_type, info.columns),
        (
            DataType::Utf8,
            vec!["order_id".to_owned(), "status".to_owned()]
        )
    );
    assert_eq!(
        expression("total > 5 and status in ('a')", &schema)
            .unwrap()
            .data_type,
        DataType::Boolean
    );
    for (text, code) in [
        ("statsu = 1", "M0301"),
        ("sum(total)", "M0310"),
        ("total > (select 1)", "M0310"),
        ("total >", "M0305"),
        ("total; drop table x", "M0305"),
        ("total as x", "M0305"),
        ("uper(status)", "M0304"),
        ("total + status like 'x' + 1", "M0308"),
    ] {
        match expression(text, &schema) {
            Err(problem) => assert_eq!(problem.code, code, "{text}: {problem:#?}"),
            Ok(info) => panic!("{text}: {info:?}"),
        }
    }
    let problem = expression("  statsu = 1", &schema).unwrap_err();
    assert_eq!(problem.offset, Some((2, 8)));
    assert_eq!(problem.label.as_deref(), Some("did you mean `status`?"));
}

#[test]
fn the_planners_sentences_are_put_in_our_words() {
    for (sql, code, message, place) in [
        (
            "select 1 from raw.customers where tags",
            "M0308",
            "a condition is true or false, and `tags` is list(text)",
            "tags",
        ),
        (
            "select sum(status) from raw.orders",
            "M0308",
            "`sum` does not take (text)",
            "sum",
        ),
        (
            "select tags + 1 from raw.customers",
            "M0308",
            "cannot coerce arithmetic expression list(text) + bigint to valid types",
            "tags",
        ),
        (
            "select iff(true, 1) from raw.orders",
            "M0308",
            "`iff` takes 3 arguments (condition, then, otherwise), here are 2",
            "iff",
        ),
        (
            "select coalesce() from raw.orders",
            "M0308",
            "`coalesce` needs arguments",
            "coalesce",
        ),
        (
            "select order_id, count(*) from raw.orders",
            "M0310",
            "`order_id` must be in GROUP BY or inside an aggregate",
            "order_id",
        ),
        (
            "select order_id as x, total as x from raw.orders",
            "M0309",
            "two columns are named `x`",
            "x",
        ),
        (
            "select row_number() from raw.orders",
            "M0310",
            "`row_number` is a window function",
            "row_number",
        ),
        (
            "select status::nope from raw.orders",
            "M0308",
            "`nope` is not a type",
            "nope",
        ),
        (
            "select address.town from raw.customers",
            "M0301",
            "there is no field `town` in this struct",
            "town",
        ),
        (
            "select date_add(updated_at, 1) from raw.orders",
            "M0304",
            "there is no function `date_add`",
            "date_add",
        ),
        (
            "select $1",
            "M0310",
            "a placeholder like `$1` has no value here",
            "$1",
        ),
        (
            "select * from raw.orders pivot (sum(total) for status in ('a'))",
            "M0311",
            "not supported: PIVOT",
            "pivot",
        ),
        (
            "select 1 union select 1, 2",
            "M0310",
            "the queries on both sides of UNION have different numbers of columns",
            "select 1 union select 1, 2",
        ),
    ] {
        let problem = &wrong(sql)[0];
        assert_eq!(
            (problem.code, problem.message.as_str()),
            (code, message),
            "{sql}"
        );
        assert_eq!(
            problem.offset.map_or("", |(start, end)| &sql[start..end]),
            place,
            "{sql}"
        );
    }
    assert_eq!(
        wrong("select * from raw.orders, lateral flatten(input => x)")[0].message,
        "not supported: names of arguments in FROM"
    );
}

#[test]
fn long_conditions_are_fine() {
    let long = vec!["order_id = 1"; 3000].join(" or ");
    proven(&format!("select 1 as x from raw.orders where {long}"));
}

#[test]
fn long_sums_are_fine_or_refused() {
    let sum = vec!["order_id"; 120].join(" + ");
    proven(&format!("select {sum} as x from raw.orders"));
    let sum = vec!["order_id"; 5000].join(" + ");
    assert_eq!(
        wrong(&format!("select {sum} as x from raw.orders"))[0].code,
        "M0305"
    );
}

#[test]
fn long_unions_are_fine() {
    let many = vec!["select order_id from raw.orders"; 100].join(" union all ");
    assert_eq!(proven(&many).lineage.edges.len(), 1);
}

#[test]
fn deep_expressions_are_fine_or_refused() {
    for depth in [60, 100, 600] {
        let deep = format!("select {}1{} as x", "(".repeat(depth), ")".repeat(depth));
        match analyze(&deep, &shop()) {
            AnalysisResult::Proven(_) => assert!(depth < 100, "{depth}"),
            AnalysisResult::Wrong(problems) => assert_eq!(problems[0].code, "M0305"),
            AnalysisResult::Unknown { why, .. } => panic!("{depth}: {why}"),
        }
    }
    let calls = |depth: usize| {
        format!(
            "select {}order_id{} as x from raw.orders",
            "abs(".repeat(depth),
            ")".repeat(depth)
        )
    };
    assert_eq!(proven(&calls(20)).lineage.edges.len(), 1);
    assert_eq!(wrong(&calls(200))[0].code, "M0305");
    analyze(&calls(48), &shop());
}

#[test]
fn changes_are_refused_wherever_they_hide() {
    for sql in [
        "with x as (delete from raw.orders returning *) select * from x",
        "select * from (insert into raw.orders select 1) x",
        "select (select 1 into y from raw.orders) z",
        "with x as (update raw.orders set total = 1) select 1",
    ] {
        let code = wrong(sql)[0].code;
        assert!(matches!(code, "M0306" | "M0305"), "{sql}: {code}");
    }
}
