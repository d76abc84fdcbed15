//! Statements that run on both systems: aggregates, windows, rows of JSON, order and groups.
//!
//! Promise: both get the same text, except for Towpath's own names of functions. Single expressions are in
//! `expressions.rs`.

/// Values that stand in `v(g, i, b, n, f, t, d, ts, iv, ok)`.
pub(crate) const VALUES: &str = "(values \
  (1, 7, 10000000000, 1.25, 0.5::double precision, 'a', date '2024-02-29', timestamp '2024-02-29 12:34:56', interval '2 days 2 hours', true), \
  (1, -7, -5, 2.50, -2.5::double precision, 'B', date '2023-12-31', timestamp '2023-12-31 23:59:59', interval '36 hours', false), \
  (2, 3, 3, -0.75, 1e10::double precision, null, date '1970-01-01', timestamp '1970-01-01 00:00:00', interval '1 day', null), \
  (2, null, null, null, null, 'a', null, null, null, true), \
  (2, 3, 4, 7.00, 3::double precision, 'z', date '2024-02-29', timestamp '2024-02-27 10:00:00', interval '30 days', true), \
  (3, null, null, null, null, null, null, null, null, null)) v(g, i, b, n, f, t, d, ts, iv, ok)";

/// Aggregates over all rows and in groups.
pub(crate) const AGGREGATES: &[&str] = &[
    "count(*)",
    "count(i)",
    "count(distinct i)",
    "sum(i)",
    "sum(b)",
    "sum(n)",
    "sum(f)",
    "sum(iv)",
    "avg(i)",
    "avg(n)",
    "avg(f)",
    "avg(iv)",
    "min(i)",
    "max(n)",
    "min(t)",
    "max(t)",
    "min(d)",
    "max(ts)",
    "min(iv)",
    "max(iv)",
    "bool_and(ok)",
    "bool_or(ok)",
    "stddev(i)",
    "stddev_pop(f)",
    "var_samp(n)",
    "var_pop(i)",
    "corr(i, f)",
    "covar_pop(i, f)",
    "covar_samp(i, f)",
    "regr_slope(i, f)",
    "regr_count(i, f)",
    "string_agg(t, ',' order by t)",
    "array_agg(i order by i)",
    "bit_and(i)",
    "bit_or(i)",
    "sum(distinct i)",
    "avg(distinct i)",
    "sum(i) filter (where ok)",
    "count(*) filter (where t = 'a')",
    "max(ts) - min(ts)",
    "sum(i) / count(i)",
    "avg(ts - timestamp '2024-01-01')",
    "sum(ts - timestamp '2024-01-01')",
    "max(ts - timestamp '2024-01-01')",
    "min(i + f)",
    "percentile_cont(0.5) within group (order by f)",
];

/// Windows over the groups.
pub(crate) const WINDOWS: &[&str] = &[
    "row_number() over (partition by g order by i nulls first, t)",
    "rank() over (order by i)",
    "dense_rank() over (order by i desc)",
    "percent_rank() over (order by g)",
    "cume_dist() over (order by g)",
    "ntile(2) over (order by g, i, t)",
    "lag(i) over (order by g, i, t)",
    "lead(i, 2, 0) over (order by g, i, t)",
    "first_value(t) over (partition by g order by i, t)",
    "last_value(i) over (order by g, i, t)",
    "nth_value(i, 2) over (order by g, i, t)",
    "sum(i) over (partition by g)",
    "sum(i) over (order by g, i, t)",
    "avg(n) over (order by g rows between 1 preceding and current row)",
    "sum(iv) over (partition by g)",
    "max(iv) over (partition by g)",
    "rank() over (order by iv)",
    "count(*) over (order by g range unbounded preceding)",
];

/// Whole statements: Towpath's and PostgreSQL's.
pub(crate) const STATEMENTS: &[(&str, &str)] = &[
    (
        "select x from (values (interval '36 hours'), (interval '1 day'), (interval '1 month'), (interval '2 days')) v(x) order by x limit 1",
        "",
    ),
    (
        "select count(*) as n from (values (interval '36 hours')) a(x) join (values (interval '1 day 12 hours')) b(x) on a.x = b.x",
        "",
    ),
    (
        "select json_array_elements('[1, \"two\", {\"a\": 3}]')::text as e",
        "",
    ),
    (
        "select json_array_elements_text('[1, \"two\", null]') as e",
        "",
    ),
    (
        "select value::text as e from json_array_elements('[1, [2]]')",
        "",
    ),
    (
        "select id, json_array_elements(j) as e from (values (1, '[1,2]'), (2, '[]'), (3, '[3]')) v(id, j)",
        "select id, json_array_elements(j::json) as e from (values (1, '[1,2]'), (2, '[]'), (3, '[3]')) v(id, j)",
    ),
    (
        "select e ->> 'k' as k from (select json_array_elements('[{\"k\": 1}, {\"k\": \"b\"}]') as e) x",
        "",
    ),
    ("select json_object_keys('{\"a\": 1, \"b\": 2}') as k", ""),
    ("select x::varchar(2) as c from (values ('abc')) v(x)", ""),
    ("select x::varchar(2) from (values ('abc')) v(x)", ""),
    (
        "select case when ts - date '2024-01-01' > interval '1 month' then 'late' else 'soon' end as c from (values (timestamp '2024-02-29 10:00')) v(ts)",
        "",
    ),
    ("select extract(day from now() - now()) as d", ""),
    ("select mod(7, 3) as a, mod(-7, 3) as b, 7 % 3 as c", ""),
    (
        "select (array[1, 2, 3])[2] as a, (array['a', 'b'])[1] as b, array_length(array[1, 2], 1) as c, cardinality(array[1, 2]) as d",
        "",
    ),
    (
        "select 2 = any(array[1, 2]) as a, array[1, 2] || array[3] as b, array_append(array[1], 2) as c, array_to_string(array[1, null, 3], '-') as d",
        "",
    ),
    (
        "select array_position(array['a', 'b'], 'b') as a, array_remove(array[1, 2, 1], 1) as b, array_replace(array[1, 2, 2], 2, 5) as c, array_cat(array[1], array[2]) as d",
        "",
    ),
    ("select unnest(array[1, 2]) as x", ""),
    ("select x from generate_series(1, 3) t(x)", ""),
    (
        "select s.a as a, s.l[2] as b from (select named_struct('a', 1, 'l', make_array(4, 5)) as s) x",
        "select 1 as a, 5 as b",
    ),
    (
        "select s -> 'a' as a, s ->> 'l' as b, s -> 'l' ->> 1 as c from (select named_struct('a', 1, 'l', make_array(4, 5)) as s) x",
        "select 1 as a, '[4,5]' as b, '5' as c",
    ),
    (
        "select to_json(named_struct('a', 1, 'b', make_array('x', null))) as j",
        "select '{\"a\":1,\"b\":[\"x\",null]}' as j",
    ),
    ("select 1 as a where 'abc' similar to 'a_c'", ""),
    (
        "select distinct x from (values (interval '1 day'), (interval '24 hours')) v(x)",
        "refused",
    ),
    (
        "select x, count(*) from (values (interval '1 day'), (interval '24 hours')) v(x) group by x",
        "refused",
    ),
    (
        "select count(distinct x) from (values (interval '1 day'), (interval '24 hours')) v(x)",
        "refused",
    ),
    (
        "select row_number() over (partition by x) from (values (interval '1 day')) v(x)",
        "refused",
    ),
    (
        "select x from (values (interval '1 day')) v(x) union select interval '24 hours'",
        "refused",
    ),
    ("select 1.0 / 0 as x", ""),
    ("select 1::double precision / 0 as x", ""),
    (
        "select greatest(1.5, 2::double precision) as x, 1.5 = 1.5::double precision as e",
        "",
    ),
];
